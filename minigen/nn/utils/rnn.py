"""Sequences of different lengths in one batch: padded with a value, or packed without padding.

T is the longest length, B the number of sequences. Packed rows stand step by step: first step 0 of
all sequences, longest first, then step 1 of those that have one, and so on. Recurrent layers take
both forms: `layer(padded, lengths=lengths)` and `layer(packed)`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigen import ops
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import to_numpy
from minigen.errors import ShapeError
from minigen.ops.sequences import checked_lengths
from minigen.tensors import Tensor


class PackedSequence(NamedTuple):
    """Packed rows, with PyTorch's fields; pack_padded_sequence makes it."""

    data: Tensor  # (sum of lengths, ...)
    batch_sizes: Tensor  # (T,) integers: how many sequences have a step t
    sorted_indices: Tensor | None = None  # (B,): which sequence is the longest, the next, ...
    unsorted_indices: Tensor | None = None  # (B,): the inverse; None if they came sorted

    def to(self, device_or_dtype: Any) -> "PackedSequence":
        """The same rows on another device or of another dtype."""
        return self._replace(data=self.data.to(device_or_dtype))


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """sequences, tensors (length, ...), as one (T, B, ...), or (B, T, ...) with batch_first.

    padding_value fills the rest, at the end, or at the beginning with padding_side="left".
    """
    if isinstance(sequences, Tensor) or not len(sequences):
        raise TypeError("pad_sequence: sequences is a list of at least one tensor")
    if padding_side not in ("left", "right"):
        raise ValueError(
            f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}"
        )
    for i, x in enumerate(sequences):
        if not hasattr(x, "shape"):
            raise TypeError(f"pad_sequence: sequence {i} is a {type(x).__name__}; use mg.tensor(x)")
    shapes = [x.shape for x in sequences]
    if any(not shape or shape[1:] != shapes[0][1:] for shape in shapes):
        raise ShapeError(f"pad_sequence: sequences must be (length, ...) of one ..., got {shapes}")
    steps, padded = max(shape[0] for shape in shapes), []
    for x in sequences:
        missing = steps - x.shape[0]
        width = (missing, 0) if padding_side == "left" else (0, missing)
        padded.append(ops.pad(x, [width, *[(0, 0)] * (x.ndim - 1)], padding_value))
    return ops.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Sequence[int] | Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The tensors (length, ...), of these lengths, of which pad_sequence makes padded_sequences.

    padded_sequences is (T, B, ...), or (B, T, ...) with batch_first.
    """
    x = padded_sequences if batch_first else ops.swapaxes(padded_sequences, 0, 1)
    found = checked_lengths("unpad_sequence", lengths, x.shape[1], x.shape[0])
    return [x[b, :length] for b, length in enumerate(found.tolist())]


def pack_padded_sequence(
    input: Tensor,
    lengths: Sequence[int] | Tensor,
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Pack input (T, B, ...), or (B, T, ...) with batch_first, of B sequences of those lengths.

    enforce_sorted: ValueError unless the longest comes first; with False they come in any order.
    """
    x = ops.swapaxes(input, 0, 1) if batch_first else input
    found = checked_lengths("pack_padded_sequence", lengths, *x.shape[:2])
    order = np.argsort(-found, kind="stable")
    if enforce_sorted and (np.diff(found) > 0).any():
        raise ValueError(
            f"pack_padded_sequence: lengths {found.tolist()} do not fall; sort the sequences, or "
            "pass enforce_sorted=False"
        )
    sizes = (found > np.arange(found.max(initial=0))[:, None]).sum(1)
    wrap = lambda index: Tensor(array_module(raw(x)).asarray(index))
    orders = (None, None) if enforce_sorted else (wrap(order), wrap(np.argsort(order)))
    return packed_like(PackedSequence(x, Tensor(sizes), *orders), x)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(padded, lengths): the inverse of pack_padded_sequence, sequences in their first order.

    padded is (T, B, ...), or (B, T, ...) with batch_first; total_length, if given, is its T.
    padding_value stands where a sequence has ended.
    """
    sizes, data = _sizes(sequence), sequence.data
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ValueError(
            f"pad_packed_sequence: total_length is {steps}, but a sequence has {len(sizes)} steps"
        )
    # Row `rows` is the padding: every element of the result takes one row of data or that one.
    rows, count = data.shape[0], int(sizes.max(initial=0))
    if sizes.sum() != rows:
        raise ShapeError(
            f"pad_packed_sequence: data {data.shape} must have {sizes.sum()} rows, the sum of "
            "batch_sizes"
        )
    xp = array_module(raw(data))
    padding = xp.full((1, *data.shape[1:]), padding_value, data.dtype)
    index = xp.full((steps, count), rows)
    index[_positions(sequence, data)] = xp.arange(rows)
    padded = ops.concatenate([data, padding])[index]
    padded = ops.swapaxes(padded, 0, 1) if batch_first else padded
    return padded, Tensor((to_numpy(index) < rows).sum(0))


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences, tensors (length, ...).

    enforce_sorted: ValueError unless the longest comes first.
    """
    padded, lengths = pad_sequence(sequences), [len(x) for x in sequences]
    return pack_padded_sequence(padded, lengths, enforce_sorted=enforce_sorted)


def packed_like(sequence: PackedSequence, padded: Tensor) -> PackedSequence:
    """The rows of padded (T, B, ...) that `sequence` has, packed in the same way."""
    return sequence._replace(data=padded[_positions(sequence, padded)])


def _sizes(sequence: PackedSequence) -> np.ndarray:
    return to_numpy(raw(sequence.batch_sizes))


def _positions(sequence: PackedSequence, like: Tensor | Array) -> tuple[Array, Array]:
    """The step and the sequence of each packed row, on the device of `like`."""
    sizes, xp = _sizes(sequence), array_module(raw(like))
    columns = np.arange(sizes.max(initial=0))
    t, b = (sizes[:, None] > columns).nonzero()
    if sequence.sorted_indices is not None:
        b = to_numpy(raw(sequence.sorted_indices))[b]
    return xp.asarray(t), xp.asarray(b)
