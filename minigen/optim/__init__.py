"""Optimizers with PyTorch's names, settings and defaults; clipping; learning-rate schedules.

In reading order: `groups` and `states`, what an optimizer takes and saves; `optimizer`, the base
class; `sgd`, `rmsprop` and `adam`, each with its formula in array code; `schedules`, functions of
the step; `scheduler`, `one_cycle` and `lr_scheduler`, PyTorch's objects. Clipping of gradients
stands in `nn.utils`. Left out on purpose: Adagrad, Adamax and their like, which Adam has replaced,
and L-BFGS, which is not for batches; `Optimizer` says how to add one.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from minigen.autodiff import left_out as _left_out
from minigen.nn.utils.clipping import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value,
    clip_grad_value_,
)
from minigen.optim import lr_scheduler
from minigen.optim.adam import Adam, AdamW
from minigen.optim.average import Average
from minigen.optim.optimizer import Optimizer
from minigen.optim.rmsprop import RMSprop
from minigen.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Average",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value",
    "clip_grad_value_",
    "lr_scheduler",
]

if not _TYPE_CHECKING:  # for type checkers it would make any name an attribute

    def __getattr__(name):
        raise AttributeError(_left_out.missing("optim", name))
