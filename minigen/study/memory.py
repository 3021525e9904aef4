"""The memory of a run: what is alive at each step and why, the peak, and what would lower it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from minigen.figures.canvas import Picture
from minigen.nn.summaries import Summary
from minigen.study.lifetimes import CATEGORIES, Life, Lifetimes, highest_moments
from minigen.study.memory_figure import draw
from minigen.study.recomputing import recomputed
from minigen.study.steps import Block, Pass, Step, Value
from minigen.study.temporaries import Repetitions

LARGEST = 10  # rows of the table of blocks
MODULES = 8  # rows of the table of modules
SMALL = 0.01  # the part of the peak that a module must save to have a row


@dataclass(frozen=True)
class Held:
    """A block of memory at one step: what it is, why it is alive, and where it was made.

    value: its number in `run.values`; None for temporaries.
    """

    bytes: int
    what: str
    why: str
    category: str
    shape: tuple[int, ...] | None
    site: str
    value: int | None


class Memory:
    """What is alive at each step of a run of n steps; entry n of each list is at its end.

    `bytes` has by category, a key of `CATEGORIES`, the bytes at each step, at the moment of the
    step in which the total is highest; `total` is their sum, `before` what was alive before the
    first step, `peak` the highest total, `peak_step` its step, `recomputed` what recomputing
    modules would save.

    The times are those of the run without recording. Parameters, and the gradients that they had,
    count from the start, data from its first use. Not counted is what no op sees: the state of
    optimizers, data sets, what a script computes in NumPy, workspaces of kernels and of worker
    threads (4.5 MB each, which they keep), Python's objects. Temporaries are measured
    by repeating each distinct call once (`temporaries.py`); for calls in `missed`, among them those
    on a GPU, they are not known.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        values: Sequence[Value],
        passes: Sequence[Pass],
        blocks: Sequence[Block],
    ):
        self.steps, self.values, self.passes = list(steps), values, list(passes)
        repetitions = Repetitions(self.steps, values)
        costs = [repetitions.cost(step) for step in self.steps]
        self.missed = repetitions.missed
        self._temporaries = [cost.temporaries for cost in costs]
        self._lifetimes = Lifetimes(self.steps, values, self.passes, list(blocks), costs)
        alive = self._lifetimes.bytes_alive()
        alive[list(CATEGORIES).index("temporaries"), :-1:2] = self._temporaries
        total = alive.sum(0)
        self._moments = highest_moments(total)
        self.bytes = {name: row.tolist() for name, row in zip(CATEGORIES, alive[:, self._moments])}
        self.total: list[int] = total[self._moments].tolist()
        self.before = sum(
            life.block.nbytes for life in self._lifetimes.lives if life.is_from_before
        )
        self.peak = max(self.total)
        self.peak_step = self.total.index(self.peak)
        self.recomputed = recomputed(self._lifetimes, total, self._moments[self.peak_step])

    def alive(self, step: int) -> list[Held]:
        """What is alive at a step, the largest first; `len(run.steps)` is the end of the run."""
        moment = self._moments[step]
        held = [
            self._held(life, moment)
            for life in self._lifetimes.lives
            if life.first <= moment <= life.last
        ]
        if moment % 2 == 0 and moment < 2 * len(self.steps) and self._temporaries[step]:
            what, size = described(self.steps[step]), self._temporaries[step]
            site = self.steps[step].site
            held.append(Held(size, what, "temporaries", "temporaries", None, site, None))
        return sorted(held, key=lambda x: -x.bytes)

    def _held(self, life: Life, moment: int) -> Held:
        value, category = self.values[life.block.value], life.category_at(moment)
        maker = None if value.step is None else self.steps[value.step]
        shape, site = value.shape, maker.site if maker else ""
        return Held(
            life.block.nbytes,
            self._what(life, value, maker),
            self._why(life, category, moment),
            category,
            shape,
            site,
            value.number,
        )

    def _what(self, life: Life, value: Value, maker: Step | None) -> str:
        if life.category == "gradients":
            of = value if life.block.use == "gradient" else self._root(value)
            return f"gradient of {of.path or of.name or 'a tensor'}"
        if life.block.use == "converted":
            return f"{value.path or value.name or 'an argument'} in another dtype"
        if value.role == "cotangent":
            root = self._root(value)
            made = None if root.step is None else self.steps[root.step]
            return f"cotangent of {described(made, False) if made else root.name or 'a tensor'}"
        return described(maker, False) if maker else value.path or value.name or "data"

    def _root(self, value: Value) -> Value:
        """The value whose cotangent a cotangent is."""
        return value if value.of is None else self.values[value.of]

    def _why(self, life: Life, category: str, moment: int) -> str:
        if life.deferred is not None and moment >= life.deferred:
            return "operand of a deferred product"
        if category == "saved":
            ops = [self.steps[n].op for n in life.savers(moment)]
            return f"saved by {', '.join(dict.fromkeys(ops))}" if ops else "saved"
        reasons = {
            "residuals": "kept for its rules",
            "results": "in use, or in a variable",
            "cotangents": "on its way",
        }
        return reasons.get(category, category.removesuffix("s"))

    # ---------------------------------------------------------------------- shown as text

    @property
    def _tables(self) -> list[Summary]:
        held = self.alive(self.peak_step)
        rows = [("alive at the peak", "why", "shape", "made at", "bytes")]
        for x in held[:LARGEST]:
            shape = "" if x.shape is None else str(x.shape)
            rows.append((x.what, x.why, shape, x.site, f"{x.bytes:,}"))
        if others := held[LARGEST:]:
            rest = sum(x.bytes for x in others)
            rows.append((f"{len(others)} other{'s' * (len(others) > 1)}", "", "", "", f"{rest:,}"))
        tables = [Summary(rows)]
        modules = [x for x in self.recomputed if x.bytes >= SMALL * self.peak]
        if modules:
            rows = [("recompute", "", "gone at the peak", "peak then", "ms again")]
            for x in modules[:MODULES]:
                name = x.class_name if x.calls == 1 else f"{x.calls} calls of {x.class_name}"
                sizes = megabytes(x.bytes), megabytes(x.peak), f"{1e3 * x.seconds:.2f}"
                rows.append((x.module, name, *sizes))
            tables.append(Summary(rows))
        return tables

    @property
    def title(self) -> str:
        """The peak in a sentence."""
        n = len(self.steps)
        if self.peak_step == n:
            return f"peak {megabytes(self.peak)} at the end of the run"
        step = self.steps[self.peak_step]
        return f"peak {megabytes(self.peak)} in step {self.peak_step} of {n}, {described(step)}"

    def _sentences(self) -> list[str]:
        parts = [
            f"{name} {megabytes(row[self.peak_step])}"
            for name, row in self.bytes.items()
            if row[self.peak_step]
        ]
        lines = [self.title, ", ".join(parts)]
        if self.missed:
            names = ", ".join(dict.fromkeys(step.op for step in self.missed))
            lines.append(f"temporaries not measured in {len(self.missed)} steps: {names}")
        return [line for line in lines if line]

    def __str__(self) -> str:
        return "\n\n".join(("\n".join(self._sentences()), *self._tables))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        sentences = "<br>".join(map(escape, self._sentences()))
        return f"<p>{sentences}</p>" + "".join(table._repr_html_() for table in self._tables)

    def figure(self, path: str | os.PathLike) -> Picture:
        """Write a figure of the bytes alive at each step, by category, with the peak named."""
        return draw(path, self.bytes, self.passes, self.title)


def described(step: Step, with_kind: bool = True) -> str:
    """An op and its module, as "linear backward in decoder.0"."""
    kind = " backward" if step.kind == "backward" and with_kind else ""
    return f"{step.op}{kind}" + (f" in {step.module}" if step.module else "")


def megabytes(size: int) -> str:
    """A number of bytes, as "32.3 MB"."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return (
                f"{size / unit:.3g} {name}" if size < 1000 * unit else f"{size / unit:.0f} {name}"
            )
    return f"{size} B"
