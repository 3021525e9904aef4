"""Joining the processes that mpiexec, or Slurm's srun, has started; MPI is imported only then."""

import os

from minigen.backend.devices import take_gpu_of
from minigen.communication.mpi import MpiWorld
from minigen.communication.world import World, current, join
from minigen.errors import BackendUnavailable
from minigen.parallel.pool import set_num_threads

# The variables in which launchers tell a process the number of all: MPICH and Intel MPI, Open MPI,
# MVAPICH, Slurm (a step that srun has started).
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")


def launched_size() -> int:
    """The number of processes of which a launcher has started this one; 1 without a launcher."""
    return max((int(os.environ.get(name) or 1) for name in SIZES), default=1)


def start() -> World:
    """Join the processes that train together; called again, it returns the same World.

    A process that no launcher has started is a World of size 1. Raises BackendUnavailable if there
    are several, but mpi4py is missing or speaks to another MPI than that of mpiexec.
    """
    if current().size > 1 or launched_size() == 1:
        return current()
    size = launched_size()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise BackendUnavailable(
            f"this is one of {size} processes, and they cannot talk to each other ({error}): "
            "install mpi4py, by pip install 'minigen[mpi]', or start one process, without mpiexec"
        ) from None
    comm = MPI.COMM_WORLD
    if comm.Get_size() != size:
        raise BackendUnavailable(
            f"mpiexec has started {size} processes, but mpi4py finds {comm.Get_size()}: they are "
            f"of two MPIs; start them with the mpiexec of {MPI.Get_library_version().split()[0]}"
        )
    world = MpiWorld(comm.Dup(), comm.Split_type(MPI.COMM_TYPE_SHARED))
    take_gpu_of(world.local_rank)
    if not os.environ.get("OMP_NUM_THREADS"):
        set_num_threads(max(1, len(os.sched_getaffinity(0)) // world.local_size))
    return join(world)
