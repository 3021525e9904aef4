"""The signature of an op: arrays are before the `*` of its forward, static arguments after it.

Users may pass arrays and static arguments by position, in this order, or by keyword, also by
PyTorch's keywords (`names.py`).
"""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

from numpy import generic

from minigen.autodiff.names import translated, with_hint
from minigen.backend.dtypes import plain_number

Function = TypeVar("Function", bound=Callable)
POSITIONAL, KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


class Signature:
    """The argument names of a forward function, and their default values."""

    def __init__(self, forward: Callable):
        self.name = forward.__name__.strip("_")
        signature = inspect.signature(forward)
        parameters = signature.parameters.values()
        self.arrays = [p.name for p in parameters if p.kind is POSITIONAL]
        self.statics = [p.name for p in parameters if p.kind is KEYWORD]
        self.variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.static_defaults = {k: self.defaults[k] for k in self.statics if k in self.defaults}
        self.names = {*self.arrays, *self.statics}
        self.all_default = len(self.static_defaults) == len(self.statics)
        if not self.variadic:
            parameters = [p.replace(kind=POSITIONAL) for p in parameters]
        self.public = signature.replace(parameters=list(parameters))

    def argument(self, i: int) -> str:
        """The name of array argument i."""
        return f"xs[{i}]" if self.variadic else self.arrays[i]

    def bind(self, args: tuple, named: dict) -> tuple[Sequence, dict]:
        """(arrays in order, all static arguments) of a call; TypeError as Python would raise."""
        if self.variadic:
            return args, self.static_defaults | named
        num_arrays = len(self.arrays)
        # The common case: all arrays by position, static arguments all by position or by keyword.
        if len(args) >= num_arrays and not (named and len(args) > num_arrays):
            passed = named or dict(zip(self.statics, args[num_arrays:]))
            static = self.static_defaults | passed if self.static_defaults else passed
            complete = len(static) == len(self.statics)
            complete = complete and (self.all_default or static.keys() <= self.names)
            if complete and len(args) <= num_arrays + len(static):
                return args[:num_arrays], _plain(static)
        return self._bind_any(args, dict(named))

    def _bind_any(self, args, named):
        """As `bind`, for any mixture of positional and keyword arguments."""
        most = len(self.arrays) + len(self.statics)
        if len(args) > most:
            message = f"{self.name}() takes at most {most} arguments, got {len(args)}"
            raise TypeError(with_hint(message, self.name))
        named = translated(self.name, named, self.names)
        for name, value in zip([*self.arrays, *self.statics], args):
            if name in named:
                raise TypeError(f"{self.name}() got two values for {name!r}")
            named[name] = value
        complete = self.defaults | named
        for name in [*self.arrays, *self.statics]:
            if name not in complete:
                raise TypeError(with_hint(f"{self.name}() misses its argument {name!r}", self.name))
        if len(complete) > most:
            unknown = sorted(complete.keys() - self.names)
            message = f"{self.name}() has no argument {unknown[0]!r}; it is {self}"
            raise TypeError(with_hint(message, self.name))
        return [complete.pop(name) for name in self.arrays], _plain(complete)

    def __str__(self) -> str:
        return self.name + str(self.public)


def with_any_keyword(function: Function) -> Function:
    """function, which takes PyTorch's keywords for its arguments, too."""
    names = frozenset(inspect.signature(function).parameters)

    @wraps(function)
    def call(*args, **named):
        if named and not named.keys() <= names:
            named = translated(function.__name__, named, names)
        return function(*args, **named)

    return call


def _plain(static):
    """static with Python numbers in place of NumPy's, which would promote float32 arrays."""
    for value in static.values():  # faster than any(...), and this runs at most calls of ops
        if isinstance(value, generic):
            return {name: plain_number(value) for name, value in static.items()}
    return static
