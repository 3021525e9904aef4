"""The array type of the stand-in: computes with NumPy, has the methods and the limits of CuPy's."""

import numpy as np

from stand_in.attributes import Device, Flags, Pointer
from stand_in.memory import guarded
from stand_in.recording import CUBLAS, perform, recorded, refuse_while_capturing

SCALARS = (bool, int, float, np.generic, type(None), str, type, np.dtype, slice, type(...))
_NAMES = """
abs absolute add arccos arcsin arctan arctan2 arccosh arcsinh arctanh bitwise_and
bitwise_or bitwise_xor bitwise_not ceil cos cosh copysign divide divmod equal exp exp2
expm1 floor floor_divide fmax fmin fmod greater greater_equal hypot invert isfinite isinf
isnan ldexp left_shift less less_equal log log10 log1p log2 logaddexp logical_and
logical_not logical_or logical_xor maximum minimum mod multiply negative nextafter
not_equal positive power reciprocal remainder right_shift rint sign signbit sin sinh sqrt
square subtract tan tanh true_divide trunc
"""
UFUNCS = frozenset(_NAMES.split())


def unwrapped(x):
    """The NumPy arrays under an argument of a CuPy function; TypeError for types CuPy refuses."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, list | tuple):
        return type(x)(map(unwrapped, x))
    if isinstance(x, SCALARS) or callable(x):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def wrapped(x, base=None):
    """The stand-in's arrays for a result of NumPy; views of `base` share its memory guards."""
    if isinstance(x, list | tuple):
        return type(x)(wrapped(part, base) for part in x)
    return ndarray._of(np.asarray(x), base) if isinstance(x, np.ndarray | np.generic) else x


def fresh(function, args, kwargs):
    """The results of a NumPy function of unwrapped arguments, in new memory."""
    with np.errstate(all="ignore"):
        result = function(*args, **kwargs)
    if isinstance(result, np.ndarray) and any(
        np.may_share_memory(result, a) for a in _arrays(args)
    ):
        result = result.copy()
    result = wrapped(result)

    def again():
        with np.errstate(all="ignore"):
            found = function(*args, **kwargs)
        for target, value in zip(_arrays([result]), _arrays([found])):
            np.copyto(target, value)

    return recorded(result, again)


def _arrays(tree):
    """The NumPy arrays in nested lists."""
    if isinstance(tree, list | tuple):
        return [x for part in tree for x in _arrays(part)]
    if isinstance(tree, ndarray):
        return [tree._host]
    return [np.asarray(tree)] if isinstance(tree, np.ndarray | np.generic) else []


