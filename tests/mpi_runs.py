"""Programs on several processes, which mpiexec starts: for tests and benchmarks.

    finished = run_ranks("test_mpi_reductions:checks", 3)     # a function of a module in tests/
    finished.results[0]["sums"]                               # what it returned on rank 0
    finished = run_ranks(["examples/gpt.py", "--steps", "3"], 2, expect=None)   # a script
    finished.returncode, finished.output

A start takes about half a second, so one should answer several tests: a fixture of the module's
scope calls run_ranks, and each test looks at a part of the results. Where there is no mpiexec or no
mpi4py, run_ranks skips the test with a sentence.
"""

import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

TESTS = Path(__file__).parent
TAG = "MINIGEN_TEST_RUN"  # an environment variable, by whose value a run's processes are found
# Open MPI refuses root and more ranks than cores, unless it is told otherwise.
PERMISSIONS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


class Finished(NamedTuple):
    """A run that has ended: its exit status, its output, and what the function returned.

    results has a dict for each rank, or None for a rank that returned nothing. orphans are the ids
    of the processes that were alive a second after mpiexec had ended; they have been killed.
    """

    returncode: int
    stdout: str
    stderr: str
    results: list[dict[str, Any] | None]
    seconds: float
    orphans: list[int]

    @property
    def output(self) -> str:
        return f"{self.stdout}\n{self.stderr}"


class Started:
    """A run that goes on, for tests that stop or kill ranks."""

    def __init__(self, process: subprocess.Popen, tag: str, folder: Path, n: int):
        self.process, self.tag, self.folder, self.n = process, tag, folder, n
        self.begun = time.perf_counter()

    def processes(self) -> list[int]:
        """The ids of all processes of the run that are alive, mpiexec and its helpers included."""
        return [pid for pid, environment in _environments() if environment.get(TAG) == self.tag]

    def ranks(self) -> dict[int, int]:
        """The process id of each rank that is alive."""
        mine = ((pid, e) for pid, e in _environments() if e.get(TAG) == self.tag)
        return {int(e[name]): pid for pid, e in mine for name in _RANKS if name in e}

    def finish(self, timeout: float = 60) -> Finished:
        """Wait for the end, and kill what is left after timeout seconds."""
        late, orphans = False, []
        try:
            self.process.wait(timeout)
            ended = time.perf_counter()
            while (orphans := self.processes()) and time.perf_counter() - ended < 1:
                time.sleep(0.01)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            seconds = time.perf_counter() - self.begun
            self.kill()
        stdout, stderr = (
            (self.folder / name).read_text(errors="replace") for name in ("stdout", "stderr")
        )
        if late:
            raise AssertionError(
                f"{self.n} ranks were still running after {timeout} seconds, and were killed\n"
                f"{_shown(stdout, stderr)}"
            )
        results = [_read(self.folder / f"{rank}.npz") for rank in range(self.n)]
        return Finished(self.process.returncode, stdout, stderr, results, seconds, orphans)

    def kill(self) -> None:
        """Kill all processes of the run."""
        while pids := self.processes():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.poll()
            time.sleep(0.01)
        self.process.wait()


def run_ranks(
    program: str | Sequence[str],
    n: int,
    arguments: Mapping[str, Any] | None = None,
    *,
    timeout: float = 60,
    environment: Mapping[str, str] | None = None,
    directory: Path | str | None = None,
    expect: int | None = 0,
) -> Finished:
    """Run a program on n ranks to its end; AssertionError with the output if it fails.

    program: "module:function", whose function each rank calls with the arguments (JSON) and which
    returns a dict of arrays and JSON values; or the words of a command line behind `python`.
    expect: the exit status; None for any. Skips the test where there is no MPI.
    """
    with tempfile.TemporaryDirectory() as folder:
        started = start_ranks(
            program, n, arguments, folder=folder, environment=environment, directory=directory
        )
        finished = started.finish(timeout)
    if expect is not None and finished.returncode != expect:
        raise AssertionError(
            f"{n} ranks ended with status {finished.returncode}, not {expect}\n"
            f"{_shown(finished.stdout, finished.stderr)}"
        )
    return finished


