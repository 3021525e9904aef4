"""The part of the observer that records the calls of ops, and which values vertices stand for."""

import time
from typing import NamedTuple

from minigen.autodiff.checks import is_array
from minigen.autodiff.graph import NOT_SAVED, Leaf, Node, Output
from minigen.autodiff.primitives import Op
from minigen.autodiff.trace import Observer, outputs_of
from minigen.backend.devices import synchronize
from minigen.study.blocks import Blocks
from minigen.study.identities import Identities, arrays_in, with_identity
from minigen.study.modules import Modules, Names
from minigen.study.objects import ByIdentity
from minigen.study.rule_texts import text_of
from minigen.study.sites import running_modules, user_frame, warn_of_another
from minigen.study.steps import Pass, Ref, Step
from minigen.study.vertices import node_and_index


class Pull(NamedTuple):
    """A call of the rules of a node that is running."""

    step: Step
    start: float  # when it began
    overhead: float  # seconds that recording had taken before


class Calls(Observer):
    """Fills the lists `steps` and `identities.values` with the calls of ops.

    Its subclass in `recorder.py` adds the calls of derivative rules, and fills `passes`.
    """

    def __init__(self, keep: bool, names: Names, limit: float):
        super().__init__()
        self.steps: list[Step] = []
        self.passes: list[Pass] = []
        self.blocks = Blocks(lambda: len(self.steps))
        self.user_modules = Modules(names)
        self.identities = Identities(keep, limit, self.blocks, self.user_modules)
        self.keep, self.device = keep, "cpu"
        self.overhead = 0.0  # seconds that recording has taken
        self.warns = True  # of an observer that becomes active inside of the recording
        self._calls = ByIdentity()  # node -> its forward step
        self._met = ByIdentity()  # leaf or other vertex -> {index of the output: value}
        self._running: list[Pull] = []  # the calls of rules that are running, innermost last
        self._settled = 0, 0  # the numbers of steps and values that have been named
        self._started, self._ended = time.perf_counter(), None

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended."""
        return self._ended is not None

    @property
    def seconds(self) -> float:
        """Of the run until its end, or until now, without the time that recording took."""
        return (self._ended or time.perf_counter()) - self._started - self.overhead

    def finish(self) -> None:
        """Called when the run has ended."""
        self._ended = time.perf_counter()
        self.device = self.identities.device()
        self.identities.forget()
        self.blocks.stop()
        self._calls = self._met = ByIdentity()
        self.user_modules.settle(self.steps, self.identities.values)

    def settle(self) -> None:
        """Name modules and values as far as the run has come."""
        lengths = len(self.steps), len(self.identities.values)
        if self._ended is None and lengths != self._settled:
            self.user_modules.settle(self.steps, self.identities.values)
            self._settled = lengths

    def replaced(self, observer):
        if self.warns and observer is not None and not observer.repeats:
            warn_of_another()

    def forward_of(self, op, arrays, parents):
        def run(*args, **static):
            start = time.perf_counter()
            step = self._new_step("forward", op)
            step.args = tuple(map(self._argument, arrays, parents))
            step.tracked = tuple(p is not None and p.requires_grad for p in parents)
            step.static = {name: self.identities.referred(x) for name, x in static.items()}
            step.inputs = tuple(x.number for x in step.args if isinstance(x, Ref))
            for x, ref in zip(args, step.args):  # `prepare` may have converted an argument
                if isinstance(ref, Ref) and self.identities.find(x) is None:
                    self.blocks.follow(x, ref.number, "converted")
                    self.identities.assign(x, ref.number)
            before = time.perf_counter()
            result = op.forward(*args, **static)
            synchronize(result)
            after = time.perf_counter()
            if op.has_residuals:
                result = with_identity(result[0], args), result[1]
            else:
                result = with_identity(result, args)
            outputs = outputs_of(op, result)
            step.number, step.seconds = len(self.steps), after - before
            self.steps.append(step)
            add = self.identities.add
            step.outputs = tuple(add(y, "result", step=step.number).number for y in outputs)
            step.bytes = sum(y.nbytes for y in outputs)
            self.overhead += before - start + time.perf_counter() - after
            return result

        return run

    def _argument(self, x, vertex):
        """A Ref for the array x of an argument with that vertex; another argument unchanged."""
        if not is_array(x):
            return x
        number = self.identities.of_argument(x, vertex)
        is_new = isinstance(vertex, Node | Output) and self._value_of(vertex) is None
        if is_new or isinstance(vertex, Leaf):  # a leaf that was written to is another value
            node, index = node_and_index(vertex)
            self._met[node] = {**self._met.get(node, {}), index: number}
        return Ref(number)

    def _value_of(self, vertex) -> int | None:
        """The value that a vertex stands for; None if it was not met in this run."""
        node, index = node_and_index(vertex)
        if (call := self._calls.get(node)) is not None:
            return call.outputs[index]
        return self._met.get(node, {}).get(index)

    def _new_step(self, kind: str, op: Op, number: int = -1, forward: Step | None = None) -> Step:
        """A step, and where it is in the user's code and in the model: as its forward step is."""
        step = Step(number, kind, op.name, declaration=op)
        step.backward_pass = self._pass_number()
        outer = self._running[-1].step if self._running else None
        if outer is not None:
            step.inside = outer.number
        if (caller := forward or outer) is not None:
            step.file, step.line = caller.file, caller.line
            step.location, step.module_class = caller.location, caller.module_class
        else:
            frame = user_frame()
            step.file, step.line = frame.f_code.co_filename, frame.f_lineno
            module = next(running_modules(), None)
            if module is not None:
                if module not in self.user_modules:
                    self.user_modules.enter(list(running_modules())[::-1])
                step.location = self.user_modules.path_of_module(module)
                step.module_class = type(module).__name__
        if kind == "forward":
            step.rule = text_of(op.forward)
        return step

    def _pass_number(self) -> int | None:
        """The number of the backward pass that is running."""
        return self.passes[-1].number if self.passes and self.passes[-1].last is None else None

    def recorded(self, node):
        start = time.perf_counter()
        step = self.steps[-1]
        step.recorded = True
        find = self.identities.find
        saved = [find(x) for x in node.args if is_array(x)]  # else a number, or a Spec
        saved += step.outputs if node.y is not NOT_SAVED else ()
        for x in arrays_in(node.residuals):
            number = find(x)
            if number is None:
                number = self.identities.add(x, "residual", step=step.number).number
            saved.append(number)
        step.saved = tuple(dict.fromkeys(number for number in saved if number is not None))
        self._calls[node] = step
        node.site = f"{step.file}:{step.line}"
        self.overhead += time.perf_counter() - start
