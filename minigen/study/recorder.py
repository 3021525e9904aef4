"""The observer that records a run: each op, each call of derivative rules, each backward pass."""

import time
from typing import Any

from minigen.autodiff.fast_walk import default_walk
from minigen.autodiff.fused import STAND_IN
from minigen.autodiff.graph import Leaf, Output, Traced
from minigen.autodiff.primitives import raw
from minigen.backend.devices import synchronize
from minigen.parallel.deferred import DEFERRABLE
from minigen.study.calls import Calls, Pull
from minigen.study.deferrals import Deferrals
from minigen.study.modules import Names
from minigen.study.rule_texts import rules_text
from minigen.study.sites import user_frame
from minigen.study.steps import Pass, Step
from minigen.study.vertices import key_of


class Recorder(Calls):
    """Fills the lists `steps`, `passes` and `identities.values`."""

    def __init__(self, keep: bool, names: Names, limit: float):
        super().__init__(keep, names, limit)
        self._arrived: dict[Any, list[int]] = {}  # in the walk that is running, see `key_of`

    def walked(self, roots, inputs, cls, *, create_graph=False, **options):
        start = time.perf_counter()
        outer, self._arrived = self._arrived, {}
        current = None
        if not self._running:  # else a rule differentiates the definition of a fused op
            frame = user_frame()
            code = frame.f_code.co_filename, frame.f_lineno
            current = Pass(len(self.passes), create_graph, len(self.steps), *code)
            current.retain_graph = create_graph or bool(options.get("retain_graph"))
            self.passes.append(current)
        starts = tuple(self._start(vertex, g) for vertex, g in roots)
        if current and inputs is not None:
            numbers = map(self._value_of, inputs)
            current.inputs = tuple(number for number in numbers if number is not None)
        before = time.perf_counter()
        self.overhead += before - start
        overhead = self.overhead
        options["create_graph"] = create_graph
        deferring = lambda: Deferrals(self.steps, self.identities.values, self._running)
        try:
            if self.keep:  # the fast walk has arrays that are filled when it ends
                found = super().walked(roots, inputs, cls, **options)
            else:  # as without a recording
                found = default_walk(roots, inputs, cls, deferring=deferring, **options)
            start = time.perf_counter()
            if current:
                current.seconds = start - before - (self.overhead - overhead)
            gradients = {v: self._gradient(v, g) for v, g in found.items()}
            if current:
                current.roots = starts
                self._note_gradients(current, gradients)
        finally:
            self._arrived = outer
            if current:
                self._running.clear()
                current.last = len(self.steps)
        self.overhead += time.perf_counter() - start
        return found

    def _gradient(self, vertex, g) -> int:
        """The value of a cotangent that a walk has found; it returns a copy."""
        if isinstance(g, Traced) and g.node is not None:
            made = self._value_of(g.node)  # by an op that the rules have called
            if made is not None:
                self.identities.assign(g.data, made)
        return self._sum(key_of(vertex), raw(g), self._value_of(vertex))

    def _note_gradients(self, current: Pass, gradients: dict[Any, int]) -> None:
        for vertex, number in gradients.items():
            of = self._value_of(vertex)
            if of is not None:  # else backward from a leaf that no op has used
                current.gradients[of] = number
                if current.inputs is None and vertex.grad is not None:
                    current.added += (of,)

    def _start(self, vertex, g) -> tuple[int | None, int | None]:
        """(the value that a walk starts from, the cotangent it starts with; None for a 1)."""
        root, array = self._value_of(vertex), raw(g)
        number = self.identities.find(array)
        is_one = number is None and array.size == 1 and bool((array == 1).all())
        if is_one:
            number = self.identities.add(array, "cotangent", of=root).number
        else:
            number = self._argument(array, g.node if isinstance(g, Traced) else None).number
        self._arrived.setdefault(key_of(vertex), []).append(number)
        return root, None if is_one else number

    def pulling(self, node, g, wanted):
        start = time.perf_counter()
        forward = self._calls.get(node)
        step = self._new_step("backward", node.op, len(self.steps), forward)
        parents = zip(wanted, node.parents)
        step.wanted = tuple(w and (DEFERRABLE if type(p) is Leaf else True) for w, p in parents)
        if forward is not None:
            step.call, step.saved = forward.number, forward.saved
        vertices = [node]
        if node.num_outputs is not None:
            vertices = [Output(node, i) for i in range(node.num_outputs)]
        pairs = zip(vertices, g if node.num_outputs is not None else [g])
        step.inputs = tuple(
            self._sum(key_of(vertex), raw(part), self._value_of(vertex))
            for vertex, part in pairs
            if part is not None
        )
        if node.op is not STAND_IN:  # which passes g on to an argument of a fused op
            step.rule = rules_text(node.op, wanted, self.passes[-1].create_graph)
            self.steps.append(step)
        now = time.perf_counter()
        self.overhead += now - start
        self._running.append(Pull(step, now, self.overhead))

    def pulled(self, node, g, cotangents):
        synchronize([raw(x) for x in cotangents])
        now = time.perf_counter()
        pull = self._running.pop()
        step = pull.step
        step.seconds = now - pull.start - (self.overhead - pull.overhead)
        if node.op is STAND_IN:
            self._arrived.setdefault(key_of(node.parents[0]), []).extend(step.inputs)
            return
        outputs = []
        for parent, part in zip(node.parents, cotangents):
            if part is None:
                continue
            array, of = raw(part), self._value_of(parent)
            number = self._made_inside(array, step)
            if number is None:
                number = self.identities.add(array, "cotangent", step=step.number, of=of).number
            outputs.append(number)
            step.bytes += array.nbytes
            self._arrived.setdefault(key_of(parent), []).append(number)
        step.outputs = tuple(outputs)
        self.overhead += time.perf_counter() - now

    def _made_inside(self, array: Any, step: Step) -> int | None:
        """The value of an array that an op made which the rules have called, or theirs in turn."""
        number = self.identities.find(array)
        maker = None if number is None else self.identities.values[number].step
        while maker is not None:
            maker = self.steps[maker].inside
            if maker == step.number:
                return number
        return None

    def _sum(self, key: Any, g: Any, of: int | None) -> int:
        """The value of the cotangent g of a vertex: the one that arrived, or the sum of several."""
        values, terms = self.identities.values, tuple(self._arrived.get(key, ()))
        if len(terms) == 1:
            number = terms[0]
            self.identities.assign(g, number)
            self.blocks.follow(g, number)  # of a leaf, the walk returns a copy
        else:
            number = self.identities.find(g)  # with create_graph an `add` has made the sum
            if number is None or number in terms or values[number].step is None:
                number = self.identities.add(g, "cotangent", of=of).number
            values[number].terms = terms
            self._arrived[key] = [number]
        if values[number].of is None and values[number].role in ("result", "cotangent"):
            values[number].of = of
        return number
