"""Layers and functions of nn on the device give what they give on the host."""

import numpy as np
import pytest
from gpu_device import on_device
from layer_cases import FUNCTIONS, LAYERS

import minigen as mg
import minigen.nn.functional as F
from minigen import nn

pytestmark = pytest.mark.usefixtures("device")


def run(text, x, device):
    """The result of a case and the gradients of its input and parameters, on the host."""
    mg.manual_seed(0)
    x = mg.tensor(x, device=device, requires_grad=True)
    made = eval(text, vars(nn) | {"F": F, "x": x})
    if isinstance(made, nn.Module):
        made.to(device, mg.float64)
        made = (made, made(x, x) if "Decoder" in text else made(x))
    layer, y = made if isinstance(made, tuple) else (nn.Identity(), made)
    (y * y).sum().backward()
    assert y.device.startswith(device) and x.grad.device.startswith(device)
    return [z.numpy() for z in (y.detach(), x.grad, *(p.grad for p in layer.parameters()))]


@pytest.mark.parametrize("text", [*LAYERS, *FUNCTIONS])
def test_a_layer_on_the_device_is_the_one_on_the_host(text):
    x = np.random.default_rng(0).standard_normal({**LAYERS, **FUNCTIONS}[text])
    for got, want in zip(run(text, x, "cuda"), run(text, x, "cpu"), strict=True):
        assert got.dtype == want.dtype and np.abs(got - want).max() < 1e-9


def test_an_embedding_with_a_padding_row_takes_lists_and_arrays_on_the_device():
    layer = nn.Embedding(4, 2, padding_idx=0).to("cuda")
    for index in ([0, 3], on_device(np.array([0, 3]))):
        layer.zero_grad()
        layer(index).sum().backward()
        assert layer.weight.grad.numpy().tolist() == [[0, 0], [0, 0], [0, 0], [1, 1]]


def test_masks_and_initial_values_on_the_device():
    x = np.random.default_rng(0).standard_normal((3, 2, 4))
    mask, padding = np.where(np.tri(3, dtype=bool), 0.0, -np.inf), np.zeros((2, 3), bool)
    results = []
    for device in ("cpu", "cuda"):
        mg.manual_seed(0)
        layer = nn.MultiheadAttention(4, 2, dtype=np.float64).to(device)
        t, m, p = (mg.tensor(a, device=device) for a in (x, mask, padding))
        for need in (False, True):
            results.append(layer(t, t, t, p, need, m)[0].detach().numpy())
    assert np.abs(np.array(results) - results[0]).max() < 1e-12
    p = nn.Parameter(mg.zeros((4, 3), device="cuda"))
    for name in ("xavier_uniform_", "kaiming_normal_", "trunc_normal_", "orthogonal_", "eye_"):
        assert getattr(nn.init, name)(p).device.startswith("cuda") and p.numpy().any()
