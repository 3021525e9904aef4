"""Devices: their names, the device of an array, and moving arrays between devices."""

import math
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, Shape, cupy, is_cupy
from minigen.errors import BackendUnavailable

# The step that is being recorded as a CUDA graph, or None: see training/cuda_graphs.py.
capturing: ContextVar[Any] = ContextVar("capturing", default=None)


# The number of this process among those of a training run on this machine, until it has a GPU.
_local_rank: int | None = None


def take_gpu_of(local_rank: int) -> None:
    """Have "auto" and "cuda" name the GPU of that number, or of its rest if there are fewer.

    A process of a training run on several calls this when it has joined them, so that each has a
    GPU of its own. The program's first choice of a GPU makes that one the current one.
    """
    global _local_rank
    _local_rank = local_rank


def cuda_is_available() -> bool:
    """Whether device='cuda' would work here."""
    try:
        return bool(cupy())
    except BackendUnavailable:
        return False


def devices() -> list[str]:
    """The devices of this machine: 'cpu', then 'cuda:0' and so on."""
    count = cupy().cuda.runtime.getDeviceCount() if cuda_is_available() else 0
    return ["cpu"] + [f"cuda:{i}" for i in range(count)]


def device(name: str, index: int | None = None) -> str:
    """The name of a device, 'cpu' or 'cuda:N': devices are strings here."""
    return resolve_device(name if index is None else f"{name}:{index}")


def resolve_device(name: str | None) -> str:
    """'cpu' or 'cuda:N' for None, 'cpu', 'cuda', 'cuda:N' or 'auto' (a GPU if there is one).

    'cuda:N' also makes that GPU the current one of this thread; 'cuda' and 'auto' name the current
    one. Of several processes on a machine, each has another GPU at first (`take_gpu_of`).
    """
    global _local_rank
    if name is None or name == "cpu":
        return "cpu"
    if name == "auto":
        if not cuda_is_available():
            return "cpu"
        name = "cuda"
    device_type, _, number = str(name).partition(":")
    if device_type != "cuda" or not (number or "0").isdecimal():
        raise ValueError(f"device {name!r} is not 'cpu', 'cuda', 'cuda:N' or 'auto'")
    module = cupy()
    if not number and _local_rank is None:
        return f"cuda:{module.cuda.Device().id}"
    number = number or _local_rank % module.cuda.runtime.getDeviceCount()
    resolved = f"cuda:{int(number)}"
    if resolved not in devices():
        raise BackendUnavailable(f"device {resolved!r} does not exist here, only {devices()}")
    _local_rank = None
    module.cuda.Device(int(number)).use()
    return resolved


def device_number(name: str) -> int:
    """The number N in the name 'cuda:N'."""
    return int(name.partition(":")[2])


def device_of(x: Array) -> str:
    """'cpu' or 'cuda:N': the device that holds a raw array."""
    return f"cuda:{x.device.id}" if is_cupy(x) else "cpu"


def to_device(x: Array, device: str | None) -> Array:
    """x on that device; x itself, without a copy, if it is on it or device is None."""
    target = device_of(x) if device is None else resolve_device(device)
    if target == device_of(x):
        return x
    if target == "cpu":
        return to_numpy(x)
    module = cupy()
    with module.cuda.Device(device_number(target)):
        return module.asarray(x)


def to_numpy(x: Array) -> np.ndarray:
    """x as a NumPy array; copied only from a GPU."""
    return x.get() if is_cupy(x) else np.asarray(x)


def created_on(device: str | None, create: Callable[[ModuleType], Array]) -> Array:
    """create(numpy) or create(cupy): an array that is created on the device, not copied to it."""
    if (name := resolve_device(device)) == "cpu":
        return create(np)
    with cupy().cuda.Device(device_number(name)):
        return create(cupy())


def pinned(shape: Shape, dtype: Any) -> np.ndarray:
    """An array in page-locked host memory, to and from which a GPU copies asynchronously."""
    memory = cupy().cuda.alloc_pinned_memory(math.prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)


def synchronize(x: Any) -> None:
    """Wait until the GPU has computed the CuPy array x, or those in a tuple or list of arrays."""
    if isinstance(x, tuple | list):
        for part in x:
            synchronize(part)
    elif is_cupy(x):
        cupy().cuda.get_current_stream().synchronize()


def free_memory() -> int:
    """Free bytes on the current GPU: those of the driver plus those in CuPy's memory pool."""
    module = cupy()
    return module.cuda.runtime.memGetInfo()[0] + module.get_default_memory_pool().free_bytes()


def device_memory(device: str = "cuda") -> dict[str, int]:
    """Bytes on a GPU: "used" by arrays, "held" by CuPy's pool for them, "free" beside, "total"."""
    module = cupy()
    with module.cuda.Device(device_number(resolve_device(device))):
        free, total = module.cuda.runtime.memGetInfo()
        pool = module.get_default_memory_pool()
        held = {"used": pool.used_bytes(), "held": pool.total_bytes()}
        return {**held, "free": free, "total": total}
