"""Evaluation mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from minigen.nn.module import Module


@contextmanager
def evaluation(model: Module) -> Iterator[None]:
    """A context in which model and its parts are in evaluation mode.

    Afterwards, also after an exception, each part has the mode that it had before: a frozen part
    that was in evaluation mode stays in it.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
