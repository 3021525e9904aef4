"""`cupy.cuda.nccl` of the stand-in: sums over ranks by MPI, with the demands of NCCL.

All ranks call the same in the same order. A call is put in a stream, which must have waited for all
that the current stream has done so far, for that may have written the array. Buffers are arrays of
the device.
"""

import ctypes
import hashlib
import os
import socket

import numpy as np

from minigen.communication.waiting import wait
from stand_in.attributes import exposed
from stand_in.recording import current, enqueue, operations, tape
from stand_in.streams import by_ptr

available = True
NCCL_INT8, NCCL_UINT8, NCCL_INT32, NCCL_UINT32, NCCL_INT64, NCCL_UINT64 = range(6)
NCCL_FLOAT16, NCCL_FLOAT32, NCCL_FLOAT64 = 6, 7, 8
NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN, NCCL_AVG = range(5)
TYPES = ("i1", "u1", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
OPERATIONS = {NCCL_SUM: np.add, NCCL_MAX: np.maximum, NCCL_MIN: np.minimum}
NAMES = ("allReduce", "broadcast")
BYTES = 128  # of a unique id


class NcclError(RuntimeError):
    """What CuPy raises for a status that is no success."""


def get_unique_id():
    return os.urandom(BYTES)


class NcclCommunicator:
    """A rank of a communicator; creating one waits for all the others."""

    def __init__(self, ndev, commId, rank, config=None):
        assert type(commId) is bytes and len(commId) == BYTES and config is None
        self.comm, self.rank, self.calls = None, rank, []
        if ndev > 1:
            from mpi4py import MPI

            self.comm = MPI.COMM_WORLD.Dup()
            assert (ndev, rank) == (self.comm.size, self.comm.rank)
        from stand_in.cuda import cuda

        ids = self._of_all(np.frombuffer(commId, np.uint8))
        assert (ids == ids[0]).all(), "ranks have got different ids"
        gpu = f"{socket.gethostname()} {cuda.runtime.deviceGetPCIBusId(0)}".encode()
        gpus = self._of_all(np.frombuffer(hashlib.md5(gpu).digest(), np.uint8))
        if len(np.unique(gpus, axis=0)) < ndev:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: invalid usage (a GPU of two ranks)")

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        reduce = OPERATIONS[op].reduce
        self._put("allReduce", sendbuf, recvbuf, count, datatype, op, stream, reduce)

    def broadcast(self, sendbuff, recvbuff, count, datatype, root, stream):
        chosen = lambda arrays: arrays[root]
        self._put("broadcast", sendbuff, recvbuff, count, datatype, root, stream, chosen)

    def check_async_error(self):
        assert self.calls is not None, "the communicator was destroyed"

    def destroy(self):
        self.calls = None

    def _put(self, name, send, receive, count, datatype, how, stream, combined):
        said = name, count, datatype, how
        assert all(type(x) is int for x in (send, receive, *said[1:], stream)), said
        stream = by_ptr[stream]
        dtype = np.dtype(TYPES[datatype])
        for pointer in (send, receive):
            _check_array(pointer, count * dtype.itemsize)
        written = operations[current.get()]
        if stream.ptr != current.get() and stream.seen.get(current.get(), 0) < written:
            raise RuntimeError(f"{name}: its stream has not waited for what wrote its arrays")
        if (tape.get() is None) is not (stream.capture is None):
            raise RuntimeError(f"{name}: its stream is not captured with the others")
        self.calls.append(said)

        def run():
            found = self._of_all(np.array([NAMES.index(name), *said[1:]]))
            if (found != found[0]).any():
                raise RuntimeError(
                    f"ranks call NCCL with {found.tolist()}: they would wait forever"
                )
            _at(receive, count, dtype)[...] = combined(self._of_all(_at(send, count, dtype)))

        enqueue(lambda: _at(receive, count * dtype.itemsize, np.uint8).fill(0xFF))
        stream.put_late(run)

    def _of_all(self, x):
        """The arrays x of all ranks, as one."""
        if self.comm is None:
            return x[None]
        out = np.empty((self.comm.size, *x.shape), x.dtype)
        x = np.ascontiguousarray(x)
        wait(self.comm.Iallgather(x.view(np.uint8), out.view(np.uint8)).Test)
        return out


def _at(pointer, count, dtype):
    """The array in the memory at a pointer."""
    memory = (ctypes.c_char * (count * np.dtype(dtype).itemsize)).from_address(pointer)
    return np.frombuffer(memory, dtype, count)


def _check_array(pointer, size):
    """AssertionError if the pointer was not taken from a contiguous array of the device."""
    x = exposed.get(pointer)
    assert x is not None, f"no array of the device is at {pointer}"
    assert x.flags.c_contiguous and x.nbytes == size, (x.shape, x.strides, size)
