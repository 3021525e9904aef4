"""Batches of a data set, in order or shuffled, resumable at any of them."""

from collections.abc import Iterator, Sequence
from numbers import Integral

import numpy as np

from minigen.backend.arrays import Array, array_module, is_cupy
from minigen.backend.devices import resolve_device
from minigen.data.transfer import ahead
from minigen.random import Generator, default_generator

# The generator state that the running epoch's order was drawn from, and the batches given of it.
Position = tuple[list[int] | None, int]
START: Position = (None, 0)  # before an epoch


class DataLoader:
    """Batches of a data set: an array, or a tuple of arrays of equal first length.

    Each `for` over it is a new epoch, also after a `break`, and yields fresh arrays (batch, ...)
    or tuples of them: where the data is or, from the host to a device that is a GPU, copied there
    while the batch before is in use. With shuffle each epoch draws its order from rng, which is
    by default the default generator. Raises ValueError for arguments out of range.
    """

    def __init__(
        self,
        dataset: Array | tuple[Array, ...],
        batch_size: int,
        shuffle: bool = False,
        rng: Generator | None = None,
        drop_last: bool = False,
        device: str | None = None,
    ):
        self._tupled = isinstance(dataset, tuple)
        arrays = dataset if self._tupled else (dataset,)
        self.arrays = tuple(x if is_cupy(x) else np.asarray(x) for x in arrays)
        self.examples = _common_length(self.arrays)
        if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be an integer >= 1, got {batch_size!r}")
        if drop_last and batch_size > self.examples:
            raise ValueError(
                f"DataLoader: drop_last leaves no batch of the {self.examples} examples; "
                f"lower batch_size, which is {batch_size}"
            )
        if not isinstance(rng, Generator | None):
            raise ValueError(f"DataLoader: rng must be a minigen Generator, got {rng!r}")
        self.batch_size, self.shuffle, self.drop_last = int(batch_size), bool(shuffle), drop_last
        self.rng = default_generator() if rng is None else rng
        self.device = resolve_device(device)
        self._position = START
        self._resume: Position | None = None  # where the next `for` continues

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self.examples, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Array | tuple[Array, ...]]:
        if self._resume:
            (drawn_from, given), self._resume = self._resume, None
            order = self._order(_generator_at(drawn_from))  # rng made this draw long ago
        else:
            drawn_from, given = self._rng_state(), 0
            order = self._order(self.rng)
        batches = (self._batch(order, i) for i in range(given, len(self)))
        if self.device != "cpu" and not any(map(is_cupy, self.arrays)):
            batches = ahead(batches)
        for i, batch in enumerate(batches, given + 1):
            self._position = drawn_from, i
            yield batch if self._tupled else batch[0]
        self._position = START

    def _batch(self, order: np.ndarray, i: int) -> tuple[Array, ...]:
        rows = order[i * self.batch_size :][: self.batch_size]
        # An array of rows, not a slice: the batch is then a copy.
        return tuple(x[array_module(x).asarray(rows)] for x in self.arrays)

    def _order(self, rng: Generator | None) -> np.ndarray:
        return rng.permutation(self.examples) if self.shuffle else np.arange(self.examples)

    def _rng_state(self) -> list[int] | None:
        return list(self.rng.state) if self.shuffle else None

    @property
    def state(self) -> dict:
        """Where the loader stands, fit for JSON: batches given, and the states of its generator.

        The batch in hand inside a loop counts as given; once the loop has ended, the loader
        stands before its next epoch. Setting a state makes the next `for` continue there, to give
        what the uninterrupted run would have given, and puts rng where it was, too. A state of
        other data, or of another batch_size or shuffle, raises ValueError and changes nothing.
        """
        drawn_from, given = self._position
        return self._identity() | {
            "batches_given": given,
            "order_drawn_from": drawn_from,
            "rng": self._rng_state(),
        }

    @state.setter
    def state(self, state: dict) -> None:
        if missing := self.state.keys() - state.keys():
            raise ValueError(f"DataLoader: the state lacks {sorted(missing)}")
        given, drawn_from = state["batches_given"], state["order_drawn_from"]
        possible = range(len(self) + 1)
        expected = self._identity() | {"batches_given": given if given in possible else possible}
        if wrong := [key for key in expected if state[key] != expected[key]]:
            raise ValueError(
                "DataLoader: the state is of another loader: "
                + ", ".join(f"{key} is {state[key]}, not {expected[key]}" for key in wrong)
            )
        if self.shuffle:
            self.rng.state = _generator_at(state["rng"]).state
        self._position = (drawn_from, given)
        self._resume = self._position if given else None

    def _identity(self) -> dict:
        """What a state must have in common with the loader that takes it."""
        return {
            "examples": self.examples,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
        }


def _generator_at(state: Sequence[int] | None) -> Generator | None:
    if state is None:
        return None
    rng = Generator()
    rng.state = tuple(state)
    return rng


def _common_length(arrays: tuple[Array, ...]) -> int:
    """The first length that all the arrays share, at least 1."""
    shapes = [x.shape for x in arrays]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or lengths <= {(), (0,)}:
        raise ValueError(
            "DataLoader: the dataset must be an array, or a tuple of arrays, with one common "
            f"first length of at least 1; got shapes {shapes}"
        )
    return lengths.pop()[0]
