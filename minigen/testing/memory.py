"""The memory layouts in which kernels must read an array: strides, offsets, order."""

import numpy as np

LAYOUTS = (
    *("contiguous", "fortran", "transposed", "reversed", "stepped", "offset", "stride 0"),
    "read-only",
)
allocate = np.empty  # for contiguous arrays; `tests/guard_pages.py` replaces it by its own


def in_layout(x: np.ndarray, layout: str) -> np.ndarray:
    """A copy of x in one of LAYOUTS. "stride 0" repeats its first slice along axis 0.

    Memory between the values is filled with NaN or the largest integer: a kernel that reads it
    gives a wrong result.
    """
    back, every_third = (slice(None, None, -1),) * x.ndim, (slice(1, None, 3),) * x.ndim
    if layout == "fortran":
        return np.array(x, order="F")
    if layout == "transposed":
        axes = np.roll(range(x.ndim), 1)
        return x.transpose(axes).copy().transpose(np.argsort(axes))
    if layout == "reversed":
        return x[(..., *back)].copy()[(..., *back)]
    if layout == "stepped":
        base = _garbage(tuple(3 * n for n in x.shape), x.dtype)
        view = base[(..., *every_third)]
    elif layout == "offset":
        view = _garbage((x.size + 3,), x.dtype)[3:].reshape(x.shape)
    elif layout == "stride 0" and x.size and x.ndim:
        return np.broadcast_to(x[:1].copy(), x.shape)
    else:
        view = allocate(x.shape, x.dtype)
    view[...] = x
    if layout == "read-only":
        view.setflags(write=False)
    return view


def _garbage(shape, dtype):
    if dtype.kind == "f":
        return np.full(shape, np.nan, dtype)
    return np.full(shape, True if dtype.kind == "b" else np.iinfo(dtype).max, dtype)
