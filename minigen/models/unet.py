"""A small U-Net (Ronneberger et al. 2015), as diffusion models use it (Ho et al. 2020).

Images go down to half the side at each width and come up again; what went down is joined to what
comes up, so that the details need not pass through the narrow middle. Each block is

    h = conv(silu(norm(x))) + dense(silu(e)),  y = skip(x) + conv(silu(norm(h))),

with group norm (Wu and He 2018) and an embedding e of the time and the class, which every block so
learns. At the lowest side one layer of attention lets distant parts agree. `patch` 2 folds squares
of 2 x 2 pixels into channels at the entry and unfolds them at the exit: most of the time of a
U-Net is spent at full resolution, where the fewest of its decisions are made.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import to_device
from minigen.errors import ShapeError
from minigen.nn import Conv2d, Embedding, GroupNorm, Linear, Module, ModuleList, Parameter
from minigen.random import Generator
from minigen.tensors import Tensor

GROUP = 8  # channels of a group of the norm
PERIOD = 1_000.0  # the longest wave of the embedding of the time, in units of the whole time


class UNet(Module):
    """x (B, channels, H, W), time (B,) in [0, 1] and class (B,) to an array of the shape of x.

    widths: channels at each side, from the largest to the smallest; multiples of 8. classes: with 0
    there are none, else class `classes` means "no class". H and W must be multiples of
    patch * 2^(len(widths) - 1); ShapeError if not.
    """

    def __init__(
        self,
        channels: int = 1,
        widths: Sequence[int] = (64, 128),
        classes: int = 0,
        patch: int = 2,
        heads: int = 4,
        embed: int = 128,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if wrong := [w for w in widths if w < 1 or w % GROUP]:
            raise ValueError(f"UNet: widths must be multiples of {GROUP}, got {wrong[0]}")
        if not widths or channels < 1 or patch < 1 or classes < 0 or embed % 2 or embed < 4:
            raise ValueError(
                "UNet: needs a width, channels and patch of at least 1, classes of at least 0 and "
                f"an even embed of at least 4; got {widths=} {channels=} {patch=} {classes=} "
                f"{embed=}"
            )
        factory = {"rng": rng, "dtype": dtype, "device": device}
        conv = lambda a, b, *how: Conv2d(a, b, *how, **factory)
        block = lambda a, b: ResidualBlock(a, b, embed, factory)
        self.channels, self.classes, self.patch, self.embed = channels, classes, patch, embed
        self.multiple = patch * 2 ** (len(widths) - 1)
        self.time = ModuleList([Linear(embed, embed, **factory), Linear(embed, embed, **factory)])
        self.label = Embedding(classes + 1, embed, **factory) if classes else None
        self.entry = conv(channels * patch**2, widths[0], 3, 1, 1)
        pairs = list(itertools.pairwise(widths))
        self.down = ModuleList([block(w, w) for w in widths[:-1]])
        self.shrink = ModuleList([conv(a, b, 3, 2, 1) for a, b in pairs])
        last = widths[-1]
        self.middle = ModuleList([block(last, last), block(last, last)])
        self.attention = Attention(last, heads, factory)
        self.grow = ModuleList([conv(b, a, 1) for a, b in reversed(pairs)])
        self.up = ModuleList([block(2 * a, a) for a, _ in reversed(pairs)])
        self.norm = GroupNorm(widths[0] // GROUP, widths[0], dtype=dtype, device=device)
        self.exit = _zero(conv(widths[0], channels * patch**2, 3, 1, 1))

    def forward(self, x: Tensor, time: Array, label: Array | None = None) -> Tensor:
        side = self.multiple
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] % side or x.shape[3] % side:
            raise ShapeError(
                f"UNet: x must be (B, {self.channels}, H, W) with H and W multiples of {side}, "
                f"got shape {x.shape}; crop or pad it, or choose fewer widths"
            )
        first, second = self.time
        e = second(
            ops.silu(first(Tensor(waves(to_device(time, x.device), self.embed, x.dtype))))
        )  # (B, embed)
        if self.label is not None:
            label = np.full(len(x), self.classes) if label is None else label
            e = e + self.label(to_device(label, x.device))
        e = ops.silu(e)
        h, skips = self.entry(fold(x, self.patch)), []
        for block, shrink in zip(self.down, self.shrink):
            skips.append(block(h, e))
            h = shrink(skips[-1])
        before, after = self.middle
        h = after(self.attention(before(h, e)), e)
        for block, grow in zip(self.up, self.grow):
            h = ops.interpolate(grow(h), 2)
            h = block(ops.concatenate([h, skips.pop()], axis=1), e)
        return unfold(self.exit(ops.silu(self.norm(h))), self.patch)


class ResidualBlock(Module):
    """x (B, before, H, W) and e (B, embed) to (B, after, H, W): the formula above."""

    def __init__(self, before: int, after: int, embed: int, factory: dict[str, Any]):
        where = {k: factory[k] for k in ("dtype", "device")}
        self.norm1 = GroupNorm(before // GROUP, before, **where)
        self.conv1 = Conv2d(before, after, 3, padding=1, **factory)
        self.dense = Linear(embed, after, **factory)
        self.norm2 = GroupNorm(after // GROUP, after, **where)
        self.conv2 = _zero(Conv2d(after, after, 3, padding=1, **factory))
        self.skip = Conv2d(before, after, 1, **factory) if before != after else None

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(ops.silu(self.norm1(x)))
        h = h + ops.reshape(self.dense(e), (*h.shape[:2], 1, 1))
        h = self.conv2(ops.silu(self.norm2(h)))
        return h + (x if self.skip is None else self.skip(x))


class Attention(Module):
    """Self-attention over all positions of x (B, width, H, W), added to x."""

    def __init__(self, width: int, heads: int, factory: dict[str, Any]):
        if heads < 1 or width % heads:
            raise ValueError(f"UNet: the last width {width} must be a multiple of {heads=}")
        self.heads = heads
        where = {k: factory[k] for k in ("dtype", "device")}
        self.norm = GroupNorm(width // GROUP, width, **where)
        self.qkv = Linear(width, 3 * width, **factory)
        self.out = _zero(Linear(width, width, **factory))

    def forward(self, x: Tensor) -> Tensor:
        B, width, H, W = x.shape
        rows = ops.swapaxes(ops.reshape(self.norm(x), (B, width, H * W)), 1, 2)  # (B, T, width)
        parts = ops.reshape(self.qkv(rows), (B, H * W, 3, self.heads, width // self.heads))
        q, k, v = ops.transpose(parts, (2, 0, 3, 1, 4))  # (B, heads, T, width / heads) each
        y = ops.scaled_dot_product_attention(q, k, v)
        y = self.out(ops.reshape(ops.swapaxes(y, 1, 2), (B, H * W, width)))
        return x + ops.reshape(ops.swapaxes(y, 1, 2), x.shape)


def waves(time: Array, size: int, dtype: Any) -> Array:
    """Sines and cosines of the times (B,), (B, size), of frequencies from 1 to PERIOD.

    As in Vaswani et al. 2017, where they tell positions apart.
    """
    xp = array_module(time)
    frequencies = PERIOD ** (xp.arange(size // 2) / (size // 2 - 1))
    angles = time.astype(np.float64)[:, None] * frequencies
    return xp.concatenate([xp.sin(angles), xp.cos(angles)], axis=1).astype(dtype)


def fold(x: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) to (B, C * patch^2, H / patch, W / patch): each square becomes channels."""
    if patch == 1:
        return x
    B, C, H, W = x.shape
    x = ops.reshape(x, (B, C, H // patch, patch, W // patch, patch))
    return ops.reshape(
        ops.transpose(x, (0, 1, 3, 5, 2, 4)), (B, C * patch**2, H // patch, W // patch)
    )


def unfold(x: Tensor, patch: int) -> Tensor:
    """The inverse of `fold`."""
    if patch == 1:
        return x
    B, C, H, W = x.shape
    x = ops.reshape(x, (B, C // patch**2, patch, patch, H, W))
    return ops.reshape(
        ops.transpose(x, (0, 1, 4, 2, 5, 3)), (B, C // patch**2, H * patch, W * patch)
    )


def _zero(layer: Module) -> Module:
    """Let the layer begin as zero, and so each block as the identity (Goyal et al. 2017)."""
    layer.weight, layer.bias = (Parameter(0 * p.data) for p in (layer.weight, layer.bias))
    return layer
