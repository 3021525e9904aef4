"""Watching the layers of a model while it is trained: `watch`."""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from minigen import console
from minigen.autodiff.graph import trace_observer
from minigen.backend.devices import capturing
from minigen.figures.canvas import Picture
from minigen.nn import Module
from minigen.nn.hooks import HookHandle
from minigen.optim import Optimizer
from minigen.study.watching.alarms import Alarms, Warned
from minigen.study.watching.figure import draw_layers
from minigen.study.watching.observer import LayerObserver, Measurement
from minigen.study.watching.rows import facts_of
from minigen.study.watching.updates import Updates

Optimizers = Optimizer | Iterable[Optimizer] | Mapping[str, Optimizer] | None
Row = dict[str, Any]


def watch(model: Module, optimizer: Optimizers = None, every: int = 50) -> "Watch":
    """Measure the layers of a model at the first step, and at every 50th after it: a `Watch`.

        with study.watch(model, optimizer) as watch:
            ...training...
        watch.figure("watch.png")

    In a context a step ends with the step of the optimizer that steps first; several optimizers are
    a list or a dict. Without an optimizer, or without a context, call `watch.record()` before the
    first step and after each, as with steps of `training.capture`, whose replays no optimizer sees.
    Random numbers and results of training stay the same.
    """
    return Watch(model, optimizer, every)


class Watch:
    """Numbers of the layers of a model at the watched steps.

    rows: for each watched step a dict for each layer, in the order of the calls: mean and std of
    its outputs, grad_mean and grad_std of their cotangents (the derivatives of the loss by its
    outputs), dead: the share of units of a relu that are 0 for the whole batch, saturated: the
    share of values within 1 % of the ends of tanh or sigmoid, updates: for each of its parameters
    the std of the step's change over the std of the values before. None: there is no such number,
    or it is not finite.
    warnings: sentences about layers that have died, explode or stand still; each is printed once.
    """

    def __init__(self, model: Module, optimizer: Optimizers = None, every: int = 50):
        if not isinstance(model, Module):
            raise TypeError(f"watch: needs a module, got {type(model).__name__}")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"watch: every={every!r} must be a whole number of at least 1")
        self.model, self.optimizers, self.every = model, _listed(optimizer), every
        self.step = 0  # the number of the step that is running
        self.rows: list[Row] = []
        self.say: Callable[[str], None] = console.say
        self.warned: list[Warned] = []
        self._alarms = Alarms()
        self._measurement: Measurement | None = None  # of the step, if it is watched
        self._observer: LayerObserver | None = None  # which tells the measurement
        self._updates: Updates | None = None
        self._handles: list[HookHandle] = []
        self._counted: Optimizer | None = None  # whose steps end a step
        self._counts = False  # whether the steps of an optimizer are counted

    @property
    def warnings(self) -> list[str]:
        """The sentences that were printed."""
        return [warned.warning for warned in self.warned]

    # ---------------------------------------------------------------------------- steps

    def __enter__(self) -> "Watch":
        self.listen()
        self._counts, self._counted = True, None
        self.begin(self.step + 1)
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.close()
        if kind is None and self._counts and self._counted is None:
            warnings.warn(
                "watch: no step has ended, as none of its optimizers has stepped: give it the "
                "optimizer, or call its record() before the first step and after each",
                stacklevel=2,
            )

    def record(self) -> None:
        """End a step, if one has begun, and begin the next.

        From then on it is only this call that ends a step, and no step of an optimizer.
        """
        self._counts = False
        self.listen()
        self.end()
        self.begin(self.step + 1)

    def listen(self) -> None:
        """Be told of the steps of the optimizers, whose updates are measured."""
        if not self._handles:
            for optimizer in self.optimizers:
                self._handles += [
                    optimizer.register_step_pre_hook(self._before_step),
                    optimizer.register_step_post_hook(self._after_step),
                ]

    def close(self) -> None:
        """Stop watching: a step that is running gets no row."""
        self._stop_observing()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def begin(self, step: int) -> None:
        """Begin the step of that number; rows of it and of later steps are dropped.

        If an observer is active, as in `study.record`, the step is not watched.
        """
        active = trace_observer.get()
        if self._measurement is not None or isinstance(active, LayerObserver):
            self._stop_observing()
        self.step = step
        self.drop_after(step - 1)  # training has gone back to a checkpoint
        if step != 1 and step % self.every:
            return
        active = trace_observer.get()
        if active is None:
            active = LayerObserver()
            trace_observer.set(active)
        if isinstance(active, LayerObserver):
            self._observer, self._measurement = active, Measurement(self.model)
            active.measurements.append(self._measurement)
            self._updates = Updates(self.model, self._measurement.readings, self.optimizers)
            self._updates.begin(self._updates.others)

    def drop_after(self, step: int) -> None:
        """Drop the rows of steps after this one."""
        while self.rows and self.rows[-1]["step"] > step:
            self.rows.pop()

    def end(self) -> None:
        """End a step; if it was watched, add its rows and print new warnings."""
        measurement, updates = self._measurement, self._updates
        if measurement is None or updates is None:
            return
        self._stop_observing()
        updates.end(updates.others)
        layers = facts_of(self.model, measurement, updates)
        self.rows += [{"step": self.step, **facts.row} for facts in layers]
        for warned in self._alarms.look(self.step, layers):
            self.warned.append(warned)
            self.say(warned.warning)

    def _stop_observing(self) -> None:
        """Measure no longer; the observer goes when nothing is left to measure.

        If another observer was put over it meanwhile, then at the next call.
        """
        if self._observer is not None and self._measurement in self._observer.measurements:
            self._observer.measurements.remove(self._measurement)
        active = trace_observer.get()
        if isinstance(active, LayerObserver) and not active.measurements:
            trace_observer.set(None)
        self._observer = self._measurement = self._updates = None

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        if self._updates is not None and capturing.get() is None:
            self._updates.begin(optimizer.params)

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        if self._updates is not None and capturing.get() is None:
            self._updates.end(optimizer.params, optimizer)
        if self._counts:
            self._counted = self._counted or optimizer
            if optimizer is self._counted:
                self.end()
                self.begin(self.step + 1)

    # -------------------------------------------------------------------------- results

    def figure(self, path: str | os.PathLike) -> Picture:
        """Draw the rows: layers downwards, steps to the right, a panel for each quantity."""
        layers = {name for warned in self.warned for name in (warned.layer, *warned.others)}
        return draw_layers(path, self.rows, layers)

    def state(self) -> str:
        """Rows and warnings as lines of JSON, as in watch.jsonl."""
        lines = [*self.rows, *(asdict(warned) for warned in self.warned)]
        return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)

    def load_state(self, text: str) -> None:
        """Go on from lines that `state` returned; what was said is not said again."""
        lines = [json.loads(line) for line in text.splitlines()]
        self.rows = [line for line in lines if "warning" not in line]
        self.warned = [Warned(**line) for line in lines if "warning" in line]
        self._alarms.said = {
            (name, warned.cause)
            for warned in self.warned
            for name in (warned.layer, *warned.others)
        }


def _listed(optimizer: Optimizers) -> list[Optimizer]:
    """The optimizers; TypeError for anything else."""
    if optimizer is None:
        return []
    if isinstance(optimizer, Mapping):
        optimizer = optimizer.values()
    found = list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]
    if wrong := [each for each in found if not isinstance(each, Optimizer)]:
        raise TypeError(f"watch: needs optimizers of minigen.optim, got {type(wrong[0]).__name__}")
    return found
