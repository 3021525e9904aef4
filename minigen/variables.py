"""The environment variables that choose between implementations: a value they lack is named."""

import os
import warnings


def choice(name: str, allowed: tuple[str, ...]) -> str:
    """The value of an environment variable; "", with a warning, if it is not one of allowed."""
    value = os.environ.get(name, "")
    if value in ("", *allowed):
        return value
    warnings.warn(
        f"{name}={value} is not a known value and is ignored: unset it, or set it to "
        f"{' or '.join(allowed)}",
        RuntimeWarning,
        stacklevel=3,
    )
    return ""
