"""What the engine costs beside NumPy and PyTorch: one op, one small step, a long chain, memory.

    python benchmarks/overhead.py [--json FILE]

Times are taken in turns within one run, and only their ratios count: machines are shared.
PyTorch's rows are left out where it is not installed.
"""

import argparse
import gc
import importlib.util
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

import minigen as mg

HAS_TORCH = importlib.util.find_spec("torch") is not None


def seconds(function: Callable, repeats: int) -> float:
    """The time of one call, from `repeats` in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def compare(ours: Callable, theirs: Callable, repeats: int, rounds: int) -> tuple:
    """Least time of each, and the median over rounds of the ratio ours / theirs."""
    for function in (ours, theirs):
        seconds(function, repeats)
    pairs = [(seconds(ours, repeats), seconds(theirs, repeats)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    return min(a for a, _ in pairs), min(b for _, b in pairs), ratio


def multiply_by_two() -> tuple:
    """A traced x * 2 on four floats beside NumPy's."""
    x = mg.ones(4, requires_grad=True)
    raw = np.ones(4, np.float32)
    return compare(lambda: x * 2, lambda: raw * 2, repeats=2000, rounds=101)


def tanh_net_ours() -> Callable:
    """A step of a 2-16-16-1 tanh net on 32 points: forward, backward, SGD."""
    nn = mg.nn
    layers = [nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)]
    model, rng = nn.Sequential(*layers), mg.Generator(0)
    x, y = mg.Tensor(rng.normal((32, 2))), mg.Tensor(rng.normal((32, 1)))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)

    def step():
        loss = mg.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def tanh_net_torch() -> Callable:
    """The same in PyTorch."""
    import torch
    from torch import nn

    layers = [nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)]
    model = nn.Sequential(*layers)
    x, y = torch.randn(32, 2), torch.randn(32, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step():
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def chain(length: int) -> tuple[float, float, float]:
    """Microseconds an op for a chain of x + 1: forward, backward, free; no collector runs."""
    gc.disable()
    x = mg.ones(2, requires_grad=True)
    marks, y = [time.perf_counter()], x
    for _ in range(length):
        y = y + 1.0
    marks.append(time.perf_counter())
    y.sum().backward()
    marks.append(time.perf_counter())
    del y
    marks.append(time.perf_counter())
    gc.enable()
    return tuple((b - a) / length * 1e6 for a, b in pairwise(marks))


# ----------------------------------------------------------------------------------- memory


def resident_bytes(field: str) -> int:
    """The resident size of this process: now ("VmRSS") or at its peak ("VmHWM"). Linux only."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024


def vae_memory_ours(queue) -> None:
    """Peak resident size of ten VAE steps less that after the imports (Numba's among them)."""
    import numba  # noqa: F401 - minigen imports it at the first kernel

    from minigen.models import VAE

    x = mg.Generator(0).uniform((128, 784))
    before = resident_bytes("VmRSS")
    model = VAE()
    optimizer = mg.optim.Adam(model.parameters())
    for _ in range(10):
        loss, _, _ = model.loss(mg.Tensor(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    queue.put(resident_bytes("VmHWM") - before)


def vae_memory_torch(queue) -> None:
    """The same in PyTorch."""
    import torch
    from torch import nn

    x = torch.rand(128, 784)
    before = resident_bytes("VmRSS")
    encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU())
    mean, logvar = nn.Linear(400, 20), nn.Linear(400, 20)
    decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))
    parts = nn.ModuleList([encoder, mean, logvar, decoder])
    optimizer = torch.optim.Adam(parts.parameters())
    for _ in range(10):
        h = encoder(x)
        m, v = mean(h), logvar(h)
        logits = decoder(m + torch.exp(0.5 * v) * torch.randn_like(m))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / 128
        loss = loss + 0.5 * (v.exp() + m**2 - 1 - v).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    queue.put(resident_bytes("VmHWM") - before)


def in_child(function: Callable) -> int:
    """What function puts into its queue, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=function, args=(queue,))
    process.start()
    result = queue.get()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="write the rows to this file too")
    parser.add_argument("--chain", type=int, default=1_000_000, help="ops in the chain")
    args = parser.parse_args()
    rows = []

    def row(name, ours, other, ratio, unit):
        rows.append({"name": name, "minigen": ours, "other": other, "ratio": ratio, "unit": unit})
        print(f"{name:<42}{ours:>10.2f}{other:>10.2f}  {unit:<4}{ratio:>7.2f}", flush=True)

    print(f"{'':<42}{'minigen':>10}{'other':>10}{'ratio':>13}")
    ours, numpy, ratio = multiply_by_two()
    row("traced x * 2, four floats / NumPy", ours * 1e6, numpy * 1e6, ratio, "us")
    if HAS_TORCH:
        ours, torch, ratio = compare(tanh_net_ours(), tanh_net_torch(), repeats=20, rounds=101)
        row("step of a 2-16-16-1 tanh net / PyTorch", ours * 1e3, torch * 1e3, ratio, "ms")
        ours, torch = in_child(vae_memory_ours), in_child(vae_memory_torch)
        row("memory of a VAE step / PyTorch", ours / 1e6, torch / 1e6, ours / torch, "MB")
    short, long = chain(args.chain // 10), chain(args.chain)
    for part, a, b in zip(("forward", "backward", "free"), long, short):
        row(f"chain of {args.chain:,} ops, {part} / a tenth", a, b, a / b, "us")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
