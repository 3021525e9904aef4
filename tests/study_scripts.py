"""Scripts that train, for the tests of `minigen.study.scripts` and of the command line."""

from pathlib import Path

HEAD = """
import minigen as mg
from minigen import nn, study
rng = mg.Generator(0)
x = mg.linspace(-1, 1, 6).reshape(6, 1)
model = nn.Sequential(nn.Linear(1, 3, rng=rng), nn.Tanh(), nn.Linear(3, 1, rng=rng))
"""
PLAIN = (
    HEAD
    + """
mg.exp(x)
optimizer = mg.optim.Adam(model.parameters(), lr=0.1)
for i in range(5):
    loss = mg.mse_loss(model(x), x * (i + 1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("the end")
"""
)
WITH_RUN = (
    HEAD
    + """
import argparse, sys
import numpy as np
from minigen.data import DataLoader
from minigen.training import Run, argument_parser, run_example

def main():
    args = argument_parser("", out="runs/own", epochs=2).parse_args()
    loader = DataLoader(np.arange(8, dtype=np.float32).reshape(8, 1), batch_size=2, rng=rng)
    optimizer = mg.optim.SGD(model.parameters(), lr=1e-3)
    model(x)
    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    with Run(args, **state, free=["epochs"]) as run:
        for epoch in run.epochs():
            for batch in run.batches():
                loss = mg.mse_loss(model(mg.tensor(batch)), mg.sin(mg.tensor(batch)))
                if "FAIL" in args.data and run.step == 2:
                    raise ValueError("a fault of its own")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            mg.relu(x)
            run.end_epoch()
run_example(main)
"""
)


def written(text, name="script.py"):
    """Write a script into the current folder, and return its name."""
    Path(name).write_text(text)
    return name
