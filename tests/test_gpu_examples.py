"""Examples run on the device as they do on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_examples import FIGURES, ROOT, TINY, small_data

TESTS = Path(__file__).parent
LONG = ("seq2seq", "augment", "char_lstm")  # on the stand-in


@pytest.mark.parametrize("name", FIGURES)
def test_an_example_trains_on_the_device(name, tmp_path, request, device):
    on_stand_in = request.config.getoption("--device") != "cuda"
    if on_stand_in and name in LONG:
        pytest.skip("takes the stand-in half a minute")
    small_data(tmp_path)
    tiny = [*TINY[name], *(["--data", "DIGITS"] if name == "vae" else [])]
    given = [str(tmp_path / flag) if flag.isupper() else flag for flag in tiny]
    runner = ["-m", "stand_in"] if on_stand_in else []
    command = [sys.executable, *runner, str(ROOT / "examples" / f"{name}.py"), *given]
    command += ["--epochs", "1"] if name != "augment" else []
    command += ["--device", "cuda", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / f"{figure}.png").exists() for figure in FIGURES[name])
