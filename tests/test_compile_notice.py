"""What is said while kernels are compiled: a line, progress on a terminal, nothing if quick."""

import io
import os
import subprocess
import sys
import time

import pytest

pytest.importorskip("numba")
from minigen.kernels.cpu import notice as module
from minigen.kernels.cpu.notice import Notice

LINE = "minigen: compiling kernels, once on this machine"
ONE_KERNEL = """
from minigen.kernels.cpu import notice
notice.QUIET = 0.0
import numpy as np
from minigen import kernels
kernels.erf(np.ones(3))
"""


def test_the_first_kernels_of_a_machine_are_announced_and_cached_ones_are_not(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "MINIGEN_KERNELS": ""}
    for expected in (f"{LINE}\n", ""):
        command = [sys.executable, "-c", ONE_KERNEL]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=200)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", expected)


def compile_some(notice, seconds):
    """Kernels that take so long each; the second one needs another one."""
    notice.begin()
    time.sleep(seconds)
    notice.end()
    notice.begin()
    notice.begin()
    time.sleep(seconds)
    notice.end()
    notice.end()


def test_it_is_said_once_and_only_if_it_takes_a_while(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(module, "QUIET", 60.0)
    compile_some(Notice(), 0.0)
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(module, "QUIET", 0.1)
    notice = Notice()
    compile_some(notice, 0.07)  # together more
    compile_some(notice, 0.07)
    assert sys.stderr.getvalue() == f"{LINE}\n"
    assert (notice.kernels, notice.depth) == (6, 0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_number_of_kernels_is_shown_and_then_erased(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(module, "QUIET", 0.0)
    compile_some(Notice(), 0.05)
    seen = terminal.getvalue()
    lines = seen.split("\r")
    assert lines[0] == f"{LINE}: 0 done, 0 s" and lines[2] == f"{LINE}: 1 done, 0 s"
    assert lines[1].isspace() and lines[3].isspace()
    assert lines[-1] == ""


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_missing_or_closed_stream_stops_no_compilation(stream, monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if stream else None)
    monkeypatch.setattr(module, "QUIET", 0.0)
    compile_some(Notice(), 0.02)
