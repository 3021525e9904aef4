"""Ranks of one thread each beside one process with as many threads, and what overlap hides.

    python benchmarks/ranks.py --net vae,cnn,gpt --ranks 2
    python benchmarks/ranks.py --net gpt_long --slow

Starts both by itself (mpiexec for the ranks), which then take turns: one process, ranks with sums
that overlap the walk, with sums after the walk (blocking), and without sums. The step has the same
batch in all. With --slow the sums go over a link that takes 1 ms + bytes / (1 GB/s) for each, one
after another, while the rank sleeps: then nothing but waiting is to be hidden.

hidden = 1 - (overlap - without) / (blocking - without), from the medians of turns; with --slow it
is 1 - (time asleep in the turns with overlap) / (time that their sums took on the link). The ratios
are medians over rounds, each of turns side by side. They are right on a quiet machine only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measuring import known_names, line

import minigen as mg
from minigen import distributed, models, optim
from minigen.backend.arrays import Array
from minigen.communication.world import Reductions, World

SECONDS = 1.0  # of a turn
LATENCY, BANDWIDTH = 1e-3, 1e9  # of the slow link
NETS = {  # the sizes of the examples
    "vae": {"batch": 128},
    "cnn": {"batch": 64},
    "gpt": {"batch": 12, "context": 64},
    "gpt_long": {"batch": 32, "context": 128},
}
MODES = "overlap", "blocking", "without"


# --------------------------------------------------------------------------- worlds to compare


class SlowWorld(World):
    """A World whose sums take LATENCY + bytes / BANDWIDTH, one after another on one link."""

    def __init__(self, world: World):
        super().__init__()
        self.world, self.rank, self.size = world, world.rank, world.size
        self.free = self.taken = self.slept = 0.0  # the link is free then; seconds
        self.share, self.broadcast, self.all_reduce = world.share, world.broadcast, world.all_reduce

    def reductions(self, like: Sequence[Array]) -> Reductions:
        return SlowReductions(self, like)


class SlowReductions(Reductions):
    def __init__(self, world: SlowWorld, like: Sequence[Array]):
        self.world, self.ends = world, {}
        self.inner = world.world.reductions(like)
        self.slots, self.ready, self.poll = self.inner.slots, self.inner.ready, self.inner.poll

    def start(self, i: int) -> None:
        self.inner.start(i)
        begin = max(time.perf_counter(), self.world.free)
        taken = LATENCY + self.slots[i].nbytes / BANDWIDTH
        self.world.taken += taken
        self.ends[i] = self.world.free = begin + taken

    def finish(self, i: int) -> Array:
        pause = max(self.ends[i] - time.perf_counter(), 0)
        self.world.slept += pause
        time.sleep(pause)
        return self.inner.finish(i)


class SilentWorld(World):
    """Ranks that sum nothing over each other: what a step takes without communication."""

    def __init__(self, world: World):
        super().__init__()
        self.rank, self.size = world.rank, world.size


# -------------------------------------------------------------------------------- what is timed


def net(name: str, world: World, rows: slice) -> tuple[Any, Callable]:
    """A model and its loss on the rows of a batch."""
    rng, sizes = mg.Generator(0), NETS[name]
    batch = sizes["batch"]
    if name == "vae":
        model, x = models.VAE(rng=rng), mg.Tensor(rng.uniform((batch, 784))[rows])
        return model, lambda: model.loss(x)[0]
    if name == "cnn":
        model = models.CNN(rng=rng)
        x, y = mg.Tensor(rng.normal((batch, 1, 28, 28))[rows]), rng.integers(0, 10, batch)[rows]
        return model, lambda: model.loss(x, y)
    model = models.GPT(vocab=65, context=sizes["context"], rng=rng)
    ids = rng.integers(0, 65, (batch, sizes["context"] + 1))[rows]
    return model, lambda: model.loss(ids[:, :-1], ids[:, 1:])


def stepper(name: str, mode: str, world: World, slow: bool) -> Callable:
    """A function that takes a step."""
    batch = NETS[name]["batch"]
    rows = world.split(batch)
    model, loss_of = net(name, world, slice(rows.start, rows.stop))
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    if world.size > 1:
        inner = SilentWorld(world) if mode == "without" else SlowWorld(world) if slow else world
        inner.rows = rows
        optimizer = distributed.Synchronous(optimizer, inner, overlap=mode == "overlap")

    def step():
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step.nbytes = sum(p.data.nbytes for p in optimizer.params)
    step.world = getattr(optimizer, "world", world)
    return step


def serve(name: str, slow: bool) -> None:
    """Answer lines "mode seconds" on rank 0's input with JSON: seconds of a step, and bytes."""
    world, steps = distributed.start(), {}
    while True:
        question = sys.stdin.readline().split() if world.rank == 0 else None
        question = world.share(question)
        if not question:
            return
        mode, seconds = question[0], float(question[1])
        if mode not in steps:
            steps[mode] = stepper(name, mode, world, slow)
            for _ in range(4):
                steps[mode]()
        step, times = steps[mode], []
        world.barrier()
        stop, going = time.perf_counter() + seconds, True
        while going:
            for _ in range(5):
                start = time.perf_counter()
                step()
                times.append(time.perf_counter() - start)
            going = world.share(time.perf_counter() < stop)
        if world.rank == 0:
            answer = {"step": sum(times) / len(times), "bytes": step.nbytes}
            if isinstance(step.world, SlowWorld):
                answer["hidden"] = 1 - step.world.slept / step.world.taken
            print(json.dumps(answer), flush=True)


