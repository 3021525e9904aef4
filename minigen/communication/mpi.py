"""World on MPI (the Message Passing Interface, version 4), by mpi4py.

Every wait is a request that is tested again and again (`waiting.wait`): MPI's own blocking calls
would keep a core busy.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, is_cupy
from minigen.backend.devices import device_of, to_device, to_numpy
from minigen.communication.faults import Faults
from minigen.communication.nccl import (
    Nccl,
    NcclReductions,
    ReductionsByHost,
    connected,
    refuse_capture,
)
from minigen.communication.shared_memory import SharedReductions, SharedSums
from minigen.communication.waiting import wait
from minigen.communication.windows import MpiWindow, answer
from minigen.communication.world import Reductions, World


class MpiWorld(World):
    """A rank of the processes that mpiexec has started."""

    def __init__(self, comm: Any, local: Any, faults: Faults):
        super().__init__()
        self.comm, self.faults = comm, faults
        if faults.board:
            self.progress = faults.row.progress  # called often: no call more than needed
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.local_rank, self.local_size = local.Get_rank(), local.Get_size()
        self.answers = False  # a thread lets MPI answer the ranks on other machines
        self.links: list[Nccl | None] = []  # of NCCL, once arrays on GPUs have been exchanged
        # On one machine sums go through memory that all ranks share, else through MPI's messages.
        self.local = local if self.local_size == self.size > 1 else None
        self.shared_sums = SharedSums(local) if self.local else None

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
        if not on_one_machine and not self.answers:
            answer(self.comm)
            self.answers = True
        return MpiWindow(self.comm, like, on_one_machine)

    def reductions(self, like: Sequence[Array]) -> Reductions:
        if (link := self._link(like)) is not None:
            return NcclReductions(link, like)
        if any(map(is_cupy, like)):
            return ReductionsByHost(like, self.reductions)
        if self.local is not None:
            return SharedReductions(self.local, like)
        return MpiReductions(self.comm.Dup(), like)

    def _link(self, arrays: Sequence[Array]) -> Nccl | None:
        """NCCL, if it can take the arrays; all ranks ask it at once."""
        if not arrays or not all(map(is_cupy, arrays)):
            return None
        if not self.links:
            self.links.append(connected(self))
        link = self.links[0]
        return link if link is not None and all(map(link.takes, arrays)) else None

    @contextmanager
    def busy(self, activity: str) -> Iterator[None]:
        row = self.faults.row
        if row is None:
            yield
            return
        before, row.activity = row.activity, activity
        try:
            yield
        finally:
            row.activity = before

    def set_patience(self, seconds: float) -> None:
        if self.faults.board:
            self.faults.board.patience = seconds

    def fail(self, sentence: str, code: int = 1) -> None:
        self.faults.fail(sentence, code=code)

    def _reduced(self, x: Array, op: str) -> Array:
        if (link := self._link([x])) is not None:
            return link.reduced(x, op)
        refuse_capture()
        if self.shared_sums is not None:
            operation = {"max": np.maximum, "min": np.minimum}.get(op, np.add)
            out = self.shared_sums.reduce(to_numpy(x), operation)
        else:
            from mpi4py import MPI

            out = np.array(to_numpy(x), order="C")  # a copy
            operation = {"max": MPI.MAX, "min": MPI.MIN}.get(op, MPI.SUM)
            wait(self.comm.Iallreduce(MPI.IN_PLACE, out, operation).Test)
        if op == "mean":
            out = out / self.size if out.dtype.kind != "f" else out / out.dtype.type(self.size)
        return to_device(out, device_of(x))

    def _sent(self, x: Array, root: int) -> Array:
        if (link := self._link([x])) is not None:
            return link.sent(x, root)
        refuse_capture()
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
