"""Grad mode: whether ops record a graph. Off inside `no_grad`."""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from types import coroutine
from typing import Any, TypeVar

_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
is_grad_enabled = _grad_enabled.get

F = TypeVar("F", bound=Callable[..., Any])  # a decorated function keeps its type


class grad_mode:
    """Sets whether ops record a graph, inside a with block or a decorated function."""

    def __init__(self, enabled: bool):
        self.enabled, self.tokens = enabled, []

    def __enter__(self) -> None:
        self.tokens.append(_grad_enabled.set(self.enabled))

    def __exit__(self, *_: Any) -> None:
        _grad_enabled.reset(self.tokens.pop())

    def __call__(self, function: F) -> F:
        """function, with grad mode set while it runs, on whichever thread it is called.

        At each yield or await of a generator or coroutine its caller's mode is restored.
        """
        if inspect.isasyncgenfunction(function):
            raise TypeError(
                f"no_grad or enable_grad cannot decorate {function.__name__}, an async generator; "
                "use it as a context manager inside"
            )
        if inspect.isgeneratorfunction(function):

            @wraps(function)
            def resumed(*args, **kwargs):
                return (yield from _in_mode(function(*args, **kwargs), self.enabled))

            return resumed
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args, **kwargs):
                return await coroutine(_in_mode)(function(*args, **kwargs), self.enabled)

            return awaited

        @wraps(function)
        def in_mode(*args, **kwargs):
            with grad_mode(self.enabled):
                return function(*args, **kwargs)

        return in_mode


def _in_mode(running, enabled):
    """Runs a generator or a coroutine, with grad mode set while it runs; returns what it returns.

    Not simply `with grad_mode(enabled)` around it: then the mode of its caller would stay changed
    while it waits.
    """
    resume, value = running.send, None
    while True:
        try:
            with grad_mode(enabled):
                result = resume(value)
        except StopIteration as stop:
            return stop.value
        try:
            resume, value = running.send, (yield result)
        except GeneratorExit:
            with grad_mode(enabled):
                running.close()
            raise
        except BaseException as error:
            resume, value = running.throw, error
