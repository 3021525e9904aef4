"""From when to when each block of memory is alive in a run, and why.

Time is cut into moments: 2 k while step k runs, 2 k + 1 after it, when the walk adds what the rules
returned, and 2 n at the end of a run of n steps.

A block lives as long as the recording saw its array alive. What differs in a run without recording
is put right, so that the times are those of that run (`fast_walk.py`): the first cotangent of a
leaf becomes its gradient without a copy, if the op made it anew; further ones wait in a queue; and
deferred products keep their operands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from minigen.autodiff.fast_walk import MAX_PENDING
from minigen.parallel.deferred import DEFERRABLE
from minigen.study.steps import Block, Pass, Step, Value, references
from minigen.study.temporaries import COTANGENT, CallMemory

CATEGORIES = {  # name -> what a figure calls it
    "parameters": "parameters and buffers",
    "data": "data",
    "gradients": "gradients of leaves",
    "saved": "saved for rules",
    "residuals": "residuals of fused ops",
    "results": "other results",
    "cotangents": "cotangents",
    "temporaries": "temporaries of ops",
}


@dataclass(eq=False)
class Life:
    """The memory of a block, alive from moment `first` to moment `last`, both included."""

    block: Block
    first: int
    last: int
    category: str  # at moments in which no node has it saved
    deferred: int | None = None  # the first moment at which only a deferred product refers to it
    is_from_before: bool = False  # alive before the run: a parameter, or a gradient of then
    # (moment of the call that saved it, last moment at which its node has it, number of the call)
    saved: list[tuple[int, int, int]] = field(default_factory=list)

    def savers(self, moment: int) -> list[int]:
        """The numbers of the calls whose nodes have it saved at a moment."""
        return [step for first, last, step in self.saved if first <= moment <= last]

    def parts(self) -> Iterator[tuple[int, int, str]]:
        """(first moment, last moment, category), one after the other."""
        if self.category not in ("results", "cotangents"):
            yield self.first, self.last, self.category
            return
        cuts = {self.first, self.last + 1}
        for first, last, _ in self.saved:
            cuts |= {min(max(cut, self.first), self.last + 1) for cut in (first, last + 1)}
        edges = sorted(cuts)
        for first, after in pairwise(edges):
            yield first, after - 1, self.category_at(first)

    def category_at(self, moment: int) -> str:
        """The category at a moment."""
        if self.category in ("results", "cotangents") and self.savers(moment):
            return "saved"
        return self.category


class Lifetimes:
    """The lives of all blocks of a run. costs: that of each step, see `temporaries.py`."""

    def __init__(
        self,
        steps: Sequence[Step],
        values: Sequence[Value],
        passes: Sequence[Pass],
        blocks: Sequence[Block],
        costs: Sequence[CallMemory],
    ):
        self.steps, self.values, self.costs = steps, values, costs
        self.end = 2 * len(steps)
        self.first_order = [p for p in passes if not p.create_graph]
        self.ends = {p.last - 1 for p in self.first_order if p.last and p.last > p.first}
        gradients = {g for p in passes for g in p.gradients.values()}
        self._gradients = gradients | {
            step.outputs[0]  # `backward` adds it to a `.grad` from before
            for step in steps
            if step.op == "add" and not step.recorded and gradients.intersection(step.inputs)
        }
        self._block_of = {n: i for i, block in enumerate(blocks) for n in block.values}
        self._first_gradients: dict[int | None, int] = {}  # block of a leaf -> the end of a pass
        for one in passes:
            for leaf in one.gradients:
                self._first_gradients.setdefault(self._block_of.get(leaf), one.last or self.end)
        self.lives = [self._observed(block) for block in blocks]
        self.of_value: dict[int, list[Life]] = {}
        for life in self.lives:
            for number in life.block.values:
                self.of_value.setdefault(number, []).append(life)
        self._note_saved()
        for one in self.first_order:
            self._sums(one)
            self._leaf_gradients(one)
            self._deferred(one)
        self.lives = [life for life in self.lives if life.first <= life.last]

    def _observed(self, block: Block) -> Life:
        """The life that the recording saw."""
        value = self.values[block.value]
        category = self._category(block, value)
        # A leaf that dies in the run, outside of modules, is a tensor that the run has made.
        is_from_before = category == "parameters" and (block.died is None or bool(value.path))
        if block.use == "gradient":  # of a leaf that had not got another one before in the run
            ended = self._first_gradients.get(self._block_of.get(value.number), block.born + 1)
            is_from_before = ended > block.born
        if is_from_before:
            first = 0
        else:
            is_result = value.step is not None and not block.use
            first = min(2 * (value.step if is_result else block.born), self.end)
        if block.died is None:
            last = self.end
        else:
            step = block.died - 1
            # After the last step of a pass, what its rules got is dropped before leaves are copied.
            last = 2 * step + (step not in self.ends)
        return Life(block, first, last, category, is_from_before=is_from_before)

    def _category(self, block: Block, value: Value) -> str:
        if block.use == "converted":
            lasts = block.died is None or block.died > block.born + 1
            return "saved" if lasts else "results"
        if block.use == "gradient":
            return "gradients"
        if self._gradients.intersection(block.values):
            return "gradients"
        if value.role in ("parameter", "buffer"):
            return "parameters"
        roles = {"result": "results", "residual": "residuals", "cotangent": "cotangents"}
        return roles.get(value.role, "data")

    def _note_saved(self) -> None:
        """Note which calls have saved a block, and until when."""
        freed = {
            step.call: step.number
            for one in self.first_order
            for step in self.steps[one.first : one.last]
            if step.kind == "backward" and not one.retain_graph
        }
        for step in self.steps:
            if not step.recorded:
                continue
            last = freed.get(step.number)
            until = self.end if last is None else 2 * last + 1
            static = references(step.static)  # no walk frees these
            for number, end in (
                *((n, until) for n in step.saved),
                *((n, self.end) for n in static),
            ):
                for life in self.of_value.get(number, ()):
                    life.saved.append((2 * step.number, end, step.number))

    def bytes_alive(self) -> np.ndarray:
        """The bytes alive by category and moment, (categories, moments), without temporaries."""
        rows = {name: row for row, name in enumerate(CATEGORIES)}
        change = np.zeros((len(rows), self.end + 2), np.int64)
        for life in self.lives:
            for first, last, category in life.parts():
                change[rows[category], first] += life.block.nbytes
                change[rows[category], last + 1] -= life.block.nbytes
        return np.cumsum(change, axis=1)[:, :-1]

    # --------------------------------------------- what a walk without a recording does otherwise

    def _sums(self, one: Pass) -> None:
        """Sums of cotangents are made when the second one arrives, not when a rule gets them."""
        for step in self.steps[one.first : one.last]:
            for number in step.inputs if step.kind == "backward" else ():
                value = self.values[number]
                if len(value.terms) > 1 and value.step is None:
                    arrivals = [self.values[n].step for n in value.terms[:2]]
                    made = max((n for n in arrivals if n is not None), default=one.first)
                    for life in self.of_value.get(number, ()):
                        life.first = 2 * made + 1

    def _leaf_gradients(self, one: Pass) -> None:
        """The first cotangent of a leaf becomes its gradient, if nothing else can refer to it."""
        end = 2 * (one.last or one.first) - 1
        added = self._moments_of_adding(one, end)
        for leaf, number in one.gradients.items():
            if self.values[leaf].step is not None:  # what an op made, of which mg.grad was asked
                continue
            terms = self.values[number].terms or (number,)
            firsts, copies = self.of_value.get(terms[0]), self.of_value.get(number)
            if not firsts or not copies or copies[-1] is firsts[0]:
                continue
            first, copy, others = firsts[0], copies[-1], []
            for n in terms[1:]:
                for life in self.of_value.get(n, ()):
                    if life not in (copy, first):
                        life.last = max(life.last, added.get(n, end))
                        others.append(life)
            if self._is_new(terms[0]):
                first.last, first.category = copy.last, "gradients"
                copy.first, copy.last = 1, 0  # there is no copy
            else:
                copy.first = min((added.get(n, end) for n in terms[1:]), default=end)
                first.last = max(first.last, copy.first)
            for life in (first, *others):
                life.category = "gradients"

    def _moments_of_adding(self, one: Pass, end: int) -> dict[int, int]:
        """When cotangents of leaves, but the first of each, are added: after 8, or at the end."""
        moments, waiting, seen = {}, [], set()
        for step in self.steps[one.first : one.last]:
            for number in step.outputs if step.kind == "backward" else ():
                leaf = self.values[number].of
                if leaf not in one.gradients or self.values[leaf].step is not None:
                    continue
                if leaf in seen:
                    waiting.append(number)
                seen.add(leaf)
                if len(waiting) == MAX_PENDING:
                    moments |= dict.fromkeys(waiting, 2 * step.number + 1)
                    waiting = []
        return moments | dict.fromkeys(waiting, end)

    def _is_new(self, number: int) -> bool:
        """Whether a cotangent is a new array, in C order, that only the walk refers to."""
        value = self.values[number]
        if value.step is None or not self.steps[value.step].declaration.returns_new:
            return False
        strides, size = [], value.dtype.itemsize
        for n in reversed(value.shape):
            strides.append(size)
            size *= n
        pairs = zip(value.shape, value.strides, reversed(strides))
        return size == 0 or all(n == 1 or a == b for n, a, b in pairs)

    def _deferred(self, one: Pass) -> None:
        """The operands of a deferred product live until the next one is deferred."""
        waiting: list[Life] = []
        for step in self.steps[one.first : one.last]:
            if not self.costs[step.number].held or DEFERRABLE not in step.wanted:
                continue
            _hold(waiting, 2 * step.number)
            waiting = [x for n in self._operands(step) for x in self.of_value.get(n, ())]
        _hold(waiting, 2 * ((one.last or one.first) - 1))

    def _operands(self, step: Step) -> list[int]:
        held, call = self.costs[step.number].held, self.steps[step.call]
        numbers = [call.args[i].number for i in held if i != COTANGENT]
        return [*numbers, *(step.inputs if COTANGENT in held else ())]


def highest_moments(total: np.ndarray) -> list[int]:
    """Of the two moments of each step the one with more bytes in total; then the end of the run."""
    end = len(total) - 1
    return [k + int(total[k + 1] > total[k]) for k in range(0, end, 2)] + [end]


def _hold(lives: list[Life], moment: int) -> None:
    """Have lives last until that moment."""
    for life in lives:
        if life.last < moment:
            life.deferred, life.last = life.last + 1, moment
