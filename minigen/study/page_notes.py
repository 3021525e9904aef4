"""What the notes of the page tell of gradients: where they are cut off, and how large they are."""

import linecache
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigen.backend.devices import to_numpy
from minigen.study.steps import Pass, Ref, Step, Value

DETACH, NO_GRAD = "detach(", "no_grad"
FEW = 3  # lines of a file that are named together
FAR = 30  # lines above a step in which no_grad is looked for


class Cuts:
    """Where values that depend on a parameter leave the graph, and come back without a gradient.

    marks: {number of a step: its part of the page's record}, in which "cut" are the arguments that
    lose their gradient there, and "outside" tells that the step made what could have had one.
    """

    def __init__(self, steps: Sequence[Step], values: Sequence[Value]):
        self.marks: dict[int, dict[str, Any]] = {}
        self._steps, self._values = steps, values
        self._cuts: list[dict[str, Any]] = []
        self._detached: dict[int, int] = {}  # number of a value -> its cut
        self._origins: dict[int, list[int]] = {}  # value outside of the graph -> its cuts
        self._depends = {v.number for v in values if v.role == "parameter"}
        self._in_graph = set(self._depends)
        for step in steps:
            if step.kind == "forward" and step.backward_pass is None:
                self._follow(step)

    def _follow(self, step: Step) -> None:
        """Follow what a step takes to what it makes."""
        refs = [(x.number, t) for x, t in zip(step.args, step.tracked) if isinstance(x, Ref)]
        lost = [i for i, is_tracked in refs if i in self._depends and not is_tracked]
        cut = [i for i in lost if step.recorded or i in self._in_graph]
        if cut:
            self.marks[step.number] = {"cut": list(dict.fromkeys(cut))}
        origins = [n for i in lost for n in self._origins_of(i, step)]
        floats = [i for i in step.outputs if self._values[i].dtype.kind == "f"]
        if step.recorded:
            for n in origins:
                self._cuts[n].setdefault("used", step.number)
            self._in_graph.update(floats)
        elif floats and self._depends.intersection(step.inputs):
            self.marks.setdefault(step.number, {})["outside"] = True
            if any(t for _, t in refs) and all(self._cuts[n]["kind"] == "detach" for n in origins):
                self._add("no_grad", floats[0], step)
                origins.append(len(self._cuts) - 1)
            self._origins |= {i: list(dict.fromkeys(origins)) for i in floats}
        if self._depends.intersection(step.inputs):
            self._depends.update(floats)

    def _origins_of(self, value: int, step: Step) -> list[int]:
        if value not in self._in_graph:
            return self._origins.get(value, [])
        if value not in self._detached:
            self._add("detach", value, step)
            self._detached[value] = len(self._cuts) - 1
        return [self._detached[value]]

    def _add(self, kind: str, value: int, step: Step) -> None:
        cut = {"kind": kind, "value": value, "step": step.number}
        lines = detaching_lines(step) if kind == "detach" else lines_above(step)
        self._cuts.append(cut | {"lines": lines})

    @property
    def records(self) -> list[dict[str, Any]]:
        """The cuts behind which a step in the graph uses what they cut off: "used".

        step: the first one behind a detach, which takes `value`; the first one under a no_grad,
        which makes it. lines: those in the file of the step that may hold the call, if few do.
        """
        return [cut for cut in self._cuts if "used" in cut]


def detaching_lines(step: Step) -> list[int]:
    """The line of the detach() before a step: its own, or those of its file if they are few."""
    if DETACH in linecache.getline(step.file, step.line):
        return [step.line]
    lines = linecache.getlines(step.file) if step.file else []
    found = [number for number, text in enumerate(lines, 1) if DETACH in text]
    return found if len(found) <= FEW else []


def lines_above(step: Step) -> list[int]:
    """The next line above a step with a no_grad."""
    for number in range(step.line, max(0, step.line - FAR), -1):
        if NO_GRAD in linecache.getline(step.file, number):
            return [number]
    return []


def norms_of(values: Sequence[Value], passes: Iterable[Pass]) -> list[tuple[int, float]]:
    """(number, Euclidean norm) of each parameter and of each gradient that was kept."""
    numbers = {i for p in passes for pair in p.gradients.items() for i in pair}
    numbers |= {v.number for v in values if v.role == "parameter"}
    kept = [values[i] for i in sorted(numbers) if values[i].array is not None]
    return [(v.number, norm(to_numpy(v.array))) for v in kept]


def norm(array: np.ndarray) -> float:
    """The Euclidean norm, with six digits; NaN or infinite where the array is not finite."""
    x = array.astype(np.float64).ravel()
    peak = float(np.abs(x).max(initial=0.0))
    if not 0 < peak < np.inf:
        return peak
    return float(f"{peak * np.linalg.norm(x / peak):.6g}")
