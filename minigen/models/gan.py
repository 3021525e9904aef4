"""Generative adversarial networks (Goodfellow et al. 2014), also with the Wasserstein loss.

A generator G maps noise z ~ N(0, 1) to samples; a discriminator D computes the logit of the
probability that its argument comes from the data x. With s the sigmoid, they are trained for

    min over G, max over D of  E_x [log s(D(x))] + E_z [log(1 - s(D(G(z))))].

`non_saturating` trains G to maximize E_z [log s(D(G(z)))] instead of minimizing the second term,
whose gradient vanishes while D rejects all samples; the paper recommends this.
`wasserstein_gp` (Gulrajani et al. 2017) trains D as a critic whose gradient norm is kept near 1:

    max over D of  E_x [D(x)] - E_z [D(G(z))] - weight * E_u [(|dD/du| - 1)^2],
    max over G of  E_z [D(G(z))],

with u at random points between data and samples. The penalty contains a gradient, so that
training D needs second derivatives. `Generator` and `Discriminator` are dense, as in the first
paper; `DCGenerator` and `DCDiscriminator` are convolutional (Radford et al. 2016, "Unsupervised
Representation Learning with Deep Convolutional Generative Adversarial Networks").
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import ops
from minigen.gradients import grad
from minigen.models.mlp import MLP
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
from minigen.random import draw_of_batch
from minigen.tensors import Tensor


class Generator(Module):
    """Dense layers with relu, then tanh: z (B, latent) to pixels (B, pixels) in [-1, 1]."""

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
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.latent = latent
        self.layers = MLP((latent, *hidden, pixels), **factory)
        self.squash = Tanh()

    def forward(self, z: Tensor) -> Tensor:
        return self.squash(self.layers(z))


class Discriminator(Module):
    """Dense layers with leaky relu (0.2): x (B, pixels) to the logit of being real, (B, 1)."""

    def __init__(
        self,
        pixels: int = 784,
        hidden: tuple[int, ...] = (512, 256),
        *,
        rng: RandomGenerator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.layers = MLP((pixels, *hidden, 1), lambda: LeakyReLU(0.2), **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


# ---------------------------------------------------------------------------- convolutional

# Kernel size, stride and padding that halve height and width, or double them when transposed. The
# paper's kernel size is 5, which is no multiple of the stride: a transposed convolution then adds
# unequal numbers of products to neighbouring pixels, a checkerboard pattern (Odena et al. 2016).
WINDOW = 4, 2, 1


def _dcgan_init(layer: Module, factory: dict) -> Module:
    """Set the layer's weight to a sample of N(0, 0.02^2), as in the paper, and drop its bias."""
    layer.weight = Parameter(init.normal(layer.weight.shape, 0.02, **factory))
    layer.bias = None
    return layer


class DCGenerator(Module):
    """(B, latent) to images (B, channels, side, side) in [-1, 1], side a multiple of 4.

    A dense layer computes 2 * width feature maps of side / 4; each of two transposed convolutions
    doubles their side. Batch norm and relu follow each layer except the last, which has tanh.
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
        factory = {"rng": rng, "dtype": dtype, "device": device}
        dtype_device = {"dtype": dtype, "device": device}
        start = 2 * width, _quarter(side), _quarter(side)
        self.latent = latent
        self.layers = Sequential(
            _dcgan_init(Linear(latent, math.prod(start), **factory), factory),
            Unflatten(1, start),
            BatchNorm2d(2 * width, **dtype_device),
            ReLU(),
            _dcgan_init(ConvTranspose2d(2 * width, width, *WINDOW, **factory), factory),
            BatchNorm2d(width, **dtype_device),
            ReLU(),
            _dcgan_init(ConvTranspose2d(width, channels, *WINDOW, **factory), factory),
            Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class DCDiscriminator(Module):
    """Images (B, channels, side, side) to the logit of being real, (B, 1).

    Each of two convolutions halves the side and is followed by leaky relu (0.2). Only the second
    has batch norm: the paper found it unstable at the input layer. The norm keeps no running
    statistics, so that a step of the generator does not change the discriminator. Since it always
    normalizes by the batch, give it batches that are all real or all generated.
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
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.layers = Sequential(
            _dcgan_init(Conv2d(channels, width, *WINDOW, **factory), factory),
            LeakyReLU(0.2),
            _dcgan_init(Conv2d(width, 2 * width, *WINDOW, **factory), factory),
            BatchNorm2d(2 * width, track_running_stats=False, dtype=dtype, device=device),
            LeakyReLU(0.2),
            Flatten(),
            _dcgan_init(Linear(2 * width * _quarter(side) ** 2, 1, **factory), factory),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _quarter(side: int) -> int:
    """side / 4; ValueError if that is not an integer >= 1."""
    if side < 4 or side % 4:
        raise ValueError(f"side={side} must be a multiple of 4: it is halved twice")
    return side // 4


# ----------------------------------------------------------------------------------- losses


@dataclass(frozen=True)
class AdversarialLoss:
    """The two losses, both minimized: critic(D, real, fake, ...) and generator(D, fake)."""

    critic: Callable[..., Tensor]
    generator: Callable[[Module, Tensor], Tensor]


def _critic_non_saturating(
    discriminator: Module, real: Tensor, fake: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy with targets 1 - smoothing for real, 0 for fake (Salimans et al. 2016)."""
    real_loss = _cross_entropy(discriminator(real), 1 - smoothing)
    return real_loss + _cross_entropy(discriminator(fake.detach()), 0)


def _generator_non_saturating(discriminator: Module, fake: Tensor) -> Tensor:
    return _cross_entropy(discriminator(fake), 1)


def _cross_entropy(logit: Tensor, target: float) -> Tensor:
    return ops.binary_cross_entropy_with_logits(logit, np.full_like(logit.data, target))


def gradient_penalty(
    critic: Module, real: Tensor, fake: Tensor, rng: RandomGenerator | None = None
) -> Tensor:
    """The mean of (|dD/du| - 1)^2 at a random point u between each real and fake sample."""
    shape = (len(real), *[1] * (real.ndim - 1))
    rng, whole = draw_of_batch(rng, shape)
    t = rng.uniform(whole, dtype=real.dtype, device=real.device)
    between = (t * real.data + (1 - t) * fake.data).astype(real.dtype)
    u = Tensor(between).requires_grad_()
    gradient = grad(critic(u).sum(), u, create_graph=True)
    norm = ops.norm(ops.reshape(gradient, (len(real), -1)), axis=1)  # (B,)
    return ops.square(norm - 1).mean()


def _critic_wasserstein(
    critic: Module,
    real: Tensor,
    fake: Tensor,
    weight: float = 10.0,
    rng: RandomGenerator | None = None,
) -> Tensor:
    distance = critic(real).mean() - critic(fake.detach()).mean()
    return weight * gradient_penalty(critic, real, fake, rng) - distance


def _generator_wasserstein(critic: Module, fake: Tensor) -> Tensor:
    return -critic(fake).mean()


non_saturating = AdversarialLoss(_critic_non_saturating, _generator_non_saturating)
wasserstein_gp = AdversarialLoss(_critic_wasserstein, _generator_wasserstein)
