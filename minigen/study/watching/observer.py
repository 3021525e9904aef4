"""The observer of one training step that measures the outputs of layers and their cotangents.

A layer is a module whose output no module inside it has made, or a call of an activation function
in the forward of a module, as "blocks.0:gelu". Calls that build no graph, as in evaluation, and
modules in evaluation mode are not counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from minigen.autodiff.graph import Node, Output
from minigen.autodiff.primitives import raw
from minigen.autodiff.trace import Observer, outputs_of
from minigen.nn import Module, ReLU6
from minigen.study.watching.statistics import (
    Moments,
    Readings,
    alive_units,
    saturated_share,
    unit_axis,
)
from minigen.tensors import Tensor

ACTIVATIONS = (
    *("relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus"),
    *("tanh", "sigmoid"),
)


class Layer:
    """What was measured of a layer in a step; the outputs of several calls are taken together."""

    def __init__(self, name: str, class_name: str, readings: Readings):
        self.name, self.class_name, self.calls = name, class_name, 0
        self.readings = readings
        self.outputs, self.cotangents = Moments(readings), Moments(readings)
        self.saturated: list[tuple[int, int]] = []  # (size, index of the share)
        self.alive: Any = None  # whether each unit was other than 0 in one of the calls
        self.samples = 0  # values of each unit
        self.dead: int | None = None  # index of the share of dead units

    def add_output(self, y: Any, node: Node, is_relu: bool) -> None:
        """Measure an output."""
        self.calls += 1
        self.outputs.add(y)
        if not y.size or not y.ndim:
            return
        if is_relu:
            axis = unit_axis(node, y.ndim)
            alive = alive_units(y, axis)
            same = self.alive is not None and self.alive.shape == alive.shape
            self.alive = alive | self.alive if same else alive
            self.samples += y.size // y.shape[axis]
        if node.op.name in ("tanh", "sigmoid"):
            share = saturated_share(y, node.op.name)
            self.saturated.append((y.size, self.readings.add(share)))

    def finish(self) -> None:
        """Ask for the share of dead units, now that all calls have been made."""
        if self.alive is not None:
            self.dead = self.readings.add((~self.alive).mean())


@dataclass
class _Call:
    """A call of a module that is running; name is None for a module of another model."""

    module: Module
    name: str | None
    args: tuple
    functions: dict[Node, tuple[str, Any]] = field(default_factory=dict)  # node -> (name, output)


class Measurement:
    """What is measured of a model in one step. `layers`: in the order of their first output."""

    def __init__(self, model: Module):
        self.readings = Readings()
        self.names = {id(module): name for name, module in named_layers(model)}
        self.layers: dict[str, Layer] = {}
        self.called: set[str] = set()  # names of modules that were called in training mode
        self._calls: list[_Call] = []
        self._of_output: dict[tuple[Node, int | None], Layer] = {}

    def enter(self, module: Module, args: tuple) -> None:
        """A call of a module begins."""
        self._calls.append(_Call(module, self.names.get(id(module)), args))

    def leave(self, result: Any) -> None:
        """The call that began last has returned a result; None if it has raised."""
        call = self._calls.pop()
        if call.name is not None and call.module.training:
            self.called.add(call.name)
            self._measure_call(call, call.name, result)

    def activated(self, node: Node, y: Any) -> None:
        """An activation function has returned y."""
        call = self._calls[-1] if self._calls else None
        if call is not None and call.name is not None and call.module.training:
            op = node.op.name
            number = 1 + sum(function.op.name == op for function in call.functions)
            name = f"{call.name}:{op}{number if number > 1 else ''}"
            call.functions[node] = name, y
            self._layer(name, op)  # for the order; without a call if it is the result of a module

    def arrived(self, node: Node, index: int | None, g: Any) -> None:
        """The cotangent of a result of a node is complete."""
        layer = self._of_output.get((node, index))
        if layer is not None and g is not None:
            layer.cotangents.add(raw(g))

    def _measure_call(self, call: _Call, name: str, result: Any) -> None:
        """Measure the output of a module, and the activation functions that it has called."""
        y = _first_tensor(result)
        node, index = (None, None) if y is None else _maker(y)
        for function, (function_name, output) in call.functions.items():
            if function is not node:
                layer = self._layer(function_name, function.op.name)
                self._measure(layer, output, function, None, function.op.name == "relu")
        has_parameters = next(call.module.named_parameters(recurse=False), None) is not None
        class_name = type(call.module).__name__
        if has_parameters:
            self._layer(name, class_name)
        if y is None or node is None or y.data.dtype.kind != "f":
            return
        if (node, index) in self._of_output or any(
            isinstance(x, Tensor) and x.node is y.node for x in call.args
        ):
            return  # another layer has made it
        if has_parameters or not node.op.views:  # what only has another shape is no layer
            is_relu = node.op.name == "relu" or isinstance(call.module, ReLU6)
            self._measure(self._layer(name, class_name), y.data, node, index, is_relu)

    def _layer(self, name: str, class_name: str) -> Layer:
        if name not in self.layers:
            self.layers[name] = Layer(name, class_name, self.readings)
        return self.layers[name]

    def _measure(self, layer: Layer, y: Any, node: Node, index: int | None, is_relu: bool) -> None:
        layer.add_output(y, node, is_relu)
        self._of_output[node, index] = layer


class LayerObserver(Observer):
    """Tells measurements, which may be of several models, what happens in a step."""

    gives_way = True

    def __init__(self):
        super().__init__()
        self.measurements: list[Measurement] = []
        self._made: Any = None  # the output of the activation function that was called last

    def called(self, module: Any, args: tuple, kwargs: dict) -> Any:
        measurements, result = list(self.measurements), None
        for each in measurements:
            each.enter(module, args)
        try:
            result = super().called(module, args, kwargs)
        finally:
            for each in measurements:
                each.leave(result)
        return result

    def forward_of(self, op: Any, arrays: Sequence, parents: Sequence) -> Any:
        if op.name not in ACTIVATIONS:
            return op.forward

        def run(*args, **static):
            result = op.forward(*args, **static)
            (self._made,) = outputs_of(op, result)
            return result

        return run

    def recorded(self, node: Node) -> None:
        if node.op.name in ACTIVATIONS:
            for each in self.measurements:
                each.activated(node, self._made)
            self._made = None

    def pulling(self, node: Node, g: Any, wanted: Sequence) -> None:
        parts = [(None, g)] if node.num_outputs is None else enumerate(g)
        for index, part in parts:
            for each in self.measurements:
                each.arrived(node, index, part)


def named_layers(model: Module) -> Iterator[tuple[str, Module]]:
    """(name, module) of all modules: its path; the outermost, which has none, by its class."""
    for path, module in model.named_modules():
        yield path or type(module).__name__, module


def _first_tensor(result: Any) -> Tensor | None:
    """The first tensor in what a module returned: of a recurrent layer, its outputs."""
    if isinstance(result, Tensor):
        return result
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, tuple | list):
        return next((x for x in map(_first_tensor, result) if x is not None), None)
    return None


def _maker(y: Tensor) -> tuple[Node | None, int | None]:
    """The node that made a tensor, and which of its outputs it is; (None, None) for a constant."""
    if isinstance(y.node, Output):
        return y.node.parents[0], y.node.index
    return (y.node, None) if isinstance(y.node, Node) else (None, None)
