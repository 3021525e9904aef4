"""Batch and group norm as functions: the running statistics, extremes, bad input."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.errors import DTypeError, GradError, ShapeError
from minigen.testing import assert_close

rng = np.random.default_rng(0)


def running(C=3, dtype=np.float64):
    return np.zeros(C, dtype), np.ones(C, dtype)


def test_training_moves_the_running_statistics_it_is_given_by_momentum():
    x = rng.standard_normal((4, 3, 5))
    for wrap in (np.asarray, mg.Tensor):
        mean, var = map(wrap, running())
        mg.batch_norm(x, mean, var, training=True, momentum=0.25)
        assert_close(mean, 0.25 * x.mean((0, 2)))
        assert_close(var, 0.75 + 0.25 * x.var((0, 2), ddof=1))


def test_evaluation_reads_the_running_statistics_and_leaves_them():
    x, (mean, var) = rng.standard_normal((4, 3)), running()
    mean += 2
    y = mg.batch_norm(x, mean, var, eps=0.0)
    assert_close(y, x - 2)
    assert (mean == 2).all() and (var == 1).all()


def test_recording_the_graph_of_the_gradient_does_not_count_the_batch_again():
    x, (mean, var) = mg.tensor(rng.standard_normal((4, 3)), requires_grad=True), running()
    y = mg.batch_norm(x, mean, var, training=True)
    once = mean.copy()
    g = mg.grad((y**3).sum(), x, create_graph=True)
    mg.grad((g * g).sum(), x)
    assert np.array_equal(mean, once)


def test_float32_batches_and_running_statistics_stay_float32():
    x, (mean, var) = mg.Tensor(rng.standard_normal((4, 3, 2, 2)).astype(np.float32)), running()
    w = mg.tensor(np.ones(3, np.float32), requires_grad=True)
    mean, var = mean.astype(np.float32), var.astype(np.float32)
    for training in (True, False):
        y = mg.batch_norm(x, mean, var, w, training=training)
        assert y.dtype == np.float32
        y.sum().backward()
        assert w.grad.dtype == np.float32


def test_a_channel_far_from_zero_keeps_its_digits():
    """The variance is of centred values: no cancellation of large squares."""
    x = (1e4 + rng.standard_normal((64, 2, 9))).astype(np.float32)
    y = mg.batch_norm(x, None, None, training=True)
    wide = x.astype(np.float64)
    want = (wide - wide.mean((0, 2), keepdims=True)) / wide.std((0, 2), keepdims=True)
    assert np.abs(y - want).max() < 2e-3  # the mean itself is rounded to 1e-3


def test_a_constant_channel_gives_its_bias():
    y = mg.batch_norm(np.full((3, 2), 7.0), None, None, bias=np.array([1.0, 2.0]), training=True)
    assert np.array_equal(y, [[1.0, 2.0]] * 3)


def test_an_empty_batch_gives_an_empty_result():
    x = np.zeros((0, 3, 2))
    assert mg.batch_norm(x, *running()).shape == x.shape
    assert mg.group_norm(x, 3).shape == x.shape
    with np.errstate(all="ignore"):
        assert mg.batch_norm(x, None, None, training=True).shape == x.shape


def test_group_norm_of_one_group_is_layer_norm_and_of_single_channels_instance_norm():
    x = rng.standard_normal((2, 4, 3, 3))
    assert_close(mg.group_norm(x, 1), mg.layer_norm(x, (4, 3, 3)))
    assert_close(mg.group_norm(x, 4), mg.layer_norm(x, (3, 3)))


x = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: mg.batch_norm(x, None, None), ValueError, "batch_norm: needs running_mean"),
        (
            lambda: mg.batch_norm(x, np.ones(4), np.ones(3)),
            ShapeError,
            r"batch_norm: running_mean \(4,\) must have shape \(3,\)",
        ),
        (
            lambda: mg.batch_norm(x, *running(), np.ones(2)),
            ShapeError,
            r"batch_norm: weight \(2,\) must",
        ),
        (
            lambda: mg.batch_norm(x[0, :, 0], None, None, training=True),
            ShapeError,
            r"batch_norm: x must be \(N, C, ...\)",
        ),
        (
            lambda: mg.batch_norm(x[:1, :, :1], None, None, training=True),
            ValueError,
            "batch_norm: training needs more than one value for each channel",
        ),
        (
            lambda: mg.batch_norm(x, np.zeros(3, int), np.ones(3), training=True),
            DTypeError,
            "batch_norm: running_mean must be of a float dtype",
        ),
        (
            lambda: mg.batch_norm(
                x, np.zeros(3), mg.tensor(np.ones(3), requires_grad=True), training=True
            ),
            GradError,
            "batch_norm: training writes into running_var",
        ),
        (lambda: mg.group_norm(x, 2), ValueError, "group_norm: num_groups=2 must divide the 3"),
        (lambda: mg.group_norm(x, 3, np.ones(2)), ShapeError, r"group_norm: weight \(2,\) must"),
    ],
)
def test_bad_input_is_named_with_the_remedy(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 5), (2, 3, 0), (0, 3, 4, 4), (2, 3, 0, 4)])
@pytest.mark.parametrize("affine", [True, False])
def test_an_empty_batch_leaves_the_running_statistics_and_gives_zero_gradients(shape, affine):
    layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3, affine=affine)
    layer(mg.Tensor(rng.standard_normal((4, *shape[1:2], *(2 for _ in shape[2:])), np.float32)))
    before = {name: x.data.copy() for name, x in layer.state_dict().items()}
    for training in (True, False):
        x = mg.zeros(shape).requires_grad_()
        y = layer.train(training)(x)
        y.sum().backward()
        assert y.shape == x.grad.shape == shape and y.dtype == np.float32
        for p in layer.parameters():
            assert np.array_equal(p.grad.data, np.zeros(3))
    for name, x in layer.state_dict().items():
        assert name == "num_batches_tracked" or np.array_equal(x.data, before[name])


def test_a_training_batch_that_is_refused_leaves_both_running_statistics():
    mean, var = running()
    var.setflags(write=False)
    with pytest.raises(ValueError, match="running_var, which is read-only"):
        mg.batch_norm(rng.standard_normal((4, 3)), mean, var, training=True)
    assert (mean == 0).all()
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="more than one value"):
        layer(mg.ones((1, 3)))
    assert int(layer.num_batches_tracked) == 0 and (layer.running_mean.data == 0).all()
