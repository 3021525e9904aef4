"""One rank of benchmarks/scaling.py, which starts it: it answers questions about a net's steps.

    python scaling_ranks.py FOLDER NET

Several groups of ranks take turns on the same cores, so a rank waits for its next question asleep:
it looks for the files question-0.json, question-1.json, ... in the folder of its group, and rank 0
writes answer-0.json, ...
"""

import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scaling_model import Network, Work
from scaling_networks import SlowWorld

import minigen as mg
from minigen import distributed, models
from minigen.autodiff.reducers import Reducer
from minigen.communication.rows import Rows

PAUSE = 0.02  # seconds between two looks for a question: 8 idle ranks take less than 1 % of a core
SLOW = Network(latency=1e-3, bandwidth=1e9)  # of the mode "slow ..."
AT_ONCE = 8  # sums that are timed together
STEPS_BEFORE = 3  # that fill caches, pools and compiled kernels


class Net(NamedTuple):
    """A model, its loss as a function of the rows that a rank works on, and rows in all."""

    model: Any
    loss: Callable[[Rows], Any]
    batch: int


def vae(rng: mg.Generator) -> Net:
    model = models.VAE(rng=rng)
    x = rng.uniform((128, 784))
    return Net(model, lambda rows: model.loss(mg.Tensor(x[rows.start : rows.stop]))[0], 128)


def cnn(rng: mg.Generator) -> Net:
    model = models.CNN(rng=rng)
    x, labels = rng.normal((64, 1, 28, 28)), rng.integers(0, 10, 64)

    def loss(rows):
        part = slice(rows.start, rows.stop)
        return model.loss(mg.Tensor(x[part]), labels[part])

    return Net(model, loss, 64)


def gpt(rng: mg.Generator, batch: int = 12, context: int = 64, vocab: int = 65, **sizes) -> Net:
    model = models.GPT(vocab, context, **sizes, rng=rng)
    ids, targets = rng.integers(0, vocab, (2, batch, context))

    def loss(rows):
        part = slice(rows.start, rows.stop)
        return model.loss(ids[part], targets[part])

    return Net(model, loss, batch)


def gpt2(rng: mg.Generator, batch: int = 1, tokens: int = 1024) -> Net:
    """GPT-2's 124M parameters (Radford et al. 2019), on sequences of that many tokens."""
    model = models.GPT(50257, 1024, 12, 12, 768, rng=rng)
    ids, targets = rng.integers(0, 50257, (2, batch, tokens))
    return Net(model, lambda rows: model.loss(ids[: rows.stop], targets[: rows.stop]), batch)


# The sizes and batches of examples/vae.py, cnn.py and gpt.py, and a GPT with four times the tokens.
NETS: dict[str, Callable[[mg.Generator], Net]] = {
    "vae": vae,
    "cnn": cnn,
    "gpt": gpt,
    "gpt-32x128": lambda rng: gpt(rng, batch=32, context=128),
}


class Clock(Reducer):
    """Notes when the gradient of each leaf is complete; it leaves them as they are.

    It counts the time of the thread on a core: so the times of a rank with one thread do not
    depend on what else takes turns on the cores.
    """

    now = staticmethod(time.thread_time)

    def __init__(self):
        self.completions: dict[Any, tuple[Any, float]] = {}

    def completed(self, found, leaf, gradient):
        self.completions[leaf] = gradient(), self.now()

    def ended(self, found):
        found.update((leaf, g) for leaf, (g, _) in self.completions.items())


