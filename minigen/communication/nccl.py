"""Sums over ranks of arrays on GPUs, by NCCL (NVIDIA's Collective Communications Library).

The plain way, to wait for the GPU, copy to the host, sum by MPI and copy back, has each wait for
the other. NCCL's sums are work of the GPU: the host puts them in a stream of their own and goes on.
Work of two streams runs side by side, except where one waits for an event of the other:

    compute stream   writes x, event a      computes on           waits for b, reads the sum
    NCCL's stream             waits for a, sums over ranks, event b

NCCL chooses an order of additions by the number of ranks, the size of an array, the GPUs and the
links between them, never by time: on the same machines two runs are equal bit for bit, and all
ranks get the same bits. NVLink SHARP, where the switch adds, has no such order
(https://github.com/NVIDIA/nccl/issues/1497), so it is off unless NCCL_NVLS_ENABLE is set.
"""

import os
import platform
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen import console
from minigen.backend.arrays import Array, cupy, is_cupy, nccl
from minigen.backend.devices import capturing, to_device
from minigen.communication.world import Reductions, World
from minigen.errors import BackendUnavailable, DistributedError

# The dtypes that NCCL and CuPy have in common; int16, for one, is summed on the host.
TYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "uint32", "int64", "uint64")
OPERATIONS = {"mean": "NCCL_SUM", "sum": "NCCL_SUM", "max": "NCCL_MAX", "min": "NCCL_MIN"}


def connected(world: World) -> "Nccl | None":
    """NCCL between the current GPUs of all ranks, which call this at once.

    None where it cannot be used: where it is missing, or two ranks have one GPU. Rank 0 then says
    why. DistributedError if the ranks cannot be connected.
    """
    with world.busy("connecting GPUs"):
        reason = _why_not(world.gather(_own_gpu()))
        if reason is not None:
            if world.rank == 0:
                console.say(
                    f"{reason}: gradients are summed on the host, which is slow", sys.stderr
                )
            return None
        return Nccl(world)


def _own_gpu() -> list[str]:
    """[machine, GPU, why NCCL cannot be used] of this rank."""
    try:
        nccl()
    except BackendUnavailable as error:
        return ["", "", str(error)]
    cuda = cupy().cuda
    return [platform.node(), cuda.runtime.deviceGetPCIBusId(cuda.Device().id), ""]


def _why_not(gpus: list[list[str]]) -> str | None:
    """Why NCCL cannot be used by ranks with these GPUs; None if it can."""
    for rank, (machine, gpu, error) in enumerate(gpus):
        if error:
            return f"rank {rank}: {error}"
        if (first := gpus.index([machine, gpu, error])) < rank:
            return (
                f"ranks {first} and {rank} share a GPU of {machine}, which NCCL refuses; start as "
                "many ranks on a machine as it has GPUs, with --device cuda instead of cuda:N"
            )
    return None


