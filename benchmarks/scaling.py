"""Training steps on 1, 2 and 4 ranks of one thread beside one process with as many threads.

    python benchmarks/scaling.py [--quick] [--only vae,cnn,gpt,gpt-32x128] [--turns N] [--json FILE]
    python benchmarks/scaling.py --plan [--figure FILE]

The first command prints, for each net: steps a second and the ratio of ranks to threads, bytes that
a rank adds to the sums in a step, the share of their time that is hidden behind the walk, and the
step that scaling_model.py predicts beside the measured one. All processes of a net are started
first and then take turns, in another order in each turn; every figure is a median over turns, every
ratio one of times of the same turn, because machines change their speed within seconds. Five
minutes, with --quick one.

The prediction uses no time of a step that communicates. Its parts are
- the times of forward, walk and update of two ranks that run at the same time without
  communication, on as many rows as they have: so both cores are busy, and share memory and clock;
- on 4 ranks and c cores these times 4 / c: ranks beyond the cores take turns;
- these times the median of the slowest of as many steps of a rank that does not communicate, beside
  that of one: ranks in step wait for each other;
- the times to fill, sum and finish arrays of several sizes (`World.reductions`), fitted by alpha +
  bytes / B; they occupy the rank's own core where ranks share memory, so that nothing hides them.

--plan does the same for networks and numbers of ranks that are not here: see scaling_plan.py.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import cores, known_names, new_file
from scaling_model import (
    Line,
    Network,
    Reduction,
    Step,
    Work,
    fitted,
    median_of_slowest,
    on_shared_cores,
    step,
)
from scaling_ranks import NETS, SLOW, write_whole

from minigen.distributed.buckets import BYTES

# Ranks and threads of each group of processes, all of which take whole batches of the same size.
GROUPS = {
    "1 rank": (1, 1),
    "1 process, 2 threads": (1, 2),
    "2 ranks": (2, 1),
    "1 process, 4 threads": (1, 4),
    "4 ranks": (4, 1),
}
RANKS = {"2 ranks": 2, "4 ranks": 4}
MODES = {
    "2 ranks": ("alone", "overlap", "blocking", "slow overlap", "slow blocking"),
    "4 ranks": ("alone", "overlap", "blocking"),
}
SIZES = (2**14, 2**16, 2**18, 2**20)  # bytes of the arrays whose sums are timed
SECONDS = 0.6  # of steps in a row, in one turn
PATIENCE = 300  # seconds for an answer: kernels may have to be compiled first


class Group:
    """Ranks that train one net and wait, asleep, for their turn; a process alone if ranks is 1."""

    def __init__(self, net: str, ranks: int, threads: int, folder: Path):
        self.folder, self.asked = folder, 0
        folder.mkdir()
        command = [sys.executable, str(Path(__file__).parent / "scaling_ranks.py")]
        if ranks > 1:
            command = [mpiexec(), "-n", str(ranks), *command]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([*command, str(folder), net], env=environment)

    def ask(self, kind: str, **arguments: Any) -> list[Any]:
        """The answers of all ranks: what that method of `scaling_ranks.Stepper` returns."""
        answer = self.folder / f"answer-{self.asked}.json"
        write_whole(self.folder / f"question-{self.asked}.json", [kind, arguments])
        self.asked += 1
        deadline = time.monotonic() + PATIENCE
        while not answer.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"ranks ended or did not answer: {self.process.args}")
            time.sleep(0.005)
        return json.loads(answer.read_text())

    def close(self) -> None:
        write_whole(self.folder / f"question-{self.asked}.json", ["end", {}])
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.terminate()


def mpiexec() -> str:
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    return found or sys.exit("there is no mpiexec: pip install 'minigen[mpi]' brings one")


def steps_of(group: Group, mode: str, steps: int) -> list[float]:
    """The seconds of each step of rank 0; ranks in step end their steps together."""
    return group.ask("steps", mode=mode, steps=steps)[0]


def work_of(group: Group, rows: int, steps: int) -> Work:
    """The work of the slower rank, since the other one waits for it."""
    works = [Work(*answer) for answer in group.ask("work", rows=rows, steps=steps)]
    return max(works, key=lambda work: work.seconds)


def reductions_of(group: Group, repeats: int, least: bool) -> tuple[Line, Line]:
    """(before, after): seconds to fill and start a sum, and to finish it, by its bytes."""
    times = group.ask("reductions", sizes=SIZES, repeats=repeats, least=least)[0]
    return tuple(fitted(SIZES, [pair[i] for pair in times]) for i in (0, 1))


def predicted(work: Work, sums: tuple[Line, Line], network: Network | None = None, **how) -> Step:
    """A step whose sums take time of the core and, with a network, of a link."""
    before, after = sums
    parts = [
        Reduction(
            before.at(size),
            network.latency + size / network.bandwidth if network else 0.0,
            after.at(size),
        )
        for size in work.sizes
    ]
    return step(work, parts, **how)


def turn(
    groups: dict[str, Group], batch: int, steps: int, least: bool, order: random.Random
) -> dict[str, Any]:
    """Times of one turn, and what the model predicts from those without communication."""
    jobs: dict[str, dict[str, Callable[[], Any]]] = {}
    for name, group in groups.items():
        for mode in MODES.get(name, ("alone",)):
            ask = group, mode, steps
            jobs.setdefault(name, {})[mode] = lambda ask=ask: steps_of(*ask)
    for name, ranks in RANKS.items():
        rows = batch // ranks
        jobs[name]["work"] = lambda rows=rows: work_of(groups["2 ranks"], rows, steps)
        jobs[name]["sums"] = lambda group=groups[name]: reductions_of(group, 20, least)
    found: dict[str, Any] = {}
    for name in order.sample(list(jobs), len(jobs)):  # what is compared is timed side by side
        for job in order.sample(list(jobs[name]), len(jobs[name])):
            found[f"{name}, {job}"] = jobs[name][job]()
    samples = {key: value for key, value in found.items() if isinstance(value, list)}
    found |= {key: (min if least else statistics.median)(times) for key, times in samples.items()}
    for name, ranks in RANKS.items():
        work = found[f"{name}, work"].in_buckets(BYTES)
        work = on_shared_cores(work, ranks, min(cores(), 2))
        found[f"{name}, work alone"] = work.seconds
        if not least:
            work = work.times(median_of_slowest(samples[f"{name}, alone"], ranks))
        for mode in MODES[name][1:]:
            network = SLOW if "slow" in mode else None
            how = {"network": network, "overlap": "overlap" in mode}
            found[f"{name}, {mode}, predicted"] = predicted(work, found[f"{name}, sums"], **how)
        found["bytes"] = sum(work.sizes)
    return found


def measured(net: str, turns: int, seconds: float, least: bool) -> dict[str, Any]:
    """Start all processes of a net, have them take turns, and take medians over the turns."""
    order = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        groups = {
            name: Group(net, ranks, threads, Path(folder) / name)
            for name, (ranks, threads) in GROUPS.items()
        }
        try:
            for group in groups.values():  # so that all have compiled before the first turn
                first, batch = min(steps_of(group, "alone", 5)), group.ask("rows")[0]
            steps = max(5, round(seconds / first))
            found = [turn(groups, batch, steps, least, order) for _ in range(turns)]
        finally:
            for group in groups.values():
                group.close()
    return {"net": net, "batch": batch, "turns": found} | summary(found)


def summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over turns; ratios are taken within a turn."""

    def median(f):
        return statistics.median(f(t) for t in turns)

    result = {"bytes": turns[0]["bytes"]}
    for name in GROUPS:
        mode = "overlap" if name in RANKS else "alone"
        result[name] = {"steps a second": median(lambda t, k=f"{name}, {mode}": 1 / t[k])}
    for name, ranks in RANKS.items():
        for key, f in RATIOS.items():
            result[name][key] = median(lambda t, f=f, name=name, n=ranks: f(t, name, n))
    for key, f in SLOW_RATIOS.items():
        slow = result.setdefault("slow network", {})
        slow[key] = median(lambda t, f=f: f(t, "2 ranks", 2))
    return result


