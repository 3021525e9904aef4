"""How an op takes its arguments: arrays stand before the `*` of its forward, static ones after.

Users may pass either kind by position or by keyword, in the order of the definition.
"""

import inspect
from collections.abc import Callable, Sequence

POSITIONAL, KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


class Signature:
    """The argument names of a forward function, and what users may leave out."""

    def __init__(self, forward: Callable):
        self.name = forward.__name__.strip("_")
        signature = inspect.signature(forward)
        parameters = signature.parameters.values()
        self.arrays = [p.name for p in parameters if p.kind is POSITIONAL]
        self.statics = [p.name for p in parameters if p.kind is KEYWORD]
        self.variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.static_defaults = {k: self.defaults[k] for k in self.statics if k in self.defaults}
        if not self.variadic:
            parameters = [p.replace(kind=POSITIONAL) for p in parameters]
        self.public = signature.replace(parameters=list(parameters))

    def argument(self, i: int) -> str:
        """The name of array argument i."""
        return f"xs[{i}]" if self.variadic else self.arrays[i]

    def bind(self, args: tuple, named: dict) -> tuple[Sequence, dict]:
        """The arrays, in order, and all static arguments of a call; TypeError as Python's."""
        if self.variadic:
            return args, self.static_defaults | named
        count = len(self.arrays)
        if len(args) >= count and not (named and len(args) > count):  # the common case
            given = named or dict(zip(self.statics, args[count:]))
            static = self.static_defaults | given if self.static_defaults else given
            if len(static) == len(self.statics) and len(args) <= count + len(static):
                return args[:count], _plain_floats(static)
        return self._bind_any(args, dict(named))

    def _bind_any(self, args, named):
        count = len(self.arrays)
        if len(args) > count + len(self.statics):
            most = count + len(self.statics)
            raise TypeError(f"{self.name}() takes at most {most} arguments, got {len(args)}")
        for name, value in zip([*self.arrays, *self.statics], args):
            if name in named:
                raise TypeError(f"{self.name}() got two values for {name!r}")
            named[name] = value
        complete = self.defaults | named
        for name in [*self.arrays, *self.statics]:
            if name not in complete:
                raise TypeError(f"{self.name}() misses its argument {name!r}")
        if len(complete) > count + len(self.statics):
            unknown = sorted(complete.keys() - {*self.arrays, *self.statics})
            raise TypeError(f"{self.name}() has no argument {unknown[0]!r}; it is {self}")
        return [complete.pop(name) for name in self.arrays], _plain_floats(complete)

    def __str__(self) -> str:
        return self.name + str(self.public)


def _plain_floats(static):
    """Settings with Python's floats for NumPy's, which would make float32 float64."""
    for name, value in static.items():
        if type(value) is not float and type(value).__name__ in ("float64", "float32"):
            static = {**static, name: float(value)}
    return static
