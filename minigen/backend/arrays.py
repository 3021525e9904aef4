"""The array module, numpy or cupy, of an array, and functions that work for both modules.

This file imports cupy, and only when the user chooses a GPU.
"""

import warnings
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy import ndarray

from minigen.errors import BackendUnavailable

Array = Any  # a NumPy or CuPy array; in the signature of an op also a Tensor or a Python scalar
Shape = tuple[int, ...]


def array_module(x: Array) -> ModuleType:
    """numpy or cupy: the module whose functions take and return arrays like x."""
    return cupy() if is_cupy(x) else np


def is_cupy(x: Any) -> bool:
    """Whether x is a CuPy array; does not import cupy."""
    return type(x) is not ndarray and type(x).__module__.partition(".")[0] == "cupy"


def cupy() -> ModuleType:
    """The cupy module on a machine that can run it; else BackendUnavailable with the reason."""
    try:
        import cupy as module
    except Exception as error:  # a broken installation raises OSError, AttributeError and others
        raise BackendUnavailable(
            f"device 'cuda' needs cupy, which cannot be imported here ({error}); "
            "install minigen[cuda12] or minigen[cuda13], as your driver needs, or use device='cpu'"
        ) from error
    if not _finds_gpu(module):
        raise BackendUnavailable(
            "device 'cuda' needs an NVIDIA GPU with a driver, and cupy finds none here; "
            "use device='cpu'"
        )
    return module


def nccl() -> ModuleType:
    """NVIDIA's library for sums over the GPUs of several processes, as CuPy has it.

    BackendUnavailable if it cannot be loaded.
    """
    cupy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's advice, which the error below repeats
        from cupy.cuda import nccl as module
    if not module.available:
        raise BackendUnavailable(
            "NCCL cannot be loaded; install the package nvidia-nccl-cu12 or nvidia-nccl-cu13, "
            "with the number of your CuPy"
        )
    return module


@cache
def _finds_gpu(module: ModuleType) -> bool:
    """Whether there is a GPU; cached, since the call to CUDA takes longer than a small op."""
    return bool(module.cuda.is_available())


def owner(x: Array) -> Array:
    """The array that owns the memory of x: x itself, or the array of which x is a view."""
    return x if x.base is None else x.base


def largest(x: Array, axis: int | Shape, empty: float) -> Array:
    """The maximum over axis, which is kept with length 1; `empty` if x has no values."""
    if x.size:
        return x.max(axis=axis, keepdims=True)
    axes = axis if isinstance(axis, tuple) else (axis,)
    shape = [1 if i in axes or i - x.ndim in axes else n for i, n in enumerate(x.shape)]
    return array_module(x).full(shape, empty, x.dtype)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """np.broadcast_shapes, which takes 5 us; for equal shapes it is not called."""
    first = shapes[0]
    for shape in shapes:
        if shape != first:
            return np.broadcast_shapes(*shapes)
    return first
