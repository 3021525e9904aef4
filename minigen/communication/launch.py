"""Joining the processes that mpiexec, or Slurm's srun, has started; MPI is imported only then."""

import os
import time
from typing import NamedTuple

import numpy as np

from minigen.backend.devices import take_gpu_of
from minigen.communication.faults import PATIENCE, START_LIMIT, Faults, Watchdog
from minigen.communication.mpi import MpiWorld
from minigen.communication.world import World, current, join
from minigen.errors import BackendUnavailable
from minigen.parallel.pool import set_num_threads


class Launcher(NamedTuple):
    """The variables in which a launcher tells a process what it is."""

    size: str
    rank: str
    local_rank: str


# MPICH and Intel MPI (also srun --mpi=pmi2); Open MPI; MVAPICH; a step that srun has started. A
# launcher that was started by another, as mpiexec by srun, comes first. The shells of sbatch and
# salloc are no steps, or steps of one task: a program that they start is alone.
LAUNCHERS = (
    Launcher("PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
    Launcher("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    Launcher("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
    Launcher("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
)
# Seconds in which rank 0 says why they cannot start, before the others end, which may end it too.
AFTER_RANK_0 = 2.0


def launcher() -> Launcher | None:
    """The launcher that has started this process as one of several; None if there is none."""
    found = [each for each in LAUNCHERS if _number(each.size) and _number(each.rank) is not None]
    return found[0] if found and _number(found[0].size) > 1 else None


def launched_size() -> int:
    """The number of processes of which a launcher has started this one; 1 without a launcher."""
    found = launcher()
    return _number(found.size) if found else 1


def start(patience: float | None = None) -> World:
    """Join the processes that train together; called again, it returns the same World.

    A process that no launcher has started is a World of size 1. A rank that makes no progress for
    `patience` seconds, by default 30, while another waits for it, ends all; so does one that raises
    an error, is killed or is stopped. Raises BackendUnavailable in rank 0, and ends the others, if
    mpi4py is missing or speaks to another MPI than that of mpiexec.
    """
    if patience is not None and not patience > 0:
        raise ValueError(f"start: patience must be a number of seconds above 0, got {patience}")
    world = current()
    if world.size == 1 and (found := launcher()):
        world = join(_joined(found, patience or PATIENCE))
    elif patience is not None:
        world.set_patience(patience)
    return world


def _joined(found: Launcher, patience: float) -> World:
    size, rank = _number(found.size), _number(found.rank)
    watchdog = Watchdog(rank, size, found.rank, max(START_LIMIT, patience))
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        watchdog.leave()
        _refuse(
            found,
            f"this is one of {size} processes, and they cannot talk to each other ({error}): "
            "install mpi4py, by pip install 'minigen[mpi]', or start one process, without mpiexec",
        )
    comm = MPI.COMM_WORLD
    if comm.Get_size() != size:
        watchdog.leave()
        _refuse(
            found,
            f"mpiexec has started {size} processes, but mpi4py finds {comm.Get_size()}: they are "
            f"of two MPIs; start them with the mpiexec of {MPI.Get_library_version().split()[0]}",
        )
    local = comm.Split_type(MPI.COMM_TYPE_SHARED)
    cores = _cores()
    table = np.empty((local.Get_size(), 3), np.int64)
    local.Allgather(np.array([comm.Get_rank(), min(cores), len(cores)]), table)
    board = watchdog.join(local, table[:, 0], size, patience)
    world = MpiWorld(comm.Dup(), local, Faults(watchdog, board, comm.Dup()))
    take_gpu_of(world.local_rank)
    if not os.environ.get("OMP_NUM_THREADS"):
        sharing = np.sum((table[:, 1:] == (min(cores), len(cores))).all(1))  # the same cores
        set_num_threads(max(1, len(cores) // int(sharing)))
    return world


def _refuse(found: Launcher, sentence: str) -> None:
    """Raise the error in the first rank of a machine; end its others without a word."""
    if _number(found.rank):
        time.sleep(AFTER_RANK_0)
    if _number(found.local_rank if found.local_rank in os.environ else found.rank):
        raise SystemExit(1)
    raise BackendUnavailable(sentence)


def _number(variable: str) -> int | None:
    """The value of a variable of the environment; None if it is not a whole number."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else None


def _cores() -> set[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
