"""How the kernels of this folder are compiled."""

import hashlib
import warnings
from functools import cache
from pathlib import Path

import numba
import numpy as np

# LLVM's fast-math flags (LLVM Language Reference, "Fast-Math Flags"). With "reassoc" a sum may be
# added in any order: each lane of a vector register has a partial sum of its own, which is as
# accurate as adding one value after another. Only functions that do nothing but sum have it: in
# others it would turn (a - b) - c into a - (b + c), and lose what the order was chosen for.
REASSOCIATE = frozenset({"contract", "nsz", "reassoc"})
CONTRACT = frozenset({"contract"})  # a * b + c may be one fused multiply-add

# Inner loops index with unsigned integers. For a signed index Numba tests whether it is negative
# (and then counts from the end), which keeps LLVM from vectorizing the loop.
U = np.uint64


def compiled(function=None, *, fastmath=frozenset(), inline="never"):
    """Numba's njit, with a cache on the disk where one can be written and else in memory.

    inline="always" copies a function into its callers before LLVM compiles them. A long function
    with one caller is then compiled once, and not for itself and again as a part of the caller.
    """
    if function is None:
        return lambda f: compiled(f, fastmath=fastmath, inline=inline)
    kernel = numba.njit(function, inline=inline, **_options(fastmath))
    try:
        from minigen.kernels.cpu.caching import KernelCache

        # Numba's own cache checks only the kernel's file for changes. A kernel also contains
        # helpers from other files, so this one checks all sources.
        kernel._cache = KernelCache(function, hash_of_sources(), warn_once)
    except RuntimeError:
        warn_once("there is no folder that it can be written to")
    except (ImportError, AttributeError, TypeError) as error:
        warn_once(f"this Numba, {numba.__version__}, has another kind of cache ({error})")
    return kernel


def inlined(function=None, *, fastmath=frozenset()):
    """njit for a helper that LLVM inlines into kernels; the helper keeps its own fastmath flags."""
    if function is None:
        return lambda f: inlined(f, fastmath=fastmath)
    return numba.njit(function, forceinline=True, **_options(fastmath))


def _options(fastmath):
    """The options of njit that all kernels share."""
    return {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}


@cache
def hash_of_sources(folder: Path = Path(__file__).parents[1]) -> str:
    """SHA-256 over all files that kernels are compiled from: `*/*.py` of the folder `kernels/`."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*/*.py")):
        digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def warn_once(reason: str) -> None:
    """Warn that kernels are not cached and why; the same reason once in a process."""
    warnings.warn(
        f"the kernel cache fails: {reason}; minigen goes on with kernels compiled in memory, which "
        "takes seconds in each process; `python -m minigen doctor` names the remedy",
        RuntimeWarning,
        stacklevel=3,
    )


def cache_folder() -> str | None:
    """The folder of the compiled kernels; None where none can be written."""
    return compiled(cache_folder).stats.cache_path  # any function of this folder
