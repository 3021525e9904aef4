"""The diffusion model: its network, its loss, its samplers, and the moving average of weights."""

import numpy as np
import pytest

import minigen as mg
from minigen import optim
from minigen.errors import ShapeError
from minigen.models import Diffusion, UNet
from minigen.models.diffusion import flow
from minigen.models.unet import fold, unfold
from minigen.testing import assert_close, gradcheck

SMALL = {"widths": (8, 16), "heads": 2, "embed": 8}


def small(**settings):
    settings = SMALL | {"shape": (1, 8, 8), "classes": 3, "rng": mg.Generator(0)} | settings
    return Diffusion(**settings)


def randomized(net, seed=1, size=0.2):
    """The net with random weights: some layers begin as zero, and would hide what is behind."""
    rng = mg.Generator(seed)
    for p in net.parameters():
        p.data[...] = size * rng.normal(p.shape, dtype=p.dtype)
    return net


@pytest.mark.parametrize(
    ("patch", "widths", "size"), [(1, (8,), (3, 5)), (2, (8, 16), (4, 12)), (1, (8, 8, 16), (8, 4))]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_unet_gives_images_of_the_size_it_takes(patch, widths, size, dtype):
    rng = mg.Generator(0)
    net = UNet(2, widths, patch=patch, heads=2, embed=8, rng=rng, dtype=dtype)
    x = mg.Tensor(rng.normal((3, 2, *size), dtype=dtype))
    y = net(x, np.array([0, 0.5, 1]))
    assert y.shape == x.shape and y.dtype == dtype
    assert not y.data.any()  # before training it predicts nothing
    assert randomized(net)(x, np.array([0, 0.5, 1])).data.all()


def test_a_unet_refuses_what_it_cannot_halve():
    net = UNet(1, **SMALL)
    for shape in [(1, 1, 6, 8), (1, 2, 8, 8), (1, 8, 8)]:
        with pytest.raises(ShapeError, match="multiples of 4"):
            net(mg.zeros(shape), np.zeros(1))
    for wrong in ({"widths": (8, 12)}, {"widths": ()}, {"patch": 0}, {"embed": 7}, {"heads": 3}):
        with pytest.raises(ValueError, match="UNet"):
            UNet(1, **SMALL | wrong)


def test_a_unet_depends_on_every_part_of_its_input():
    net = randomized(UNet(1, **SMALL, classes=3, dtype=np.float64))
    x = mg.Tensor(mg.Generator(0).normal((1, 1, 8, 8), dtype=np.float64)).requires_grad_()
    y = net(x, np.array([0.3]), np.array([1]))
    assert (mg.grad(y[0, 0, 0, 0], x).data != 0).all()  # through attention, each pixel on each
    for time, label in (([0.31], [1]), ([0.3], [2]), ([0.3], None)):
        assert not np.allclose(net(x, np.array(time), label).data, y.data, atol=1e-6)


def test_folding_keeps_all_values_and_neighbours_together():
    x = mg.Tensor(np.arange(48.0).reshape(1, 2, 4, 6))
    y = fold(x, 2)
    assert y.shape == (1, 8, 2, 3)
    assert y.data[0, :4, 0, 0].tolist() == [0, 1, 6, 7]
    assert np.array_equal(unfold(y, 2).data, x.data)


def test_the_slope_of_the_loss_is_that_of_its_values():
    model = randomized(small(dtype=np.float64, widths=(8,), patch=1, shape=(1, 2, 2)))
    model.eval()  # no class is left out
    x = mg.Generator(2).normal((2, 1, 2, 2), dtype=np.float64)
    weights = [model.net.entry.weight, model.net.middle[0].dense.weight, model.net.label.weight]
    time = np.array([0.25, 0.75])

    def loss(*values):
        for w, value in zip(weights, values):
            w.data = value.data
            w.node = value.node
        return model.errors(mg.Tensor(x), np.array([0, 2]), time, mg.Generator(3)).mean()

    gradcheck(loss, [w.data.copy() for w in weights], order=1)


def test_the_error_is_that_of_the_velocity_along_a_straight_path():
    model = small()
    x = mg.Generator(5).uniform((4, 1, 8, 8))
    seen = {}
    model.net.forward = lambda z, t, label: seen.update(z=z.data, t=t) or mg.zeros(z.shape)
    errors = model.errors(mg.Tensor(x), np.zeros(4, int), np.array([0.0, 0.5, 0.9, 1.0]))
    noise = 2 * seen["z"][1] - x[1]
    assert_close(errors.data[1], np.square(x[1] - noise).mean(), 1e-6)
    assert np.array_equal(seen["z"][3], x[3])


def test_classes_are_left_out_in_training_alone():
    model, labels = small(), []
    model.net.forward = lambda z, t, label: labels.append(label) or mg.zeros(z.shape)
    x, y = mg.zeros((2_000, 1, 8, 8)), np.arange(2_000) % 3
    model.loss(x, y)
    model.eval()
    model.loss(x, y)
    assert 0.07 < (labels[0] == 3).mean() < 0.13
    assert np.array_equal(labels[0][labels[0] < 3], y[labels[0] < 3])
    assert np.array_equal(labels[1], y)


def test_heuns_error_falls_with_the_square_of_the_steps():
    error = lambda n, method: abs(
        float(flow(lambda x, t: x * np.cos(t), np.ones(1), n, method)[-1, 0]) - np.exp(np.sin(1))
    )
    assert 3.8 < error(16, "heun") / error(32, "heun") < 4.2
    assert 1.8 < error(16, "euler") / error(32, "euler") < 2.2


def test_guidance_goes_beyond_the_velocity_of_the_class():
    model = small()
    velocity = np.array([1.0, 2.0, 3.0, 0.5])  # of the classes, and of none
    model.net.forward = lambda z, t, label: mg.Tensor(
        np.broadcast_to(
            velocity[np.full(len(z), 3) if label is None else label][:, None, None, None], z.shape
        )
    )
    rng = lambda: mg.Generator(7)
    start = model.path(3, steps=1, rng=rng()).data[0]
    end = model.sample(3, [0, 1, 2], steps=2, guidance=3.0, rng=rng()).data
    wanted = 0.5 + 3 * (velocity[:3] - 0.5)
    assert_close(end - start, np.broadcast_to(wanted[:, None, None, None], end.shape), 1e-5)
    assert_close(
        model.sample(3, steps=2, guidance=3.0, rng=rng()).data - start, 0 * end + 0.5, 1e-5
    )


def test_samples_do_not_depend_on_how_many_are_drawn():
    model = randomized(small(), size=0.05)
    label = np.arange(120) % 3
    many = model.sample(120, label, steps=1, guidance=2.0, rng=mg.Generator(1)).data
    few = model.sample(10, label[:10], steps=1, guidance=2.0, rng=mg.Generator(1)).data
    assert many.shape == (120, 1, 8, 8) and model.sample(0).shape == (0, 1, 8, 8)
    assert_close(many[:10], few, 1e-5)
    path = model.path(10, label[:10], steps=1, guidance=2.0, rng=mg.Generator(1)).data
    assert path.shape == (2, 10, 1, 8, 8) and np.array_equal(path[-1], few)


def test_a_diffusion_model_names_what_it_cannot_use():
    model, x = small(), mg.zeros((2, 1, 8, 8))
    with pytest.raises(ShapeError, match=r"must be \(B, 1, 8, 8\)"):
        model.loss(mg.zeros((2, 64)))
    with pytest.raises(ShapeError, match=r"label must be \(2,\)"):
        model.loss(x, [0])
    with pytest.raises(IndexError, match="4"):
        model.loss(x, [0, 4])
    with pytest.raises(ValueError, match="has no classes"):
        small(classes=0).loss(x, [0, 0])
    for wrong in ({"method": "rk4"}, {"steps": 0}):
        with pytest.raises(ValueError, match="method must be one of"):
            model.sample(2, **wrong)


def test_an_average_is_the_mean_of_all_weights_with_decaying_factors():
    net = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.BatchNorm1d(2))
    average, seen = optim.Average(net, decay=0.5), [net[0].weight.data.copy()]
    mean = seen[0].astype(np.float64)
    for step in range(6):
        net[0].weight.data += step + 1
        net[1].running_mean.data += 1
        average.update(step)
        d = min(0.5, (1 + step) / (10 + step))
        mean = d * mean + (1 - d) * net[0].weight.data
    assert_close(average.model[0].weight.data, mean.astype(np.float32), 1e-6)
    assert np.array_equal(average.model[1].running_mean.data, net[1].running_mean.data)
    assert not average.model.training and net.training
    assert not average.model[0].weight.requires_grad


def test_an_average_refuses_a_decay_out_of_range_and_a_changed_model():
    for wrong in (1.0, -0.1, True, "0.9", float("nan")):
        with pytest.raises(ValueError, match=r"decay must be a number in \[0, 1\)"):
            optim.Average(mg.nn.Linear(1, 1), wrong)
    net = mg.nn.Linear(2, 2)
    average = optim.Average(net)
    net.weight = mg.nn.Parameter(mg.zeros((2, 3)))
    with pytest.raises(ShapeError, match="weight has shape"):
        average.update(0)
