"""The runs on which learning-rate schedules are compared with PyTorch's."""

import math

EPOCHS = 40
LRS = [0.1, 0.03]  # of two groups


def factor(epoch):
    return 0.9**epoch + 0.1 * (1 + math.sin(epoch))


CASES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.3}),
    "multi_step": ("MultiStepLR", {"milestones": [3, 20, 3, 11], "gamma": 0.5}),
    "exponential": ("ExponentialLR", {"gamma": 0.93}),
    "linear": ("LinearLR", {}),
    "linear_down": ("LinearLR", {"start_factor": 0.8, "end_factor": 0.0, "total_iters": 9}),
    "cosine": ("CosineAnnealingLR", {"T_max": 9}),
    "cosine_floor": ("CosineAnnealingLR", {"T_max": 13, "eta_min": 0.01}),
    "lambda": ("LambdaLR", {"lr_lambda": factor}),
    "lambda_each": ("LambdaLR", {"lr_lambda": [factor, lambda epoch: 1 / (1 + epoch)]}),
    "one_cycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": EPOCHS + 1}),
    "one_cycle_linear": (
        "OneCycleLR",
        {
            "max_lr": [0.5, 0.2],
            "epochs": 10,
            "steps_per_epoch": 5,
            "pct_start": 0.4,
            "anneal_strategy": "linear",
            "div_factor": 10.0,
            "final_div_factor": 100.0,
        },
    ),
    "plateau": ("ReduceLROnPlateau", {"patience": 1, "factor": 0.5}),
    "plateau_all": (
        "ReduceLROnPlateau",
        {
            "mode": "max",
            "factor": 0.3,
            "patience": 2,
            "threshold": 0.05,
            "cooldown": 2,
            "threshold_mode": "abs",
            "min_lr": [0.001, 0.0002],
        },
    ),
    "plateau_max": ("ReduceLROnPlateau", {"mode": "max", "patience": 0, "threshold": 0.1}),
}


def metric(epoch):
    """The number that the plateau schedules watch."""
    return 3 + math.cos(epoch) + 5 / (1 + epoch) + (float("nan") if epoch == 9 else 0)


def made(scheduler, optimizer, name):
    """The schedule of a case, or one of those of several parts, from PyTorch's module or ours."""
    if name == "chained":
        return [scheduler.ExponentialLR(optimizer, 0.9), scheduler.StepLR(optimizer, 5, 0.5)]
    if name == "sequential":
        parts = [
            scheduler.LinearLR(optimizer, 0.1, total_iters=6),
            scheduler.CosineAnnealingLR(optimizer, 12, 0.001),
            scheduler.ExponentialLR(optimizer, 0.9),
        ]
        return [scheduler.SequentialLR(optimizer, parts, [6, 25])]
    kind, settings = CASES[name]
    return [getattr(scheduler, kind)(optimizer, **settings)]


def step(schedules, name, epoch):
    """One step of each."""
    for each in schedules:
        each.step(*([metric(epoch)] if name.startswith("plateau") else []))
