"""How the kernels of this folder are compiled."""

import hashlib
import warnings
from functools import cache
from pathlib import Path

import numba

# Sums in any order, so that each lane of a vector has its own: as accurate as one after another.
# It is for loops that sum and do no more; elsewhere it would turn (a - b) - c into a - (b + c).
REASSOCIATE = frozenset({"contract", "nsz", "reassoc"})
CONTRACT = frozenset({"contract"})


def compiled(function=None, *, fastmath=frozenset(), inline="never"):
    """Numba's njit with a disk cache where one can be written, else compiled in memory.

    inline="always" writes it into its callers before LLVM sees them: what is long and called from
    one place is then compiled once, not for itself and again with the caller.
    """
    if function is None:
        return lambda f: compiled(f, fastmath=fastmath, inline=inline)
    kernel = numba.njit(function, inline=inline, **_options(fastmath))
    try:
        from minigen.kernels.cpu.caching import KernelCache

        # Numba would look at the kernel's own file for changes; helpers stand in others, too.
        kernel._cache = KernelCache(function, stamp_of_sources(), warn_once)
    except RuntimeError:
        warn_once("there is no folder that it can be written to")
    except (ImportError, AttributeError, TypeError) as error:
        warn_once(f"this Numba, {numba.__version__}, keeps it otherwise ({error})")
    return kernel


def inlined(function=None, *, fastmath=frozenset()):
    """A helper of kernels: LLVM writes it into them, where it keeps the fastmath of its own."""
    if function is None:
        return lambda f: inlined(f, fastmath=fastmath)
    return numba.njit(function, forceinline=True, **_options(fastmath))


def _options(fastmath):
    return {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}


@cache
def stamp_of_sources(folder: Path = Path(__file__).parents[1]) -> str:
    """A hash of all that a kernel is made of: the sources of `cpu/` and of `reference/`."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*/*.py")):
        digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def warn_once(reason: str) -> None:
    """Say what the cache of kernels lacks; the same thing once in a process."""
    warnings.warn(
        f"the kernel cache fails: {reason}; minigen goes on with kernels compiled in memory, which "
        "takes seconds in each process; `python -m minigen doctor` names the remedy",
        RuntimeWarning,
        stacklevel=3,
    )


def cache_folder() -> str | None:
    """Where the compiled kernels are kept; None where they cannot be kept."""
    return compiled(cache_folder).stats.cache_path  # any function of this folder
