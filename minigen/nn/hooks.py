"""Calls of modules: their types, and hooks, which run before or after forward."""

from collections.abc import Callable
from itertools import count
from typing import Any, ParamSpec, Protocol, TypeVar

_numbers = count()

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class HasForward(Protocol[P, R]):
    """For type checkers: a module is called with the arguments of its forward."""

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class Hooks:
    """The hooks of a module, by number, in the order in which they were registered."""

    def __init__(self):
        self.before: dict[int, Callable] = {}
        self.after: dict[int, Callable] = {}

    def call(self, module: Any, run: Callable, args: tuple, kwargs: dict) -> Any:
        """run(args, kwargs), which is the forward of module, between its hooks."""
        for hook in list(self.before.values()):
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = run(args, kwargs)
        for hook in list(self.after.values()):
            changed = hook(module, args, result)
            result = result if changed is None else changed
        return result


class HookHandle:
    """What registering a hook returns: `remove()` takes the hook away, as a `with` block does."""

    def __init__(self, hooks: dict[int, Callable], hook: Callable):
        self.hooks, self.number = hooks, next(_numbers)
        hooks[self.number] = hook

    def remove(self) -> None:
        """Take the hook away; nothing happens if it is gone."""
        self.hooks.pop(self.number, None)

    def __enter__(self) -> "HookHandle":
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()
