"""The variational autoencoder (Kingma and Welling 2014, "Auto-Encoding Variational Bayes").

A latent z ~ N(0, 1) is decoded to the Bernoulli logits of x; an encoder gives the mean and the
log-variance of q(z | x). Both are trained to raise the evidence lower bound of log p(x),

    ELBO(x) = E_q [log p(x | z)] - beta * KL(q(z | x) || p(z)),

with z = mean + std * noise, so that the gradient passes through the sample. It is a bound for
beta = 1; a larger beta presses for independent latents (Higgins et al. 2017). With classes, x is
modelled given its label, a one-hot vector beside x in the encoder and beside z in the decoder
(Sohn et al. 2015).

The convolutional one has the same bound: it is the dense one, between convolutions that halve the
image twice and transposed convolutions that double it twice (strides in place of pooling, as in
Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs").
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
from minigen.random import Generator, default_generator
from minigen.tensors import Tensor


class VAE(Module):
    """Dense: pixels - hidden - latent - hidden - pixels, relu between; x (B, pixels) in [0, 1]."""

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
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.encoder = Sequential(Linear(pixels + classes, hidden, **kind), ReLU())
        self.mean = Linear(hidden, latent, **kind)
        self.logvar = Linear(hidden, latent, **kind)
        self.decoder = Sequential(
            Linear(latent + classes, hidden, **kind), ReLU(), Linear(hidden, pixels, **kind)
        )

    def encode(self, x: Tensor, label: Array | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), (B, latent) each."""
        h = self.encoder(self._beside(x, label))
        return self.mean(h), self.logvar(h)

    def sample(self, mean: Tensor, logvar: Tensor) -> Tensor:
        """z ~ N(mean, exp(logvar)), with gradients to both."""
        noise = (self.rng or default_generator()).normal(
            mean.shape, dtype=mean.dtype, device=mean.device
        )
        return ops.gaussian_sample(mean, logvar, noise)

    def decode(self, z: Tensor, label: Array | None = None) -> Tensor:
        """The logits of the pixels given z, of x's shape."""
        return self.decoder(self._beside(z, label))

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

    def _beside(self, x: Tensor, label: Array | None) -> Tensor:
        if not self.classes:
            return x
        if label is None:
            raise ValueError(f"this VAE has {self.classes} classes: pass the labels (B,) too")
        label = creation.one_hot(label, self.classes, x.dtype).to(x.device)
        return ops.concatenate([x, label], axis=1)


class ConvVAE(VAE):
    """Two 4x4 convolutions of stride 2, a dense VAE of what they see, and their mirror image.

    x (B, channels, side, side) in [0, 1], side a multiple of 4; the label joins the dense part.
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
        kind = {"rng": rng, "dtype": dtype, "device": device}
        first, second = widths
        seen = (second, side // 4, side // 4)
        super().__init__(latent, hidden, classes, pixels=math.prod(seen), beta=beta, **kind)
        self.shape = (channels, side, side)
        self.down = Sequential(
            Conv2d(channels, first, 4, stride=2, padding=1, **kind),
            ReLU(),
            Conv2d(first, second, 4, stride=2, padding=1, **kind),
            ReLU(),
            Flatten(),
        )
        self.up = Sequential(
            ReLU(),
            Unflatten(1, seen),
            ConvTranspose2d(second, first, 4, stride=2, padding=1, **kind),
            ReLU(),
            ConvTranspose2d(first, channels, 4, stride=2, padding=1, **kind),
        )
        # The six layers before a relu start sqrt(6) times wider than by default, which is the
        # variance 2 / fan_in of He et al. 2015: else the signal dies out, and z learns nothing for
        # epochs. (Of a transposed convolution fan_in counts outputs, as PyTorch's does.)
        for part in (self.encoder, self.decoder, self.down, self.up[:4]):
            for layer in part:
                if hasattr(layer, "weight"):
                    layer.weight = Parameter(math.sqrt(6) * layer.weight.data)

    def encode(self, x: Tensor, label: Array | None = None) -> tuple[Tensor, Tensor]:
        return super().encode(self.down(x), label)

    def decode(self, z: Tensor, label: Array | None = None) -> Tensor:
        return self.up(super().decode(z, label))
