"""Whether the memory of a long training run stays constant, with the garbage collector off.

    python benchmarks/steady.py [--steps N]

Many steps of a small model with an embedding, attention, layer norm, dropout, and Adam with
clipping. Prints the growth of resident memory after a warm-up. Exit code 1 if it is over 1 MB.
"""

import argparse
import gc
import sys

import numpy as np
from measuring import resident_bytes

import minigen as mg

WARM_UP = 1000  # steps after which pools, caches and Python's free lists are full
LIMIT = 1e6  # bytes


def train(steps: int) -> None:
    """Build the model and train it for a number of steps."""
    rng = mg.Generator(0)
    layers = [mg.nn.Embedding(10, 8, rng=rng), mg.nn.TransformerEncoderLayer(8, 2, 16, rng=rng)]
    model = mg.nn.Sequential(*layers, mg.nn.Linear(8, 10, rng=rng))
    optimizer = mg.optim.Adam(model.parameters(), 1e-3)
    ids, targets = np.arange(12).reshape(4, 3) % 10, np.arange(12) % 10
    for _ in range(steps):
        loss = mg.cross_entropy(model(ids).reshape(12, 10), targets)
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    count = parser.parse_args().steps
    gc.disable()
    train(min(WARM_UP, count))
    memory = resident_bytes("VmRSS") or 0
    train(count)
    grown = (resident_bytes("VmRSS") or 0) - memory
    print(f"{count:,} steps: {grown / 1e3:+.0f} kB resident")
    return int(grown > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
