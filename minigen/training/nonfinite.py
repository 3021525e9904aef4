"""The search for the op that computed the first NaN or infinity of a run."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigen.nn import Module


def nonfinite_weight(model: Module) -> str:
    """A sentence about the first parameter with a NaN or infinity; "" if all are finite."""
    for name, p in model.named_parameters():
        if not np.isfinite(p.data).all():
            return f"{name} has values that are not finite"
    return ""


def search(run: Any, steps: Callable[..., Iterator]) -> Iterator[Any]:
    """Repeat the steps since the last good state of a `Run` twice, then raise FloatingPointError.

    The first repetition checks the weights after each step, to find the step that makes them
    non-finite. The second runs that step under detect_anomaly, which raises and names the op.
    steps(check_weights, watched, last) yields the batches from the current step of the run.
    """
    run.say(f"{run.nonfinite}; looking for the op that begins it")
    run.failure, last = run.nonfinite, run.step + 1
    run.return_to_start()
    yield from steps(check_weights=True, last=last)
    first = run.step + 1
    if run.nonfinite:
        run.return_to_start()
        yield from steps(watched=first, last=first)
        raise FloatingPointError("every op gave finite values")
    raise FloatingPointError("it did not come again, when all was repeated")
