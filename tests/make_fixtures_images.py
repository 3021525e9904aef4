"""Writes tests/fixtures/image_*.safetensors with PyTorch; run by hand, as make_fixtures.py."""

from collections import OrderedDict
from pathlib import Path

import torch
from image_layers import LAYERS, STEPS, conv_net
from safetensors.torch import save_file
from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

FOLDER = Path(__file__).parent / "fixtures"


CNN = (
    Conv2d(2, 3, 3, padding=1),
    ReLU(),
    MaxPool2d(2),
    Conv2d(3, 4, 3, padding=1),
    ReLU(),
    MaxPool2d(2),
    Flatten(),
    Linear(16, 5),
    ReLU(),
)


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64)


def recorded(layer, shape):
    """State before; inputs, outputs, cotangents and gradients of calls; state after; evaluation."""
    for p in layer.parameters():
        p.data = normal(*p.shape) / 2
    result = {f"before.{k}": v.clone() for k, v in layer.state_dict().items()}
    for step in range(STEPS + 1):
        layer.train(step < STEPS).zero_grad()
        x, y = normal(*shape).requires_grad_(), None
        y = layer(x)
        g = normal(*y.shape)
        y.backward(g)
        found = {"x": x, "y": y, "g": g, "gx": x.grad}
        found |= {f"grad.{k}": p.grad for k, p in layer.named_parameters()}
        result |= {f"{step}.{k}": v for k, v in found.items()}
    result |= {f"after.{k}": v for k, v in layer.state_dict().items()}
    return {k: v.detach().clone() for k, v in result.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    layers = {}
    for name, (kind, args, shape) in LAYERS.items():
        found = recorded(getattr(torch.nn, kind)(*args).double(), shape)
        layers |= {f"{name}.{k}": v for k, v in found.items()}
    save_file(layers, FOLDER / "image_layers.safetensors")
    save_file(recorded(conv_net(torch.nn).double(), (3, 1, 8, 8)), FOLDER / "image_net.safetensors")
    cnn = Sequential(OrderedDict(body=Sequential(*CNN), head=Linear(5, 3))).double()
    save_file(recorded(cnn, (3, 2, 8, 8)), FOLDER / "cnn.safetensors")
