"""Continuing sequences of ids: what the decoder-only Transformer and the LSTM have in common."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigen.autodiff.grad_modes import grad_mode
from minigen.backend.arrays import Array, array_module
from minigen.errors import ShapeError
from minigen.models.sampling import sampled
from minigen.nn import Module, evaluation
from minigen.ops.indexing import whole_numbers
from minigen.random import Generator
from minigen.tensors import Tensor
from minigen.variates import whole_number


class Autoregressive(Module):
    """A model of sequences of ids, each predicted from the previous ones, that can write some.

    Subclasses define `next_logits`.
    """

    def next_logits(self, ids: Array, state: Any) -> tuple[Tensor, Any]:
        """Logits (B, vocabulary) after ids (B, T), and the state for the next call.

        The state is None at first; then it has what the model remembers of ids[:, :-1].
        """
        raise NotImplementedError(f"{type(self).__name__} has no next_logits")

    def generate(
        self,
        ids: Tensor | Array | Sequence,
        length: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: int | Sequence[int] | None = (),
        rng: Generator | None = None,
        **options: Any,
    ) -> Any:
        """ids (B, T) of integers, T at least 1, continued by `length` sampled ids: (B, T + length).

        Each is sampled from softmax(logits / temperature), restricted to the top_k largest logits
        and to the likeliest ids whose probabilities add up to top_p (Holtzman et al. 2020);
        temperature 0 takes the likeliest. A row ends with an id of `stop`, which is then repeated.
        A list of lists gives a list of arrays, cut after `stop`; a list of ids gives one array.
        """
        if isinstance(ids, list | tuple):
            how = (length, temperature, top_k, top_p, stop, rng)
            if not ids or not isinstance(ids[0], list | tuple | np.ndarray):
                return self.generate([ids], *how, **options)[0]
            if len({len(row) for row in ids}) > 1:  # no padding: each row alone
                return [self.generate([row], *how, **options)[0] for row in ids]
            stops = _stops(stop)
            rows = self.generate(self._ids(ids), *how, **options)
            return [_cut(row, len(start), stops) for row, start in zip(rows, ids)]
        ids = self._ids(ids)
        new = self._continued(ids, length, temperature, top_k, top_p, stop, rng, **options)
        with evaluation(self), grad_mode(False):
            return array_module(ids).concatenate([ids, *(x[:, None] for x in new)], axis=1)

    def stream(
        self,
        ids: Tensor | Array | Sequence,
        length: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: int | Sequence[int] | None = (),
        rng: Generator | None = None,
    ) -> Iterator[int]:
        """The new ids of `generate` for one sequence, (1, T) or (T,), each as soon as it is known.

        Between two of them the model is in the mode that it was in.
        """
        ids = whole_numbers(f"{type(self).__name__}: ids", ids, self.parameters()[0])
        ids = self._ids(ids[None] if ids.ndim == 1 else ids)
        if len(ids) != 1:
            raise ShapeError(f"{type(self).__name__}.stream: one sequence, got {ids.shape}")
        new = self._continued(ids, length, temperature, top_k, top_p, stop, rng)
        return self._streamed(new)

    def _streamed(self, new: Iterator[Array]) -> Iterator[int]:
        while True:
            with evaluation(self), grad_mode(False):
                following = next(new, None)
            if following is None:
                return
            yield int(following[0])

    def _ids(self, ids: Any) -> Array:
        """ids as int64 (B, T): a narrower type might not hold the ids of the vocabulary."""
        name = f"{type(self).__name__}.generate: ids"
        ids = whole_numbers(name, ids, self.parameters()[0])
        if ids.ndim != 2 or ids.shape[1] < 1:
            raise ShapeError(f"{name} {ids.shape} must be (B, T) with T at least 1; see ids[None]")
        return ids

    def _continued(self, ids, length, temperature, top_k, top_p, stop, rng, **options):
        """An iterator over the next ids (B,), which ends when all rows have ended."""
        name = f"{type(self).__name__}.generate: length"
        length, stops = whole_number(name, length), _stops(stop)
        if length < 0:
            raise ValueError(f"{name} must not be negative, got {length}")
        return self._steps(ids, length, (temperature, top_k, top_p, rng), stops, **options)

    def _steps(self, ids, length, how, stops, **options):
        xp, state = array_module(ids), None
        ended = xp.zeros(len(ids), bool)
        for _ in range(length):
            logits, state = self.next_logits(ids, state, **options)
            new = sampled(logits.data, *how).astype(np.int64, copy=False)
            if stops:
                new = xp.where(ended, ids[:, -1], new)
                ended = ended | xp.isin(new, xp.asarray(stops))
            yield new
            if stops and ended.all():
                return
            ids = xp.concatenate([ids, new[:, None]], axis=1)


def _stops(stop: int | Sequence[int] | None) -> list[int]:
    """The ids at which a row ends, as a list."""
    ids = () if stop is None else stop if np.iterable(stop) else [stop]
    return [whole_number("generate: an id of stop", each) for each in ids]


def _cut(row: Array, start: int, stops: list[int]) -> Array:
    """row up to its first id of `stops` after the first `start` ids."""
    ends = [i for i in range(start, len(row)) if int(row[i]) in stops] if stops else []
    return row[: ends[0] + 1] if ends else row
