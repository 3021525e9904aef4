"""Optimizers with PyTorch's names, settings and defaults; clipping; learning-rate schedules.

In reading order: `optimizer` is what all of them share, then `sgd`, `rmsprop` and `adam`, each
with its formula in array code, `clipping`, and `schedules`. Left out: dampening, centered, amsgrad,
maximize.
"""

from minigen.optim.adam import Adam, AdamW
from minigen.optim.clipping import clip_grad_norm
from minigen.optim.optimizer import Optimizer
from minigen.optim.rmsprop import RMSprop
from minigen.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm"]
