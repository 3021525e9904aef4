"""The variational autoencoder (Kingma and Welling 2014, "Auto-Encoding Variational Bayes").

A decoder maps a latent z ~ N(0, 1) to the Bernoulli logits of x; an encoder maps x to the mean and
the log-variance of q(z | x). Both are trained to maximize the evidence lower bound of log p(x),

    ELBO(x) = E_q [log p(x | z)] - beta * KL(q(z | x) || p(z)),

with z = mean + std * noise, so that the gradient passes through the sample. It is a bound for
beta = 1; a larger beta favours independent latents (Higgins et al. 2017). With classes, the model
is of p(x | label): a one-hot vector is concatenated to x in the encoder and to z in the decoder
(Sohn et al. 2015).

ConvVAE has the same objective. It puts the dense VAE between two convolutions that halve the image
and two transposed convolutions that double it (strides instead of pooling, as in Radford et al.
2016, "Unsupervised Representation Learning with Deep Convolutional GANs").
"""

import math
from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.backend.arrays import Array
from minigen.nn import (
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Unflatten,
)
from minigen.random import Generator, draw_of_batch
from minigen.tensors import Tensor


class VAE(Module):
    """Dense encoder and decoder, each with one hidden layer and relu; x (B, pixels) in [0, 1]."""

    def __init__(
        self,
        latent: int = 20,
        hidden: int = 400,
        classes: int = 0,
        *,
        pixels: int = 784,
        beta: float = 1.0,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if min(latent, hidden, pixels) < 1 or classes < 0 or not beta >= 0:
            raise ValueError(
                "VAE: sizes must be at least 1, classes and beta at least 0, got "
                f"{latent=} {hidden=} {pixels=} {classes=} {beta=}"
            )
        self.latent, self.classes, self.beta, self.rng = latent, classes, beta, rng
        self.shape: tuple[int, ...] = (pixels,)  # of one x
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.encoder = Sequential(Linear(pixels + classes, hidden, **factory), ReLU())
        self.mean = Linear(hidden, latent, **factory)
        self.logvar = Linear(hidden, latent, **factory)
        self.decoder = Sequential(
            Linear(latent + classes, hidden, **factory), ReLU(), Linear(hidden, pixels, **factory)
        )

    def encode(self, x: Tensor, label: Array | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), (B, latent) each."""
        h = self.encoder(self._with_label(x, label))
        return self.mean(h), self.logvar(h)

    def sample(self, mean: Tensor, logvar: Tensor, rng: Generator | None = None) -> Tensor:
        """z ~ N(mean, exp(logvar)), with gradients to both."""
        rng, shape = draw_of_batch(self.rng if rng is None else rng, mean.shape)
        noise = rng.normal(shape, dtype=mean.dtype, device=mean.device)
        return ops.gaussian_sample(mean, logvar, noise)

    def decode(self, z: Tensor, label: Array | None = None) -> Tensor:
        """The logits of the pixels given z, of x's shape."""
        return self.decoder(self._with_label(z, label))

    def forward(self, x: Tensor, label: Array | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the pixels for a sampled z, and the mean and log-variance of q."""
        mean, logvar = self.encode(x, label)
        return self.decode(self.sample(mean, logvar), label), mean, logvar

    def loss(self, x: Tensor, label: Array | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """-ELBO with beta, and its parts, reconstruction and KL: means over the batch, in nats."""
        logits, mean, logvar = self(x, label)
        total = ops.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        reconstruction = total / len(x)
        kl = ops.gaussian_kl(mean, logvar).mean()
        weighted = kl if self.beta == 1 else self.beta * kl
        return reconstruction + weighted, reconstruction, kl

    def _with_label(self, x: Tensor, label: Array | None) -> Tensor:
        """x (B, D) with the one-hot label appended, (B, D + classes); x if there are no classes."""
        if not self.classes:
            return x
        if label is None:
            raise ValueError(f"this VAE has {self.classes} classes: pass the labels (B,) too")
        label = creation.one_hot(label, self.classes, x.dtype).to(x.device)
        return ops.concatenate([x, label], axis=1)


class CategoricalVAE(VAE):
    """A dense VAE of images of grey levels: p(x | z) is a softmax at each pixel.

    x (B, pixels) of whole numbers 0 ... levels - 1. Divided by pixels * log(2), its negative ELBO
    is a bound on the bits a dimension of exactly that x, as those of `PixelCNN`.
    """

    def __init__(
        self,
        levels: int = 8,
        latent: int = 20,
        hidden: int = 400,
        classes: int = 0,
        *,
        pixels: int = 784,
        beta: float = 1.0,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if levels < 2:
            raise ValueError(f"CategoricalVAE: levels must be at least 2, got {levels}")
        factory = {"rng": rng, "dtype": dtype, "device": device}
        super().__init__(latent, hidden, classes, pixels=pixels, beta=beta, **factory)
        self.levels = levels
        self.decoder[2] = Linear(hidden, levels * pixels, **factory)

    def encode(self, x: Array, label: Array | None = None) -> tuple[Tensor, Tensor]:
        x = creation.tensor(x, self.mean.weight.dtype, self.mean.weight.device)
        return super().encode(x / (self.levels - 1), label)

    def decode(self, z: Tensor, label: Array | None = None) -> Tensor:
        """The logits of the levels of each pixel given z: (B, levels, pixels)."""
        return super().decode(z, label).reshape(len(z), self.levels, *self.shape)

    def loss(self, x: Array, label: Array | None = None) -> tuple[Tensor, Tensor, Tensor]:
        logits, mean, logvar = self(x, label)
        target = creation.tensor(x, np.int64, logits.device)
        total = ops.cross_entropy(logits, target, reduction="sum", ignore_index=None)
        reconstruction, kl = total / len(x), ops.gaussian_kl(mean, logvar).mean()
        return reconstruction + self.beta * kl, reconstruction, kl


class ConvVAE(VAE):
    """Two 4x4 convolutions of stride 2, a dense VAE of their output, and the mirror image.

    x (B, channels, side, side) in [0, 1], side a multiple of 4; the label enters the dense VAE.
    """

    def __init__(
        self,
        latent: int = 20,
        hidden: int = 256,
        classes: int = 0,
        *,
        channels: int = 1,
        side: int = 28,
        widths: tuple[int, int] = (16, 32),
        beta: float = 1.0,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if side < 4 or side % 4:
            raise ValueError(f"ConvVAE: side must be a multiple of 4, got {side}")
        factory = {"rng": rng, "dtype": dtype, "device": device}
        first, second = widths
        maps = (second, side // 4, side // 4)  # the output of the convolutions
        super().__init__(latent, hidden, classes, pixels=math.prod(maps), beta=beta, **factory)
        self.shape = (channels, side, side)
        self.down = Sequential(
            Conv2d(channels, first, 4, stride=2, padding=1, **factory),
            ReLU(),
            Conv2d(first, second, 4, stride=2, padding=1, **factory),
            ReLU(),
            Flatten(),
        )
        self.up = Sequential(
            ReLU(),
            Unflatten(1, maps),
            ConvTranspose2d(second, first, 4, stride=2, padding=1, **factory),
            ReLU(),
            ConvTranspose2d(first, channels, 4, stride=2, padding=1, **factory),
        )
        # By default weights have the variance 1 / (3 fan_in). Through six layers with relu the
        # signal would vanish, and z would learn nothing for epochs. Scaled by sqrt(6) they have
        # the variance 2 / fan_in of He et al. 2015. (As in PyTorch, the fan_in of a transposed
        # convolution is computed from its output channels.)
        for part in (self.encoder, self.decoder, self.down, self.up[:4]):
            for layer in part:
                if hasattr(layer, "weight"):
                    layer.weight = Parameter(math.sqrt(6) * layer.weight.data)

    def encode(self, x: Tensor, label: Array | None = None) -> tuple[Tensor, Tensor]:
        return super().encode(self.down(x), label)

    def decode(self, z: Tensor, label: Array | None = None) -> Tensor:
        return self.up(super().decode(z, label))
