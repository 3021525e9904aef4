"""A training step in minigen beside one in PyTorch: time, memory, and its matrix products alone.

    python benchmarks/train_step.py [--only NAME,NAME] [--pairs N] [--threads N] [--json FILE]
    python benchmarks/train_step.py --profile    where the time of a step goes, op by op
    python benchmarks/train_step.py --scaling    steps of growing batch and depth
    python benchmarks/train_step.py --device cuda, or --crossover: see train_step_gpu.py

Float32, input in memory, SGD for the tanh net and Adam for all others. minigen, PyTorch and the
matrix products alone in NumPy ("floor") have a process each and take turns of one step. Ratios are
medians over the turns; on a shared machine only ratios are reliable. Memory is the peak resident
size less that after the imports. Without PyTorch, or without /proc, those columns are empty.
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
TURN_SECONDS = 0.01  # shorter steps are repeated until a turn takes this long
# Without a pause before each turn, the threads of the previous process would still spin: those of
# OpenBLAS for 2^26 to 2^28 clock ticks after a product (111 ms at 2.45 GHz), those of PyTorch for
# 1 to 9 ms. Measured on a VAE after a turn of the products: with a pause of 0.1 s the step took
# 2.5 times as long in PyTorch and 1.2 times in minigen; with 0.25 s as long as without that turn.
PAUSE_SECONDS = 0.25
LONG_ROUND_SECONDS, PAIRS_IF_LONG = 0.5, 15  # a round that takes longer is repeated less often


def take_turns(net: str, sizes: dict, implementations: list[str], args: argparse.Namespace) -> dict:
    """Measure one workload: by implementation the least seconds, bytes and ratio of ours to it."""
    compile_kernels(net, sizes, args.threads)
    with ExitStack() as stack:
        started = {name: Child(name, net, sizes, args.threads) for name in implementations}
        children = {name: stack.enter_context(child) for name, child in started.items()}
        shapes = [child.shapes for child in children.values() if child.shapes]
        if any(other != shapes[0] for other in shapes):
            raise SystemExit(f"{net}: the nets differ: {shapes}")
        for _ in range(args.warm_up):
            once = [child.ask("seconds", 1) for child in children.values()]
        repeats = max(1, math.ceil(TURN_SECONDS / max(once)))
        pairs = min(args.pairs, PAIRS_IF_LONG) if sum(once) > LONG_ROUND_SECONDS else args.pairs
        times = {name: [] for name in implementations}
        for _ in range(pairs):
            for name, child in children.items():
                time.sleep(PAUSE_SECONDS if args.threads > 1 else 0)
                times[name].append(child.ask("seconds", repeats))
        peaks = {name: child.ask("memory") for name, child in children.items()}
    ratio = lambda name: statistics.median(a / b for a, b in zip(times["ours"], times[name]))
    return {
        "parameters": sum(map(math.prod, shapes[0])),
        "pairs": pairs,
        "seconds": {name: min(times[name]) for name in implementations},
        "ratio": {name: ratio(name) for name in implementations},
        "bytes": peaks,
    }


# ------------------------------------------------------------------------------ the tables


def step_table(args: argparse.Namespace) -> list[dict]:
    """One line per workload."""
    head = ["minigen ms", "PyTorch ms", "ratio", "floor ms", "/ floor", "minigen MB", "PyTorch MB"]
    line("", head)
    implementations, rows = ["ours", *["theirs"] * HAS_TORCH, "products"], []
    for name in args.only:
        row = {"name": name, **take_turns(*WORKLOADS[name], implementations, args)}
        ms = [scaled(row["seconds"], each, 1e3) for each in ("ours", "theirs", "products")]
        mb = [scaled(row["bytes"], each, 1e-6) for each in ("ours", "theirs")]
        ratio = row["ratio"]
        line(name, [*ms[:2], ratio.get("theirs"), ms[2], ratio["products"], *mb])
        rows.append(row)
    small = [row["ratio"]["theirs"] for row in rows if row["name"] in SMALL and HAS_TORCH]
    if small:
        mean = statistics.geometric_mean(small)
        print(f"geometric mean of the ratios of the {len(small)} small workloads: {mean:.2f}")
    return rows


def scaling_table(args: argparse.Namespace) -> list[dict]:
    """Growing batch or depth. "each": time per image or layer, relative to the first line."""
    line("", ["minigen ms", "each", "PyTorch ms", "each"], 28)
    implementations, rows = ["ours", *["theirs"] * HAS_TORCH], []
    for name, size, values in SCALING:
        net, sizes = WORKLOADS[name]
        first = None
        for value in values:
            row = take_turns(net, {**sizes, size: value}, implementations, args)
            each = {name: seconds / value for name, seconds in row["seconds"].items()}
            first = first or each
            cells = [(1e3 * row["seconds"][key], each[key] / first[key]) for key in each]
            line(f"{name}, {size} {value}", sum(cells, ()), 28)
            rows.append({"name": name, size: value, **row})
    return rows


def profile_tables(args: argparse.Namespace) -> list[dict]:
    """A table for each workload: the time of each op in a step of minigen."""
    rows = []
    for name in args.only:
        with Child("ours", *WORKLOADS[name], args.threads) as child:
            found = child.ask("profile", args.pairs)
        total = sum(f + b for _, _, f, b in found)
        line(f"{name}, {1e3 * total:.2f} ms", ["calls", "forward ms", "backward ms", "share"], 28)
        for op, calls, forward, backward in found:
            share = (forward + backward) / total
            line("  " + op, [str(calls), 1e3 * forward, 1e3 * backward, f"{share:.1%}"], 28)
            row = {"name": name, "op": op, "calls": calls, "forward": forward}
            rows.append({**row, "backward": backward, "share": share})
    return rows


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    only = {"type": known_names(WORKLOADS), "metavar": "NAME,NAME"}
    parser.add_argument("--only", **only, help=", ".join(WORKLOADS))
    parser.add_argument(
        "--pairs", type=positive_int, default=31, help="turns of each implementation; default 31"
    )
    parser.add_argument(
        "--warm-up", type=positive_int, default=5, help="steps before the turns; default 5"
    )
    threads = f"of every implementation on the CPU; default {cores()}, all cores"
    parser.add_argument("--threads", type=positive_int, default=cores(), help=threads)
    parser.add_argument("--json", type=new_file, help="write the rows to this file too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    precision = "of matrix products on a GPU, high for TF32; default highest"
    parser.add_argument(
        "--precision", choices=("highest", "high"), default="highest", help=precision
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--profile", action="store_true", help="where the time goes, op by op")
    which.add_argument("--scaling", action="store_true", help="growing batch and depth")
    which.add_argument("--crossover", action="store_true", help="where the GPU beats the CPU")
    args = parser.parse_args()
    on_gpu = args.crossover or args.device == "cuda"
    if on_gpu and (args.profile or args.scaling):
        parser.error("--profile and --scaling are for the CPU only")
    args.only = args.only or [name for name in WORKLOADS if on_gpu or name not in HUGE]
    table = profile_tables if args.profile else scaling_table if args.scaling else step_table
    if on_gpu:
        from train_step_gpu import crossover_table, gpu_table

        table = crossover_table if args.crossover else gpu_table
    rows = table(args)
    if args.json:
        json.dump(rows, args.json, indent=1)


if __name__ == "__main__":
    main()
