"""What a watched step says of each layer: the row for the reader, and facts for the warnings."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from minigen.nn import Module, ModuleDict
from minigen.study.watching.observer import Layer, Measurement, named_layers
from minigen.study.watching.updates import Update, Updates


@dataclass
class Facts:
    """A layer in a watched step: its row, and what the row leaves out."""

    row: dict[str, Any]
    network: str  # the path of the network that it is in, where the model is a dict of several
    samples: int  # values of each unit
    units: int  # of a relu
    is_trained: bool  # it was called in training mode, and a step was made
    still: dict[str, str]  # parameters that the step has not changed: why, or ""
    moved: bool  # another parameter has changed
    matrices: dict[str, float]  # parameters with two axes or more: deviation before the step
    nonfinite: list[str] = field(default_factory=list)  # what has NaN or infinite values


def facts_of(model: Module, measurement: Measurement, updates: Updates) -> list[Facts]:
    """Of all layers that were called or have parameters that were to change, in this order."""
    for layer in measurement.layers.values():
        layer.finish()
    values = measurement.readings.read()  # waits for the device
    classes = {name: type(module).__name__ for name, module in named_layers(model)}
    of_layer: dict[str, dict[str, Update]] = {name: {} for name in measurement.layers}
    for update in updates.found.values():
        of_layer.setdefault(update.layer, {})[update.name] = update
    networks = list(_networks(model))
    found, has_stepped = [], updates.has_stepped or _moved(updates.found.values(), values)
    for name, own in of_layer.items():
        if not own and not measurement.layers[name].calls:
            continue
        layer = measurement.layers.get(name) or Layer(name, classes[name], measurement.readings)
        is_trained = has_stepped and name in measurement.called
        network = next((path for path in networks if f"{name}.".startswith(f"{path}.")), "")
        found.append(_facts(layer, network, own, values, is_trained))
    return found


def _moved(updates: Iterable[Update], values: Sequence[float]) -> bool:
    """Whether one of the parameters has changed."""
    return any(not update.stands_still(values) for update in updates)


def _networks(model: Module, path: str = "") -> Iterator[str]:
    """The paths of the networks in a ModuleDict, or in ModuleDicts in it; else none."""
    if isinstance(model, ModuleDict):
        for name, part in model.named_children():
            inner = f"{path}.{name}" if path else name
            yield from _networks(part, inner) if isinstance(part, ModuleDict) else [inner]


def _facts(
    layer: Layer,
    network: str,
    updates: dict[str, Update],
    values: Sequence[float],
    is_trained: bool,
) -> Facts:
    mean, std = layer.outputs.of(values)
    grad_mean, grad_std = layer.cotangents.of(values)
    dead = None if layer.dead is None else values[layer.dead]
    size = sum(n for n, _ in layer.saturated)
    saturated = sum(n * values[i] for n, i in layer.saturated) / size if size else None
    ratios = {name: update.ratio(values) for name, update in updates.items()}
    row = {
        "layer": layer.name,
        "class": layer.class_name,
        "calls": layer.calls,
        "mean": mean,
        "std": std,
        "grad_mean": grad_mean,
        "grad_std": grad_std,
        "dead": dead,
        "saturated": saturated,
    }
    numbers = {"activations": std, "gradients": grad_std, **ratios}
    nonfinite = [name for name, x in numbers.items() if x is not None and not math.isfinite(x)]
    row = {key: _finite(x) for key, x in row.items()}
    row["updates"] = {name: _finite(ratio) for name, ratio in ratios.items()}
    still = {name: update.reason for name, update in updates.items() if update.stands_still(values)}
    return Facts(
        row,
        network,
        samples=layer.samples,
        units=0 if layer.alive is None else len(layer.alive),
        is_trained=is_trained,
        still=still,
        moved=_moved(updates.values(), values),
        matrices={
            name: update.weight.of(values)[1] or 0.0
            for name, update in updates.items()
            if update.is_matrix
        },
        nonfinite=nonfinite,
    )


def _finite(x: Any) -> Any:
    """x, which may be a text; None in place of NaN and infinities, which JSON does not have."""
    return None if isinstance(x, float) and not math.isfinite(x) else x
