"""The PixelCNN: what a mask hides, an exact likelihood, and sampling as by whole passes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen.models import CategoricalVAE, MaskedConv2d, PixelCNN
from minigen.models.pixel_cnn import MASKS, raster_mask
from minigen.models.sampling import sampled

SIDE = 5


def small(levels=3, classes=0, layers=3, side=SIDE, **settings):
    """A small PixelCNN in float64, whose positions differ and whose last biases are not small."""
    settings = {"rng": mg.Generator(0), "dtype": np.float64} | settings
    model = PixelCNN(levels, 8, layers, classes, height=side, side=side, **settings)
    rng = np.random.default_rng(1)
    model.position.data[...] = rng.normal(size=model.position.shape)
    return model


def pixels(seed, n=2, levels=3, side=SIDE):
    return np.random.default_rng(seed).integers(0, levels, (n, side, side), np.uint8)


@given(
    mask=st.sampled_from(MASKS),
    kernel=st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 5])),
    dilation=st.integers(1, 2),
    row=st.integers(0, SIDE - 1),
    column=st.integers(0, SIDE - 1),
)
def test_a_masked_convolution_depends_on_no_pixel_that_its_mask_hides(
    mask, kernel, dilation, row, column
):
    layer = MaskedConv2d(2, 3, kernel, mask, dilation, rng=mg.Generator(0), dtype=np.float64)
    x = np.random.default_rng(0).normal(size=(1, 2, SIDE, SIDE))
    other = x.copy()
    other[:, :, row, column] += 1
    y, changed = layer(mg.Tensor(x)).data, layer(mg.Tensor(other)).data
    order = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    number = order // SIDE if mask.startswith("rows") else order
    hidden = number <= number[row, column] if "A" in mask else number < number[row, column]
    assert np.array_equal(y[:, :, hidden], changed[:, :, hidden])


@pytest.mark.parametrize("mask", MASKS)
def test_masked_weights_have_no_gradient_and_all_others_have(mask):
    layer = MaskedConv2d(2, 2, 3, mask, rng=mg.Generator(0))
    layer(mg.Tensor(mg.Generator(1).normal((2, 2, 4, 4)))).square().sum().backward()
    assert np.array_equal(
        layer.weight.grad.data != 0, np.broadcast_to(layer.seen.data, (2, 2, 3, 3))
    )
    sizes = {"A": 4, "B": 5, "rows A": 3, "rows B": 6}
    assert raster_mask((3, 3), mask).sum() == layer.seen.data.sum() == sizes[mask]


@given(
    row=st.integers(0, SIDE - 1),
    column=st.integers(0, SIDE - 1),
    classes=st.sampled_from([0, 2]),
)
def test_a_pixel_changes_no_logit_at_or_before_it_and_all_after_it_in_reach(row, column, classes):
    model, x = small(classes=classes), pixels(0, 1)
    label = np.array([1]) if classes else None
    changed = x.copy()
    changed[0, row, column] = (changed[0, row, column] + 1) % 3
    differs = (model(x, label).data != model(changed, label).data).any((0, 1)).ravel()
    i = row * SIDE + column
    assert not differs[: i + 1].any()
    assert differs[i + 1 :].all()  # there is no blind spot: every later pixel of 5 x 5 is in reach


def test_the_likelihoods_of_all_images_sum_to_1():
    every = np.array(list(itertools.product(range(3), repeat=4)), np.uint8).reshape(-1, 2, 2)
    for classes, label in ((0, None), (2, np.ones(81, np.int64))):
        model = small(classes=classes, side=2)
        bits = [
            model.loss(x[None], label[:1] if classes else None).item() for x in every
        ]  # a dimension
        assert abs(math.fsum(2.0 ** (-4 * b) for b in bits) - 1) < 1e-12
        assert np.std(bits) > 0.02  # they are not all alike


def test_bits_a_dimension_are_the_negative_log_likelihood_in_base_2_by_pixels():
    model, x = small(), pixels(0)
    logits = model(x).data
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    by_hand = -np.take_along_axis(logp, x[:, None].astype(int), 1).sum((1, 2, 3)) / np.log(2) / 25
    assert model.loss(x).item() == pytest.approx(by_hand.mean(), rel=1e-12)
    model.head[3].weight.data[...] = 0
    model.head[3].bias.data[...] = 0
    assert model.loss(x).item() == pytest.approx(np.log2(3), rel=1e-12)


@pytest.mark.parametrize(("classes", "rows"), [(0, 0), (2, 3)])
def test_sampling_by_rows_gives_the_images_of_whole_passes(classes, rows):
    model, start = small(classes=classes, side=9), pixels(0, 4, side=9)[:, :rows]
    label = np.array([0, 1, 1, 0]) if classes else None
    x, rng = np.zeros((4, 9, 9), np.uint8), mg.Generator(5)
    x[:, :rows] = start
    for row, column in itertools.product(range(rows, 9), range(9)):
        x[:, row, column] = sampled(model(x, label).data[:, :, row, column], rng=rng)
    drawn = model.sample(label if classes else 4, start if rows else None, rng=mg.Generator(5))
    assert np.array_equal(drawn, x) and drawn.dtype == np.uint8
    assert np.array_equal(drawn[:, :rows], start)
    logits = model(x, label).data
    with mg.no_grad():
        for row, column, of_pixel in model._each_pixel(x, label, rows):
            np.testing.assert_allclose(of_pixel.data, logits[:, :, row, column], rtol=0, atol=1e-12)


def test_it_overfits_a_few_images_and_then_draws_them():
    model = PixelCNN(2, 8, 3, 2, height=6, side=6, rng=mg.Generator(0))
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-2)
    x, label = pixels(3, 2, 2, 6), np.array([0, 1])
    assert model.loss(x, label).item() == pytest.approx(1, abs=0.2)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model.loss(x, label)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
    assert (model.sample(label, rng=mg.Generator(1)) == x).mean() > 0.95


def test_mistakes_end_with_a_sentence():
    model = small(classes=2)
    with pytest.raises(mg.errors.ShapeError, match=r"x must be \(B, 5, 5\), got \(2, 6, 6\)"):
        model.loss(pixels(0, side=6), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"2 classes: pass the labels \(2,\) too"):
        model.loss(pixels(0))
    with pytest.raises(ValueError, match="has no classes"):
        small().loss(pixels(0), np.array([0, 1]))
    with pytest.raises(mg.errors.ShapeError, match=r"start must be \(2, rows, 5\)"):
        small().sample(2, pixels(0, 3)[:, :2])
    with pytest.raises(ValueError, match="2 to 256 levels"):
        PixelCNN(1)
    with pytest.raises(ValueError, match="mask must be one of A, B"):
        MaskedConv2d(1, 1, 3, "C")
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        MaskedConv2d(1, 1, (2, 3), "A")
    with pytest.raises(ValueError, match="levels must be at least 2"):
        CategoricalVAE(1)


def test_the_bound_of_a_categorical_vae_is_at_least_its_bits():
    """Of 2 pixels and 3 levels, by integrating over one z on a fine grid."""
    model = CategoricalVAE(3, 1, 8, pixels=2, rng=mg.Generator(0), dtype=np.float64)
    z = np.linspace(-8, 8, 2_001)[:, None]
    prior = np.exp(-(z[:, 0] ** 2) / 2) * (z[1, 0] - z[0, 0]) / math.sqrt(2 * math.pi)
    p = mg.softmax(model.decode(mg.Tensor(z)), 1).data  # (2001, levels, pixels)
    every = np.array(list(itertools.product(range(3), repeat=2)), np.uint8)
    likelihoods = [(prior * p[:, a, 0] * p[:, b, 1]).sum() for a, b in every]
    assert sum(likelihoods) == pytest.approx(1, abs=1e-9)
    many = np.repeat(every, 4_000, 0)
    model.rng = mg.Generator(1)
    bound = model.loss(many)[0].item()
    exact = -np.log(likelihoods).mean()
    assert exact - 0.005 < bound < exact + 1
