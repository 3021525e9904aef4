"""The operators of the stand-in's arrays, and their methods for reductions and the like."""

import numpy as np

from stand_in.arrays import fresh, ndarray, unwrapped


def _operators():
    """Pairs of the name of an operator and its ufunc."""
    names = "add sub mul truediv floordiv mod pow and or xor lshift rshift eq ne lt le gt ge"
    ufuncs = "add subtract multiply true_divide floor_divide remainder power bitwise_and bitwise_or"
    ufuncs += " bitwise_xor left_shift right_shift equal not_equal less less_equal greater"
    for name, ufunc in zip(names.split(), f"{ufuncs} greater_equal".split()):
        yield name, getattr(np, ufunc)


def _defer(other):
    """Whether an operator must leave the computation to the other operand."""
    return getattr(type(other), "__array_ufunc__", True) is None


def _binary(ufunc):
    """The method of a binary operator."""

    def call(self, other):
        if _defer(other):
            return NotImplemented
        return self.__array_ufunc__(ufunc, "__call__", self, other)

    return call


def _reflected(ufunc):
    """The method of a binary operator whose right operand is the array."""
    return lambda self, other: self.__array_ufunc__(ufunc, "__call__", other, self)


def _in_place(ufunc):
    """The method of an operator such as +=."""
    return lambda self, other: self.__array_ufunc__(ufunc, "__call__", self, other, out=self)


for _name, _ufunc in _operators():
    setattr(ndarray, f"__{_name}__", _binary(_ufunc))
    if _name not in ["eq", "ne", "lt", "le", "gt", "ge"]:
        setattr(ndarray, f"__r{_name}__", _reflected(_ufunc))
        setattr(ndarray, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in (("neg", np.negative), ("abs", np.absolute), ("invert", np.invert)):
    setattr(
        ndarray, f"__{_name}__", lambda self, u=_ufunc: self.__array_ufunc__(u, "__call__", self)
    )

METHODS = {  # the parameters of CuPy's methods, in their order
    "all": "axis out keepdims",
    "any": "axis out keepdims",
    "argmax": "axis out dtype keepdims",
    "argmin": "axis out dtype keepdims",
    "argsort": "axis kind",
    "clip": "min max out",
    "cumsum": "axis dtype out",
    "max": "axis out keepdims",
    "mean": "axis dtype out keepdims",
    "min": "axis out keepdims",
    "prod": "axis dtype out keepdims",
    "repeat": "repeats axis",
    "round": "decimals out",
    "searchsorted": "v side sorter",
    "std": "axis dtype out ddof keepdims",
    "sum": "axis dtype out keepdims",
    "take": "indices axis out",
    "var": "axis dtype out ddof keepdims",
}


def _method(name, parameters):
    """The method of NumPy of that name, with CuPy's parameters."""

    def call(self, *args, **kwargs):
        kwargs.update(zip(parameters, args))
        unknown = kwargs.keys() - set(parameters)
        if unknown:
            raise TypeError(f"ndarray.{name} of cupy has no {sorted(unknown)}")
        out = kwargs.pop("out", None)
        assert out is None, "the stand-in has no out for methods"
        kwargs = {key: unwrapped(x) for key, x in kwargs.items()}
        return fresh(getattr(np.ndarray, name), (self._host,), kwargs)

    return call


for _name, _parameters in METHODS.items():
    setattr(ndarray, _name, _method(_name, _parameters.split()))
