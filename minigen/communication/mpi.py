"""World on MPI (the Message Passing Interface, version 4), by mpi4py.

Every wait is a request that is tested again and again (`waiting.wait`): MPI's own blocking calls
would keep a core busy.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.backend.arrays import Array
from minigen.backend.devices import device_of, to_device, to_numpy
from minigen.communication.waiting import wait
from minigen.communication.windows import MpiWindow, answer
from minigen.communication.world import Reductions, World


class MpiWorld(World):
    """A rank of the processes that mpiexec has started."""

    def __init__(self, comm: Any, local: Any):
        super().__init__()
        self.comm = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.local_rank, self.local_size = local.Get_rank(), local.Get_size()
        self.answers = False  # a thread lets MPI answer the ranks on other machines

    def barrier(self) -> None:
        wait(self.comm.Ibarrier().Test)

    def share(self, value: Any, root: int = 0) -> Any:
        return self.gather(value if self.rank == root else None)[root]

    def gather(self, value: Any) -> list[Any]:
        content = np.frombuffer(json.dumps(value).encode(), np.uint8)
        lengths = np.empty(self.size, np.int64)
        wait(self.comm.Iallgather(np.int64(len(content)).reshape(1), lengths).Test)
        found = np.empty(int(lengths.sum()), np.uint8)
        wait(self.comm.Iallgatherv(content, [found, lengths]).Test)
        return [json.loads(part.tobytes()) for part in np.split(found, np.cumsum(lengths)[:-1])]

    def window(self, like: Sequence[np.ndarray]) -> MpiWindow:
        on_one_machine = self.local_size == self.size
        if not on_one_machine and self.rank == 0 and not self.answers:
            answer(self.comm)
            self.answers = True
        return MpiWindow(self.comm, like, on_one_machine)

    def reductions(self, like: Sequence[Array]) -> Reductions:
        return MpiReductions(self.comm, like)

    def _reduced(self, x: Array, op: str) -> Array:
        from mpi4py import MPI

        out = np.array(to_numpy(x), order="C")  # a copy
        operation = {"mean": MPI.SUM, "sum": MPI.SUM, "max": MPI.MAX, "min": MPI.MIN}[op]
        wait(self.comm.Iallreduce(MPI.IN_PLACE, out, operation).Test)
        if op == "mean":
            out = out / self.size if out.dtype.kind != "f" else out / out.dtype.type(self.size)
        return to_device(out, device_of(x))

    def _sent(self, x: Array, root: int) -> Array:
        out = np.array(to_numpy(x), order="C")
        wait(self.comm.Ibcast(out, root).Test)
        return to_device(out, device_of(x))


class MpiReductions(Reductions):
    """Sums by MPI_Iallreduce, which goes on whenever MPI is called."""

    def __init__(self, comm: Any, like: Sequence[Array]):
        super().__init__(like)
        self.comm, self.requests = comm, {}

    def start(self, i: int) -> None:
        sums = np.empty_like(self.slots[i])
        self.requests[i] = sums, self.comm.Iallreduce(self.slots[i], sums)

    def poll(self) -> None:
        for _, request in self.requests.values():
            request.Test()

    def finish(self, i: int) -> Array:
        sums, request = self.requests.pop(i)
        wait(request.Test)
        return sums