class Stepper:
    """The steps of a net on this rank: alone, or with gradients summed over all ranks."""

    def __init__(self, net: Net, world: distributed.World):
        self.net, self.world = net, world
        self.worlds = world, SlowWorld(world, SLOW)
        self.parameters = list(net.model.parameters())
        self.leaves = [p.node for p in self.parameters]
        self.optimizer = mg.optim.Adam(self.parameters, lr=1e-3)
        self.clock = Clock()
        self.reducers: dict[str, Reducer | None] = {"alone": None, "clock": self.clock}
        for prefix, joined in zip(("", "slow "), self.worlds):
            for mode in ("overlap", "blocking"):
                distributed.Synchronous(self.optimizer, joined, overlap=mode == "overlap")
                self.reducers[prefix + mode] = self.leaves[0].reducer

    def use(self, mode: str) -> None:
        self.world.in_step = mode not in ("alone", "clock")
        for leaf in self.leaves:
            leaf.reducer = self.reducers[mode]

    def step(self, rows: Rows, now: Callable[[], float] = time.perf_counter) -> list[float]:
        """Take a step; the times at which it began, walked back, had gradients, and ended."""
        begun = now()
        for world in self.worlds:
            world.rows = rows
        loss = self.net.loss(rows)
        self.optimizer.zero_grad()
        forward = now()
        loss.backward()
        backward = now()
        self.optimizer.step()
        return [begun, forward, backward, now()]

    def rows(self) -> int:
        """Of the batch of all ranks together."""
        return self.net.batch

    def steps(self, mode: str, steps: int) -> list[float]:
        """Seconds of each of `steps` steps on this rank's rows of the batch."""
        self.use(mode)
        rows = self.world.split(self.net.batch)
        self.step(rows)
        self.world.barrier()
        ends = [time.perf_counter(), *(self.step(rows)[-1] for _ in range(steps))]
        return [after - before for before, after in itertools.pairwise(ends)]

    def work(self, rows: int, steps: int) -> Work:
        """The medians of the parts of a step on that many rows; a bucket for each parameter."""
        self.use("clock")
        part = Rows(0, rows, rows, 1.0)
        self.clock.completions.clear()
        self.step(part)
        self.world.barrier()
        times, completions = [], []
        for _ in range(steps):
            self.clock.completions.clear()
            times.append(self.step(part, self.clock.now))
            completions.append([t - times[-1][1] for _, t in self.clock.completions.values()])
        forward, backward, update = (
            statistics.median(t[i + 1] - t[i] for t in times) for i in range(3)
        )
        ready = tuple(statistics.median(column) for column in zip(*completions))
        sizes = {p.node: p.data.nbytes for p in self.parameters}
        order = tuple(sizes[leaf] for leaf in self.clock.completions)
        return Work(forward, ready, backward, update, order)

    def reductions(
        self, sizes: Sequence[int], repeats: int, least: bool
    ) -> list[tuple[float, ...]]:
        """For arrays of those bytes: seconds to fill and start a sum, and to finish it.

        The median of the repeats, or the least.
        """
        middle = min if least else statistics.median
        found = []
        for size in sizes:
            # Several at once, as in a step: ranks that leave a barrier one after another wait for
            # each other once, not for each sum.
            gradients = [np.ones(size // 4, np.float32) for _ in range(AT_ONCE)]
            sums, times = self.world.reductions(gradients), []
            for _ in range(repeats):
                self.world.barrier()
                begun = time.perf_counter()
                for i, gradient in enumerate(gradients):
                    sums.ready(i)
                    np.multiply(gradient, np.float32(0.5), out=sums.slots[i])
                    sums.start(i)
                started = time.perf_counter()
                for i in range(AT_ONCE):
                    sums.finish(i)
                times.append((started - begun, time.perf_counter() - started))
            found.append(tuple(middle(column) / AT_ONCE for column in zip(*times)))
        return found


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    world = distributed.start()
    stepper = Stepper(NETS[name](mg.Generator(0)), world)
    with world.busy("compiling"):
        for mode in ("overlap", "blocking", "slow overlap", "slow blocking"):
            stepper.steps(mode, STEPS_BEFORE)
    for i in itertools.count():
        question = folder / f"question-{i}.json"
        with world.busy("waiting for a turn"):
            while not question.exists():
                time.sleep(PAUSE)
        kind, arguments = json.loads(question.read_text())
        if kind == "end":
            return
        answers = world.gather(getattr(stepper, kind)(**arguments))
        if world.rank == 0:
            write_whole(folder / f"answer-{i}.json", answers)


def write_whole(path: Path, value: Any) -> None:
    """Write JSON so that nobody reads a part of it."""
    path.with_suffix(".new").write_text(json.dumps(value))
    os.replace(path.with_suffix(".new"), path)


if __name__ == "__main__":
    main()
