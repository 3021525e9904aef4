"""The runs on which optimizers are compared with PyTorch's."""

import numpy as np

STEPS = 100
SHAPES = [(3, 2), (4,)]
CASES = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd_nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop_all": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1, "eps": 1e-6},
    ),
    "adam": ("Adam", {"lr": 0.01}),
    "adam_decay": ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1, "eps": 1e-6}),
    "adamw": ("AdamW", {"lr": 0.02}),
    "adamw_decay": ("AdamW", {"lr": 0.02, "weight_decay": 0.3}),
    "sgd_dampening": (
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "maximize": True},
    ),
    "rmsprop_centered": ("RMSprop", {"lr": 0.01, "centered": True, "maximize": True}),
    "rmsprop_centered_all": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1, "centered": True},
    ),
    "adam_amsgrad": ("Adam", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True}),
    "adam_maximize": ("Adam", {"lr": 0.02, "weight_decay": 0.1, "maximize": True}),
    "adamw_amsgrad": ("AdamW", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True}),
    "adamw_maximize": ("AdamW", {"lr": 0.02, "weight_decay": 0.1, "maximize": True}),
}


def gradient(step: int, i: int) -> np.ndarray:
    """The gradient of parameter i at a step, float64 and of mixed size."""
    rng = np.random.default_rng((step, i))
    return rng.standard_normal(SHAPES[i]) * 10.0 ** rng.uniform(-3, 1)
