"""How the kernels of this folder are compiled."""

import numba

# Summing in any order is as accurate as in one; NaN and infinity keep their meaning.
REASSOCIATE = frozenset({"contract", "nsz", "reassoc"})
CONTRACT = frozenset({"contract"})


def compiled(function=None, *, fastmath=frozenset()):
    """Numba's njit with a disk cache where one can be written, else compiled in memory."""
    if function is None:
        return lambda f: compiled(f, fastmath=fastmath)
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no directory to keep the cache in
        return numba.njit(function, **options)
