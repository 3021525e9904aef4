"""A counter-based random generator: a seed and a counter are its whole state.

It is Philox 4x32-10 (Salmon et al. 2011). A seed defines a stream of 32-bit words, each a pure
function of the seed and its position in the stream; the counter is the position of the next word.
So CPU and GPU draw the same numbers, and a draw of three numbers and one of five give the same
numbers as a draw of eight.

A number of 32 bits takes one word, a number of 64 bits two. A normal number takes two uniform ones
(Box and Muller 1958); the second normal that they could give is not used, as a draw would then
depend on whether the one before it left a number over.
"""

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, Shape
from minigen.backend.devices import capturing, created_on
from minigen.backend.dtypes import PYTHON_SCALARS
from minigen.communication.world import current
from minigen.errors import ShapeError
from minigen.variates import Variates, shape_of, whole_number, words_of


class Generator(Variates):
    """Random arrays from a seed in [0, 2^64); safe to share between threads."""

    def __init__(self, seed: int = 0):
        self._lock = threading.Lock()
        self.state = (seed, 0)

    @property
    def state(self) -> tuple[int, int]:
        """(seed, counter), to save and restore; counter is the position of the next 32-bit word."""
        return self._seed, self._counter

    @state.setter
    def state(self, state: tuple[int, int]) -> None:
        seed, counter = (whole_number("seed and counter", part) for part in state)
        if not (0 <= seed < 2**64 and 0 <= counter < 2**64):
            raise ValueError(f"seed and counter must be in [0, 2**64), got {seed} and {counter}")
        self._seed, self._counter = seed, counter

    def rows(self, start: int, stop: int, axis: int = 0) -> "Generator":
        """A view of this stream, whose draws are the rows start ... stop - 1 of the whole draw.

        rng.rows(2, 4).normal((6, 3)) has the values of rng.normal((6, 3))[2:4], and takes as many
        words from the stream, but computes these two rows only. axis: that of the rows. A draw
        whose shape has no such rows raises ShapeError.
        """
        return RowsOfDraws(self, start, stop, axis)

    def __reduce__(self) -> tuple:  # for copy, deepcopy and pickle, which cannot copy the lock
        return _generator_with_state, (self.state,)

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, counter={self._counter})"

    def _filled(
        self,
        kernel: Callable,
        shape: Shape,
        dtype: np.dtype,
        device: str | None,
        *constants: float,
        each: Shape = (),
    ) -> Array:
        shape = *shape, *each
        start = self._advance(math.prod(shape) * words_of(dtype))
        arguments = *constants, self._seed, start
        return created_on(device, lambda xp: kernel(xp.empty(shape, dtype), *arguments))

    def _advance(self, words: int) -> int:
        """Take the next words of the stream; the position of the first."""
        if (recording := capturing.get()) is not None:
            recording.register_generator(self)
        with self._lock:
            start = self._counter
            self._counter += words
        return start


