"""Observers of training steps, to whom optimizers and training runs tell where steps begin and end.

By default there is none. An observer may raise an exception in any of its methods to end a run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any


class StepObserver:
    """Its methods are called while a script trains; subclasses override them."""

    def optimizer_made(self, optimizer: Any) -> None:
        """Called when an optimizer has been made."""

    def optimizer_stepped(self, optimizer: Any) -> None:
        """Called after each step of an optimizer."""

    def run_made(self, out: Path, resumed: bool) -> Path:
        """Called when a `Run` is made, with its folder; returns the folder to use instead."""
        return out

    def step_began(self) -> None:
        """Called when a `Run` hands out a batch."""

    def step_ended(self) -> None:
        """Called when the next batch is asked for."""


step_observer: ContextVar[StepObserver | None] = ContextVar("step_observer", default=None)


@contextmanager
def training_step(repeated: bool = False) -> Iterator[None]:
    """A context for what a training loop does with a batch; a repeated step is not observed."""
    observer = None if repeated else step_observer.get()
    if observer is None:
        yield
    else:
        observer.step_began()
        yield  # if the step fails, it has no end
        observer.step_ended()


def folder_for(out: Path, resumed: bool) -> Path:
    """The folder for the files of a `Run` whose flags name out."""
    observer = step_observer.get()
    return out if observer is None else observer.run_made(out, resumed)
