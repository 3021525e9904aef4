"""What the recurrent layers share: checks of shapes, buffers, weights' cotangents, and padding.

Shapes are those of `recurrent.py`: T steps, B sequences, D inputs, H units, K gates.
"""

from typing import Any

import numpy as np

from minigen import kernels
from minigen.autodiff.graph import Traced
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import to_numpy
from minigen.errors import ShapeError
from minigen.ops.elementwise import where
from minigen.ops.linalg import rows_of


def checked_arrays(name, gates, x, weight_ih, weight_hh, biases, states):
    """x, the weights, the biases and the states in one dtype; ShapeError if a shape does not fit.

    gates: K; biases: (bias_ih, bias_hh), which may be None; states: a dict of names and (B, H)
    arrays. x is returned in C order: the backward pass reads it too, and need not copy it again.
    """
    if x.ndim != 3 or x.shape[0] == 0:
        raise ShapeError(f"{name}: x must be (T, B, D) with at least one step, got {x.shape}")
    if weight_hh.ndim != 2:
        raise ShapeError(f"{name}: weight_hh must be ({gates} H, H), got {weight_hh.shape}")
    (_, B, D), H = x.shape, weight_hh.shape[1]
    rows = gates * H
    expected = {
        "weight_ih": (weight_ih, (rows, D)),
        "weight_hh": (weight_hh, (rows, H)),
        **{key: (b, (rows,)) for key, b in zip(("bias_ih", "bias_hh"), biases)},
        **{key: (s, (B, H)) for key, s in states.items()},
    }
    for key, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise ShapeError(
                f"{name}: {key} {array.shape} must be {shape} for x {x.shape}, "
                f"(T, B, D), and weight_hh {weight_hh.shape}, ({gates} H, H)"
            )
    arrays = [array_module(x).ascontiguousarray(x), *(array for array, _ in expected.values())]
    dtype = np.result_type(*(a.dtype for a in arrays if a is not None))
    return [a if a is None or a.dtype == dtype else a.astype(dtype) for a in arrays]


def buffers(steps, first_states, *widths):
    """Arrays (T + 1, B, H) that start with each of first_states (B, H); then (T, B, width) each.

    steps is T. All other elements are uninitialized.
    """
    B, H = first_states[0].shape
    xp, dtype = array_module(first_states[0]), first_states[0].dtype
    states = [xp.empty((steps + 1, B, H), dtype) for _ in first_states]
    for state, first in zip(states, first_states):
        state[0] = first
    return [*states, *(xp.empty((steps, B, width), dtype) for width in widths)]


def copy_or_zeros(g, like):
    """A new array for the backward loop to write to: a copy of g, or zeros if g is None."""
    return array_module(like).zeros(like.shape, like.dtype) if g is None else g.copy()


def sum_of_biases(bias_ih, bias_hh):
    """bias_ih + bias_hh (K H,), where None is 0; None if both are."""
    if bias_ih is None or bias_hh is None:
        return bias_hh if bias_ih is None else bias_ih
    return bias_ih + bias_hh


def input_and_weight_cotangents(ga, gb, wanted, x, h, weight_ih):
    """Cotangents of x, weight_ih, weight_hh, bias_ih and bias_hh; None where wanted[i] is false.

    ga and gb (T, B, K H) are those of a[t] = weight_ih x[t] + bias_ih and
    b[t] = weight_hh h[t] + bias_hh; h (T, B, H) are the states before each step.
        gx[t]      = ga[t] weight_ih                          (T, B, D)
        gweight_ih = sum over t of ga[t]^T x[t]               (K H, D)
        gweight_hh = sum over t of gb[t]^T h[t]               (K H, H)
        gbias_ih, gbias_hh = sums over t and B of ga, of gb   (K H,)
    All T B rows are multiplied at once, so that the products sum over t.
    """
    a_rows, b_rows = rows_of(ga), rows_of(gb)  # (T B, K H)
    x_wanted, ih_wanted, hh_wanted, bias_ih_wanted, bias_hh_wanted = wanted
    wanted = x_wanted, ih_wanted, bias_ih_wanted
    gx, gweight_ih, gbias_ih = kernels.linear_vjp(a_rows, rows_of(x), weight_ih, wanted, False)
    if ga is gb and bias_ih_wanted and bias_hh_wanted:
        gbias_hh = gbias_ih.copy()
    else:
        gbias_hh = kernels.sum_over(b_rows, 0) if bias_hh_wanted else None
    return (
        gx.reshape(x.shape) if x_wanted else None,
        gweight_ih,
        kernels.matmul(b_rows.T, rows_of(h)) if hh_wanted else None,
        gbias_ih,
        gbias_hh,
    )


# ------------------------------------------------------- sequences of different lengths


def checked_lengths(name: str, lengths: Any, steps: int, count: int) -> np.ndarray:
    """lengths, numbers of steps of `count` sequences, as int64 on the host.

    TypeError unless they are integers; ShapeError or ValueError unless there are `count` of them,
    from 1 to `steps`.
    """
    found = to_numpy(raw(lengths)) if hasattr(lengths, "dtype") else np.asarray(lengths)
    if found.size == 0:
        found = found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{name}: lengths must be integers, got {found.dtype}")
    if found.shape != (count,):
        raise ShapeError(f"{name}: lengths {found.shape} must be ({count},), one for each sequence")
    wrong = (found < 1) | (found > steps)
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"{name}: length {found[i]} of sequence {i} must be at least 1 and at most {steps}, "
            "the number of steps of x"
        )
    return found.astype(np.int64)


def valid_steps(name: str, lengths: Any, x: Array) -> Array | None:
    """Which steps of x (T, B, D) are not padding, (T, B, 1); None without lengths."""
    if lengths is None:
        return None
    steps, count = x.shape[:2]
    numbers = checked_lengths(name, lengths, steps, count)
    if isinstance(x, Traced) and isinstance(raw(x), np.ndarray) and isinstance(lengths, np.ndarray):
        return (np.arange(steps)[:, None] < type(x)(lengths))[:, :, None]  # observers see the ops
    return array_module(raw(x)).asarray((np.arange(steps)[:, None] < numbers)[:, :, None])


def zero_padded(x: Array, valid: Array | None) -> Array:
    """x with zeros in padding, where there may be NaN; x itself if valid is None."""
    return x if valid is None else where(valid, x, 0.0)


def last(states: Array, valid: Array | None) -> Array:
    """A copy of the state of each sequence after its last step, from states (T + 1, B, H)."""
    return states[-1].copy() if valid is None else states[_ends(valid)]


def _ends(valid):
    """The index of step lengths[b] of each sequence b, from valid (T, B, 1)."""
    return valid[:, :, 0].sum(0), array_module(valid).arange(valid.shape[1])


def cotangents_at_ends(gy, gh, valid, h):
    """(gy, gh) for a backward loop over all steps, of which some may be padding.

    gh, the cotangent of the states at the ends of the sequences, is added to gy (T, B, H) there; gy
    is 0 in padding. So nothing flows back from padding. Without it, gy and gh as they are.
    """
    if valid is None:
        return gy, gh
    gy = array_module(h).zeros_like(h[1:]) if gy is None else zero_padded(gy, valid)
    if gh is not None:
        ends, columns = _ends(valid)
        gy[ends - 1, columns] += gh
    return gy, None
