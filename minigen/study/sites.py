"""Where in the user's code an op was called, and in which module of the user's model."""

import sys
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from minigen import models
from minigen.autodiff.trace import PACKAGE
from minigen.nn.module import Module

MODELS = str(Path(models.__file__).parent)  # its files are the user's code for whoever studies one


@cache
def _is_engine(filename: str) -> bool:
    return filename.startswith(PACKAGE) and not filename.startswith(MODELS)


def user_frame() -> FrameType:
    """The innermost frame outside of the engine: of a script, a notebook, or a model."""
    frame = sys._getframe(1)
    while frame.f_back and _is_engine(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def enclosing_module(frame: FrameType | None) -> Module | None:
    """The outermost module of which a method is running, as that of `model.loss(x)`."""
    found = None
    while frame:
        if frame.f_code.co_argcount and frame.f_code.co_varnames[0] == "self":
            owner: Any = frame.f_locals.get("self")
            if isinstance(owner, Module):
                found = owner
        frame = frame.f_back
    return found
