"""Generative adversarial networks (Goodfellow et al. 2014) and the Wasserstein kind.

A generator G turns noise z ~ N(0, 1) into samples, a discriminator D tells them from data:

    min over G, max over D of  E_x [log s(D(x))] + E_z [log(1 - s(D(G(z))))],  s the sigmoid.

`non_saturating` has G raise E_z [log s(D(G(z)))] in place of its half, as the paper advises.
`wasserstein_gp` (Gulrajani et al. 2017) trains D as a critic whose slope is held near 1:

    min over G, max over D of  E_x [D(x)] - E_z [D(G(z))] - weight * E_u [(|dD/du| - 1)^2],

u on lines between data and samples; its gradient goes through a gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minigen import ops
from minigen.gradients import grad
from minigen.nn import LeakyReLU, Linear, Module, ReLU, Sequential, Tanh
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


@dataclass(frozen=True)
class AdversarialLoss:
    """Two losses to lower: critic(D, real, fake, ...) and generator(D, fake)."""

    critic: Callable[..., Tensor]
    generator: Callable[[Module, Tensor], Tensor]


def _critic_non_saturating(discriminator: Module, real: Tensor, fake: Tensor) -> Tensor:
    lost = ops.softplus(-discriminator(real)) + ops.softplus(discriminator(fake.detach()))
    return lost.mean()


def _generator_non_saturating(discriminator: Module, fake: Tensor) -> Tensor:
    return ops.softplus(-discriminator(fake)).mean()


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
