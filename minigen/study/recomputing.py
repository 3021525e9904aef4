"""What recomputing a module in the backward pass would save (Chen et al. 2016, "Training Deep Nets
with Sublinear Memory Cost").

The values that are made inside a call of the module and saved by its own ops only are dropped when
the call ends, and are there again when the backward pass reaches the module. Between these moments
they take no memory; what the module got and what it returned still does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minigen.study.lifetimes import Life, Lifetimes
from minigen.study.steps import Step


@dataclass(frozen=True)
class Recomputed:
    """What it would save to recompute a module, or each module of a list by itself ("blocks.*").

    bytes: of its values at the peak that would be gone then. peak: the highest total of the run
    with recomputing. seconds: what its forward took, which would run once more.
    """

    module: str
    class_name: str
    calls: int
    bytes: int
    peak: int
    seconds: float


@dataclass
class _Call:
    """A call of a module: its time, and the memory that recomputing it would spare."""

    seconds: float
    spared: list[tuple[int, int, int]]  # (first moment, last moment, bytes)


def recomputed(lifetimes: Lifetimes, total: np.ndarray, peak: int) -> list[Recomputed]:
    """The modules whose recomputation would save memory, the lowest peak first.

    total: bytes by moment. peak: the moment of the peak.
    """
    steps = [s for s in lifetimes.steps if s.kind == "forward" and s.backward_pass is None]
    classes = {s.module: s.module_class for s in steps if s.module}
    find = _Calls(steps, lifetimes)
    calls = {path: find.of(path) for path in _paths(steps)}
    found = [(path, classes.get(path, ""), some) for path, some in calls.items()]
    lists: dict[tuple[str, str], list[str]] = {}  # ("blocks.*", class) -> paths
    for path in calls:
        before, _, last = path.rpartition(".")
        if last.isdigit():
            key = f"{before}.*".removeprefix("."), classes.get(path, "")
            lists.setdefault(key, []).append(path)
    for (pattern, name), paths in lists.items():
        if len(paths) > 1:
            found.append((pattern, name, [call for path in paths for call in calls[path]]))
    rows = [_row(*entry, total, peak) for entry in found]
    return sorted((row for row in rows if row.bytes), key=lambda row: (row.peak, row.seconds))


def _paths(steps: Sequence[Step]) -> list[str]:
    """The paths of all modules in which steps ran, those of the modules around them included."""
    paths = {}
    for step in steps:
        parts = step.module.split(".") if step.module else []
        paths |= dict.fromkeys(".".join(parts[: i + 1]) for i in range(len(parts)))
    return list(paths)


class _Calls:
    """Finds the calls of a module: runs of its steps without another step between."""

    def __init__(self, steps: Sequence[Step], lifetimes: Lifetimes):
        self.steps, self.end = steps, len(lifetimes.steps)
        self.reached: dict[int, int] = {}  # forward step -> the first backward step of its node
        for step in lifetimes.steps:
            if step.call is not None:
                self.reached.setdefault(step.call, step.number)
        self.made: dict[int, list[Life]] = {}  # forward step -> what it made and nodes have saved
        for life in lifetimes.lives:
            maker = lifetimes.values[life.block.value].step
            if life.category in ("results", "residuals") and maker is not None and life.saved:
                self.made.setdefault(maker, []).append(life)

    def of(self, path: str) -> list[_Call]:
        """The calls of the module with that path."""
        groups: list[list[Step]] = []
        for step in self.steps:
            if step.module == path or step.module.startswith(path + "."):
                if groups and groups[-1][-1].number == step.number - 1:
                    groups[-1].append(step)
                else:
                    groups.append([step])
        return list(map(self._call, groups))

    def _call(self, group: list[Step]) -> _Call:
        numbers = {step.number for step in group}
        backward = min((self.reached[n] for n in numbers if n in self.reached), default=self.end)
        begin, end = 2 * group[-1].number + 1, 2 * backward - 1
        gone = []
        for life in (life for n in numbers for life in self.made.get(n, ())):
            first, last = max(life.first, begin), min(life.last, end)
            if first <= last and {step for _, _, step in life.saved} <= numbers:
                gone.append((first, last, life.block.nbytes))
        return _Call(sum(step.seconds for step in group), gone)


def _row(path: str, name: str, calls: list[_Call], total: np.ndarray, peak: int) -> Recomputed:
    change = np.zeros(len(total) + 1, np.int64)
    for call in calls:
        for first, last, size in call.spared:
            change[first] -= size
            change[last + 1] += size
    less = np.cumsum(change)[:-1]
    highest, seconds = int((total + less).max()), sum(call.seconds for call in calls)
    return Recomputed(path, name, len(calls), -int(less[peak]), highest, seconds)
