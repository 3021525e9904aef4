"""The README's examples do what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigen as mg
from minigen import models
from minigen.training import capture

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_examples_run_and_print_the_numbers_beside_them():
    first, own_op, checked, _ = BLOCKS
    result = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    loss, slope, curvature = re.findall(r"tensor\(([-\d.e]+)", result.stdout)
    assert float(loss) < 1e-4
    assert slope[:6] in first and curvature in first
    result = subprocess.run([sys.executable, "-c", own_op], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    result = subprocess.run([sys.executable, "-c", checked], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    says = " ".join(line.strip(" #") for line in checked.splitlines() if "    #" in line)
    assert result.stdout.strip() == says.replace("example.py", "<string>")
    wrong = own_op.replace("1 + y * y", "1 - y * y")
    assert subprocess.run([sys.executable, "-c", wrong], capture_output=True).returncode != 0


@pytest.mark.filterwarnings("ignore:capture")  # where there is no GPU it says so
def test_the_captured_step_trains():
    model = models.CNN(4, side=8, widths=(2, 3), hidden=6, rng=mg.Generator(0))
    optimizer = mg.optim.Adam(model.parameters())
    scope = {"capture": capture, "model": model, "optimizer": optimizer}
    exec(BLOCKS[-1], scope)
    x, y = mg.Tensor(mg.Generator(1).normal((3, 1, 8, 8))), mg.tensor([0, 1, 3])
    losses = [scope["step"](x, y).item() for _ in range(6)]
    assert losses == sorted(losses, reverse=True)


def test_every_picture_is_there():
    for path in re.findall(r"\]\((examples/[^)]+)\)", README):
        assert (Path(__file__).parent.parent / path).stat().st_size < 200_000


def test_the_gate_runs_the_readmes_test_command():
    gate = (Path(__file__).parent.parent / ".ci/run").read_text()
    for command in ("ruff check .", "ruff format --check .", "python -m pytest"):
        assert command in README
        assert command in gate
