"""A fault of one rank ends all: within seconds, with its name and reason, and without orphans."""

import os
import re
import signal
import sys
import time

import pytest
from mpi_runs import TESTS, start_ranks

SCRIPT = str(TESTS / "rank_faults.py")
# The fault, its rank, the patience, and what is said of the rank
FAULTS = [
    ("SIGKILL", 2, 30, "was killed by signal 9"),
    ("SIGSEGV", 1, 30, "was killed by signal 11"),
    ("SIGSTOP", 1, 30, "has been stopped for"),
    ("error", 2, 30, "ValueError: something is wrong here"),
    ("loop", 1, 1, "has made no progress for"),
    ("late", 2, 30, "has been stopped for"),
]


OTHERS = [("slow", 0, 1), ("all", 0, 30), ("without mpi4py", 0, 30)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What each run said, by its fault: the runs mostly wait, so they go on at the same time."""
    without = tmp_path_factory.mktemp("path")  # a package mpi4py without MPI stands first
    (without / "mpi4py").mkdir()
    (without / "mpi4py/__init__.py").write_text("")
    started = {}
    for fault, rank, patience in [*(each[:3] for each in FAULTS), *OTHERS]:
        path = [str(without)] if fault == "without mpi4py" else []
        started[fault] = start_ranks(
            [SCRIPT, fault, str(rank), str(patience)],
            3,
            folder=tmp_path_factory.mktemp("run"),
            environment={"PYTHONPATH": os.pathsep.join([*path, *sys.path])},
        )
    return {fault: each.finish() for fault, each in started.items()}


@pytest.mark.parametrize(("fault", "rank", "patience", "reason"), FAULTS)
def test_a_fault_ends_all_and_names_the_rank(finished, fault, rank, patience, reason):
    run = finished[fault]
    assert run.returncode != 0
    assert not run.orphans
    said = re.findall(r"^(rank \d of 3) \(pid \d+, \S+\):? (.*)", run.stderr, re.MULTILINE)
    assert len(said) == 1, run.stderr
    assert said[0][0] == f"rank {rank} of 3"
    assert reason in said[0][1]
    assert run.seconds < 30


def test_a_rank_that_is_busy_or_the_last_is_not_blamed(finished):
    run = finished["slow"]
    assert run.returncode == 0
    assert sorted(re.findall(r"end of \d", run.stdout)) == ["end of 0", "end of 1", "end of 2"]
    assert not run.stderr
    assert not run.orphans


def test_an_error_of_all_ranks_is_said_once(finished):
    run = finished["all"]
    assert run.returncode == 1
    assert run.stderr.count("ValueError: all have") == 1
    assert run.stderr.count("Traceback") == 1
    assert "of 3" not in run.stderr


def test_without_mpi4py_one_sentence_says_what_to_do(finished):
    run = finished["without mpi4py"]
    assert run.returncode == 1
    assert run.stderr.count("pip install 'minigen[mpi]'") == 1
    assert not run.orphans


def test_no_rank_outlives_mpiexec(tmp_path):
    started = start_ranks([SCRIPT, "loop", "1"], 2, folder=tmp_path)
    end = time.monotonic() + 30
    while (tmp_path / "stdout").read_text().count("joined") < 2 and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(started.process.pid, signal.SIGKILL)
    assert not started.finish().orphans
