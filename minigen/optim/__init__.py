"""Optimizers with PyTorch's names, settings and defaults; clipping; learning-rate schedules.

In reading order: `optimizer`, the base class; `sgd`, `rmsprop` and `adam`, each with its formula in
array code; `clipping`; `schedules`. Left out on purpose: dampening, centered, amsgrad, maximize.
"""

from minigen.optim.adam import Adam, AdamW
from minigen.optim.clipping import clip_grad_norm
from minigen.optim.optimizer import Optimizer
from minigen.optim.rmsprop import RMSprop
from minigen.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm"]
