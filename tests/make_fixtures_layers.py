"""Writes fixtures/layers.safetensors with PyTorch: outputs and gradients of layer_cases.py.

`python tests/make_fixtures_layers.py` needs PyTorch, which the tests do not.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from layer_cases import FUNCTIONS, LAYERS
from safetensors.numpy import save_file


def main():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    saved = {}
    for i, (text, shape) in enumerate([*LAYERS.items(), *FUNCTIONS.items()]):
        x = torch.randn(*shape).mul(1.5).requires_grad_()
        layer = eval(text, vars(torch.nn) | {"F": F, "x": x})
        named = {}
        if isinstance(layer, torch.nn.Module):
            named = dict(layer.named_parameters())
            y = layer(x, x) if "Decoder" in text else layer(x)
        else:
            y = layer
        g = torch.randn(tuple(y.shape))
        gradients = torch.autograd.grad(y, [x, *named.values()], g)
        arrays = {"x": x, "y": y, "g": g, "gx": gradients[0]}
        arrays |= {f"state.{name}": p for name, p in named.items()}
        arrays |= {f"grad.{name}": p for name, p in zip(named, gradients[1:])}
        saved |= {f"{i}.{name}": np.array(a.detach()) for name, a in arrays.items()}
    save_file(saved, Path(__file__).parent / "fixtures" / "layers.safetensors")


if __name__ == "__main__":
    main()
