"""What was recorded in a run, and what can be done with it."""

import linecache
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from minigen import console
from minigen.autodiff.graph import trace_observer
from minigen.autodiff.trace import observed
from minigen.study.listing import listing
from minigen.study.memory import Memory
from minigen.study.modules import Names
from minigen.study.page import framed_page, write_page
from minigen.study.programs.outlining import program_text
from minigen.study.recorder import Recorder
from minigen.study.sites import warn_of_another
from minigen.study.steps import Block, Pass, Step, Value
from minigen.study.times import Times, times


class Recording:
    """The steps of a run: each op forward, and each call of derivative rules backward."""

    def __init__(self, recorder: Recorder, limit: float):
        self._recorder, self.limit = recorder, limit
        self.passes: list[Pass] = recorder.passes
        self.blocks: list[Block] = recorder.blocks.blocks

    @property
    def steps(self) -> list[Step]:
        """What ran, in order; inside of the `with` block what has run so far."""
        self._recorder.settle()
        return self._recorder.steps

    @property
    def values(self) -> list[Value]:
        """The arrays, in the order of their first use; steps name them by number."""
        self._recorder.settle()
        return self._recorder.identities.values

    def times(self) -> Times:
        """Where time went, by op and module, and what the machine takes at best: see `Times`."""
        return times(self._recorder)

    @property
    def seconds(self) -> float:
        """Of the run, without the time that recording took."""
        return self._recorder.seconds

    def source(self, fused: bool = False) -> str:
        """The run as a program that imports NumPy alone: forward, then backward, as text.

        It defines step(*, ...) with all arrays that no op made as keyword arguments, by the names
        in `values`. It returns (outputs, gradients): the list of tensors from which backward was
        called, or without a backward the last ones made; and a dict, by the names of arguments, of
        the gradient of each leaf that got one. fused: each fused op as a function that the program
        defines. ValueError without values, and for a backward pass through earlier ops.
        """
        return program_text(self.steps, self.values, self.passes, fused)

    @property
    def bytes(self) -> int:
        """What the copies of arrays take together."""
        return self._recorder.identities.bytes

    def __repr__(self) -> str:
        steps = f"{len(self.steps):,} step{'s' * (len(self.steps) != 1)}"
        passes = f"{len(self.passes)} backward pass{'es' * (len(self.passes) != 1)}"
        more = ", and no more for its limit" if self._recorder.identities.is_full else ""
        size = f"{self.bytes / 1e6:.1f} MB of values{more}"
        return f"Recording of {steps} with {passes}: {size}"

    def __str__(self) -> str:
        return "\n".join(filter(None, (repr(self), listing(self.steps, self.values))))

    def memory(self) -> Memory:
        """What is alive at each step and why, the peak, and what recomputing would save."""
        return Memory(self.steps, self.values, self.passes, self.blocks)

    def page(self, path: str | os.PathLike, title: str = "") -> Path:
        """Write the page that shows the run, one HTML file that needs no network; its path.

        title: what ran, as "step 100 of vae.py".
        """
        return write_page(self, path, title)

    def _repr_html_(self) -> str:
        return framed_page(self)


def record(values: bool = True, names: Names = None, limit: float = 1_000_000_000) -> "Record":
    """A context that records what happens inside: each op, and every backward pass.

    values=False keeps shapes only, for large models; over `limit` bytes no more values are kept.
    names: a dict of names of tensors, or the module whose paths name its parameters; by default the
    outermost module that is called. The other arrays that no op made are x0, x1, ... Ops of other
    threads are not recorded.
    """
    if not isinstance(values, bool | np.bool_):
        raise TypeError(
            f"study.record: values is True or False, and not {type(values).__name__}; the model, "
            "or names of tensors, go to names="
        )
    if isinstance(limit, bool) or not isinstance(limit, Real) or not limit >= 0:
        raise ValueError(f"study.record: limit={limit!r} must be a number of bytes of at least 0")
    return Record(_recording(bool(values), names, limit))


@contextmanager
def _recording(values: bool, names: Names, limit: float) -> Iterator[Recording]:
    outer = trace_observer.get()
    if not isinstance(outer, Recorder | None) and not outer.gives_way:  # a Recorder warns itself
        warn_of_another()
    linecache.checkcache()  # files may have been edited and loaded again
    recorder = Recorder(values, names, limit)
    run = Recording(recorder, limit)
    with observed(recorder):
        try:
            yield run
        finally:
            recorder.finish()
    if unmet := recorder.user_modules.unmet_names():
        console.say(
            f"study.record: names: no op got the array of {' or of '.join(unmet)}: the run does "
            "not use it, or uses another array, as a loss does that reshapes its target",
            sys.stderr,
        )
    if recorder.identities.is_full:
        warnings.warn(
            f"study.record: only the first {run.bytes / 1e6:,.1f} MB of values were kept; record a "
            "smaller batch, raise limit=, or pass values=False for a run without values",
            stacklevel=4,
        )


class Record(AbstractContextManager):
    """The context that `record` returns, for one `with` block; that has the `Recording`."""

    def __init__(self, context: AbstractContextManager[Recording]):
        self._context, self._has_begun = context, False

    def __enter__(self) -> Recording:
        if self._has_begun:
            raise RuntimeError("study.record: call it again for another `with` block")
        self._has_begun = True
        return self._context.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        return self._context.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"study.record() has no {name}: write `with study.record() as run:`, then run.{name}"
        )
