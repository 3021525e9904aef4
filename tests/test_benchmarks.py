"""The benchmarks run, and measure the same work in every implementation."""

import ast
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigen import kernels
from minigen.kernels import reference

FOLDER = Path(__file__).parent.parent / "benchmarks"


def run(script, *flags):
    command = [sys.executable, str(FOLDER / script), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def rows_of(script, path, *flags):
    done = run(script, *flags, "--json", str(path))
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


def test_a_training_step_is_measured(tmp_path):
    flags = "--only", "tanh", "--pairs", "3", "--threads", "1"
    (row,) = rows_of("train_step.py", tmp_path / "rows.json", *flags)
    assert row["parameters"] == 2 * 16 + 16 + 16 * 16 + 16 + 16 + 1
    assert row["pairs"] == 3
    assert 0 < row["seconds"]["products"] < row["seconds"]["ours"] < 1
    assert row["ratio"]["products"] > 1


def test_the_times_of_a_profile_add_up_to_the_step(tmp_path):
    flags = "--profile", "--only", "tanh", "--pairs", "3", "--threads", "1"
    rows = rows_of("train_step.py", tmp_path / "rows.json", *flags)
    calls = {row["op"]: row["calls"] for row in rows}
    assert {"linear": 3, "tanh": 2, "optimizer": 1}.items() <= calls.items()
    assert math.isclose(sum(row["share"] for row in rows), 1)


def test_the_cost_of_recording_is_measured_beside_the_step():
    done = run("study_cost.py", "--only", "tanh", "--turns", "2", "--threads", "1")
    head, _, row = (line.split(" | ") for line in done.stdout.splitlines())
    assert done.returncode == 0 and len(head) == len(row) == 6, done.stderr
    assert row[:1] == ["| tanh"] and row[2] == "14" and float(row[1]) > 0


def test_every_kernel_is_measured(monkeypatch, tmp_path):
    (row,) = rows_of("kernels.py", tmp_path / "rows.json", "--rounds", "2", "--only", "relu")
    assert row["name"] == "relu" and row["bytes"] > 0
    monkeypatch.syspath_prepend(FOLDER)
    from kernels import GROUPS, measured

    arguments = {name: args for group in GROUPS for name, args in group().items()}
    names = {name for name in vars(kernels) if callable(getattr(reference, name, None))}
    assert set(arguments) == names - {"array_module"} | {"sgd", "rmsprop", "adam", "adamw"}
    source = np.zeros(2**16, np.float32)
    rows = [measured(name, args, source, rounds=1) for name, args in arguments.items()]
    assert all(row["seconds"] > 0 and row["bytes"] > 0 for row in rows)


@pytest.mark.parametrize("script", ["train_step.py", "kernels.py"])
@pytest.mark.parametrize("flag", ["--only", "--json", "--pairs", "--rounds"])
def test_a_bad_flag_is_answered_in_a_sentence(script, flag, tmp_path):
    done = run(script, flag, {"--json": str(tmp_path)}.get(flag, "0"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"{script}: error: ")


def test_an_example_that_is_killed_ends_as_one_that_is_not():
    flags = "--kills", "1", "--by", "kill", "--only", "char_lstm"
    done = run("kills.py", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    name, stops, resumed, restarted, ends, identical, lost = done.stdout.splitlines()[1].split()
    assert (name, int(stops), int(resumed) + int(restarted), int(lost)) == ("char_lstm", 1, 1, 0)
    assert int(identical) == int(ends) >= 1


def test_damaged_files_are_refused_or_read_as_written_by_every_reader():
    done = run("mutated_files.py", "--count", "1300")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [re.split(" {2,}", line) for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} >= {
        "idx",
        "idx.gz",
        "text",
        "weights",
        "state",
        "png",
        "jpeg",
        "table",
        "wav",
        "zip",
    }
    for _, files, refused, harmless, read, wrong, peak, _ in rows:
        assert int(files) == int(refused) + int(harmless) + int(read) == 100
        assert int(wrong) == 0 and float(peak) < 64
        assert int(refused) >= 25


def test_a_reader_that_overlooks_damage_is_found(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(FOLDER)
    from mutated_files import Reader, check

    wholes = [b"to be, or not to be"]
    for read in (lambda path: path.read_bytes(), lambda path: path.read_bytes().decode()):
        assert check("any", Reader(read, wholes, KeyError), tmp_path / "f", 50, "0")["wrong"] > 40
    honest = Reader(
        lambda path: path.read_bytes(), wholes, KeyError, independent=lambda content: content
    )
    assert not check("any", honest, tmp_path / "f", 50, "0")["wrong"]


def test_all_implementations_have_the_same_nets_in_the_same_order(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from workloads import HUGE, LARGE, SMALL

    kinds = {kind for kind, _ in {**SMALL, **LARGE, **HUGE}.values()}
    found = []
    for name in ("ours", "theirs", "products"):
        body = ast.parse((FOLDER / "workloads" / f"{name}.py").read_text()).body
        functions = [part for part in body if isinstance(part, ast.FunctionDef)]
        found.append([(f.name, ast.unparse(f.args)) for f in functions if f.name in kinds])
    assert found[0] == found[1] == [(f, f"{sizes}, device: str='cpu'") for f, sizes in found[2]]
    assert {name for name, _ in found[0]} == kinds


@pytest.mark.parametrize("name", ["vae", "gan", "cnn", "tanh", "cnn-3x32x32"])
def test_the_products_are_those_of_pytorch(name, monkeypatch):
    pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.syspath_prepend(FOLDER)
    from workloads import LARGE, SMALL, products, theirs

    kind, sizes = {**SMALL, **LARGE}[name]
    monkeypatch.setattr(products, "workload", lambda found: found)
    flops = sum(2 * math.prod(product) for product in getattr(products, kind)(**sizes))
    step, _ = getattr(theirs, kind)(**sizes)
    with FlopCounterMode(display=False) as counter:
        step()
    assert counter.get_total_flops() == flops


def test_a_long_run_keeps_its_memory_with_the_collector_off():
    done = run("steady.py", "--steps", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    assert abs(int(done.stdout.split()[2])) < 1000  # kB: a step's graph that stays is 20 kB
