"""A training step in minigen beside one in PyTorch: time, memory, and the floor of its products.

    python benchmarks/train_step.py [--only NAME,NAME] [--pairs N] [--threads N] [--json FILE]
    python benchmarks/train_step.py --share      where the time of a step goes, op by op
    python benchmarks/train_step.py --scaling    steps of growing batch and depth

Float32, input in memory, Adam but for the tanh net. minigen, PyTorch and the products have a
process each and take turns, so that only one of them runs at a time; the ratios are medians over
the turns, and only they count where a machine is shared. Memory is the peak resident size less
that after the imports. PyTorch's columns are left out where it is not installed.
"""

import argparse
import importlib
import importlib.util
import json
import math
import multiprocessing
import os
import statistics
import time

from workloads import LARGE, SCALING, SMALL

SIDES = ("ours", "theirs", "products")  # the modules of workloads
TURN = 0.01  # seconds that a turn lasts at least: short steps are repeated
LONG, PAIRS_IF_LONG = 0.5, 15  # seconds of a round from which so many rounds are enough


def resident_bytes(field: str) -> int | None:
    """The resident size of this process: now ("VmRSS") or at its peak ("VmHWM"). Linux only."""
    try:
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith(field))
    except OSError:
        return None
    return int(line.split()[1]) * 1024


# ------------------------------------------------------------------------- a child process


def serve(pipe, side: str, kind: str, sizes: dict, threads: int) -> None:
    """Says what is trained; then, as often as asked, makes so many steps and says their time."""
    workloads = importlib.import_module(f"workloads.{side}")
    workloads.set_threads(threads)
    before = resident_bytes("VmRSS")
    step, shapes = getattr(workloads, kind)(**sizes)
    pipe.send(shapes)
    for repeats in iter(pipe.recv, 0):
        if repeats < 0:
            pipe.send(importlib.import_module("workloads.shares").shares(step, -repeats))
            continue
        start = time.perf_counter()
        for _ in range(repeats):
            step()
        pipe.send((time.perf_counter() - start) / repeats)
    pipe.send(before and resident_bytes("VmHWM") - before)


class Child:
    """A process that makes the steps of one side."""

    def __init__(self, side: str, kind: str, sizes: dict, threads: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, side, kind, sizes, threads)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # or else nobody would notice the end of the process

    def ask(self, repeats: int):
        """The seconds of a step, of so many; for 0 the peak memory, and the end."""
        self.pipe.send(repeats)
        return self.answer()

    def answer(self):
        try:
            return self.pipe.recv()
        except EOFError:
            raise SystemExit("a child process failed; its error is printed above") from None


# ------------------------------------------------------------------------------ a workload


def compare(kind: str, sizes: dict, sides: list[str], args: argparse.Namespace) -> dict:
    """What is measured of one workload: seconds and bytes by side, and the ratios of ours."""
    compiling = Child("ours", kind, sizes, args.threads)  # its memory shall not be in the peak
    compiling.answer(), compiling.ask(1), compiling.ask(0)
    children = {side: Child(side, kind, sizes, args.threads) for side in sides}
    shapes = {side: child.answer() for side, child in children.items()}
    if "theirs" in sides and shapes["ours"] != shapes["theirs"]:
        raise SystemExit(f"{kind}: the nets differ, {shapes['ours']} and {shapes['theirs']}")
    for _ in range(args.warm_up):
        first = {side: child.ask(1) for side, child in children.items()}
    repeats = max(1, math.ceil(TURN / max(first.values())))
    pairs = args.pairs
    if sum(first.values()) > LONG:
        pairs = min(pairs, PAIRS_IF_LONG)
    times = {side: [] for side in sides}
    for i in range(pairs):
        for side in sides[i % len(sides) :] + sides[: i % len(sides)]:
            times[side].append(children[side].ask(repeats))
    row = {"parameters": sum(map(math.prod, shapes["ours"])), "pairs": pairs}
    row["seconds"] = {side: min(times[side]) for side in sides}
    row["bytes"] = {side: child.ask(0) for side, child in children.items()}
    row["ratio"] = {
        side: statistics.median(a / b for a, b in zip(times["ours"], times[side]))
        for side in sides[1:]
    }
    return row


