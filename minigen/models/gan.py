"""Generative adversarial networks (Goodfellow et al. 2014) and the Wasserstein kind.

A generator G turns noise z ~ N(0, 1) into samples, a discriminator D tells them from data:

    min over G, max over D of  E_x [log s(D(x))] + E_z [log(1 - s(D(G(z))))],  s the sigmoid.

`non_saturating` has G raise E_z [log s(D(G(z)))] in place of its half, as the paper advises.
`wasserstein_gp` (Gulrajani et al. 2017) trains D as a critic whose slope is held near 1:

    max over D of  E_x [D(x)] - E_z [D(G(z))] - weight * E_u [(|dD/du| - 1)^2],
    max over G of  E_z [D(G(z))],

u on lines between data and samples; its gradient goes through a gradient. `Generator` and
`Discriminator` are dense, as in the first paper; `DCGenerator` and `DCDiscriminator` convolve
(Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks").
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minigen import ops
from minigen.gradients import grad
from minigen.nn import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Tanh,
    Unflatten,
    init,
)
from minigen.random import Generator as RandomGenerator
from minigen.random import default_generator
from minigen.tensors import Tensor


class Generator(Module):
    """Dense: latent - hidden - pixels, relu between, tanh at the end: (B, pixels) in [-1, 1]."""

    def __init__(
        self,
        latent: int = 100,
        hidden: tuple[int, ...] = (256, 512),
        pixels: int = 784,
        *,
        rng: RandomGenerator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.latent = latent
        self.layers = _dense((latent, *hidden, pixels), ReLU, kind)
        self.squash = Tanh()

    def forward(self, z: Tensor) -> Tensor:
        return self.squash(self.layers(z))


class Discriminator(Module):
    """Dense: pixels - hidden - 1, leaky relu (0.2) between: the logit of being real, (B, 1)."""

    def __init__(
        self,
        pixels: int = 784,
        hidden: tuple[int, ...] = (512, 256),
        *,
        rng: RandomGenerator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.layers = _dense((pixels, *hidden, 1), lambda: LeakyReLU(0.2), kind)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _dense(sizes: tuple[int, ...], activation: Callable[[], Module], kind: dict) -> Sequential:
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [Linear(fan_in, fan_out, **kind), activation()]
    return Sequential(*layers[:-1])


# ---------------------------------------------------------------------------- convolutional

# Size, stride and padding of a window, by which sides double or halve. The size is a multiple of
# the stride, so that the transpose adds equally many products to each pixel; the paper's 5 does
# not, and leaves a chequered pattern (Odena et al. 2016).
KERNEL = 4, 2, 1


def _small(layer: Module, kind: dict) -> Module:
    """The layer with its weight from N(0, 0.02), as in the paper; without its bias."""
    layer.weight = Parameter(init.normal(layer.weight.shape, 0.02, **kind))
    layer.bias = None
    return layer


class DCGenerator(Module):
    """(B, latent) to images (B, channels, side, side) in [-1, 1], side a multiple of 4.

    A dense layer makes 2 * width maps of a quarter of the side; two transposed convolutions
    double it, the last to the image. Batch norm and relu between, tanh at the end.
    """

    def __init__(
        self,
        latent: int = 100,
        width: int = 32,
        *,
        channels: int = 1,
        side: int = 28,
        rng: RandomGenerator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        kind = {"rng": rng, "dtype": dtype, "device": device}
        where = {"dtype": dtype, "device": device}
        start = 2 * width, _quarter(side), _quarter(side)
        self.latent = latent
        self.layers = Sequential(
            _small(Linear(latent, math.prod(start), **kind), kind),
            Unflatten(1, start),
            BatchNorm2d(2 * width, **where),
            ReLU(),
            _small(ConvTranspose2d(2 * width, width, *KERNEL, **kind), kind),
            BatchNorm2d(width, **where),
            ReLU(),
            _small(ConvTranspose2d(width, channels, *KERNEL, **kind), kind),
            Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class DCDiscriminator(Module):
    """Images (B, channels, side, side) to the logit of being real, (B, 1).

    Two convolutions halve the side, leaky relu (0.2) after each, batch norm in the second alone:
    at the pixels the paper found it to make training unstable. The norm keeps no running
    statistics, so judge batches of one kind, and a generator's step leaves no trace in it.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        channels: int = 1,
        side: int = 28,
        rng: RandomGenerator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.layers = Sequential(
            _small(Conv2d(channels, width, *KERNEL, **kind), kind),
            LeakyReLU(0.2),
            _small(Conv2d(width, 2 * width, *KERNEL, **kind), kind),
            BatchNorm2d(2 * width, track_running_stats=False, dtype=dtype, device=device),
            LeakyReLU(0.2),
            Flatten(),
            _small(Linear(2 * width * _quarter(side) ** 2, 1, **kind), kind),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _quarter(side: int) -> int:
    if side < 4 or side % 4:
        raise ValueError(f"side={side} must be a multiple of 4: it is halved twice")
    return side // 4


# ----------------------------------------------------------------------------------- losses


@dataclass(frozen=True)
class AdversarialLoss:
    """Two losses to lower: critic(D, real, fake, ...) and generator(D, fake)."""

    critic: Callable[..., Tensor]
    generator: Callable[[Module, Tensor], Tensor]


def _critic_non_saturating(
    discriminator: Module, real: Tensor, fake: Tensor, smoothing: float = 0.0
) -> Tensor:
    """The target of real is 1 - smoothing, that of fake 0 (one-sided, Salimans et al. 2016)."""
    of_real = _cross_entropy(discriminator(real), 1 - smoothing)
    return of_real + _cross_entropy(discriminator(fake.detach()), 0)


def _generator_non_saturating(discriminator: Module, fake: Tensor) -> Tensor:
    return _cross_entropy(discriminator(fake), 1)


def _cross_entropy(logit: Tensor, target: float) -> Tensor:
    return ops.binary_cross_entropy_with_logits(logit, np.full_like(logit.data, target))


def gradient_penalty(
    critic: Module, real: Tensor, fake: Tensor, rng: RandomGenerator | None = None
) -> Tensor:
    """The mean of (|dD/du| - 1)^2 at one random point between each real and fake sample."""
    shape = (len(real), *[1] * (real.ndim - 1))
    t = (rng or default_generator()).uniform(shape, dtype=real.dtype, device=real.device)
    between = (t * real.data + (1 - t) * fake.data).astype(real.dtype)
    u = Tensor(between).requires_grad_()
    slope = grad(critic(u).sum(), u, create_graph=True)
    size = ops.norm(ops.reshape(slope, (len(real), -1)), axis=1)
    return ops.square(size - 1).mean()


def _critic_wasserstein(
    critic: Module,
    real: Tensor,
    fake: Tensor,
    weight: float = 10.0,
    rng: RandomGenerator | None = None,
) -> Tensor:
    gap = critic(real).mean() - critic(fake.detach()).mean()
    return weight * gradient_penalty(critic, real, fake, rng) - gap


def _generator_wasserstein(critic: Module, fake: Tensor) -> Tensor:
    return -critic(fake).mean()


non_saturating = AdversarialLoss(_critic_non_saturating, _generator_non_saturating)
wasserstein_gp = AdversarialLoss(_critic_wasserstein, _generator_wasserstein)
