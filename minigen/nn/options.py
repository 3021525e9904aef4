"""Options of PyTorch that are left out: a sentence says what to use in their place."""

from typing import Any


def refuse(name: str, remedy: str, **options: tuple[Any, Any]) -> None:
    """TypeError with the remedy for an option, (value, default), that is not at its default."""
    for option, (value, default) in options.items():
        if value is not default and (hasattr(value, "shape") or value != default):
            text = "..." if hasattr(value, "shape") else repr(value)
            raise TypeError(f"{name}: {option}={text} is left out; {remedy}")
