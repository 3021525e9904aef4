"""Numbers about the arrays of a layer: computed on their device, and read together at the end."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.autodiff.graph import Node
from minigen.backend.arrays import Array, array_module, is_cupy
from minigen.backend.devices import to_numpy

CHANNELS_LAST = ("layer_norm", "linear", "matmul", "rms_norm")  # ops whose units are the last axis


class Readings:
    """Numbers on a device, by index, until `read`, which waits for the device once."""

    def __init__(self):
        self._numbers: list[Any] = []

    def add(self, number: Any) -> int:
        """Keep an array of one value; returns its index in what `read` returns."""
        self._numbers.append(number)
        return len(self._numbers) - 1

    def read(self) -> list[float]:
        """All numbers."""
        values = [float("nan")] * len(self._numbers)
        by_device: dict[Any, list[int]] = {}
        for i, x in enumerate(self._numbers):
            by_device.setdefault(x.device.id if is_cupy(x) else "cpu", []).append(i)
        for device, indices in by_device.items():
            found = [self._numbers[i] for i in indices]
            if device == "cpu":
                numbers = [float(x) for x in found]
            else:
                xp = array_module(found[0])
                with xp.cuda.Device(device):
                    numbers = to_numpy(xp.stack([x.astype(xp.float64) for x in found])).tolist()
            for i, number in zip(indices, numbers):
                values[i] = number
        return values


class Moments:
    """Mean and standard deviation of all values of several arrays."""

    def __init__(self, readings: Readings):
        self.readings = readings
        self.parts: list[tuple[int, int, int]] = []  # (size, index of the mean, of the variance)

    def add(self, x: Array) -> None:
        """Take in an array of floats; one without values changes nothing."""
        if not x.size:
            return
        mean, variance = moments(x)
        self.parts.append((x.size, self.readings.add(mean), self.readings.add(variance)))

    def of(self, values: Sequence[float]) -> tuple[float | None, float | None]:
        """(mean, standard deviation), from the values that were read; None if there are none."""
        if not self.parts:
            return None, None
        total = sum(n for n, _, _ in self.parts)
        mean = sum(n * values[i] for n, i, _ in self.parts) / total
        # The variance of all is the mean of the variances, plus the variance of the means.
        offsets = [values[i] - mean for _, i, _ in self.parts]
        squares = sum(n * (values[j] + x * x) for (n, _, j), x in zip(self.parts, offsets))
        return mean, math.sqrt(squares / total)


def moments(x: Array) -> tuple[Any, Any]:
    """The mean of x and the mean of its squared distances from it, as arrays of one value.

    In the precision of x, and by dot products: `x.var()` takes several times as long.
    """
    x = x.reshape(-1)
    with np.errstate(all="ignore"):  # of a net that explodes
        mean = x.mean()
        if not is_cupy(x):  # on a GPU the comparison would wait for the device
            square = x.dot(x) / x.size
            variance = square - mean * mean
            if variance > 0.01 * square:  # else the difference has lost digits
                return mean, variance
        distance = x - mean
        return mean, distance.dot(distance) / x.size


def unit_axis(node: Node, ndim: int) -> int:
    """The axis of the units in the result of a node: channels of images, else the last axis.

    (N, C, L) of a 1-d convolution is told from (B, T, D) by the op whose result the node takes.
    """
    vertex = node.parents[0]
    while vertex is not None and vertex.op is not None and vertex.op.views:
        vertex = vertex.parents[0]
    name = vertex.op.name if vertex is not None and vertex.op is not None else ""
    if ndim < 3 or name in CHANNELS_LAST:
        return ndim - 1
    if "conv" in name or "batch_norm" in name:
        return 1
    return 1 if ndim > 3 else ndim - 1


def alive_units(y: Array, axis: int) -> Array:
    """Whether each unit, an index along axis, is other than 0 anywhere else in y."""
    return (y != 0).any(axis=tuple(i for i in range(y.ndim) if i != axis))


def saturated_share(y: Array, op: str) -> Any:
    """The share of values within 1 % of an end of the range of tanh (-1 to 1), or of sigmoid."""
    distance = abs(y) if op == "tanh" else abs(y - 0.5) * 2
    return (distance > 0.98).mean()  # 1 % of the range of 2 is 0.02
