"""A training step in minigen beside one in PyTorch: time, memory, and the floor of its products.

    python benchmarks/train_step.py [--only NAME,NAME] [--pairs N] [--threads N] [--json FILE]
    python benchmarks/train_step.py --share      where the time of a step goes, op by op
    python benchmarks/train_step.py --scaling    steps of growing batch and depth
    python benchmarks/train_step.py --device cuda, or --crossover: see train_step_gpu.py

Float32, input in memory, Adam but for the tanh net. minigen, PyTorch and the products alone, in
NumPy, have a process each and take turns, a step each; ratios are medians over the turns. Where a
machine is shared only they count. Memory is the peak resident size less that after the imports.
PyTorch is left out where it is not installed, memory where there is no /proc.
"""

import argparse
import importlib.util
import json
import math
import statistics
import time
from contextlib import ExitStack

from measuring import Child, compile_kernels, cores, known_names, line, new_file, scaled
from workloads import HUGE, LARGE, SCALING, SMALL

from minigen.training import positive_int

WORKLOADS = {**SMALL, **LARGE, **HUGE}
HAS_TORCH = importlib.util.find_spec("torch") is not None
TURN = 0.01  # seconds: shorter steps are repeated until a turn takes so long
# Threads of OpenBLAS spin behind a product for 2^26 to 2^28 ticks of the clock, 111 ms at 2.45 GHz,
# those of PyTorch for 1 to 9 ms: they would be in the way of who comes next. Behind a pause of 0.1
# seconds a VAE's step took 2.5 times as long in PyTorch, and 1.2 times as long in minigen, where
# the products had come before; behind 0.25 as long as without.
PAUSE = 0.25  # seconds before a turn
LONG, PAIRS_OF_LONG = 0.5, 15  # seconds of a round from which so many are enough


def take_turns(kind: str, sizes: dict, sides: list[str], args: argparse.Namespace) -> dict:
    """What is measured of one workload, by side: least seconds, bytes, median of ours / theirs."""
    compile_kernels(kind, sizes, args.threads)
    with ExitStack() as stack:
        children = [Child(side, kind, sizes, args.threads) for side in sides]
        children = {side: stack.enter_context(child) for side, child in zip(sides, children)}
        shapes = [child.shapes for child in children.values() if child.shapes]
        if any(other != shapes[0] for other in shapes):
            raise SystemExit(f"{kind}: the nets differ: {shapes}")
        for _ in range(args.warm_up):
            once = [child.ask("seconds", 1) for child in children.values()]
        repeats = max(1, math.ceil(TURN / max(once)))
        pairs = min(args.pairs, PAIRS_OF_LONG) if sum(once) > LONG else args.pairs
        times = {side: [] for side in sides}
        for _ in range(pairs):
            for side, child in children.items():
                time.sleep(PAUSE if args.threads > 1 else 0)
                times[side].append(child.ask("seconds", repeats))
        peaks = {side: child.ask("memory") for side, child in children.items()}
    ratio = lambda side: statistics.median(a / b for a, b in zip(times["ours"], times[side]))
    return {
        "parameters": sum(map(math.prod, shapes[0])),
        "pairs": pairs,
        "seconds": {side: min(times[side]) for side in sides},
        "ratio": {side: ratio(side) for side in sides},
        "bytes": peaks,
    }


# ------------------------------------------------------------------------------ the tables


def step_table(args: argparse.Namespace) -> list[dict]:
    """The workloads, one a line."""
    head = ["minigen ms", "PyTorch ms", "ratio", "floor ms", "/ floor", "minigen MB", "PyTorch MB"]
    line("", head)
    sides, rows = ["ours", *["theirs"] * HAS_TORCH, "products"], []
    for name in args.only:
        row = {"name": name, **take_turns(*WORKLOADS[name], sides, args)}
        ms = [scaled(row["seconds"], side, 1e3) for side in ("ours", "theirs", "products")]
        mb = [scaled(row["bytes"], side, 1e-6) for side in ("ours", "theirs")]
        ratio = row["ratio"]
        line(name, [*ms[:2], ratio.get("theirs"), ms[2], ratio["products"], *mb])
        rows.append(row)
    small = [row["ratio"]["theirs"] for row in rows if row["name"] in SMALL and HAS_TORCH]
    if small:
        mean = statistics.geometric_mean(small)
        print(f"geometric mean of the ratios of the {len(small)} small ones: {mean:.2f}")
    return rows


def scaling_table(args: argparse.Namespace) -> list[dict]:
    """Growing batch or depth; "each": the time of an image or layer beside the first line's."""
    line("", ["minigen ms", "each", "PyTorch ms", "each"], 28)
    sides, rows = ["ours", *["theirs"] * HAS_TORCH], []
    for name, size, values in SCALING:
        kind, sizes = WORKLOADS[name]
        first = None
        for value in values:
            row = take_turns(kind, {**sizes, size: value}, sides, args)
            each = {side: row["seconds"][side] / value for side in sides}
            first = first or each
            cells = [(1e3 * row["seconds"][side], each[side] / first[side]) for side in sides]
            line(f"{name}, {size} {value}", sum(cells, ()), 28)
            rows.append({"name": name, size: value, **row})
    return rows


def share_tables(args: argparse.Namespace) -> list[dict]:
    """A table for each workload: where the time of minigen's step goes."""
    rows = []
    for name in args.only:
        with Child("ours", *WORKLOADS[name], args.threads) as child:
            found = child.ask("shares", args.pairs)
        total = sum(f + b for _, _, f, b in found)
        line(f"{name}, {1e3 * total:.2f} ms", ["calls", "forward ms", "backward ms", "share"], 28)
        for op, calls, forward, backward in found:
            share = (forward + backward) / total
            line("  " + op, [str(calls), 1e3 * forward, 1e3 * backward, f"{share:.1%}"], 28)
            row = {"name": name, "op": op, "calls": calls, "forward": forward}
            rows.append({**row, "backward": backward, "share": share})
    return rows


def main() -> None:
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    only = {"type": known_names(WORKLOADS), "metavar": "NAME,NAME"}
    parser.add_argument("--only", **only, help=", ".join(WORKLOADS))
    parser.add_argument(
        "--pairs", type=positive_int, default=31, help="turns of each side; default 31"
    )
    parser.add_argument("--warm-up", type=positive_int, default=5, help="steps before; default 5")
    threads = f"of every side on the CPU; default {cores()}, all cores"
    parser.add_argument("--threads", type=positive_int, default=cores(), help=threads)
    parser.add_argument("--json", type=new_file, help="write the rows to this file too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    precision = "of products on a GPU, high for TF32; default highest"
    parser.add_argument(
        "--precision", choices=("highest", "high"), default="highest", help=precision
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--share", action="store_true", help="where the time goes, op by op")
    which.add_argument("--scaling", action="store_true", help="growing batch and depth")
    which.add_argument("--crossover", action="store_true", help="where the GPU beats the CPU")
    args = parser.parse_args()
    on_gpu = args.crossover or args.device == "cuda"
    if on_gpu and (args.share or args.scaling):
        parser.error("--share and --scaling are of the CPU")
    args.only = args.only or [name for name in WORKLOADS if on_gpu or name not in HUGE]
    table = share_tables if args.share else scaling_table if args.scaling else step_table
    if on_gpu:
        from train_step_gpu import crossover_table, gpu_table

        table = crossover_table if args.crossover else gpu_table
    rows = table(args)
    if args.json:
        json.dump(rows, args.json, indent=1)


if __name__ == "__main__":
    main()