class Nccl:
    """A communicator of NCCL, its stream, and the calls that minigen makes.

    Its arrays are new, and are used on the stream that is current when they are asked for.
    """

    def __init__(self, world: World):
        os.environ.setdefault("NCCL_NVLS_ENABLE", "0")  # before NCCL reads it, at its first call
        self.library, self.size = nccl(), world.size
        own = _tried(lambda: self.library.get_unique_id().hex()) if world.rank == 0 else None
        unique_id = bytes.fromhex(world.share(own))
        self.comm = _tried(lambda: self.library.NcclCommunicator(self.size, unique_id, world.rank))
        # Before CUDA ends; a garbage collector may come after that.
        weakref.finalize(self, self.comm.destroy)
        self.device, self.stream = cupy().cuda.Device().id, cupy().cuda.Stream(non_blocking=True)

    def takes(self, x: Array) -> bool:
        """Whether x is an array that NCCL can sum or send."""
        return is_cupy(x) and x.dtype.name in TYPES and x.device.id == self.device

    def reduced(self, x: Array, op: str) -> Array:
        """Mean, sum, max or min of x over ranks, for the current stream."""
        out, end = self.begun(x, op)
        cupy().cuda.get_current_stream().wait_event(end)
        if op != "mean":
            return out
        return out / (self.size if x.dtype.kind != "f" else x.dtype.type(self.size))

    def sent(self, x: Array, root: int) -> Array:
        """The x of rank root, for the current stream."""
        out, end = self._put(self.comm.broadcast, x, root)
        cupy().cuda.get_current_stream().wait_event(end)
        return out

    def begun(self, x: Array, op: str = "sum") -> tuple[Array, Any]:
        """(result, the event after which it is there). x must be kept, unchanged, until then."""
        return self._put(self.comm.allReduce, x, getattr(self.library, OPERATIONS[op]))

    def _put(self, call: Callable, x: Array, how: int) -> tuple[Array, Any]:
        """Put a call in NCCL's stream, behind what the current stream has been told to do so far.

        If the current stream is being captured, NCCL's stream joins the capture by waiting for its
        event, and leaves it when the current stream waits for the event that is returned.
        """
        cuda = cupy().cuda
        x = x if x.flags.c_contiguous else cupy().ascontiguousarray(x)
        # The memory of out may have been freed by work that the current stream has yet to do.
        out = cupy().empty(x.shape, x.dtype)
        before, after = (cuda.Event(disable_timing=True) for _ in range(2))
        self.stream.wait_event(cuda.get_current_stream().record(before))
        dtype, stream = getattr(self.library, f"NCCL_{x.dtype.name.upper()}"), self.stream.ptr
        _tried(lambda: call(x.data.ptr, out.data.ptr, x.size, dtype, how, stream))
        return out, self.stream.record(after)

    def check(self) -> None:
        """DistributedError if NCCL has found that another rank or a link to it has failed."""
        _tried(self.comm.check_async_error)


def _tried(call: Callable) -> Any:
    """call(); an error of NCCL becomes a DistributedError with the remedy."""
    try:
        return call()
    except RuntimeError as error:
        if type(error).__name__ != "NcclError":
            raise
        raise DistributedError(
            f"NCCL cannot reach the GPUs of all ranks ({error}): NCCL_DEBUG=INFO has it say why, "
            "NCCL_SOCKET_IFNAME names the network to use, and --device cpu trains without GPUs"
        ) from None


class NcclReductions(Reductions):
    """Sums of arrays on GPUs by NCCL; the host waits for none of them.

    All ranks start them in the same order, also beside those of other Reductions and beside other
    calls of NCCL, such as batch norm's: NCCL has one queue.
    """

    def __init__(self, link: Nccl, like: Sequence[Array]):
        super().__init__(like)
        self.link, self.begun = link, {}

    def start(self, i: int) -> None:
        self.link.check()
        self.begun[i] = *self.link.begun(self.slots[i]), capturing.get()

    def finish(self, i: int) -> Array:
        out, end, recording = self.begun.pop(i)
        if recording is capturing.get():  # else an error has ended the capture, and with it the sum
            cupy().cuda.get_current_stream().wait_event(end)
        return out


class ReductionsByHost(Reductions):
    """Sums of arrays on GPUs, or of some, by copies on the host: where NCCL cannot be used.

    Starting a sum waits for the GPU, whose values it copies.
    """

    def __init__(self, like: Sequence[Array], on_host: Callable[[list[np.ndarray]], Reductions]):
        super().__init__(like)
        self.on_host = on_host([np.empty(x.shape, x.dtype) for x in like])

    def ready(self, i: int) -> None:
        self.on_host.ready(i)

    def start(self, i: int) -> None:
        refuse_capture()
        if is_cupy(slot := self.slots[i]):
            slot.get(out=self.on_host.slots[i])
        else:
            self.on_host.slots[i][...] = slot
        self.on_host.start(i)

    def poll(self) -> None:
        self.on_host.poll()

    def finish(self, i: int) -> Array:
        found = self.on_host.finish(i)
        return to_device(found, "cuda") if is_cupy(self.slots[i]) else found


def refuse_capture(what: str = "ranks exchange arrays through the host in it") -> None:
    """BackendUnavailable in a captured step: a replay would leave out what the host does."""
    if capturing.get() is not None:
        raise BackendUnavailable(what)
