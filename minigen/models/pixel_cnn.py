"""The gated PixelCNN (van den Oord et al. 2016, "Conditional Image Generation with PixelCNN
Decoders", after "Pixel Recurrent Neural Networks" of the same year).

An image x of n pixels, each one of L grey levels, is a sequence in raster order, row by row. Its
likelihood is exact, a product of softmaxes, and its unit is bits a dimension:

    p(x) = product over i of p(x_i | x_1, ..., x_{i-1}),    bits(x) = -log2 p(x) / n.

All factors are computed at once by convolutions whose weights are masked, so that the logits at i
do not depend on x_i and later pixels. One masked convolution after another would never see some
pixels to the upper right (the blind spot); two stacks see all. With * a masked convolution, each
layer computes

    v' = gate(W_v * v),    h' = h + W_o gate(W_h * h + W_vh (W_v * v)),
    gate(a, b) = tanh(a + label) * sigmoid(b + label),

v from the rows above, h from these and from the pixels to the left. Dilated windows (Yu and Koltun
2016) and a learned map of positions at the first layer, neither of them in the paper, let few
layers see a whole digit. Sampling computes each layer once at each pixel and keeps its rows, so
that n steps cost as much as one pass over the image.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import as_array
from minigen.errors import ShapeError
from minigen.gradients import no_grad
from minigen.models.sampling import sampled
from minigen.nn import Conv2d, Embedding, Module, ModuleList, Parameter, ReLU, Sequential
from minigen.ops.windows import IntOrPair, pair
from minigen.random import Generator, generator_of
from minigen.tensors import Tensor

MASKS = ("A", "B", "rows A", "rows B")
DILATIONS = (1, 2, 4)  # of the layers, in turn


def raster_mask(kernel_size: tuple[int, int], mask: str) -> np.ndarray:
    """Which pixels of a window (kh, kw) are seen: bool, of those in raster order before its middle.

    "A" leaves out the middle, "B" sees it. "rows A" sees the rows above the middle as a whole,
    "rows B" also the row of the middle.
    """
    (kh, kw), which = kernel_size, mask.split()[-1]
    row, column = np.arange(kh)[:, None] - kh // 2, np.arange(kw) - kw // 2
    if mask.startswith("rows"):
        return np.broadcast_to(row <= 0 if which == "B" else row < 0, (kh, kw))
    return (row < 0) | ((row == 0) & (column <= 0 if which == "B" else column < 0))


class MaskedConv2d(Conv2d):
    """A Conv2d that keeps the size of x and sees only some pixels of its window: `raster_mask`.

    mask is "A", "B", "rows A" or "rows B"; kernel_size is odd. The weight is multiplied by the mask
    in forward, so that the masked weights have no effect and a gradient of 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        mask: str,
        dilation: IntOrPair = 1,
        bias: bool = True,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if mask not in MASKS:
            raise ValueError(f"MaskedConv2d: mask must be one of {', '.join(MASKS)}, got {mask!r}")
        size = pair("MaskedConv2d", "kernel_size", kernel_size, 1)
        if size[0] % 2 == 0 or size[1] % 2 == 0:
            raise ValueError(f"MaskedConv2d: kernel_size must be odd, so has a middle, got {size}")
        settings = {"padding": "same", "dilation": dilation, "bias": bias}
        factory = {"rng": rng, "dtype": dtype, "device": device}
        super().__init__(in_channels, out_channels, size, **settings, **factory)
        seen = raster_mask(size, mask)
        # fan_in is the number of the weights that have an effect, at least 1 for the bias.
        scale = math.sqrt(seen.size / max(int(seen.sum()), 1))
        self.weight = Parameter(scale * self.weight.data)
        self.mask = mask
        self.register_buffer(
            "seen", creation.tensor(seen.astype(dtype), device=device), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        x, *settings = self._settings(x)
        return ops.conv2d(x, self.weight * self.seen, self.bias, *settings)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mask={self.mask!r}"

    def last_row(self, rows: list[Tensor]) -> Tensor:
        """The result at the last of some rows (B, C, 1, W), which are all rows above it, or enough.

        Of the window only the upper half and its middle are needed; a row that lies above the
        image is zero.
        """
        step, half = self.dilation[0], self.kernel_size[0] // 2
        window = [rows[-1 - i * step] for i in range(half, -1, -1) if i * step < len(rows)]
        weight = (self.weight * self.seen)[:, :, half + 1 - len(window) : half + 1]
        padding = 0, self.dilation[1] * (self.kernel_size[1] // 2)
        stacked = ops.concatenate(window, axis=2)
        return ops.conv2d(stacked, weight, self.bias, 1, padding, (1, self.dilation[1]))

    def last_pixel(self, pixels: list[Tensor]) -> Tensor:
        """The same along a row: at the last of some pixels (B, C, 1, 1), for a kernel of 1 row."""
        step, half = self.dilation[1], self.kernel_size[1] // 2
        window = [pixels[-1 - i * step] for i in range(half, -1, -1) if i * step < len(pixels)]
        weight = (self.weight * self.seen)[:, :, :, half + 1 - len(window) : half + 1]
        return ops.conv2d(ops.concatenate(window, axis=3), weight, self.bias)


class GatedLayer(Module):
    """A layer of both stacks: v and h (B, channels, H, W) to `width` channels each.

    The first layer (channels != width) has masks A and no residual sum.
    """

    def __init__(
        self, channels: int, width: int, size: int, dilation: int, classes: int, factory: dict
    ):
        self.is_first = channels != width
        which = "A" if self.is_first else "B"
        masked = {"dilation": dilation, "bias": False, **factory}
        self.v = MaskedConv2d(channels, 2 * width, size, f"rows {which}", **masked)
        self.h = MaskedConv2d(channels, 2 * width, (1, size), which, **masked)
        self.v_to_h = Conv2d(2 * width, 2 * width, 1, **factory)
        self.out = Conv2d(width, width, 1, **factory)
        self.label = None
        if classes:
            self.label = Embedding(classes, 4 * width, **factory)
            self.label.weight = Parameter(0.1 * self.label.weight.data)

    def biases(self, label: Array | None) -> tuple[Any, Any]:
        """What the label adds before the gates of v and h, (B, 2 * width, 1, 1) each; or 0, 0."""
        if self.label is None:
            return 0.0, 0.0
        both = self.label(label)[:, :, None, None]
        return both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]

    def next_h(self, before_gate: Tensor, h: Tensor) -> Tensor:
        """h of the next layer."""
        y = self.out(gate(before_gate))
        return y if self.is_first else y + h


def gate(x: Tensor) -> Tensor:
    """tanh of the first half of the channels, times the sigmoid of the second."""
    half = x.shape[1] // 2
    return ops.tanh(x[:, :half]) * ops.sigmoid(x[:, half:])


class PixelCNN(Module):
    """Logits of each pixel's grey level from the pixels before it; x (B, H, W) in 0 ... levels - 1.

    A window of 7 x 7 and then `layers` windows of 3 x 3, dilated by 1, 2, 4, 1 ... pixels, with
    `width` channels. classes: of the labels (B,), 0 for none.
    """

    def __init__(
        self,
        levels: int = 8,
        width: int = 16,
        layers: int = 5,
        classes: int = 0,
        *,
        height: int = 28,
        side: int = 28,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if not 2 <= levels <= 256 or min(height, side, layers) < 1 or width < 2 or classes < 0:
            raise ValueError(
                "PixelCNN: needs 2 to 256 levels, a width of at least 2, other sizes of at least 1 "
                f"and no negative number of classes, got {levels=} {width=} {layers=} {height=} "
                f"{side=} {classes=}"
            )
        self.levels, self.classes, self.shape, self.rng = levels, classes, (height, side), rng
        factory = {"rng": rng, "dtype": dtype, "device": device}
        first = GatedLayer(1, width, 7, 1, classes, factory)
        dilations = (DILATIONS[i % len(DILATIONS)] for i in range(layers))
        self.layers = ModuleList(
            [first, *(GatedLayer(width, width, 3, d, classes, factory) for d in dilations)]
        )
        self.position = Parameter(creation.zeros((2 * width, height, side), dtype, device))
        self.head = Sequential(
            ReLU(),
            Conv2d(width, 2 * width, 1, **factory),
            ReLU(),
            Conv2d(2 * width, levels, 1, **factory),
        )

    def forward(self, x: Array, label: Array | None = None) -> Tensor:
        """Logits (B, levels, H, W) for whole numbers x (B, H, W)."""
        self._check(x, label)
        v = h = self._scaled(x)[:, None]
        for layer in self.layers:
            bias_v, bias_h = layer.biases(label)
            before_v = layer.v(v) + self.position if layer.is_first else layer.v(v)
            h = layer.next_h(layer.h(h) + layer.v_to_h(before_v) + bias_h, h)
            v = gate(before_v + bias_v)
        return self.head(h)

    def loss(self, x: Array, label: Array | None = None) -> Tensor:
        """-log2 p(x | label) / (H * W), the mean over the batch: bits a dimension."""
        target = x.data if isinstance(x, Tensor) else x
        target = creation.tensor(target, np.int64, self.position.device)
        return ops.cross_entropy(self(x, label), target, ignore_index=None) / math.log(2)

    @no_grad()
    def sample(
        self,
        label: Array | int,
        start: Array | None = None,
        *,
        temperature: float = 1.0,
        rng: Generator | None = None,
    ) -> Array:
        """Images uint8 (B, H, W) for labels (B,); without classes, label is the number B.

        start (B, rows, W) are the upper rows where these are fixed. One uniform draw (B, 1) in
        float64 a pixel, from rng.
        """
        rng = generator_of(self.rng if rng is None else rng)
        n = int(label) if np.ndim(label) == 0 else len(label)
        label = None if np.ndim(label) == 0 else label
        x = array_module(self.position.data).zeros((n, *self.shape), np.uint8)
        rows = 0 if start is None else start.shape[1]
        if start is not None:
            if start.shape != x[:, :rows].shape:
                expected = f"({n}, rows, {self.shape[1]})"
                raise ShapeError(f"PixelCNN: start must be {expected}, got {start.shape}")
            x[:, :rows] = as_array(start, np.uint8, self.position.device)
        for row, column, logits in self._each_pixel(x, label, rows):
            x[:, row, column] = sampled(logits.data, temperature, rng=rng)
        return x

    def _each_pixel(
        self, x: Array, label: Array | None, rows: int
    ) -> Iterator[tuple[int, int, Tensor]]:
        """(row, column, logits (B, levels)) of each pixel below the first rows, in raster order.

        The caller writes the pixel into x before it asks for the next logits. Each layer keeps the
        rows of v and the pixels of h that it has read, so that nothing is computed twice.
        """
        self._check(x, label)
        biases = [layer.biases(label) for layer in self.layers]
        v: list[list[Tensor]] = [[] for _ in range(len(self.layers) + 1)]  # rows (B, C, 1, W)
        for row in range(self.shape[0]):
            v[0].append(self._scaled(x[:, None, row : row + 1]))
            above = []  # what v adds in h, for the columns of this row
            for i, layer in enumerate(self.layers):
                before_v = layer.v.last_row(v[i])
                if layer.is_first:
                    before_v = before_v + self.position[:, row : row + 1]
                v[i + 1].append(gate(before_v + biases[i][0]))
                if row >= rows:
                    above.append(layer.v_to_h(before_v) + biases[i][1])
            if row < rows:
                continue
            h: list[list[Tensor]] = [[] for _ in range(len(self.layers) + 1)]  # (B, C, 1, 1)
            for column in range(self.shape[1]):
                h[0].append(self._scaled(x[:, None, row : row + 1, column : column + 1]))
                for i, layer in enumerate(self.layers):
                    before_h = layer.h.last_pixel(h[i]) + above[i][:, :, :, column : column + 1]
                    h[i + 1].append(layer.next_h(before_h, h[i][-1]))
                yield row, column, self.head(h[-1][-1])[:, :, 0, 0]
                h[0][-1] = self._scaled(x[:, None, row : row + 1, column : column + 1])
            v[0][-1] = self._scaled(x[:, None, row : row + 1])

    def _scaled(self, x: Array) -> Tensor:
        """Grey levels as floats from -1 to 1, on the model's device."""
        x = creation.tensor(x, self.position.dtype, self.position.device)
        return x * (2 / (self.levels - 1)) - 1

    def _check(self, x: Array, label: Array | None) -> None:
        """Raise an error for images of another size, and for labels that are missing."""
        if x.ndim != 3 or x.shape[1:] != self.shape:
            raise ShapeError(
                f"PixelCNN: x must be (B, {self.shape[0]}, {self.shape[1]}), got {x.shape}"
            )
        if self.classes and label is None:
            raise ValueError(
                f"this PixelCNN has {self.classes} classes: pass the labels ({len(x)},) too"
            )
        if label is not None and not self.classes:
            raise ValueError(
                "this PixelCNN has no classes: make it with classes=N, or pass no label"
            )