class ndarray:
    """An array on the device: a NumPy array `_host` in guarded `_memory`."""

    __hash__ = None
    device = Device()

    def __init__(self, shape, dtype=float, **named):
        assert not named
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        self._memory, self._host = guarded(shape, np.dtype(dtype))
        self.base = None

    @classmethod
    def _of(cls, host, base=None):
        self = object.__new__(cls)
        self._host, self._memory = host, getattr(base, "_memory", None)
        self.base = None if base is None else base.base if base.base is not None else base
        return self

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host.flags))
    data = property(lambda self: Pointer(self, self._host.ctypes.data))
    T = property(lambda self: wrapped(self._host.T, self))

    # ----------------------------------------------------------------- to and from the host

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get()")

    def get(self, stream=None, order="C", out=None, blocking=True):
        refuse_while_capturing("a copy to the host")
        if out is None:
            return self._host.copy(order)
        assert out.shape == self.shape and out.dtype == self.dtype
        perform(lambda: np.copyto(out, self._host))
        return out

    def set(self, arr, stream=None):
        refuse_while_capturing("a copy from the host")
        assert isinstance(arr, np.ndarray) and arr.shape == self.shape and arr.dtype == self.dtype
        perform(lambda: np.copyto(self._host, arr))

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self, order="C"):
        return self.get().tobytes(order)

    def __bool__(self):
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return repr(self.get())

    def __format__(self, spec):
        return format(self.item(), spec)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        return _from_host, (self.get(),)

    # --------------------------------------------------------------------- views and indices

    def reshape(self, *shape, order="C"):
        host = self._host.reshape(*shape, order=order)
        if np.may_share_memory(host, self._host):
            return wrapped(host, self)
        return fresh(np.ndarray.reshape, (self._host, *shape), {"order": order})

    def ravel(self, order="C"):
        return self.reshape(-1, order=order)

    def view(self, dtype=None):
        return wrapped(self._host.view() if dtype is None else self._host.view(dtype), self)

    def transpose(self, *axes):
        return wrapped(self._host.transpose(*axes), self)

    def swapaxes(self, axis1, axis2):
        return wrapped(self._host.swapaxes(axis1, axis2), self)

    def squeeze(self, axis=None):
        return wrapped(self._host.squeeze(axis), self)

    def diagonal(self, offset=0, axis1=0, axis2=1):
        return wrapped(self._host.diagonal(offset, axis1, axis2), self)

    def __getitem__(self, index):
        index = unwrapped(index)
        if any(isinstance(i, np.ndarray) for i in (index if type(index) is tuple else (index,))):
            _refuse_masks_while_capturing(index)
            return fresh(lambda x: x[self._wrapping(index)], (self._host,), {})
        host = self._host[index]
        if isinstance(host, np.generic):  # CuPy returns a view of shape ()
            host = self._host[(*index, ...) if type(index) is tuple else (index, ...)]
        return wrapped(host, self)

    def __setitem__(self, index, value):
        index, value = self._wrapping(unwrapped(index)), unwrapped(value)
        _refuse_masks_while_capturing(index)
        np.broadcast_to(value, self._host[index].shape)  # raises now, also while capturing

        def assign():
            self._host[index] = value

        perform(assign)

    def _wrapping(self, index):
        """The index, with integer arrays modulo the length: CuPy wraps, where NumPy raises."""
        parts = index if type(index) is tuple else (index,)
        if sum(isinstance(i, np.ndarray) and i.dtype.kind in "iu" for i in parts) == len(parts):
            parts = tuple(i % max(n, 1) for i, n in zip(parts, self.shape))
            return parts if type(index) is tuple else parts[0]
        return index

    # ------------------------------------------------------------------------- arithmetic

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, dtype=None, **others):
        if ufunc.__name__ == "matmul" and method == "__call__":
            refuse_while_capturing(CUBLAS)
            return fresh(np.matmul, unwrapped(inputs), {})
        if method == "at" and ufunc.__name__ in ("add", "subtract", "maximum", "minimum"):
            x, index, value = unwrapped(inputs)
            assert x.dtype.kind != "f", "the order of atomic additions is not fixed"
            return perform(lambda: ufunc.at(x, self._wrapping(index), value))
        if method != "__call__" or ufunc.__name__ not in UFUNCS or others:
            raise TypeError(f"cupy has no {ufunc.__name__}.{method} with {sorted(others)}")
        args = tuple(map(unwrapped, inputs))
        named = {} if dtype is None else {"dtype": dtype}
        if out is None:
            return fresh(ufunc, args, named)
        (out,) = out if type(out) is tuple else (out,)
        target = unwrapped(out)
        np.broadcast_to(np.empty(np.broadcast_shapes(*map(np.shape, args))), target.shape)
        np.can_cast(np.result_type(*args), target.dtype, "same_kind")

        def write():
            with np.errstate(all="ignore"):
                ufunc(*args, out=target, **named)

        perform(write)
        return out

    def __array_function__(self, function, types, args, kwargs):
        from stand_in.module import cupy

        found = getattr(cupy, function.__name__, None)
        if found is None:
            raise TypeError(f"cupy has no function {function.__name__}")
        return found(*args, **kwargs)

    def __matmul__(self, other):
        return self.__array_ufunc__(np.matmul, "__call__", self, other)

    def dot(self, b, out=None):
        assert out is None
        refuse_while_capturing(CUBLAS)
        return fresh(np.dot, (self._host, unwrapped(b)), {})

    def copy(self, order="C"):
        return fresh(np.ndarray.copy, (self._host,), {"order": order})

    def flatten(self, order="C"):
        return fresh(np.ndarray.flatten, (self._host,), {"order": order})

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return fresh(np.ndarray.astype, (self._host, dtype), {})

    def fill(self, value):
        perform(lambda: self._host.fill(unwrapped(value)))

    def sort(self, axis=-1, kind=None):
        perform(lambda: self._host.sort(axis, kind="stable"))

    def nonzero(self):
        refuse_while_capturing("the size of nonzero")
        return wrapped(self._host.nonzero())


def _refuse_masks_while_capturing(index):
    """The host must know how many elements a mask selects."""
    for i in index if type(index) is tuple else (index,):
        if isinstance(i, np.ndarray) and i.dtype == bool:
            refuse_while_capturing("the size of a selection by a mask")


def _from_host(host):
    """A copy of a NumPy array; how arrays are unpickled."""
    x = ndarray(host.shape, host.dtype)
    x._host[...] = host
    return x


ndarray.__module__ = "cupy"
