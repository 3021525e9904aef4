"""The environment variables that choose between implementations: a value they lack is named."""

import os
import warnings


def choice(name: str, known: tuple[str, ...]) -> str:
    """The value of an environment variable; "", with a warning, if it is not one of known."""
    value = os.environ.get(name, "")
    if value in ("", *known):
        return value
    warnings.warn(
        f"{name}={value} is not a known value and is ignored: unset it, or set it to "
        f"{' or '.join(known)}",
        RuntimeWarning,
        stacklevel=3,
    )
    return ""
