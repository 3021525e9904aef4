"""Batches of a data set, in order or shuffled; iteration can be resumed after any batch."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from minigen.backend.arrays import Array, array_module, is_cupy
from minigen.backend.devices import resolve_device, to_device
from minigen.communication.rows import Rows
from minigen.communication.world import World, world_of
from minigen.data.datasets import Subset, TensorDataset, array_of, default_collate, is_tensor
from minigen.data.transfer import ahead
from minigen.random import Generator, generator_of


class Position(NamedTuple):
    """The progress of an epoch."""

    order_state: list[int] | None  # of the generator, before it drew the epoch's order
    batches: int  # yielded so far


START = Position(None, 0)  # between epochs


class DataLoader:
    """Batches of a data set: an array, a tuple of arrays of equal first length, or a Dataset.

    Each `for` over it is a new epoch, also after a `break`. It yields new arrays (batch, ...) or
    tuples of them, on the device of the data. With a GPU as `device` and data on the host, each
    batch is copied to the GPU while the previous one is in use. With shuffle each epoch draws its
    order from rng (by default the default generator). collate_fn makes a batch of the examples of
    a Dataset, or of an object with `__len__` and `__getitem__` (by default `default_collate`).
    num_workers and pin_memory change nothing. With world, batch_size is that of all ranks together,
    and each rank gets its rows of a batch (see `World.split`); it may be any object with a rank and
    a size. Raises ValueError for invalid arguments.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        rng: Generator | None = None,
        drop_last: bool = False,
        device: str | None = None,
        *,
        collate_fn: Callable[[list], Any] | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        world: World | None = None,
    ):
        if num_workers or pin_memory:
            warnings.warn(
                "DataLoader: num_workers and pin_memory change nothing here: batches are made in "
                "this process, and copied from pinned memory if `device` is a GPU",
                stacklevel=2,
            )
        self.dataset = dataset
        self._rows: np.ndarray | None = None  # of the data set, if it is a part of another
        while type(dataset) is Subset:
            rows, dataset = dataset.indices, dataset.dataset
            self._rows = rows if self._rows is None else rows[self._rows]
        if type(dataset) is TensorDataset:
            dataset = dataset.tensors
        self._tupled = isinstance(dataset, tuple)
        self._by_example = collate_fn is not None or _is_by_example(dataset)
        self._collate, self._source = collate_fn or default_collate, dataset
        self.arrays: tuple[Array, ...] = ()
        if not self._by_example or self._tupled:
            arrays = dataset if self._tupled else (dataset,)
            self.arrays = tuple(map(array_of, arrays))
            length = _common_length(self.arrays)
            if isinstance(self.dataset, tuple):
                self.dataset = TensorDataset(*dataset)  # whose length is that of the arrays
        else:
            length = _length(dataset)
        self.examples = length if self._rows is None else len(self._rows)
        if not self.examples:
            raise ValueError("DataLoader: the part of the data set has no examples; name some")
        if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be an integer >= 1, got {batch_size!r}")
        if drop_last and batch_size > self.examples:
            raise ValueError(
                f"DataLoader: drop_last leaves no batch of the {self.examples} examples; "
                f"lower batch_size, which is {batch_size}"
            )
        self.batch_size, self.shuffle, self.drop_last = int(batch_size), bool(shuffle), drop_last
        if not isinstance(rng, Generator | None):
            raise ValueError(f"DataLoader: rng must be a minigen Generator, got {rng!r}")
        self.rng = generator_of(rng)
        self.device = resolve_device(device)
        world = None if world is None else world_of(world)
        self.world = world if world is not None and world.size > 1 else None
        self._position = START
        self._resume: Position | None = None  # from which the next `for` continues

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, remainder = divmod(self.examples, self.batch_size)
        return full + (remainder > 0 and not self.drop_last)

    @property
    def batches_given(self) -> int:
        """The number of batches of this epoch up to the one in use; 0 after a whole epoch."""
        return self._position.batches

    def __iter__(self) -> Iterator[Any]:
        handing_out = self.world and self.world.handing_out
        if handing_out and self.shuffle:
            handing_out.align(self.rng)  # ranks have drawn for different parts
        if self._resume:
            (order_state, done), self._resume = self._resume, None
            # The order is drawn again from a copy: rng itself is already past this draw.
            order = self._order(_generator_at(order_state))
        else:
            order_state, done = self._rng_state(), 0
            order = self._order(self.rng)
        if self._rows is not None:
            order = self._rows[order]
        taken: deque[tuple[int, Rows | None]] = deque()  # ahead of those yielded
        batches = self._batches(order, done, taken)
        if self.device != "cpu" and not self._by_example and not any(map(is_cupy, self.arrays)):
            batches = ahead(batches)
        try:
            for batch in batches:
                i, rows = taken.popleft()
                self._position = Position(order_state, i + 1)
                if self.world is not None:
                    self.world.rows = rows
                yield batch if self._tupled or self._by_example else batch[0]
        finally:
            if self.world is not None:
                self.world.rows = None
        end = handing_out.end if handing_out else len(self)
        self._position = START if end == len(self) else Position(order_state, end)

    def _batches(self, order: np.ndarray, done: int, taken: deque) -> Iterator[Any]:
        """This rank's parts of the batches from number `done` on; appends (batch, rows) to taken.

        The rows are those of draws for this part.
        """
        if self.world is None:
            for i in range(done, len(self)):
                taken.append((i, None))
                yield self._batch(order[i * self.batch_size :][: self.batch_size])
            return
        for i, part in self.world.parts(done, len(self)):
            batch = order[i * self.batch_size :][: self.batch_size]
            rows, draws = self.world.rows_of_part(len(batch), part)
            taken.append((i, draws))
            yield self._batch(batch[rows.start : rows.stop])

    def _batch(self, rows: np.ndarray) -> Any:
        if self._by_example:
            examples = [self._example(row) for row in rows.tolist()]
            batch = self._collate(examples)
            return batch if self.device == "cpu" else _moved(batch, self.device)
        # Indexing with an array copies. A slice of unshuffled data would be a view, and a caller
        # that writes into the batch would change the data set.
        return tuple(x[array_module(x).asarray(rows)] for x in self.arrays)

    def _example(self, row: int) -> Any:
        return tuple(x[row] for x in self.arrays) if self._tupled else self._source[row]

    def _order(self, rng: Generator | None) -> np.ndarray:
        return rng.permutation(self.examples) if self.shuffle else np.arange(self.examples)

    def _rng_state(self) -> list[int] | None:
        return list(self.rng.state) if self.shuffle else None

    @property
    def state(self) -> dict:
        """The position in the epoch and the state of rng, as a dict that JSON can hold.

        "batches_given" includes the batch that a loop is using; after a whole epoch it is 0.
        Setting a state restores rng and makes the next `for` yield the remaining batches of that
        epoch, as the uninterrupted run would have. A state of other data, or of another batch_size
        or shuffle, raises ValueError and changes nothing.
        """
        order_state, done = self._position
        return self._settings() | {
            "batches_given": done,
            "order_drawn_from": order_state,
            "rng": self._rng_state(),
        }

    @state.setter
    def state(self, state: dict) -> None:
        if missing := self.state.keys() - state.keys():
            raise ValueError(f"DataLoader: the state lacks {sorted(missing)}")
        done, order_state = state["batches_given"], state["order_drawn_from"]
        possible = range(len(self) + 1)
        expected = self._settings() | {"batches_given": done if done in possible else possible}
        if wrong := [key for key in expected if state[key] != expected[key]]:
            raise ValueError(
                "DataLoader: the state is of another loader: "
                + ", ".join(f"{key} is {state[key]}, not {expected[key]}" for key in wrong)
            )
        if self.shuffle:
            self.rng.state = _generator_at(state["rng"]).state
        self._position = Position(order_state, done)
        self._resume = self._position if done else None

    def _settings(self) -> dict:
        """The entries of a state that must equal those of the loader that loads it."""
        return {
            "examples": self.examples,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
        }


