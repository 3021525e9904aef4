"""A run of a few steps in which one rank has a fault, for test_mpi_faults.py and by hand:

mpiexec -n 3 python tests/rank_faults.py FAULT RANK [PATIENCE]
"""

import os
import signal
import sys
import time

import numpy as np

from minigen import distributed
from minigen.communication.launch import launcher

FAULT, RANK = sys.argv[1], int(sys.argv[2])


def fault() -> None:
    if FAULT.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, FAULT))
    if FAULT == "error":
        raise ValueError("something is wrong here")
    if FAULT == "end":
        sys.exit()
    while FAULT == "loop":
        pass


def main() -> None:
    if FAULT == "late" and int(os.environ[launcher().rank]) == RANK:
        os.kill(os.getpid(), signal.SIGSTOP)  # before it has joined
    world = distributed.start(patience=float((sys.argv[3:] or [30])[0]))
    print("joined", flush=True)
    for step in range(10):
        if FAULT == "all" and step == 5:
            raise ValueError(f"all have {object()}")
        if world.rank == RANK and step == 5:
            fault()
        world.all_reduce(np.ones(3))
        world.progress()
    if FAULT == "slow":
        with world.busy("drawing"):
            time.sleep(2 if world.rank == RANK else 0)
        world.barrier()
        time.sleep(2 if world.rank == RANK else 0)  # after the end of the others
    print(f"end of {world.rank}", flush=True)


if __name__ == "__main__":
    main()
