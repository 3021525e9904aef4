"""Training steps in minigen. Each function returns a step and the shapes of its parameters.

A step returns its loss, of the GAN that of the generator.
"""

import warnings
from collections.abc import Callable

import minigen as mg
from minigen import models, nn, optim
from minigen.backend.arrays import cupy
from minigen.training.cuda_graphs import WARM_UP, Captured, capture
from workloads.profiling import profile  # noqa: F401 - called by measuring.on_cpu

Workload = tuple[Callable[[], mg.Tensor], list[tuple[int, ...]]]


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
        return lost

    return step, shapes_of(model)


def shapes_of(*parts: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for part in parts for p in part.parameters()]


def vae(batch: int, hidden: int, device: str = "cpu") -> Workload:
    rng = mg.Generator(0)
    model = models.VAE(hidden=hidden, rng=rng, device=device)
    x = mg.Tensor(rng.uniform((batch, 784), device=device))
    return workload(model, lambda: model.loss(x)[0])


def gan(batch: int, device: str = "cpu") -> Workload:
    """The step of examples/gan.py: only gradients that an optimizer uses are computed."""
    rng = mg.Generator(0)
    factory = {"rng": rng, "device": device}
    generator, discriminator = models.Generator(**factory), models.Discriminator(**factory)
    rate = {"lr": 5e-4, "betas": (0.5, 0.999)}
    of_generator = optim.Adam(generator.parameters(), **rate)
    of_discriminator = optim.Adam(discriminator.parameters(), **rate)
    real = mg.Tensor(rng.uniform((batch, 784), -1, 1, device=device))

    def step():
        fake = generator(mg.Tensor(rng.normal((batch, 100), device=device)))
        lost = models.non_saturating.critic(discriminator, real, fake, 0.1)
        of_discriminator.step(mg.grad(lost, of_discriminator.params))
        lost = models.non_saturating.generator(discriminator, fake)
        of_generator.step(mg.grad(lost, of_generator.params))
        return lost

    return step, shapes_of(generator, discriminator)


def cnn(
    batch: int, channels: int, side: int, widths: tuple[int, int], device: str = "cpu"
) -> Workload:
    rng = mg.Generator(0)
    model = models.CNN(channels=channels, side=side, widths=widths, rng=rng, device=device)
    x = mg.Tensor(rng.normal((batch, channels, side, side), device=device))
    label = rng.integers(0, 10, batch, device=device)
    return workload(model, lambda: model.loss(x, label))


def lstm(batch: int, hidden: int, device: str = "cpu") -> Workload:
    rng = mg.Generator(0)
    model = models.LSTMClassifier(28, hidden, rng=rng, device=device)
    x = mg.Tensor(rng.normal((batch, 28, 28), device=device))
    label = rng.integers(0, 10, batch, device=device)
    return workload(model, lambda: model.loss(x, label))


def gpt(
    batch: int, block: int, layers: int, width: int, heads: int = 4, device: str = "cpu"
) -> Workload:
    rng = mg.Generator(0)
    model = models.GPT(65, block, layers, heads, width, rng=rng, device=device)
    ids, targets = rng.integers(0, 65, (2, batch, block), device=device)
    return workload(model, lambda: model.loss(ids, targets))


def tanh(batch: int, device: str = "cpu") -> Workload:
    rng = mg.Generator(0)
    factory = {"rng": rng, "device": device}
    model = nn.Sequential(
        *(nn.Linear(2, 16, **factory), nn.Tanh()),
        *(nn.Linear(16, 16, **factory), nn.Tanh()),
        nn.Linear(16, 1, **factory),
    )
    x, y = (mg.Tensor(rng.normal((batch, n), device=device)) for n in (2, 1))
    return workload(model, lambda: mg.mse_loss(model(x), y), lambda p: optim.SGD(p, lr=0.01))


# -------------------------------------------------------------------------------- on a GPU


def set_precision(precision: str) -> None:
    mg.set_matmul_precision(precision)


def prepared(step: Callable, captured: bool) -> Callable:
    """The step after its first runs; if captured, replayed from one CUDA graph.

    Memory that only the first runs and the initial weights needed is freed: it is not counted.
    """
    if captured:
        step = capture(step)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "capture: ")  # such a step would run eagerly
        for _ in range(WARM_UP + 1):
            step()
    cupy().cuda.Device().synchronize()  # raises here if a step failed
    cupy().get_default_memory_pool().free_all_blocks()
    return step


def device_seconds(step: Callable, repeats: int) -> float:
    """The mean time of one step over `repeats` in a row, by events on the GPU."""
    cuda = cupy().cuda
    start, end = cuda.Event(), cuda.Event()
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    end.synchronize()
    return cuda.get_elapsed_time(start, end) * 1e-3 / repeats


def device_bytes(step: Callable) -> int:
    """The bytes that CuPy's pools hold of the GPU: arrays, and gaps between them at the peak."""
    pools = [cupy().get_default_memory_pool()]
    if isinstance(step, Captured):
        pools.append(step.recording.pool)
    return sum(pool.total_bytes() for pool in pools)
