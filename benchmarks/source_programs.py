"""What `run.source()` writes, beside the engine: errors, lines, and the time to write and to run.

First, a program for each op of the registry, for random programs, and for gradients of gradients:
the largest error of outputs and gradients, max |got - want| / max(1, max |want|), in float64.
Random programs run on the recorded arguments and on others. Second, a table of the models.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

import minigen as mg
from minigen import models, study
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices
from minigen.testing.source_programs import (
    arguments_of,
    error,
    error_of_case,
    error_of_drawn,
    run_program,
)

STACK = {"width": 8, "heads": 2, "layers": 2, "hidden": 16}


def settings(seed: int = 0) -> dict:
    return {"rng": mg.Generator(seed), "dtype": np.float64}


def uniform(*shape: int) -> mg.Tensor:
    return mg.Tensor(mg.Generator(1).uniform(shape, dtype=np.float64))


def ids(*shape: int, high: int = 7) -> np.ndarray:
    return mg.Generator(2).integers(1, high, shape)


def one(model: mg.nn.Module, loss: Callable) -> tuple[list, Callable]:
    """A model, and a step of it: the losses from which it has called backward."""

    def step():
        value = loss(model)
        value = value[0] if isinstance(value, tuple) else value
        value.backward()
        return [value]

    return [model], step


def adversarial(generator, critic, shape, objective) -> tuple[list, Callable]:
    """Both steps of a GAN; the critic's gradients of the first are dropped."""
    z, x = uniform(5, 3), uniform(*shape)
    more = (10.0, mg.Generator(4)) if objective is models.wasserstein_gp else ()

    def step():
        first = objective.critic(critic, x, generator(z), *more)
        first.backward()
        critic.zero_grad()
        second = objective.generator(critic, generator(z))
        second.backward()
        return [first, second]

    return [critic, generator], step


def recurrent(kind: str) -> tuple[list, Callable]:
    """A recurrent layer whose last state a dense layer maps to classes."""
    layer = getattr(mg.nn, kind)(4, 6, **settings())
    head = mg.nn.Linear(6, 3, **settings())
    x, label = uniform(3, 5, 4), ids(3, high=3)

    def step():
        loss = mg.ops.cross_entropy(head(layer(x)[0][:, -1]), label)
        loss.backward()
        return [loss]

    return [layer, head], step


def gans() -> dict[str, Callable]:
    dense = lambda: (
        models.Generator(3, (8,), 12, **settings()),
        models.Discriminator(12, (8,), **settings(1)),
        (5, 12),
    )
    convolutional = lambda: (
        models.DCGenerator(3, 4, side=8, **settings()),
        models.DCDiscriminator(4, side=8, **settings(1)),
        (5, 1, 8, 8),
    )
    return {
        f"{name}, {loss}": lambda make=make, loss=loss: adversarial(*make(), getattr(models, loss))
        for name, make in (("GAN", dense), ("DCGAN", convolutional))
        for loss in ("non_saturating", "wasserstein_gp")
    }


MODELS: dict[str, Callable] = {
    "VAE": lambda: one(models.VAE(3, 8, pixels=12, **settings()), lambda m: m.loss(uniform(5, 12))),
    "ConvVAE": lambda: one(
        models.ConvVAE(3, 8, side=8, widths=(2, 3), **settings()),
        lambda m: m.loss(uniform(5, *m.shape)),
    ),
    **gans(),
    "CNN": lambda: one(
        models.CNN(4, side=8, widths=(2, 3), hidden=6, **settings()),
        lambda m: m.loss(uniform(3, 1, 8, 8), ids(3, high=4)),
    ),
    **{f"{kind} classifier": lambda kind=kind: recurrent(kind) for kind in ("RNN", "GRU", "LSTM")},
    "LSTMClassifier": lambda: one(
        models.LSTMClassifier(4, 6, 5, **settings()),
        lambda m: m.loss(uniform(3, 7, 4), ids(3, high=5)),
    ),
    "CharLSTM": lambda: one(
        models.CharLSTM(7, 4, 6, **settings()), lambda m: m.loss(ids(3, 6), ids(3, 6))
    ),
    "GPT": lambda: one(
        models.GPT(7, 6, 2, 2, 8, **settings()), lambda m: m.loss(ids(3, 6), ids(3, 6))
    ),
    "Seq2SeqTransformer": lambda: one(
        models.Seq2SeqTransformer(7, 7, **STACK, **settings()),
        lambda m: m.loss(ids(3, 6), ids(3, 5)),
    ),
    "TransformerClassifier": lambda: one(
        models.TransformerClassifier(7, 4, **STACK, **settings()),
        lambda m: m.loss(ids(3, 6), ids(3, high=4)),
    ),
}


def row(name: str, fused: bool) -> str:
    """A line of the table of models."""
    modules, step = MODELS[name]()
    with study.record() as run:
        losses = step()
    start = time.perf_counter()
    text = run.source(fused)
    writing = time.perf_counter() - start
    start = time.perf_counter()
    outputs, gradients = run_program(text, arguments_of(run))
    running = time.perf_counter() - start
    assert "minigen" not in text
    errors = [error(y, loss.data) for y, loss in zip(outputs, losses, strict=True)]
    for module in modules:
        for path, p in module.named_parameters():
            names = [n for n in gradients if n.endswith(path.replace(".", "_"))]
            if p.grad is not None:
                errors.append(min(error(gradients[n], p.grad.data) for n in names))
    lines, steps = len(text.splitlines()), len(run.steps)
    times = f"{writing * 1e3:.0f} | {running * 1e3:.1f}"
    return f"| {name} | {steps} | {lines} | {max(errors):.0e} | {times} |"


def report(what: str, errors: list[float]) -> None:
    wrong = sum(not e < 1e-12 for e in errors)
    print(f"{what}: {len(errors)} programs, {wrong} wrong, largest error {max(errors):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=2000, help="random programs")
    parser.add_argument("--second", type=int, default=50, help="random programs of second order")
    parser.add_argument("--draws", type=int, default=3, help="calls of each op")
    parser.add_argument("--fused", action="store_true", help="write fused ops as functions")
    arguments = parser.parse_args()
    choices = lambda seed: Choices(np.random.default_rng(seed))
    calls = [(draw_call(name, choices(i)), i) for name in CASES for i in range(arguments.draws)]
    report("every op", [error_of_case(call, i, fused=arguments.fused) for call, i in calls])
    report("random programs", [error_of_drawn(seed) for seed in range(arguments.programs)])
    second = [error_of_drawn(seed, order=2) for seed in range(arguments.second)]
    report("gradients of gradients", second)
    print(
        "\n| model | steps | lines | error | ms to write | ms to run |\n|---|---|---|---|---|---|"
    )
    for name in MODELS:
        print(row(name, arguments.fused), flush=True)


if __name__ == "__main__":
    main()