def ratio(of: str, to: str) -> Callable[[dict[str, Any], str, int], float]:
    """A function of the times of a turn, the name of a group of ranks and their number."""

    def time(t, mode, name, n):
        if mode == "threads":
            return t[f"1 process, {n} threads, alone"]
        found = t[f"{name}, {mode}"]
        return found.seconds if isinstance(found, Step) else found

    return lambda t, name, n: time(t, of, name, n) / time(t, to, name, n)


def hidden(t: dict[str, Any], name: str, prefix: str = "") -> float:
    """The share of the time of reductions after the walk that overlap saves."""
    modes = f"{prefix}blocking", f"{prefix}overlap", "alone"
    blocking, overlap, alone = (t[f"{name}, {mode}"] for mode in modes)
    return (blocking - overlap) / max(blocking - alone, 1e-9)


RATIOS = {
    "beside threads": ratio("threads", "overlap"),
    "beside blocking": ratio("blocking", "overlap"),
    "without sums": ratio("overlap", "alone"),
    "hidden": lambda t, name, _: hidden(t, name),
    "work, predicted": ratio("work alone", "alone"),
    "predicted": ratio("overlap, predicted", "overlap"),
}
SLOW_RATIOS = {
    "beside blocking": ratio("slow blocking", "slow overlap"),
    "hidden": lambda t, name, _: hidden(t, name, "slow "),
    "hidden, predicted": lambda t, name, _: t[f"{name}, slow overlap, predicted"].hidden,
    "predicted": ratio("slow overlap, predicted", "slow overlap"),
    "blocking, predicted": ratio("slow blocking, predicted", "slow blocking"),
}


