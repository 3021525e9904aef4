"""GPT-2 124M on 8 to 4,096 ranks under networks that are not here: a table and a figure.

    python benchmarks/scaling_plan.py [--figure FILE.png] [--measure N]

Measured: the parts of a training step of GPT-2 with 124 million parameters (Radford et al. 2019),
float32, on 1 and on 2 sequences of 1,024 tokens, with Adam: forward, the moments at which gradients
are complete, the update. They are the time of one thread on a core, so what else ran there counts
little. scaling_gpt2.json has them; --measure N takes them anew, as the median of N steps, in a few
minutes and 6 GB of memory. All else is computed, by scaling_model.py:

- A rank has a network card of its own, 10 or 100 Gbit/s, whose bandwidth it has to itself, and
  latencies of 50 us (TCP) or 5 us (RDMA). Sums are the cheapest of ring, recursive doubling and
  Rabenseifner's; gradients are float32, in buckets of 256 KB (A100: 25 MB). Packing and adding
  take no time.
- "a core here" computes at the measured speed. "A100" is an ASSUMPTION, not a measurement: 40 % of
  the 312 TFLOP/s that NVIDIA states for bfloat16, FLOPs counted as in PaLM (Chowdhery et al. 2022,
  appendix B), parts of a step in the proportions measured on the core, and Adam at 1,555 GB/s.
- Weak scaling: each rank has 1 sequence on a core, 12 on the A100. Strong scaling: the batch is of
  512 sequences in all, half a million tokens; more ranks than sequences find no work.
- Local steps sum the weights after every 16 or 500 steps, and nothing else.

Efficiency: the time of one rank for the same sequences, divided by ranks, beside the time on all.
"""

import argparse
import itertools
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from scaling_model import Network, Work, local_steps, on_network, step, work_by_rows

from minigen.distributed.buckets import BYTES, GPU_BYTES
from minigen.figures.canvas import blank_figure, written

TIMES = Path(__file__).parent / "scaling_gpt2.json"
RANKS = tuple(2**i for i in range(3, 13))
BATCH = 512  # sequences, in strong scaling
NETWORKS = {
    "10 Gbit/s": Network(latency=50e-6, bandwidth=10e9 / 8),
    "100 Gbit/s": Network(latency=5e-6, bandwidth=100e9 / 8),
}
# How gradients or weights are summed, and the line and colour of each in the figure.
LOOKS = {
    "after the walk": ("o-", "#b2182b"),
    "overlap": ("s-", "#ef8a62"),
    "local steps, every=16": ("^--", "#67a9cf"),
    "local steps, every=500": ("v--", "#2166ac"),
}
METHODS = tuple(LOOKS)
SHOWN = (64, 1024)  # ranks, in the table
PARAMETERS, LAYERS, WIDTH, TOKENS = 124_439_808, 12, 768, 1024
A100_FLOPS, A100_BYTES, UTILISATION = 312e12, 1555e9, 0.4
ADAM_BYTES = 7 * 4 * PARAMETERS  # reads p, g, m, v; writes p, m, v


def measure(repeats: int) -> dict[int, Work]:
    """The work of a rank for 1 and 2 sequences, on one thread."""
    from scaling_ranks import Stepper, gpt2

    import minigen as mg
    from minigen import distributed

    mg.set_num_threads(1)
    found = {}
    for rows in (1, 2):
        found[rows] = Stepper(gpt2(mg.Generator(0), rows), distributed.World()).work(rows, repeats)
        print(f"{rows} x {TOKENS} tokens: {found[rows].seconds:.2f} s", flush=True)
    TIMES.write_text(json.dumps({"cpu": cpu(), "work": found}))
    return found


def cpu() -> str:
    names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    return names[0].partition(":")[2].strip() if names else platform.processor()


def stored() -> dict[int, Work]:
    works = json.loads(TIMES.read_text())["work"]
    return {
        int(rows): Work(forward, tuple(ready), backward, update, tuple(sizes))
        for rows, (forward, ready, backward, update, sizes) in works.items()
    }


