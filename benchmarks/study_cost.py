"""What it costs to record a run with `minigen.study`, and whether `times()` finds all of a step.

    python benchmarks/study_cost.py [--only NAME,NAME] [--turns N] [--threads N]
    python benchmarks/study_cost.py --before FOLDER    the cost where nothing is recorded

A step alone, one in `study.record(values=False)` and one in `study.record()` take turns; a ratio is
the median over the turns, with the middle half of them in brackets. `times() / step` is the total
of `times()` by the time of the step alone. FOLDER is a checkout of an older commit: it and this one
take turns in processes of their own, with one thread, and processor time is compared.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measuring import cores, known_names, seconds
from workloads import SMALL

from minigen.training import positive_int

WARM_UP = 4  # steps
ON = ["vae", "cnn", "lstm-128", "gpt-12x64", "gan", "tanh"]
OFF = {"x * 2": 20_000, "vae": 10, "gpt-12x64": 1}  # what is compared with --before: calls a turn


def step_of(name: str, threads: int) -> Callable:
    """A workload, or x * 2 of four floats with a graph, after its first calls."""
    from workloads import ours

    import minigen as mg

    mg.set_num_threads(threads)
    if name == "x * 2":
        x = mg.ones(4, requires_grad=True)
        return lambda: x * 2
    net, sizes = SMALL[name]
    step, _ = getattr(ours, net)(**sizes)
    for _ in range(WARM_UP):
        step()
    return step


def spread(ratios: list[float]) -> str:
    """The median, and the middle half in brackets."""
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def recorded_seconds(step: Callable, **options: bool) -> tuple[float, float, int]:
    """(seconds of a recorded step, total of its times, steps of the recording)."""
    from minigen import study

    start = time.perf_counter()
    with study.record(**options) as run:
        step()
    taken = time.perf_counter() - start
    return taken, run.times().seconds, len(run.steps)


def on(name: str, turns: int, threads: int) -> str:
    """A line of the table of recorded steps."""
    step = step_of(name, threads)
    alone, ratios = [], {key: [] for key in ("shapes", "values", "total")}
    recorded_seconds(step, values=False)  # measures the machine, reads the source of rules
    for _ in range(turns):
        before = seconds(step, 1)
        shapes, total, steps = recorded_seconds(step, values=False)
        between = seconds(step, 1)
        values, _, _ = recorded_seconds(step, values=True)
        after = seconds(step, 1)
        alone += before, between, after
        first, second = (before + between) / 2, (between + after) / 2
        ratios["shapes"].append(shapes / first)
        ratios["total"].append(total / first)
        ratios["values"].append(values / second)
    cells = [f"{1e3 * statistics.median(alone):.2f}", str(steps)]
    cells += [spread(ratios[key]) for key in ("shapes", "values", "total")]
    return f"| {name} | " + " | ".join(cells) + " |"


def serve() -> None:
    """Answer each name on the standard input with the processor time of a call, in seconds."""
    steps: dict[str, Callable] = {}
    for line in sys.stdin:
        name = line.strip()
        step = steps.get(name) or steps.setdefault(name, step_of(name, 1))
        start = time.process_time()
        for _ in range(OFF[name]):
            step()
        print((time.process_time() - start) / OFF[name], flush=True)


def child(folder: Path) -> subprocess.Popen:
    """This script with minigen of a folder, waiting for names of workloads."""
    command = [sys.executable, __file__, "--serve"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def off(before: Path, names: list[str], turns: int) -> list[str]:
    """Lines of the table of steps that are not recorded, beside those of an older commit."""
    here = Path(__file__).parent.parent
    children = [child(here), child(before)]

    def ask(each, name):
        each.stdin.write(f"{name}\n")
        each.stdin.flush()
        return float(each.stdout.readline())

    lines = []
    for name in names:
        for each in children:
            ask(each, name)
        ratios, least = [], [float("inf")] * 2
        for i in range(turns):
            order = (0, 1) if i % 2 else (1, 0)
            taken = {j: ask(children[j], name) for j in order}
            ratios.append(taken[0] / taken[1])
            least = [min(least[j], taken[j]) for j in (0, 1)]
        micro = " | ".join(f"{1e6 * x:.3f}" for x in least)
        lines.append(f"| {name} | {micro} | {least[0] / least[1]:.3f} | {spread(ratios)} |")
    for each in children:
        each.stdin.close()
        each.wait()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=known_names({**SMALL, **OFF}), metavar="NAME,NAME")
    parser.add_argument("--turns", type=positive_int, default=31, help="of each; default 31")
    parser.add_argument("--threads", type=positive_int, default=cores(), help="default: all cores")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="an older checkout")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
    elif args.before:
        print("| not recorded | here, µs | before, µs | ratio of the least | ratio of turns |")
        print("|---|---|---|---|---|")
        for row in off(args.before.resolve(), args.only or list(OFF), max(args.turns, 2)):
            print(row)
    else:
        print("| | step, ms | steps | values=False | values=True | times() / step |")
        print("|---|---|---|---|---|---|")
        for name in args.only or ON:
            print(on(name, max(args.turns, 2), args.threads), flush=True)


if __name__ == "__main__":
    main()
