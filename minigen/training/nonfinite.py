"""The search for the op that gave the first NaN or infinity of a run."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigen.nn import Module


def nonfinite_weight(model: Module) -> str:
    """The first parameter with a NaN or an infinity, in words; "" if all values are finite."""
    for name, p in model.named_parameters():
        if not np.isfinite(p.data).all():
            return f"{name} has values that are not finite"
    return ""


def search(run: Any, steps: Callable[..., Iterator]) -> Iterator[Any]:
    """Take the steps since the last good state of a `Run` again, twice; FloatingPointError.

    The first time weights are checked after each step, to find the step that spoils them. The
    second time that step runs under detect_anomaly, which raises with the name of the op.
    steps(check_weights, watched, last) yields the batches from where the run stands.
    """
    run.say(f"{run.nonfinite}; looking for the op that begins it")
    run.reported, last = run.nonfinite, run.step + 1
    run.go_back()
    yield from steps(check_weights=True, last=last)
    first = run.step + 1
    if run.nonfinite:
        run.go_back()
        yield from steps(watched=first, last=first)
        raise FloatingPointError("every op gave finite values")
    raise FloatingPointError("it did not come again, when all was repeated")
