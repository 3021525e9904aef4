"""Data sets by number: arrays, parts of a data set, your own class; and examples made to batches.

A data set has len(dataset), and dataset[i], an example: an array, a number, or a tuple or dict of
such. Names and meanings are PyTorch's.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from numbers import Integral
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, array_module, is_cupy
from minigen.errors import DTypeError, ShapeError
from minigen.random import Generator, generator_of


class Dataset:
    """The base of a data set of your own, which defines `__len__` and `__getitem__`."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__(self)")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index)")

    def __add__(self, other: Any) -> "ConcatDataset":
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Arrays or tensors of one length; example i is the tuple of their rows i."""

    def __init__(self, *tensors: Any):
        self.tensors = tuple(map(array_of, tensors))
        if not tensors or len({x.shape[:1] for x in self.tensors} | {()}) != 2:
            shapes = [x.shape for x in self.tensors]
            raise ShapeError(f"TensorDataset: expected arrays of one first length, got {shapes}")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Array, ...]:
        return tuple(x[index] for x in self.tensors)


class Subset(Dataset):
    """The examples of a data set at these indices, in their order."""

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray):
        self.dataset = TensorDataset(*dataset) if isinstance(dataset, tuple) else dataset
        found = np.asarray(array_of(indices))
        if found.dtype == bool:
            raise DTypeError(
                "Subset: indices must be integers, got a mask; np.flatnonzero(mask) has its indices"
            )
        if found.size and found.dtype.kind not in "iu":
            raise DTypeError(f"Subset: indices must be integers, got {found.dtype}")
        self.indices = found.astype(np.int64)
        n = len(self.dataset)
        wrong = self.indices[(self.indices < -n) | (self.indices >= n)]
        if self.indices.ndim != 1 or len(wrong):
            got = f"{wrong[0]}" if len(wrong) else f"shape {self.indices.shape}"
            raise IndexError(f"Subset: expected indices of {n} examples, (N,), got {got}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


class ConcatDataset(Dataset):
    """The examples of several data sets, one after the other."""

    def __init__(self, datasets: Sequence[Any]):
        self.datasets = list(datasets)
        self.ends = list(accumulate(map(len, self.datasets)))
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set, got none")

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Any:
        i = range(len(self))[index]  # also from the end; IndexError beyond
        k = bisect_right(self.ends, i)
        return self.datasets[k][i - (self.ends[k - 1] if k else 0)]


def random_split(
    dataset: Any, lengths: Sequence[float], rng: Generator | None = None
) -> list[Subset]:
    """The data set in disjoint parts, drawn by rng: of these lengths, or fractions that sum to 1.

    Of fractions, lengths are rounded down, and the first parts get one more each until none is
    left over. Raises ValueError for lengths of another sum.
    """
    dataset = TensorDataset(*dataset) if isinstance(dataset, tuple) else dataset
    n, sizes = len(dataset), list(lengths)
    if math.isclose(sum(sizes), 1) and min(sizes) >= 0:
        sizes = [math.floor(n * fraction) for fraction in sizes]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    whole = all(isinstance(size, Integral) and size >= 0 for size in sizes)
    if not whole or sum(sizes) != n:
        raise ValueError(
            f"random_split: lengths must sum to {n}, the length of the data set, or be fractions "
            f"that sum to 1; got {list(lengths)}"
        )
    order = generator_of(rng).permutation(n)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]


# -------------------------------------------------------------------------- examples to batches


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor, a class that is defined above this room."""
    return hasattr(x, "requires_grad")


def array_of(x: Any) -> Array:
    """The array of a tensor, of an array (itself), or of what NumPy can make an array of."""
    if is_tensor(x):
        return x.data
    return x if is_cupy(x) else np.asarray(x)


def default_collate(examples: Sequence[Any]) -> Any:
    """A batch of examples, in their structure: arrays with a new first axis, texts as lists.

    Arrays and tensors keep their dtype; Python's floats become float32 and its integers int64.
    Raises ShapeError for arrays that differ in shape, DTypeError for what is no array.
    """
    first = examples[0]
    if isinstance(first, Mapping):
        return {key: default_collate([example[key] for example in examples]) for key in first}
    if isinstance(first, tuple | list):
        if len({len(example) for example in examples}) != 1:
            raise ShapeError(
                f"default_collate: {UNEQUAL}, got lengths {[len(x) for x in examples]}"
            )
        columns = [default_collate(column) for column in zip(*examples)]
        return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
    if isinstance(first, str | bytes):
        return list(examples)
    python = isinstance(first, bool | int | float)
    arrays = [array_of(example) for example in examples]
    if arrays[0].dtype.kind not in "biufc":
        raise DTypeError(
            "default_collate: expected arrays, tensors, numbers, texts, tuples or dicts of such, "
            f"got {type(first).__name__}; convert it in the data set, or pass collate_fn"
        )
    if len({x.shape for x in arrays}) != 1:
        raise ShapeError(f"default_collate: {UNEQUAL}, got {sorted({x.shape for x in arrays})}")
    batch = array_module(arrays[0]).stack(arrays)
    return batch.astype(np.float32) if python and batch.dtype == np.float64 else batch


UNEQUAL = "expected examples of one shape (make them equal in the data set, or pass collate_fn)"