def on_a100(core: Callable[[float], Work]) -> Callable[[float], Work]:
    """The work in the core's proportions, at the assumed speed."""
    flops = TOKENS * (6 * PARAMETERS + 12 * LAYERS * WIDTH * TOKENS)  # of one sequence

    def at(rows: float) -> Work:
        work = core(rows)
        seconds = rows * flops / (UTILISATION * A100_FLOPS)
        faster = work.times(seconds / (work.forward + work.backward))
        return faster._replace(update=ADAM_BYTES / A100_BYTES)

    return at


def seconds(work: Work, nbytes: int, ranks: int, network: Network, method: str) -> float:
    """The mean time of a step, with buckets of nbytes."""
    if "every=" in method:
        whole = work.in_buckets(sum(work.sizes))
        every = int(method.partition("every=")[2])
        return local_steps(whole, on_network(whole, ranks, network), every).seconds
    work = work.in_buckets(nbytes)
    return step(work, on_network(work, ranks, network), method == "overlap").seconds


class Machine(NamedTuple):
    """The work of a rank by its sequences, how many it has in weak scaling, bytes of a bucket."""

    work: Callable[[float], Work]
    rows: int
    bucket: int


def weak(machine: Machine, ranks: int, network: Network, method: str) -> float:
    work = machine.work(machine.rows)
    return work.seconds / seconds(work, machine.bucket, ranks, network, method)


def strong(machine: Machine, ranks: int, network: Network, method: str) -> float:
    work = machine.work(max(1, BATCH / ranks))  # a rank without a sequence waits for the others
    alone = machine.work(BATCH).seconds
    return alone / ranks / seconds(work, machine.bucket, ranks, network, method)


def table(machines: dict[str, Machine]) -> None:
    """Print Markdown: efficiencies in percent."""
    heads = "a rank", "network", *(f"{m}, {n:,}" for n in SHOWN for m in METHODS)
    for scaling in (weak, strong):
        print(f"\n{scaling.__name__} scaling, efficiency in % by method and ranks\n")
        print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
        for (name, machine), network in itertools.product(machines.items(), NETWORKS):
            cells = [name, network]
            for n, method in itertools.product(SHOWN, METHODS):
                efficiency = scaling(machine, n, NETWORKS[network], method)
                cells.append(f"{100 * efficiency:.0f}")
            print("| " + " | ".join(cells) + " |")


def draw(path: str, machines: dict[str, Machine]) -> None:
    """Efficiency over ranks: a row for each scaling, a column for each rank and network."""
    figure = blank_figure(13, 6.2)
    columns = list(itertools.product(machines, NETWORKS))
    grid = figure.subplots(2, len(columns), sharex=True, sharey=True)
    for row, scaling in zip(grid, (weak, strong)):
        for axes, (name, network) in zip(row, columns):
            for method, (style, color) in LOOKS.items():
                how = NETWORKS[network], method
                values = [100 * scaling(machines[name], n, *how) for n in RANKS]
                axes.plot(RANKS, values, style, color=color, label=method, markersize=4)
            axes.set_xscale("log", base=2)
            axes.set_xticks(RANKS[::3], [f"{n:,}" for n in RANKS[::3]])
            axes.set_ylim(0, 105)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(f"{scaling.__name__} scaling: efficiency, %")
    for axes, (name, network) in zip(grid[0], columns):
        axes.set_title(f"{name}, {network}", fontsize=10)
    for axes in grid[1]:
        axes.set_xlabel("ranks")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(
        "GPT-2 124M, computed from times of its layers on a core (A100: 40 % of peak, assumed)",
        fontsize=11,
    )
    written(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", help="a file to draw, PNG or SVG")
    parser.add_argument("--measure", type=int, metavar="N", help="measure anew, N steps")
    args = parser.parse_args()
    core = work_by_rows(measure(args.measure) if args.measure else stored())
    machines = {
        "a core here": Machine(core, 1, BYTES),
        "A100, assumed": Machine(on_a100(core), 12, GPU_BYTES),
    }
    for name, (work, rows, _) in machines.items():
        print(f"{name}: {work(rows).seconds:.3f} s for {rows} sequences")
    table(machines)
    if args.figure:
        draw(args.figure, machines)


if __name__ == "__main__":
    main()
