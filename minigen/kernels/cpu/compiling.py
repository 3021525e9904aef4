"""How the kernels of this folder are compiled."""

import hashlib
from functools import cache
from pathlib import Path

import numba

# Sums in any order, so that each lane of a vector has its own: as accurate as one after another.
# It is for loops that sum and do no more; elsewhere it would turn (a - b) - c into a - (b + c).
REASSOCIATE = frozenset({"contract", "nsz", "reassoc"})
CONTRACT = frozenset({"contract"})


def compiled(function=None, *, fastmath=frozenset()):
    """Numba's njit with a disk cache where one can be written, else compiled in memory."""
    if function is None:
        return lambda f: compiled(f, fastmath=fastmath)
    options = _options(fastmath)
    try:
        kernel = numba.njit(function, cache=True, **options)
        # Numba would look at the kernel's own file for changes; helpers stand in others, too.
        kernel._cache._cache_file._source_stamp  # noqa: B018 - raises if Numba has moved it
        kernel._cache._cache_file._source_stamp = stamp_of_sources()
        return kernel
    except (RuntimeError, AttributeError):  # no directory to keep it in; another Numba
        return numba.njit(function, **options)


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