def _is_by_example(dataset: Any) -> bool:
    """Whether it is no array: an object with __getitem__, or a list of tuples or of dicts."""
    if isinstance(dataset, list):
        return bool(dataset) and isinstance(dataset[0], tuple | dict)
    arrays = isinstance(dataset, tuple | str) or is_tensor(dataset) or hasattr(dataset, "__array__")
    return not arrays and not is_cupy(dataset) and hasattr(dataset, "__getitem__")


def _length(dataset: Any) -> int:
    """The number of examples, at least 1."""
    if isinstance(dataset, Mapping):
        raise ValueError(
            "DataLoader: expected examples, got a dict of whole columns; pass a tuple of them, "
            "tuple(columns.values()), or a list of dicts, one for each example"
        )
    length = len(dataset) if hasattr(dataset, "__len__") else 0
    if length < 1:
        raise ValueError(
            "DataLoader: the dataset must have __len__ and __getitem__, and a first length of at "
            f"least 1; got {type(dataset).__name__} of length {length}"
        )
    return length


def _moved(batch: Any, device: str) -> Any:
    """A batch with its NumPy arrays on the device; other parts stay as they are."""
    if isinstance(batch, dict):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_moved(value, device) for value in batch)
    return to_device(batch, device) if isinstance(batch, np.ndarray) else batch


def _generator_at(state: Sequence[int] | None) -> Generator | None:
    """A new generator in that state; None for None."""
    if state is None:
        return None
    rng = Generator()
    rng.state = tuple(state)
    return rng


def _common_length(arrays: tuple[Array, ...]) -> int:
    """The length, at least 1, of the first axis of all the arrays."""
    shapes = [x.shape for x in arrays]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or lengths <= {(), (0,)}:
        raise ValueError(
            "DataLoader: the dataset must be an array, or a tuple of arrays, with one common "
            f"first length of at least 1, or have __len__ and __getitem__; got shapes {shapes}"
        )
    return lengths.pop()[0]
