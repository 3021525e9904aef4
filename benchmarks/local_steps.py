"""Test losses of local steps beside those of synchronous steps, at equal samples.

    mpiexec -n 2 python benchmarks/local_steps.py

For each seed a model is trained from the same weights, on the same batches and with the same
learning rates, once synchronously and once with each setting of local steps, in turns. The table
has the mean test loss over the seeds and its change beside synchronous, the losses of each seed,
and the bytes a step that a rank gives to sums. VAE and CNN train on MNIST's digits (with
MINIGEN_DATA those there), at a constant rate; GPT on a text, with a warm-up and a cosine.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import minigen as mg
from minigen import distributed, schedule
from minigen.data import DataLoader, mnist
from minigen.models import CNN, GPT, VAE
from minigen.optim import Adam, AdamW, Optimizer
from minigen.training.texts import text_data, text_loss, windows

# Outer learning rate and outer momentum; None: synchronous. Along a direction that keeps the sign
# of its change, momentum makes steps outer_lr / (1 - outer_momentum) times as long: 7, 1.75, 1.
SETTINGS = {
    "synchronous": None,
    "0.7/0.9": (0.7, 0.9),  # the paper's, and the default
    "0.7/0.6": (0.7, 0.6),
    "1/0": (1.0, 0.0),  # means of the weights
}
RATE, CONTEXT, WINDOWS = 1e-3, 32, 16
EVALUATED = 500  # windows of the test text


class Task(NamedTuple):
    """What is trained: batches(world) is endless, loss is of a batch, test_loss of the test set."""

    model: Any
    optimizer: Optimizer
    rate: Callable[[int], float]  # of a step, times RATE
    batches: Callable[[Any], Iterator]
    loss: Callable[..., Any]
    test_loss: Callable[[], float]


def vae(rng: mg.Generator, steps: int) -> Task:
    images, _, test, _ = mnist()
    model = VAE(rng=rng)
    loss = lambda x: model.loss(mg.tensor(x.reshape(-1, 784)) / 255)[0]

    @mg.no_grad()
    def test_loss():
        model.rng = mg.Generator(0)  # the same noise for all
        value = np.mean([loss(x).item() for x in np.split(test, 4)])
        model.rng = rng
        return value

    batches = lambda world: digits(world, rng, 128, images)
    optimizer = Adam(model.parameters(), lr=RATE)
    return Task(model, optimizer, lambda i: 1.0, batches, lambda x: loss(x), test_loss)


def cnn(rng: mg.Generator, steps: int) -> Task:
    images, labels, test, test_labels = mnist()
    model = CNN(widths=(16, 32), hidden=64, rng=rng)
    loss = lambda x, y: model.loss(mg.tensor(x[:, None]) / 255, y)

    @mg.no_grad()
    def test_loss():
        parts = zip(np.split(test, 4), np.split(test_labels, 4))
        return np.mean([loss(x, y).item() for x, y in parts])

    batches = lambda world: digits(world, rng, 64, images, labels)
    optimizer = Adam(model.parameters(), lr=RATE)
    return Task(model, optimizer, lambda i: 1.0, batches, loss, test_loss)


def digits(world: Any, rng: mg.Generator, batch: int, *arrays: np.ndarray) -> Iterator:
    """Batches of one epoch after the other, each whole."""
    data = arrays if len(arrays) > 1 else arrays[0]
    loader = DataLoader(data, batch, shuffle=True, rng=rng, world=world, drop_last=True)
    while True:
        for x in loader:
            yield x if isinstance(x, tuple) else (x,)


def gpt(rng: mg.Generator, steps: int) -> Task:
    path = os.path.join(os.environ.get("MINIGEN_DATA", "."), "tinyshakespeare.txt")
    vocabulary, train, test = text_data(path, CONTEXT)
    model = GPT(len(vocabulary), CONTEXT, layers=2, heads=4, width=64, rng=rng)

    def batches(world):
        while True:
            rows = world.split(WINDOWS)
            starts = rng.rows(rows.start, rows.stop).integers(0, len(train) - CONTEXT, WINDOWS)
            yield windows(train, starts, CONTEXT)

    test_loss = lambda: text_loss(model, test[: EVALUATED * CONTEXT + 1], CONTEXT)
    optimizer = AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
    rate = schedule.cosine(steps, warmup=steps // 20, floor=0.1)
    return Task(model, optimizer, rate, batches, model.loss, test_loss)


TASKS = {"VAE": (vae, 320), "CNN": (cnn, 240), "GPT": (gpt, 512)}  # and steps


def trained(
    world: Any, name: str, seed: int, outer: tuple[float, float] | None, every: int, scale: float
) -> tuple[float, float]:
    """(test loss, bytes a step) after a training; outer: see SETTINGS."""
    make, steps = TASKS[name]
    steps = max(1, int(steps * scale) // every) * every
    task = make(mg.Generator(seed), steps)
    if outer is None:
        optimizer = distributed.Synchronous(task.optimizer, world)
        sent = sum(p.data.nbytes for p in task.model.parameters())  # all gradients at each step
    else:
        optimizer = distributed.LocalSteps(task.optimizer, world, every, *outer)
    batches = task.batches(world)
    for i in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * task.rate(i)
        loss = task.loss(*next(batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batches.close()
    world.rows = None
    optimizer.synchronize()
    if outer is not None:
        sent = optimizer.bytes_sent / steps
    return float(task.test_loss()), sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    add("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    add("--seeds", type=int, default=3)
    add("--every", type=int, default=16, help="steps between outer steps")
    add("--scale", type=float, default=1.0, help="factor of the numbers of steps")
    add("--quick", action="store_true", help="one seed, a fifth of the steps")
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.scale = 1, args.scale / 5
    world = distributed.start()
    if world.size == 1:
        parser.error("start it on several ranks: mpiexec -n 2 python benchmarks/local_steps.py")
    say = print if world.rank == 0 else lambda *_, **__: None
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in range(args.seeds):
        for name in args.tasks:
            for label in {"synchronous": None} | dict.fromkeys(args.settings):
                outer = SETTINGS[label]
                begun = time.perf_counter()
                value = trained(world, name, seed, outer, args.every, args.scale)
                found.setdefault((name, label), []).append(value)
                seconds = time.perf_counter() - begun
                say(f"seed {seed} {name} {label}: {value[0]:.4f}, {seconds:.0f} s", flush=True)
    say(f"\n{world.size} ranks, every={args.every}\n")
    say("| | outer lr/momentum | test loss | change | of each seed | bytes a step | part |")
    say("|---|---|---|---|---|---|---|")
    for (name, label), values in found.items():
        losses, sent = [x for x, _ in values], values[0][1]
        base = found[name, "synchronous"]
        change = np.mean(losses) / np.mean([x for x, _ in base]) - 1
        each = " ".join(f"{x:.4f}" for x in losses)
        say(
            f"| {name} | {label} | {np.mean(losses):.4f} | {change:+.1%} | {each} | {sent:,.0f} "
            f"| 1/{base[0][1] / sent:.1f} |"
        )


if __name__ == "__main__":
    main()
