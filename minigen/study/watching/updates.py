"""How far a step moves each parameter, in relation to the spread of its values."""

import math
from collections.abc import Iterable, Sequence

from minigen.backend.arrays import Array
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.study.watching.observer import named_layers
from minigen.study.watching.statistics import Moments, Readings
from minigen.tensors import Tensor

NO_OPTIMIZER = "no optimizer that is watched has it: give one that does to `watch`, or it to one"


class Update:
    """The changes of one parameter in the steps of its optimizer that a watched step has."""

    def __init__(self, layer: str, name: str, readings: Readings):
        self.layer, self.name = layer, name
        self.weight, self.changes = Moments(readings), Moments(readings)
        self.is_matrix = False
        self.reason = ""  # why it may not have moved; "" if it got a gradient

    def ratio(self, values: Sequence[float]) -> float | None:
        """Standard deviation of the change over that of the weight; None if the latter is 0."""
        (_, change), (_, weight) = self.changes.of(values), self.weight.of(values)
        return None if change is None or not weight else change / weight

    def stands_still(self, values: Sequence[float]) -> bool:
        """Whether no value has changed."""
        mean, std = self.changes.of(values)
        return mean is None or (mean == 0 and std == 0)


class Updates:
    """The updates of the parameters of a model in one step, by the id of the parameter.

    `others` are the parameters that no optimizer has: a program may update them by hand.
    """

    def __init__(self, model: Module, readings: Readings, optimizers: Sequence[Optimizer]):
        self.readings = readings
        optimized = {id(p) for optimizer in optimizers for p in optimizer.params}
        self.others = [p for p in model.parameters() if id(p) not in optimized]
        self.found: dict[int, Update] = {}
        self._names: dict[int, tuple[str, str]] = {}  # id of a parameter -> (layer, name)
        for layer, module in named_layers(model):
            for name, p in module.named_parameters(recurse=False):
                self._names.setdefault(id(p), (layer, name))
        self._before: dict[int, Array] = {}  # copies of values
        self.has_stepped = False  # an optimizer has
        self.without_optimizer = NO_OPTIMIZER if optimizers else ""

    def begin(self, parameters: Iterable[Tensor]) -> None:
        """Copy the values of the parameters, which are about to change."""
        for p in parameters:
            if id(p) in self._names and p.requires_grad:
                self._before[id(p)] = p.data.copy()

    def end(self, parameters: Iterable[Tensor], optimizer: Optimizer | None = None) -> None:
        """Measure what has changed since `begin`, after a step of the optimizer or without one."""
        self.has_stepped = self.has_stepped or optimizer is not None
        for i, p in enumerate(parameters):
            before = self._before.pop(id(p), None)
            if before is None or before.shape != p.data.shape:
                continue
            if id(p) not in self.found:
                self.found[id(p)] = Update(*self._names[id(p)], self.readings)
                self.found[id(p)].weight.add(before)
                self.found[id(p)].is_matrix = before.ndim > 1
            update = self.found[id(p)]
            update.reason = self.without_optimizer if optimizer is None else reason_of(optimizer, i)
            if before.dtype == p.data.dtype:
                update.changes.add(p.data - before)


def reason_of(optimizer: Optimizer, i: int) -> str:
    """Why parameter i of an optimizer may stand still after a step: in words, with a remedy."""
    if optimizer.bucketed is not None and optimizer.bucketed[i] is None:
        return "no gradient reaches it: look for a detach(), a .data or a no_grad() on the way"
    if optimizer.group_of[i].get("lr", math.nan) == 0:
        return "its learning rate is 0: set that of its parameter group, or end the schedule later"
    return ""