def line(*cells: Any) -> None:
    words = (f"{x:.2f}" if isinstance(x, float) else str(x) for x in cells)
    print("| " + " | ".join(words) + " |", flush=True)


def table(rows: list[dict[str, Any]]) -> None:
    """Print Markdown: a line for each net and each group of processes."""
    print()
    line("net", "processes", "steps a second", "MB a step", *RATIOS)
    print("|---" * (4 + len(RATIOS)) + "|")
    for row in rows:
        for name in GROUPS:
            ratios = [row[name][key] for key in RATIOS] if name in RANKS else [""] * len(RATIOS)
            size = row["bytes"] / 1e6 if name in RANKS else ""
            line(row["net"], name, f"{row[name]['steps a second']:.1f}", size, *ratios)
    print(
        f"\n2 ranks, sums after {SLOW.latency * 1e3:.0f} ms + bytes / {SLOW.bandwidth:.0e} asleep\n"
    )
    line("net", *SLOW_RATIOS)
    print("|---" * (1 + len(SLOW_RATIOS)) + "|")
    for row in rows:
        line(row["net"], *(row["slow network"][key] for key in SLOW_RATIOS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns, of fewer steps")
    parser.add_argument("--only", type=known_names(NETS), default=list(NETS), help="nets")
    parser.add_argument("--turns", type=int, help="by default 11, with --quick 3")
    parser.add_argument(
        "--least", action="store_true", help="the least step of a turn: where others use the cores"
    )
    parser.add_argument("--json", type=new_file, help="a file for all times")
    args = parser.parse_args()
    turns = args.turns or (3 if args.quick else 11)
    seconds = SECONDS / 3 if args.quick else SECONDS
    print(
        f"{cores()} cores, medians of {turns} turns; ratios above 1 are in favour of ranks", end=""
    )
    rows = [measured(net, turns, seconds, args.least) for net in args.only]
    table(rows)
    if args.json:
        json.dump(rows, args.json, indent=1)


if __name__ == "__main__":
    main()
