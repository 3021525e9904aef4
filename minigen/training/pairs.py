"""Shared by examples on pairs of texts: padded ids, and batches of sources of similar lengths."""

from collections.abc import Sequence

import numpy as np

from minigen.creation import tensor
from minigen.data import Vocabulary
from minigen.tensors import Tensor

PAD, BEGIN, END = "\0\1\2"  # sort before all characters: their ids are 0, 1, 2, as in the model


def encoded(vocabulary: Vocabulary, texts: Sequence[str]) -> np.ndarray:
    """The ids of texts, padded to the length of the longest: (N, T)."""
    longest = max(map(len, texts))
    padded = "".join(text.ljust(longest, PAD) for text in texts)
    return vocabulary.encode(padded).reshape(len(texts), longest)


def by_length(source: np.ndarray) -> np.ndarray:
    """The rows of ids (N, S), sorted by their lengths without padding."""
    return np.argsort((source > 0).sum(axis=1), kind="stable")


def batches_by_length(source: np.ndarray, size: int) -> list[np.ndarray]:
    """Batches of rows whose sources have similar lengths, as in the paper: little padding."""
    return np.array_split(by_length(source), -(-len(source) // size))


def batch(ids: np.ndarray, rows: np.ndarray, device: str) -> Tensor:
    """Rows of ids as a tensor, without the last columns, which are padding in all of them."""
    ids = ids[rows]
    return tensor(ids[:, : int((ids > 0).sum(axis=1).max())], device=device)
