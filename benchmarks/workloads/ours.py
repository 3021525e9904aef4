"""Training steps in minigen: each function gives a step and the shapes of what it trains."""

from collections.abc import Callable

import minigen as mg
from minigen import models, nn, optim
from workloads.shares import shares  # noqa: F401 - part of what a child is asked

Workload = tuple[Callable[[], None], list[tuple[int, ...]]]


def set_threads(count: int) -> None:
    if hasattr(mg, "set_num_threads"):
        mg.set_num_threads(count)


def workload(model: nn.Module, loss: Callable, optimizer: Callable = optim.Adam) -> Workload:
    """Forward, zero_grad, backward and the optimizer's step."""
    optimizer = optimizer(model.parameters())

    def step():
        lost = loss()
        optimizer.zero_grad()
        lost.backward()
        optimizer.step()

    return step, shapes_of(model)


def shapes_of(*parts: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for part in parts for p in part.parameters()]


def vae(batch: int, hidden: int) -> Workload:
    rng = mg.Generator(0)
    model, x = models.VAE(hidden=hidden, rng=rng), mg.Tensor(rng.uniform((batch, 784)))
    return workload(model, lambda: model.loss(x)[0])


def gan(batch: int) -> Workload:
    """The step of examples/gan.py: no gradient is made that no optimizer asks for."""
    rng = mg.Generator(0)
    generator, discriminator = models.Generator(rng=rng), models.Discriminator(rng=rng)
    rate = {"lr": 5e-4, "betas": (0.5, 0.999)}
    of_generator = optim.Adam(generator.parameters(), **rate)
    of_discriminator = optim.Adam(discriminator.parameters(), **rate)
    real = mg.Tensor(rng.uniform((batch, 784), -1, 1))

    def step():
        fake = generator(mg.Tensor(rng.normal((batch, 100))))
        lost = models.non_saturating.critic(discriminator, real, fake, 0.1)
        of_discriminator.step(mg.grad(lost, discriminator.parameters()))
        lost = models.non_saturating.generator(discriminator, fake)
        of_generator.step(mg.grad(lost, generator.parameters()))

    return step, shapes_of(generator, discriminator)


def cnn(batch: int, channels: int, side: int, widths: tuple[int, int]) -> Workload:
    rng = mg.Generator(0)
    model = models.CNN(channels=channels, side=side, widths=widths, rng=rng)
    x, label = mg.Tensor(rng.normal((batch, channels, side, side))), rng.integers(0, 10, batch)
    return workload(model, lambda: model.loss(x, label))


def lstm(batch: int, hidden: int) -> Workload:
    rng = mg.Generator(0)
    model = models.LSTMClassifier(28, hidden, rng=rng)
    x, label = mg.Tensor(rng.normal((batch, 28, 28))), rng.integers(0, 10, batch)
    return workload(model, lambda: model.loss(x, label))


def gpt(batch: int, block: int, layers: int, width: int) -> Workload:
    rng = mg.Generator(0)
    model = models.GPT(65, block, layers, 4, width, rng=rng)
    ids, targets = rng.integers(0, 65, (2, batch, block))
    return workload(model, lambda: model.loss(ids, targets))


def tanh(batch: int) -> Workload:
    rng = mg.Generator(0)
    kind = {"rng": rng}
    model = nn.Sequential(
        *(nn.Linear(2, 16, **kind), nn.Tanh()),
        *(nn.Linear(16, 16, **kind), nn.Tanh()),
        nn.Linear(16, 1, **kind),
    )
    x, y = mg.Tensor(rng.normal((batch, 2))), mg.Tensor(rng.normal((batch, 1)))
    return workload(model, lambda: mg.mse_loss(model(x), y), lambda p: optim.SGD(p, lr=0.01))
