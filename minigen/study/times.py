"""Where the time of a run went, op by op and module by module, and what the machine needs at least.

    with study.record(values=False) as run:
        model.loss(x, y).backward()
    print(run.times())

An op loses the time that it took beyond the bound of the roofline: the greater of FLOPs over the
speed of matrix products, and bytes moved over the bandwidth of memory.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from minigen.figures.canvas import Picture
from minigen.figures.rooflines import Dot, roofline
from minigen.nn.flops import backward_flops, forward_flops
from minigen.nn.summaries import Summary
from minigen.study.machine import Machine, machine_of
from minigen.study.recorder import Recorder
from minigen.study.steps import Ref, Step

OUTSIDE = "outside of ops"  # Python between the ops, the walk, sums of cotangents, the optimizer
HEAD = ("forward ms", "backward ms", "share", "MFLOP", "MB", "at best ms", "lost ms")


@dataclass
class Cost:
    """Seconds, FLOPs and bytes moved of some steps; bound: the seconds that they take at least."""

    seconds: float = 0.0
    flops: int = 0
    bytes: int = 0
    bound: float = 0.0

    def add(self, other: "Cost") -> None:
        """Add what other steps cost."""
        self.seconds += other.seconds
        self.flops += other.flops
        self.bytes += other.bytes
        self.bound += other.bound


@dataclass
class Row:
    """What an op, or a module with the modules in it, cost: forward, and in backward passes."""

    name: str
    calls: int = 0  # forward
    forward: Cost = field(default_factory=Cost)
    backward: Cost = field(default_factory=Cost)

    @property
    def seconds(self) -> float:
        """Forward and backward together."""
        return self.forward.seconds + self.backward.seconds

    @property
    def lost(self) -> float:
        """The seconds above the bound; 0 for what is faster, as where arrays are in the cache."""
        if self.name == OUTSIDE:
            return 0.0
        return sum(max(c.seconds - c.bound, 0.0) for c in (self.forward, self.backward))


class Times:
    """A table and a figure of where time went; `print(times)` shows the table.

    rows: a `Row` for each op, the longest first, and one for the time outside of ops; their seconds
    add up to `seconds`. modules: a Row for each module, with what is in it. lost: the names of the
    (at most three) ops that lose most time.
    """

    def __init__(self, rows: list[Row], modules: list[Row], machine: Machine, dtypes: list[str]):
        self.rows, self.modules, self.machine, self.dtypes = rows, modules, machine, dtypes
        self.seconds = sum(row.seconds for row in rows)
        ops = sorted((row for row in rows if row.lost > 0), key=lambda row: -row.lost)
        self.lost = [row.name for row in ops[:3]]

    def figure(self, path: str | os.PathLike) -> Picture:
        """Write the roofline: a dot for each op and direction; those that lose most are named."""
        dots = []
        for row in self.rows:
            if row.name == OUTSIDE:
                continue
            pairs = [("forward", row.forward), ("backward", row.backward)]
            worst = max(pairs, key=lambda pair: pair[1].seconds - pair[1].bound)[0]
            for name, cost in pairs:
                is_named = row.name in self.lost and name == worst
                label = f"{row.name}: {milliseconds(row.lost)} lost" if is_named else ""
                dots.append(Dot(name, cost.flops, cost.bytes, cost.seconds, label))
        outside = sum(row.seconds for row in self.rows if row.name == OUTSIDE)
        ops, all_of_it = milliseconds(self.seconds - outside), milliseconds(self.seconds)
        title = f"Ops took {ops} of {all_of_it}; the area of a dot is its time"
        peaks = {name: self.machine.peak(name) for name in self.dtypes}
        return roofline(path, dots, self.machine.bandwidth, peaks, title)

    def __str__(self) -> str:
        tables = [str(table) for table in self._tables()]
        return "\n\n".join([*tables, "\n".join(self._sentences())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = [table._repr_html_() for table in self._tables()]
        return "".join([*tables, *(f"<p>{text}</p>" for text in self._sentences())])

    def _tables(self) -> list[Summary]:
        """Of ops and of modules."""
        total = Row("total")
        for row in self.rows:
            total.calls += row.calls
            total.forward.add(row.forward)
            total.backward.add(row.backward)
        found = [self._table("op", [*self.rows, total])]
        return [*found, self._table("module", self.modules)] if self.modules else found

    def _table(self, name: str, rows: Sequence[Row]) -> Summary:
        lines = [(name, "calls", *HEAD)]
        for row in rows:
            parts = row.forward, row.backward
            numbers = [f"{1e3 * part.seconds:.3f}" for part in parts]
            numbers.append(f"{row.seconds / self.seconds if self.seconds else 0:.1%}")
            numbers += [f"{sum(part.flops for part in parts) / 1e6:,.1f}"]
            numbers += [f"{sum(part.bytes for part in parts) / 1e6:,.1f}"]
            numbers += [f"{1e3 * sum(part.bound for part in parts):.3f}"]
            lost = sum(r.lost for r in self.rows) if row.name == "total" else row.lost
            lines.append((row.name, f"{row.calls:,}", *numbers, f"{1e3 * lost:.3f}"))
        return Summary(lines, words=1)

    def _sentences(self) -> list[str]:
        lost = {row.name: row.lost for row in self.rows}
        texts = [f"{name} ({milliseconds(lost[name])})" for name in self.lost]
        most = f"Most time above its bound is lost in {', '.join(texts)}." if texts else ""
        return [text for text in (most, f"At best, on {self.machine}.") if text]


def milliseconds(seconds: float) -> str:
    """A time with three digits, as "0.0764 ms" or "1,240 ms"."""
    number = 1e3 * seconds
    return f"{number:,.0f} ms" if number >= 1000 else f"{number:.3g} ms"


def times(recorder: Recorder) -> Times:
    """The times of a recording, for `Recording.times`."""
    start = time.perf_counter()
    recorder.settle()
    costs = _Costs(recorder)
    if not recorder.has_ended:  # to measure the machine is no part of the run
        recorder.overhead += time.perf_counter() - start
    ops: dict[str, Row] = {}
    modules: dict[str, Row] = {}
    classes = dict(recorder.user_modules.classes)
    classes |= {s.module: s.module_class for s in recorder.steps if s.module_class}
    within, steps = 0.0, [step for step in recorder.steps if step.inside is None]
    for step in steps:
        cost = costs.of(step)
        rows = [ops.setdefault(step.op, Row(step.op))]
        for path in _ancestors(step, classes):
            label = f"{path} ({classes[path]})" if path else classes[path]
            rows.append(modules.setdefault(path, Row(label)))
        in_walk = step.kind == "backward" or step.backward_pass is not None
        for row in rows:
            row.calls += step.kind == "forward"
            (row.backward if in_walk else row.forward).add(cost)
        within += cost.seconds if in_walk else 0.0
    outside = Row(OUTSIDE)
    walks = sum(each.seconds for each in recorder.passes)
    outside.backward.seconds = max(walks - within, 0.0)
    forward = sum(row.forward.seconds for row in ops.values())
    outside.forward.seconds = max(recorder.seconds - max(walks, within) - forward, 0.0)
    by_time = sorted(ops.values(), key=lambda row: -row.seconds)
    tree = [modules[path] for path in sorted(modules, key=_order(list(modules)))]
    return Times([*by_time, outside], tree, costs.machine, costs.dtypes())


def _ancestors(step: Step, classes: dict[str, str]) -> list[str]:
    """The paths of the modules that were running, outermost first."""
    if not step.module_class:
        return []
    parts = step.module.split(".") if step.module else []
    paths = [".".join(parts[:i]) for i in range(len(parts) + 1)]
    return [path for path in paths if path in classes]


def _order(paths: list[str]):
    """A key that sorts paths by their first use, each module before the modules in it."""
    first = {path: i for i, path in enumerate(paths)}

    def key(path: str) -> list[int]:
        parts = path.split(".")
        outer = [".".join(parts[:i]) for i in range(len(parts) + 1)]
        return [first[each] for each in outer if each in first]

    return key


class _Costs:
    """What each step of a recording cost."""

    def __init__(self, recorder: Recorder):
        self.steps, self.values = recorder.steps, recorder.identities.values
        self.new = {block.value for block in recorder.blocks.blocks}  # in memory of their own
        self.machine = machine_of(recorder.device)
        self.used: dict[str, None] = {}  # dtypes of products

    def of(self, step: Step) -> Cost:
        """Seconds, FLOPs, bytes and the bound of a step."""
        flops, nbytes = self._flops(step), self._bytes(step)
        values = [self.values[i] for i in (*step.outputs, *step.inputs)]
        dtype = "float64" if any(v.dtype == "float64" for v in values) else "float32"
        if values and flops:
            self.used[dtype] = None
        return Cost(step.seconds, flops, nbytes, self.machine.bound(flops, nbytes, dtype))

    def dtypes(self) -> list[str]:
        """Those of the ops; float32 where there is none."""
        return sorted(self.used) or ["float32"]

    def _flops(self, step: Step) -> int:
        call = step if step.kind == "forward" else None
        if step.call is not None:
            call = self.steps[step.call]
        if call is None:  # it ran before the recording: at least one for each value
            return sum(self._size(i) for i in step.outputs)
        args = [self.values[x.number] if isinstance(x, Ref) else x for x in call.args]
        facts = call.op, args, [self.values[i] for i in call.outputs], call.static
        return forward_flops(*facts) if call is step else backward_flops(*facts, step.wanted)

    def _size(self, number: int) -> int:
        value = self.values[number]
        return value.nbytes // value.dtype.itemsize

    def _bytes(self, step: Step) -> int:
        """Read and written, each array once; 0 for views, and for cotangents passed on."""
        written = [i for i in step.outputs if i in self.new]
        if not written:
            return 0
        kept = step.saved if step.kind == "backward" else self._residuals(step)
        return sum(self.values[i].nbytes for i in {*step.inputs, *written, *kept})

    def _residuals(self, step: Step) -> list[int]:
        return [i for i in step.saved if self.values[i].step == step.number]
