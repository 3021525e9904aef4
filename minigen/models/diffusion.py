"""Generation by flow matching (Lipman et al. 2023, "Flow Matching for Generative Modeling").

A straight path leads from noise z ~ N(0, 1) at time 0 to an image x at time 1; a network learns the
velocity along it:

    x_t = (1 - t) z + t x,   loss = E |v(x_t, t, c) - (x - z)|^2,

with t drawn as the sigmoid of a normal number, for the middle of the path is the hardest to learn
(Esser et al. 2024). The least loss is reached by the mean velocity of all paths through x_t, whose
flow dx/dt = v carries the noise to the distribution of the images; so a sample is the solution of
an ordinary differential equation, here by Euler's steps or Heun's. Denoising (Ho et al. 2020) is
the same in other words, with curved paths that need more steps.

Guidance (Ho and Salimans 2022): in training a tenth of the classes c are left out, so that the
network also learns the velocity without a class; a sample then follows

    v(x, t, none) + guidance * (v(x, t, c) - v(x, t, none)).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import device_of, to_device
from minigen.errors import ShapeError
from minigen.gradients import no_grad
from minigen.models.unet import UNet
from minigen.nn import Module
from minigen.ops.indexing import whole_numbers
from minigen.random import Generator, draw_of_batch
from minigen.tensors import Tensor

LEFT_OUT = 0.1  # the share of the classes that are left out in training
BATCH = 100  # images that are sampled together
METHODS = "heun", "euler"


class Diffusion(Module):
    """A U-Net that turns noise into images of `shape` (channels, H, W), if asked of a class.

    The arguments but shape are those of `UNet`. Images should be about in [-1, 1].
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
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
        self.shape, self.classes, self.rng = tuple(map(int, shape)), classes, rng
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.net = UNet(self.shape[0], widths, classes, patch, heads, embed, **factory)

    def errors(
        self,
        x: Tensor,
        label: Array | None = None,
        time: Array | None = None,
        rng: Generator | None = None,
    ) -> Tensor:
        """The squared error of the velocity, a mean over the image, for each of x (B, *shape).

        label (B,) holds classes, `classes` for none, or is None for images without. time (B,),
        in [0, 1], is random by default. In training mode some classes are left out.
        """
        if x.shape[1:] != self.shape:
            sizes = ", ".join(map(str, self.shape))
            raise ShapeError(f"Diffusion: x must be (B, {sizes}), got shape {x.shape}")
        B, rng = len(x), self.rng if rng is None else rng
        draw = lambda name, *shape: _draw(rng, name, (B, *shape), x)
        if time is None:
            time = 1 / (1 + np.exp(-draw("normal")))
        label = self._classes(label, B)
        if label is not None and self.training:
            none = draw("uniform") < LEFT_OUT
            label = array_module(label).where(none, self.classes, label)
        noise = draw("normal", *self.shape)
        t = to_device(time, x.device).reshape(B, *(1 for _ in self.shape)).astype(x.dtype)
        velocity = self.net(Tensor((1 - t) * noise + t * x.data), time, label)
        return ops.mean(ops.reshape(ops.square(velocity - (x.data - noise)), (B, -1)), axis=1)

    def loss(self, x: Tensor, label: Array | None = None) -> Tensor:
        """The mean of `errors`."""
        return self.errors(x, label).mean()

    def sample(
        self,
        n: int,
        label: Array | None = None,
        steps: int = 12,
        guidance: float = 1.0,
        method: str = "heun",
        rng: Generator | None = None,
    ) -> Tensor:
        """n images (n, *shape), of the classes label (n,) or, with None, of any.

        guidance above 1 makes the class clearer and the images more alike. A step of "heun" asks
        the network twice, one of "euler" once; guidance other than 1 doubles that.
        """
        label = self._classes(label, n)
        how = {"steps": steps, "guidance": guidance, "method": method, "rng": rng}
        ends = []
        for i in range(0, max(n, 1), BATCH):
            part = None if label is None else label[i : i + BATCH]
            ends.append(self.path(min(BATCH, n - i), part, **how)[-1])
        return ops.concatenate(ends)

    @no_grad()
    def path(
        self,
        n: int,
        label: Array | None = None,
        steps: int = 12,
        guidance: float = 1.0,
        method: str = "heun",
        rng: Generator | None = None,
    ) -> Tensor:
        """The ways of n images from noise to image, (steps + 1, n, *shape): as in `sample`."""
        if method not in METHODS or n < 0 or steps < 1:
            raise ValueError(
                f"Diffusion: method must be one of {METHODS}, n at least 0 and steps at least 1, "
                f"got {method=} {n=} {steps=}"
            )
        weight = next(iter(self.parameters())).data
        noise = _draw(self.rng if rng is None else rng, "normal", (n, *self.shape), weight)
        velocity = self._guided(self._classes(label, n), guidance)
        return Tensor(flow(velocity, noise, steps, method))

    def _guided(self, label: Array | None, guidance: float) -> Callable[[Array, float], Array]:
        """The velocity as a function of x and the time t."""

        def velocity(x: Array, t: float) -> Array:
            xp = array_module(x)
            times = xp.full(len(x), t)
            if label is None or guidance == 1:
                return self.net(Tensor(x), times, label).data
            none = xp.full_like(label, self.classes)
            both, classes = xp.concatenate([x, x]), xp.concatenate([label, none])
            v = self.net(Tensor(both), xp.full(len(both), t), classes).data
            with_class, without = v[: len(x)], v[len(x) :]
            return without + guidance * (with_class - without)

        return velocity

    def _classes(self, label: Any, n: int) -> Array | None:
        """label (n,) as integers on the model's device; None if there is none."""
        if label is None:
            return None
        if not self.classes:
            raise ValueError("Diffusion: this model has no classes; pass no label")
        weight = next(iter(self.parameters())).data
        label = to_device(whole_numbers("Diffusion", label, weight), device_of(weight))
        if label.shape != (n,):
            raise ShapeError(f"Diffusion: label must be ({n},), got shape {label.shape}")
        return label


def flow(
    velocity: Callable[[Array, float], Array], x: Array, steps: int, method: str = "heun"
) -> Array:
    """The path of x at the times 0, 1 / steps, ... 1 under dx/dt = velocity(x, t).

    Euler's method follows the velocity at the start of each step. Heun's takes the mean of that
    and of the velocity at the end, so that the error falls with steps^-2 instead of steps^-1.
    """
    path = [x]
    for i in range(steps):
        t, end = i / steps, (i + 1) / steps
        v = velocity(x, t)
        ahead = x + v / steps
        x = ahead if method == "euler" else x + (v + velocity(ahead, end)) / (2 * steps)
        path.append(x)
    return array_module(x).stack(path)


def _draw(rng: Generator | None, name: str, shape: tuple[int, ...], like: Array | Tensor) -> Array:
    """A draw with a row for each image of the batch, of the dtype and on the device of `like`."""
    random, whole = draw_of_batch(rng, shape)
    device = like.device if isinstance(like, Tensor) else device_of(like)
    return getattr(random, name)(whole, dtype=like.dtype, device=device)
