"""Where in the user's code an op was called, and which modules were running."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import numpy as np

from minigen import models
from minigen.autodiff.trace import PACKAGE
from minigen.nn.module import Module

MODELS = str(Path(models.__file__).parent) + os.sep  # whose files are the user's code, to study
# np.mean(x) calls x.mean(); contextlib is between a `with` statement and the context.
NOT_THE_USERS = PACKAGE, str(Path(np.__file__).parent) + os.sep, contextlib.__file__


@cache
def _is_engine(filename: str) -> bool:
    return filename.startswith(NOT_THE_USERS) and not filename.startswith(MODELS)


def user_frame() -> FrameType:
    """The innermost frame outside of the engine: of a script, a notebook, or a model."""
    frame = sys._getframe(1)
    while frame.f_back and _is_engine(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def warn_of_another() -> None:
    """Warn, at the user's line, that of two observers only the inner one sees a run."""
    frame = user_frame()
    warnings.warn_explicit(
        "of study.record, detect_anomaly, profile and summary only the innermost one sees what "
        "runs inside it: end the one before you begin the other",
        UserWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
    )


def running_modules() -> Iterator[Module]:
    """The modules of which methods are running, as forward or `loss` of a model; innermost first.

    Each once for each of its methods.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame:
        code = frame.f_code
        if code.co_argcount and code.co_varnames[0] == "self":
            owner = _self_of(frame)
            if isinstance(owner, Module):
                yield owner
        frame = frame.f_back


def _self_of(frame: FrameType) -> object:
    variables = frame.f_locals
    owner = variables.get("self")
    # Before Python 3.13 a dict, which the frame keeps: it would keep arrays alive that the method
    # has let go of. If nothing else has it (two names and the argument here), it is emptied.
    if type(variables) is dict and sys.getrefcount(variables) == 3:
        variables.clear()
    return owner