# ----------------------------------------------------------------------------------- the table


class Group:
    """n ranks, or one process, that step when they are asked to."""

    def __init__(self, name: str, ranks: int, threads: int, slow: bool):
        here = Path(__file__).parent
        path = os.pathsep.join([str(here.parent), str(here), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
        beside = Path(sys.executable).parent / "mpiexec"
        start = [str(beside) if beside.exists() else "mpiexec", "-n", str(ranks)]
        command = [sys.executable, __file__, "--serve", name, *["--slow"] * slow]
        self.process = subprocess.Popen(
            start * (ranks > 1) + command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, mode: str, seconds: float) -> dict:
        print(mode, seconds, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("a group of ranks failed; its error is printed above")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(name: str, ranks: int, slow: bool, rounds: int, seconds: float) -> dict:
    """Seconds of a step in each round for each mode, "alone" among them; and bytes of a step."""
    groups = {"alone": Group(name, 1, ranks, slow)}
    groups |= dict.fromkeys(MODES, Group(name, ranks, 1, slow))
    times, hidden = {mode: [] for mode in groups}, None
    for i in range(rounds + 1):  # the first compiles and fills caches
        order = list(groups) if i % 2 else list(groups)[::-1]
        for mode in order:
            answer = groups[mode].ask(mode, seconds if i else 0)
            if i:
                times[mode].append(answer["step"])
                hidden = answer.get("hidden") if mode == "overlap" else hidden
    for group in dict.fromkeys(groups.values()):
        group.close()
    return {**times, "bytes": answer["bytes"], "hidden": hidden}


def report(name: str, times: dict) -> None:
    middle = {mode: 1e3 * statistics.median(times[mode]) for mode in ("alone", *MODES)}
    ratio = lambda a, b: statistics.median(x / y for x, y in zip(times[a], times[b]))
    cost = middle["blocking"] - middle["without"]
    hidden = times["hidden"]
    if hidden is None and cost > 0:
        hidden = 1 - (middle["overlap"] - middle["without"]) / cost
    cells = [*middle.values(), ratio("alone", "overlap"), ratio("blocking", "overlap"), hidden]
    line(name, [*cells, times["bytes"] / 1e6])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--net", type=known_names(NETS), default=list(NETS), help="names, by commas"
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--slow", action="store_true", help="sums over a slow link")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a turn")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.slow)
        return
    print(f"milliseconds of a step; {args.ranks} ranks of 1 thread, alone: {args.ranks} threads")
    print("steps a second: ranks / alone, overlap / blocking; megabytes of gradients")
    heads = ["alone", *MODES, "ranks/alone", "over/block", "hidden", "MB"]
    line("", heads)
    for name in args.net:
        report(name, measure(name, args.ranks, args.slow, args.rounds, args.seconds))


if __name__ == "__main__":
    main()
