"""Arrays on the device under test: a GPU with `pytest --device cuda`, else its stand-in."""

import numpy as np

from minigen.backend.devices import to_device

LAYOUTS = ("plain", "transposed", "stepped", "reversed")


def on_device(x, layout="plain"):
    """A NumPy array, copied to the device into that memory layout; anything else as it is."""
    if not isinstance(x, np.ndarray):
        return x
    if layout == "transposed" and x.ndim:
        return to_device(np.ascontiguousarray(x.T), "cuda").T
    if layout == "reversed" and x.ndim:
        return to_device(np.ascontiguousarray(x[::-1]), "cuda")[::-1]
    if layout == "stepped" and x.ndim:
        return to_device(np.repeat(x, 2, axis=-1), "cuda")[..., ::2]
    return to_device(x, "cuda")