def start_ranks(
    program: str | Sequence[str],
    n: int,
    arguments: Mapping[str, Any] | None = None,
    *,
    folder: Path | str,
    environment: Mapping[str, str] | None = None,
    directory: Path | str | None = None,
) -> Started:
    """Start a program as `run_ranks` does, with its results and output in folder."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    folder = Path(folder)
    words = list(program)
    if isinstance(program, str):
        words = [str(TESTS / "mpi_runs.py"), program, json.dumps(arguments or {}), str(folder)]
    tag = uuid.uuid4().hex
    with open(folder / "stdout", "w") as out, open(folder / "stderr", "w") as err:
        process = subprocess.Popen(
            [mpiexec(), "-n", str(n), sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=directory,
            env=_environment(tag) | dict(environment or {}),
            start_new_session=True,
        )
    return Started(process, tag, folder, n)


def mpiexec() -> str | None:
    """The mpiexec beside this Python, else that on PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


@functools.cache
def why_not() -> str | None:
    """A sentence that says why nothing can run on several processes here; None if it can."""
    remedy = "; pip install 'minigen[mpi]' brings both"
    if mpiexec() is None:
        return f"there is no mpiexec for the tests of several processes{remedy}"
    line = "from mpi4py import MPI; print(f'<{MPI.COMM_WORLD.size} ranks>')"
    command = [mpiexec(), "-n", "2", sys.executable, "-c", line]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=20, env=_environment("probe")
        )
    except subprocess.TimeoutExpired:
        return f"{mpiexec()} does not end on two processes{remedy}"
    if run.stdout.count("<2 ranks>") == 2:  # lines of two ranks may run into each other
        return None
    if "ModuleNotFoundError" in run.stderr:
        return f"there is no mpi4py for the tests of several processes{remedy}"
    return f"{mpiexec()} and mpi4py do not fit together: {run.stdout.split()}{remedy}"


_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK")


def _environment(tag: str) -> dict[str, str]:
    """One thread for each rank; minigen and the tests can be imported; without pytest's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", *_RANKS, "PMI_"))}
    path = [
        str(TESTS.parent),
        str(TESTS),
        str(TESTS.parent / "benchmarks"),
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
    return {
        **kept,
        **PERMISSIONS,
        "PYTHONPATH": os.pathsep.join(path),
        "OMP_NUM_THREADS": "1",
        TAG: tag,
    }


def _environments() -> list[tuple[int, dict[str, str]]]:
    """Of each process that this user may look at: its id and its environment at the start."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    continue  # it has ended
                lines = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            found.append((int(entry.name), dict(x.split("=", 1) for x in lines if "=" in x)))
    return found


def _shown(stdout: str, stderr: str, length: int = 6000) -> str:
    """The end of the output, for a message."""
    return f"--- stdout\n{stdout[-length:]}\n--- stderr\n{stderr[-length:]}"


def _read(path: Path) -> dict[str, Any] | None:
    """What `_write` has written; None if it has not."""
    if not path.exists():
        return None
    with np.load(path) as saved:
        rest = json.loads(bytes(saved["json"]))
        return {
            name: rest[name] if name in rest else saved[f"array {name}"]
            for name in json.loads(bytes(saved["names"]))
        }


def _write(path: Path, values: Mapping[str, Any]) -> None:
    """Save a dict of arrays and of values that JSON can hold."""
    arrays = {name: v for name, v in values.items() if isinstance(v, np.ndarray | np.generic)}
    rest = {name: v for name, v in values.items() if name not in arrays}
    texts = {"json": json.dumps(rest), "names": json.dumps(list(values))}
    np.savez(
        path,
        **{f"array {name}": v for name, v in arrays.items()},
        **{name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()},
    )


def _call(target: str, arguments: str, folder: str) -> None:
    """On a rank: call the function, and save what it returns. An error ends all ranks."""
    rank = next((os.environ[name] for name in _RANKS if name in os.environ), "?")
    module, function = target.split(":")
    try:
        values = getattr(importlib.import_module(module), function)(**json.loads(arguments))
        _write(Path(folder) / f"{rank}.npz", values or {})
    except BaseException:
        print(f"rank {rank}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        if "mpi4py.MPI" in sys.modules:
            sys.modules["mpi4py.MPI"].COMM_WORLD.Abort(1)
        sys.exit(1)


if __name__ == "__main__":
    _call(*sys.argv[1:])
