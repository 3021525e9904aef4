"""Writes tests/fixtures/dcgan.safetensors with PyTorch; run by hand, as make_fixtures.py."""

from collections import OrderedDict

import torch
from make_fixtures_images import FOLDER, recorded
from safetensors.torch import save_file
from torch.nn import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    Tanh,
    Unflatten,
)

GENERATOR = (
    Linear(3, 16, bias=False),
    Unflatten(1, (4, 2, 2)),
    BatchNorm2d(4),
    ReLU(),
    ConvTranspose2d(4, 2, 4, 2, 1, bias=False),
    BatchNorm2d(2),
    ReLU(),
    ConvTranspose2d(2, 1, 4, 2, 1, bias=False),
    Tanh(),
)
DISCRIMINATOR = (
    Conv2d(1, 2, 4, 2, 1, bias=False),
    LeakyReLU(0.2),
    Conv2d(2, 4, 4, 2, 1, bias=False),
    BatchNorm2d(4, track_running_stats=False),
    LeakyReLU(0.2),
    Flatten(),
    Linear(16, 1, bias=False),
)

if __name__ == "__main__":
    torch.manual_seed(0)
    found = {}
    for name, layers, shape in (
        ("generator", GENERATOR, (4, 3)),
        ("discriminator", DISCRIMINATOR, (4, 1, 8, 8)),
    ):
        net = Sequential(OrderedDict(layers=Sequential(*layers))).double()
        found |= {f"{name}.{k}": v for k, v in recorded(net, shape).items()}
    save_file(found, FOLDER / "dcgan.safetensors")
