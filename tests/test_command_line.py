"""python -m minigen: the table of gradient checks, and what bad arguments get."""

import subprocess
import sys

import numpy as np

from minigen.testing import table
from minigen.testing.faults import catalogue, planted


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "minigen", *words], capture_output=True, text=True, timeout=300
    )


def test_gradcheck_prints_a_line_for_each_op_and_says_that_all_hold():
    done = command("gradcheck", "tanh", "matmul", "layer_norm", "--cases", "4")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["tanh", "matmul", "layer_norm"]
    assert all(line.endswith("ok") for line in lines[1:4])
    assert "every limit holds" in lines[-1]
    assert max(map(len, lines)) <= 130


def test_unknown_ops_and_devices_are_refused_in_one_line():
    done = command("gradcheck", "tanhh")
    assert done.returncode == 2
    assert done.stderr.startswith("there is no op 'tanhh'")
    done = command("gradcheck", "tanh", "--device", "cuda:99")
    assert done.returncode == 2
    assert done.stderr.startswith("BackendUnavailable: ")


def test_a_wrong_derivative_is_seen_in_the_table():
    fault = next(f for f in catalogue() if f.op == "tanh" and f.mistake == "a factor of 1.001")
    with planted(fault):
        (row,) = table.rows(3, names=["tanh"])
    assert {"grad 64"} <= set(row.wrong)
    assert str(row).endswith("WRONG")


def test_every_limit_is_one_of_a_column_that_is_filled():
    (row,) = table.rows(2, names=["multiply"])
    assert row.errors.keys() == table.LIMITS.keys()
    assert all(np.isfinite(error) for error in row.errors.values())