def table(names: list[str], sides: list[str], args: argparse.Namespace) -> list[dict]:
    """Measures the workloads and prints a line for each."""
    titles = [
        "minigen ms",
        "PyTorch ms",
        "ratio",
        "floor ms",
        "/ floor",
        "minigen MB",
        "PyTorch MB",
    ]
    print(f"{'':<14}" + "".join(f"{title:>12}" for title in titles), flush=True)
    rows = []
    for name in names:
        row = {"name": name, **compare(*{**SMALL, **LARGE}[name], sides, args)}
        rows.append(row)
        seconds, ratio, size = row["seconds"], row["ratio"], row["bytes"]
        cells = [
            *(1e3 * seconds["ours"], 1e3 * seconds.get("theirs", math.nan)),
            *(ratio.get("theirs", math.nan), 1e3 * seconds["products"], ratio["products"]),
            *(size[side] / 1e6 if size.get(side) else math.nan for side in ("ours", "theirs")),
        ]
        words = ["-" if math.isnan(cell) else f"{cell:.2f}" for cell in cells]
        print(f"{name:<14}" + "".join(f"{word:>12}" for word in words), flush=True)
    small = [row["ratio"]["theirs"] for row in rows if row["name"] in SMALL and "theirs" in sides]
    if small:
        mean = statistics.geometric_mean(small)
        print(f"geometric mean of the ratios of the small ones: {mean:.2f}")
    return rows


def scaling(sides: list[str], args: argparse.Namespace) -> list[dict]:
    """Steps of growing batch or depth; the time of one image or layer beside the first line's."""
    print(f"{'':<28}{'minigen ms':>12}{'per one':>12}{'PyTorch ms':>12}{'per one':>12}")
    rows = []
    for name, size, values in SCALING:
        kind, sizes = SMALL[name]
        first = {}
        for value in values:
            row = compare(kind, {**sizes, size: value}, sides, args)
            rows.append({"name": name, size: value, **row})
            text = f"{f'{name}, {size} {value}':<28}"
            for side in sides:
                seconds = row["seconds"][side]
                each = seconds / value
                text += f"{1e3 * seconds:>12.2f}{each / first.setdefault(side, each):>12.2f}"
            print(text, flush=True)
    return rows


def shares(names: list[str], args: argparse.Namespace) -> list[dict]:
    """Where the time of minigen's steps goes."""
    rows = []
    for name in names:
        child = Child("ours", *{**SMALL, **LARGE}[name], args.threads)
        child.answer()
        found = child.ask(-args.pairs)
        child.ask(0)
        total = sum(f + b for _, _, f, b in found)
        print(f"{name}, {1e3 * total:.2f} ms")
        print(f"{'':<24}{'calls':>8}{'forward ms':>12}{'backward ms':>12}{'share':>8}")
        for op, calls, forward, backward in found:
            share = (forward + backward) / total
            print(f"{op:<24}{calls:>8}{1e3 * forward:>12.2f}{1e3 * backward:>12.2f}{share:>8.1%}")
            rows.append({"name": name, "op": op, "calls": calls, "forward": forward})
            rows[-1] |= {"backward": backward, "share": share}
        print(flush=True)
    return rows


# ------------------------------------------------------------------------------- the flags


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def workload_names(text: str) -> list[str]:
    known, names = [*SMALL, *LARGE], text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return names


def main() -> None:
    doc = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(**doc)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--only", type=workload_names, default=[*SMALL, *LARGE], metavar="NAMES")
    parser.add_argument("--pairs", type=count, default=31, help="turns of each side; default 31")
    parser.add_argument("--warm-up", type=count, default=5, help="steps before; default 5")
    parser.add_argument("--threads", type=count, default=cores, help=f"default {cores}, all cores")
    parser.add_argument("--json", help="write the rows to this file too")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--share", action="store_true", help="the share of time of each op")
    which.add_argument("--scaling", action="store_true", help="growing batch and depth")
    args = parser.parse_args()
    for library in ("OPENBLAS", "MKL", "OMP"):  # read by the children as they start
        os.environ[f"{library}_NUM_THREADS"] = str(args.threads)
    sides = ["ours", *["theirs"] * (importlib.util.find_spec("torch") is not None)]
    if args.share:
        rows = shares(args.only, args)
    elif args.scaling:
        rows = scaling(sides, args)
    else:
        rows = table(args.only, [*sides, "products"], args)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
