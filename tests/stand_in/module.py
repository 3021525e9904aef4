"""The module `cupy` of the stand-in."""

from types import ModuleType, SimpleNamespace

import numpy as np

from stand_in.arrays import UFUNCS, fresh, ndarray, unwrapped, wrapped
from stand_in.compiled import RawModule
from stand_in.cuda import cuda, pool
from stand_in.recording import CUBLAS, perform, refuse_while_capturing

FUNCTIONS = {  # that return new arrays, with the parameters of CuPy's
    "all": "a axis out keepdims",
    "any": "a axis out keepdims",
    "amax": "a axis out keepdims",
    "amin": "a axis out keepdims",
    "argmax": "a axis dtype out keepdims",
    "argmin": "a axis dtype out keepdims",
    "argsort": "a axis kind",
    "argwhere": "a",
    "clip": "a a_min a_max out",
    "concatenate": "tup axis out dtype casting",
    "count_nonzero": "a axis",
    "cumsum": "a axis dtype out",
    "diff": "a n axis prepend append",
    "dot": "a b out",
    "einsum": "",
    "flip": "a axis",
    "full_like": "a fill_value dtype order subok shape",
    "isclose": "a b rtol atol equal_nan",
    "matmul": "x1 x2 out",
    "max": "a axis out keepdims",
    "mean": "a axis dtype out keepdims",
    "min": "a axis out keepdims",
    "nonzero": "a",
    "ones_like": "a dtype order subok shape",
    "pad": "array pad_width mode",
    "prod": "a axis dtype out keepdims",
    "repeat": "a repeats axis",
    "roll": "a shift axis",
    "round": "a decimals out",
    "searchsorted": "a v side sorter",
    "sort": "a axis kind",
    "stack": "tup axis out dtype casting",
    "std": "a axis dtype out ddof keepdims",
    "sum": "a axis dtype out keepdims",
    "take": "a indices axis out",
    "take_along_axis": "a indices axis",
    "tensordot": "a b axes",
    "tile": "A reps",
    "tril": "m k",
    "triu": "m k",
    "var": "a axis dtype out ddof keepdims",
    "where": "condition x y",
    "zeros_like": "a dtype order subok shape",
}
VIEWS = {  # that return views
    "broadcast_to": "array shape",
    "expand_dims": "a axis",
    "moveaxis": "a source destination",
    "reshape": "a newshape order",
    "squeeze": "a axis",
    "swapaxes": "a axis1 axis2",
    "transpose": "a axes",
}
CREATION = {  # that create arrays from shapes and numbers
    "arange": "start stop step dtype",
    "eye": "N M k dtype order",
    "full": "shape fill_value dtype order",
    "linspace": "start stop num endpoint retstep dtype axis",
    "ones": "shape dtype order",
    "tri": "N M k dtype",
    "zeros": "shape dtype order",
}
QUERIES = {"ndim": "a", "shape": "a", "size": "a axis", "result_type": "", "can_cast": ""}
DATA_SIZED = ("argwhere", "nonzero")  # the host must know the size of their results
PRODUCTS = ("dot", "matmul", "tensordot")  # on cuBLAS, as is einsum of several arrays

cupy = ModuleType("cupy")
cupy.__version__ = "stand-in"
cupy.ndarray, cupy.RawModule = ndarray, RawModule
for _name in [
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint32",
    "uint64",
    "bool_",
    "inf",
    "nan",
    "pi",
]:
    setattr(cupy, _name, getattr(np, _name))
cupy.bool, cupy.cuda, cupy.get_default_memory_pool = np.bool_, cuda, lambda: pool


def _function(name, parameters):
    """The function of NumPy of that name, with CuPy's parameters."""
    numpy_function, names = getattr(np, name), parameters.split()

    def call(*args, **kwargs):
        if names and (len(args) > len(names) or kwargs.keys() - set(names)):
            raise TypeError(f"cupy.{name} takes {names}, got {len(args)} and {sorted(kwargs)}")
        if name in DATA_SIZED:
            refuse_while_capturing(name)
        if name in PRODUCTS or (name == "einsum" and len(args) > 2):
            refuse_while_capturing(CUBLAS)
        if name in ("concatenate", "stack") and len(args[0]) > 8:
            refuse_while_capturing("the pointers of more than 8 arrays")
        out = kwargs.pop("out", None)
        base, args = args[0] if args else None, tuple(map(unwrapped, args))
        kwargs = {key: unwrapped(x) for key, x in kwargs.items()}
        if name in QUERIES:
            return numpy_function(*args, **kwargs)
        if out is not None:
            target = unwrapped(out)
            perform(lambda: np.copyto(target, numpy_function(*args, **kwargs)))
            return out
        if name in VIEWS:
            return wrapped(numpy_function(*args, **kwargs), base)
        return fresh(numpy_function, args, kwargs)

    call.__name__ = name
    return call


class _Ufunc:
    """A ufunc of CuPy."""

    def __init__(self, name):
        self.ufunc = getattr(np, name)

    def __call__(self, *args, **kwargs):
        if not any(isinstance(x, ndarray) for x in args):
            args = (asarray(args[0]), *args[1:])
        return args[0].__array_ufunc__(self.ufunc, "__call__", *args, **kwargs)

    def at(self, a, indices, b=None):
        a.__array_ufunc__(self.ufunc, "at", a, indices, b)


for _name, _parameters in {**FUNCTIONS, **VIEWS, **CREATION, **QUERIES}.items():
    setattr(cupy, _name, _function(_name, _parameters))
for _name in UFUNCS:
    setattr(cupy, _name, _Ufunc(_name))


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype)


def empty_like(a, dtype=None, order="K", subok=None, shape=None):
    return ndarray(a.shape if shape is None else shape, a.dtype if dtype is None else dtype)


def asarray(a, dtype=None, order=None):
    """a on the device; the only function that copies from the host."""
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    refuse_while_capturing("a copy from memory that is not pinned")
    host = np.asarray(a, dtype)
    x = ndarray(host.shape, host.dtype)
    x._host[...] = host
    return x


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0):
    return asarray(obj, dtype).copy() if isinstance(obj, ndarray) else asarray(obj, dtype)


def ascontiguousarray(a, dtype=None):
    a = asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def as_strided(x, shape=None, strides=None):
    return wrapped(np.lib.stride_tricks.as_strided(x._host, shape, strides), x)


def asnumpy(a, stream=None, order="C", out=None):
    return a.get()


def broadcast_arrays(*args):
    return [wrapped(x, a) for x, a in zip(np.broadcast_arrays(*map(unwrapped, args)), args)]


class _Ogrid:
    def __getitem__(self, key):
        return [asarray(x) for x in np.ogrid[key]]


cupy.empty, cupy.empty_like, cupy.asarray, cupy.array = empty, empty_like, asarray, array
cupy.ascontiguousarray, cupy.asnumpy, cupy.broadcast_arrays = (
    ascontiguousarray,
    asnumpy,
    broadcast_arrays,
)
cupy.ogrid = _Ogrid()
cupy.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=as_strided))
