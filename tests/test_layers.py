"""Layers and functions of nn against PyTorch's; empty inputs, dtypes and options of all layers."""

from pathlib import Path

import numpy as np
import pytest
from layer_cases import FUNCTIONS, LAYERS, POINTWISE

import minigen as mg
import minigen.nn.functional as F
from minigen import nn
from minigen.errors import ShapeError
from minigen.testing import gradcheck

SAVED = {
    name: x.data
    for name, x in mg.load(Path(__file__).parent / "fixtures/layers.safetensors").items()
}
CASES = [*LAYERS, *FUNCTIONS]


def saved(i, part):
    """The arrays of case i whose names begin with part, by the rest of their names."""
    start = f"{i}.{part}"
    return {name.removeprefix(start): x for name, x in SAVED.items() if name.startswith(start)}


def run(text, x):
    """(layer or None, result) of a case for the input x."""
    made = eval(text, vars(nn) | {"F": F, "x": x})
    if not isinstance(made, nn.Module):
        return None, made
    made.to(x.dtype)
    return made, made(x, x) if "Decoder" in text else made(x)


@pytest.mark.parametrize("i", range(len(CASES)), ids=CASES)
def test_values_and_gradients_are_pytorchs(i):
    wrap = lambda name, grad=False: mg.tensor(SAVED[f"{i}.{name}"], requires_grad=grad)
    x = wrap("x", True)
    layer = eval(CASES[i], vars(nn) | {"F": F, "x": x})
    if isinstance(layer, nn.Module):
        layer.to(mg.float64).load_state_dict(saved(i, "state."))
        y = layer(x, x) if "Decoder" in CASES[i] else layer(x)
    else:
        y = layer
    assert y.shape == SAVED[f"{i}.y"].shape
    y.backward(wrap("g"))
    found = {"y": y, "gx": x.grad}
    if isinstance(layer, nn.Module):
        found |= {f"grad.{name}": p.grad for name, p in layer.named_parameters()}
    for name, value in found.items():
        want = SAVED[f"{i}.{name}"]
        assert np.abs(value.data - want).max() < 1e-11 * max(1, np.abs(want).max()), name


@pytest.mark.parametrize("text", CASES)
def test_float32_stays_float32(text):
    shape = LAYERS.get(text) or FUNCTIONS[text]
    x = mg.Tensor(mg.Generator(0).normal(shape)).requires_grad_()
    layer, y = run(text, x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    assert all(p.grad.dtype == np.float32 for p in (layer.parameters() if layer else ()))


DIFFERENTIATED = [
    *(f"{name}()" for name in POINTWISE),
    *("F.hardsigmoid(x)", "F.glu(x, 1)", "F.normalize(x)", "F.cosine_similarity(x, x * x + 1)"),
    *("F.rms_norm(x, (2,))", "F.pad(x, (1, 0), 'circular')", "F.softmin(x, 0)", "PReLU(2)"),
]


@pytest.mark.parametrize("text", DIFFERENTIATED)
def test_second_derivatives_of_compositions(text):
    points = np.array([[0.7, -1.3], [2.2, -0.4]])
    gradcheck(lambda x: run(text, x)[1], [points], order=2)


# ----------------------------------------------------------------------------- empty input


@pytest.mark.parametrize("text", CASES)
def test_an_empty_batch_gives_an_empty_result_and_zero_gradients_or_one_sentence(text):
    shape = LAYERS.get(text) or FUNCTIONS[text]
    batch_axis = int("Transformer" in text and "batch_first" not in text)
    shape = (*shape[:batch_axis], 0, *shape[batch_axis + 1 :])
    x = mg.zeros(shape).requires_grad_()
    try:
        layer, y = run(text, x)
    except ValueError as error:
        assert len(str(error).split(". ")) <= 2 and "training" not in str(error)
        assert "loss" in text or "kl_div" in text
        return
    y.sum().backward()
    assert x.grad.shape == shape
    for name, p in layer.named_parameters() if layer else ():
        assert np.array_equal(p.grad.data, np.zeros(p.shape)), name


LOSSES = [
    *("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss"),
    *("KLDivLoss", "CrossEntropyLoss", "NLLLoss"),
]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2), (2, 3, 0)])
def test_losses_of_nothing_are_nan_zero_and_empty(name, reduction, shape):
    classes = name in ("CrossEntropyLoss", "NLLLoss")
    target = np.zeros((shape[0], *shape[2:]), np.int64) if classes else mg.zeros(shape)
    x = mg.zeros(shape).requires_grad_()
    loss = getattr(nn, name)(reduction=reduction)(x, target)
    loss.sum().backward()
    assert x.grad.shape == shape
    want = {"mean": np.nan, "sum": 0.0, "none": np.zeros(target.shape)}[reduction]
    np.testing.assert_array_equal(loss.data, want)


def test_images_without_values_are_refused_where_a_mean_of_nothing_was_nan():
    for layer in (nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(2), nn.Upsample(size=2)):
        with pytest.raises(ShapeError, match="no values"):
            layer(mg.zeros((2, 3, 0, 5)))
    for layer in (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(3, 1, 2)):
        with pytest.raises(ShapeError, match="no room"):
            layer(mg.zeros((2, 3, 0, 5)))