class RowsOfDraws(Generator):
    """See `Generator.rows`: a view of a generator, with whose state its own is shared."""

    def __init__(self, source: Generator, start: int, stop: int, axis: int):
        self.source, self.axis = source, whole_number("rows: axis", axis)
        self.start, self.stop = whole_number("rows: start", start), whole_number("rows: stop", stop)
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"rows: needs 0 <= start <= stop, got {start} and {stop}")

    def rows(self, start: int, stop: int, axis: int = 0) -> Generator:
        raise ValueError(f"rows: {self!r} yields rows already; take them of the whole generator")

    state = property(  # type: ignore
        lambda self: self.source.state, lambda self, state: setattr(self.source, "state", state)
    )

    def __repr__(self) -> str:
        return f"{self.source!r}.rows({self.start}, {self.stop}, axis={self.axis})"

    def __reduce__(self) -> tuple:
        return RowsOfDraws, (self.source, self.start, self.stop, self.axis)

    def bernoulli(self, p: Any, shape: Any = None, **options: Any) -> Array:
        if type(p) not in PYTHON_SCALARS:
            whole = np.shape(p) if shape is None else shape_of(shape)
            if np.broadcast_shapes(np.shape(p), whole) != whole:
                raise ShapeError(f"bernoulli: p {np.shape(p)} does not broadcast to {whole}")
            axis = self._axis_of(whole) - len(whole) + np.ndim(p)
            if axis >= 0 and np.shape(p)[axis] != 1:
                p = p[(slice(None),) * axis + (slice(self.start, self.stop),)]
            shape = whole
        return super().bernoulli(p, shape, **options)

    def permutation(self, n: int, **options: Any) -> Array:
        self._axis_of(shape_of(n))
        return self._rows_of(self.source.permutation(n, **options))

    def choice(self, n: int, shape: Any = (), replace: bool = True, *rest: Any, **options: Any):
        if not replace:  # each number depends on those before it
            self._axis_of(shape_of(shape))
            return self._rows_of(self.source.choice(n, shape, replace, *rest, **options))
        return super().choice(n, shape, replace, *rest, **options)

    def _filled(
        self,
        kernel: Callable,
        shape: Shape,
        dtype: np.dtype,
        device: str | None,
        *constants: float,
        each: Shape = (),
    ) -> Array:
        axis = self._axis_of(shape)
        part = self.stop - self.start, *shape[axis + 1 :], *each
        outer, inner = math.prod(shape[:axis]), math.prod(part[1:]) * words_of(dtype)
        begin = self.source._advance(outer * shape[axis] * inner)
        first, seed = begin + self.start * inner, self.source.state[0]

        def filled(xp: Any) -> Array:
            out = xp.empty((outer, *part), dtype)
            for i in range(outer):
                kernel(out[i], *constants, seed, first + i * shape[axis] * inner)
            return out.reshape(*shape[:axis], *part)

        return created_on(device, filled)

    def _rows_of(self, whole: Array) -> Array:
        axis = self._axis_of(whole.shape)
        return whole[(slice(None),) * axis + (slice(self.start, self.stop),)]

    def _axis_of(self, shape: Shape) -> int:
        """The axis of the rows, not negative; ShapeError if shape has no such rows."""
        axis = self.axis + len(shape) * (self.axis < 0)
        if not 0 <= axis < len(shape) or self.stop > shape[axis]:
            raise ShapeError(
                f"rows {self.start} to {self.stop} on axis {self.axis}: a draw of shape {shape} "
                "has no such rows; pass the shape of the whole draw"
            )
        return axis


def _generator_with_state(state: tuple[int, int]) -> Generator:
    """A new generator with that state."""
    rng = Generator()
    rng.state = state
    return rng


_default = Generator(0)


def default_generator() -> Generator:
    """The generator that is used where no rng is passed; its seed is 0 at first."""
    return _default


def generator_of(rng: Generator | None) -> Generator:
    """rng, or the default generator for None. TypeError for anything else, such as a seed."""
    if rng is None:
        return _default
    if not isinstance(rng, Generator):
        raise TypeError(
            f"rng: expected a generator of minigen, got {rng!r}; mg.Generator(seed) makes one"
        )
    return rng


def draw_of_batch(
    rng: Generator | None, shape: Shape, axis: int | None = 0
) -> tuple[Generator, Shape]:
    """(generator, shape) for a draw that has a row for each row of the batch, on this axis.

    They are rng and shape, if one process has the whole batch. Else shape has the rows of this
    rank, or a multiple of them, as (B * T, D) has; then the generator yields its rows of the draw
    of the whole batch, whose shape is returned. ShapeError if shape has other rows. axis None is
    that of a draw without rows, which is the same on all ranks.
    """
    rng, rows = generator_of(rng), current().rows
    if rows is None or axis is None or isinstance(rng, RowsOfDraws):
        return rng, shape
    if rows.stop - rows.start == rows.total:  # whatever the axis, it is the whole batch
        return rng, shape
    axis += len(shape) * (axis < 0)
    length = shape[axis] if 0 <= axis < len(shape) else 0
    multiple, rest = divmod(length, rows.stop - rows.start)
    if rest or not multiple:
        raise ShapeError(
            f"a random draw of shape {shape} has no row on axis {axis} for each of the "
            f"{rows.stop - rows.start} rows that this rank has of the batch; name the axis of the "
            "batch (batch_axis), None for a draw that is the same on all ranks"
        )
    whole = *shape[:axis], rows.total * multiple, *shape[axis + 1 :]
    return rng.rows(rows.start * multiple, rows.stop * multiple, axis), whole


def manual_seed(seed: int) -> Generator:
    """Set the default generator to a seed in [0, 2^64) and the counter 0; returns it."""
    _default.state = (seed, 0)
    return _default
