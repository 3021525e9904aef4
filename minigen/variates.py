"""Random variates: arrays of several distributions, from the words of a random stream."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import kernels
from minigen.backend.arrays import Array, Shape, array_module
from minigen.backend.devices import device_of, to_device, to_numpy
from minigen.backend.dtypes import PYTHON_SCALARS, check_dtype
from minigen.errors import DTypeError

BOOL, WORD = np.dtype(np.bool_), np.dtype(np.uint32)
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Variates:
    """The base of `Generator`, which says from where in its stream a draw takes its words."""

    def uniform(
        self,
        shape: int | Shape = (),
        low: float = 0.0,
        high: float = 1.0,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ) -> Array:
        """Uniform in [low, high): 24 random bits in float32, 53 in float64."""
        dtype, low, high = float_dtype(dtype, "uniform"), float(low), float(high)
        u = self._unit(shape_of(shape), dtype, device)
        if low == 0.0 and high == 1.0:
            return u
        if not low < high:
            raise ValueError(f"uniform needs low < high, got {low} and {high}")
        below = np.nextafter(dtype.type(high), dtype.type(low))  # rounding must not reach high
        return _array(np.minimum(low + (high - low) * u, below))

    def normal(
        self,
        shape: int | Shape = (),
        mean: float = 0.0,
        std: float = 1.0,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ) -> Array:
        """Normal with mean `mean` and standard deviation `std` >= 0."""
        if not std >= 0:
            raise ValueError(f"normal needs std >= 0, got {std}")
        dtype, shape = float_dtype(dtype, "normal"), shape_of(shape)
        mean, std = float(mean), float(std)
        u = self._unit(shape, dtype, device, (2,))
        radius = np.sqrt(-2 * np.log(1 - u[..., 0]))  # 1 - u is in (0, 1]
        return _array(mean + std * (radius * np.cos(2 * math.pi * u[..., 1])))

    def integers(
        self,
        low: int,
        high: int,
        shape: int | Shape = (),
        *,
        dtype: Any = np.int64,
        device: str | None = None,
    ) -> Array:
        """Integers in [low, high), of equal probability up to an error of (high - low) / 2^64."""
        dtype, low = check_dtype(dtype), whole_number("integers: low", low)
        high = whole_number("integers: high", high)
        if not low < high:
            raise ValueError(f"integers needs low < high, got {low} and {high}")
        if dtype.kind not in "iu":
            raise DTypeError(f"integers: dtype {dtype} is not an integer dtype")
        if low < np.iinfo(dtype).min or high - 1 > np.iinfo(dtype).max:
            raise ValueError(f"integers in [{low}, {high}) do not fit {dtype}")
        bits = self._bits64(shape_of(shape), device)
        # Unsigned addition is modulo 2^64, and so right for a negative low, too; of scalars, which
        # NumPy makes of arrays without dims, it would warn.
        with np.errstate(over="ignore"):
            drawn = (_scale_down(bits, high - low) + np.uint64(low % 2**64)).astype(dtype)
        return _array(drawn)

    def bernoulli(
        self,
        p: float | Array,
        shape: int | Shape | None = None,
        *,
        dtype: Any = np.bool_,
        device: str | None = None,
    ) -> Array:
        """True with probability p: a number, or an array that broadcasts to shape."""
        if not np.all((p >= 0) & (p <= 1)):
            raise ValueError(f"bernoulli needs p in [0, 1], got {p}")
        shape = np.shape(p) if shape is None else shape_of(shape)
        if type(p) in PYTHON_SCALARS:
            drawn = self._filled(kernels.bernoulli, shape, BOOL, device, float(p))
        else:
            u = self._unit(shape, FLOAT32, device)
            drawn = _array(u < to_device(p, device_of(u)))
        return drawn.astype(check_dtype(dtype), copy=False)

    def permutation(self, n: int, *, dtype: Any = np.int64, device: str | None = None) -> Array:
        """The integers 0 .. n - 1 in random order."""
        if (n := whole_number("permutation: n", n)) < 0:
            raise ValueError(f"permutation needs n >= 0, got {n}")
        order = self._bits64((n,), device).argsort(kind="stable")
        return order.astype(check_dtype(dtype), copy=False)

    def choice(
        self,
        n: int,
        shape: int | Shape = (),
        replace: bool = True,
        p: Array | None = None,
        *,
        dtype: Any = np.int64,
        device: str | None = None,
    ) -> Array:
        """Draws from 0 .. n - 1, with or without replacement; p (n,) are their probabilities.

        By default all are equally likely.
        """
        shape, n = shape_of(shape), whole_number("choice: n", n)
        size = math.prod(shape)
        if n < 1:
            raise ValueError(f"choice needs n >= 1, got {n}")
        if p is not None:
            p = np.asarray(to_numpy(p), np.float64)
            if p.shape != (n,) or not np.all(p >= 0) or not math.isclose(p.sum(), 1, rel_tol=1e-6):
                raise ValueError(f"choice needs p >= 0 of shape ({n},) that sums to 1")
        if replace and p is None:
            return self.integers(0, n, shape, dtype=dtype, device=device)
        if replace:
            u = self._unit(shape, FLOAT64, device)
            edges = array_module(u).asarray(np.cumsum(p) / p.sum())
            drawn = array_module(u).searchsorted(edges, u, side="right")
            return _array(drawn.astype(check_dtype(dtype)))
        possible = n if p is None else np.count_nonzero(p)
        if size > possible:
            raise ValueError(f"choice of {size} without replacement from {possible}")
        if p is None:
            return self.permutation(n, dtype=dtype, device=device)[:size].reshape(shape)
        # Efraimidis and Spirakis 2006: those with the smallest keys, exponential draws of rate p.
        u = self._unit((n,), FLOAT64, device)
        with np.errstate(divide="ignore"):
            keys = -np.log1p(-u) / array_module(u).asarray(p)
        keys[array_module(u).asarray(p == 0)] = np.inf
        order = keys.argsort(kind="stable")[:size]
        return order.reshape(shape).astype(check_dtype(dtype), copy=False)

    def _filled(
        self,
        kernel: Callable,
        shape: Shape,
        dtype: np.dtype,
        device: str | None,
        *constants: float,
        each: Shape = (),
    ) -> Array:
        """A new array (*shape, *each) that kernel(out, *constants, seed, start) fills.

        It takes the next words: an item takes itemsize / 4 of them, at least one. each is the shape
        of what makes one number of the draw.
        """
        raise NotImplementedError

    def _bits64(self, shape: Shape, device: str | None) -> Array:
        """Uniform uint64, of two words each, the first the low half."""
        words = self._filled(kernels.philox, shape, WORD, device, each=(2,)).astype(np.uint64)
        return words[..., 0] | words[..., 1] << np.uint64(32)

    def _unit(self, shape: Shape, dtype: np.dtype, device: str | None, each: Shape = ()) -> Array:
        """Uniform in [0, 1), (*shape, *each): 24 random bits in float32, 53 in float64."""
        return self._filled(kernels.uniform, shape, dtype, device, each=each)


def words_of(dtype: np.dtype) -> int:
    """The 32-bit words that an item takes."""
    return max(dtype.itemsize // WORD.itemsize, 1)


def _scale_down(bits: Array, n: int) -> Array:
    """floor(bits * n / 2^64) for uint64 bits and 0 < n <= 2^64: the high half of the product."""
    if n == 2**64:
        return bits
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    b0, b1, n0, n1 = bits & low, bits >> half, np.uint64(n & 0xFFFFFFFF), np.uint64(n >> 32)
    middle = b1 * n0 + (b0 * n0 >> half)
    carry = b0 * n1 + (middle & low)
    return b1 * n1 + (middle >> half) + (carry >> half)


def _array(x: Array) -> Array:
    """x as an array: NumPy's functions return a scalar for an array without dims."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def whole_number(name: str, value: Any) -> int:
    """value as an int; TypeError for what is no whole number, which int() would round or parse."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, an integer, got {value!r}") from None


def shape_of(shape: int | Shape) -> Shape:
    """shape as a tuple of ints; ValueError if one is negative."""
    sizes = (shape,) if np.ndim(shape) == 0 else shape
    dims = tuple(whole_number("a size of a shape", n) for n in sizes)
    if any(n < 0 for n in dims):
        raise ValueError(f"a shape has no negative dims, got {shape}")
    return dims


def float_dtype(dtype: Any, name: str) -> np.dtype:
    """dtype checked; DTypeError unless it is a floating one."""
    found = check_dtype(dtype)
    if found.kind != "f":
        raise DTypeError(f"{name}: dtype {found} is not float32 or float64")
    return found
