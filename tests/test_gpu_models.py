"""The models on the device: the losses of a training are those of the CPU."""

import numpy as np
import pytest

import minigen as mg
from minigen import models

LIMITS = {"float64": 1e-9, "float32": 1e-4}  # relative
NOISY = {"Diffusion"}  # each step has a noise of its own, and a loss with it
SMALL = {"width": 8, "heads": 2, "layers": 2, "hidden": 16}


@pytest.fixture
def steps(request):
    """How long a training is; the stand-in is slow."""
    return 100 if request.config.getoption("--device") == "cuda" else 4


def images(*shape):
    return mg.Generator(1).uniform(shape)


def ids(*shape, high=7, seed=2):
    return mg.Generator(seed).integers(0, high, shape)


# Each: a model, its inputs, and its loss as a function of model and inputs.
KINDS = {
    "VAE": (
        lambda factory: models.VAE(3, 8, pixels=12, **factory),
        (images(5, 12),),
        lambda model, x: model.loss(x)[0],
    ),
    "ConvVAE": (
        lambda factory: models.ConvVAE(3, 8, side=8, widths=(2, 3), **factory),
        (images(5, 1, 8, 8),),
        lambda model, x: model.loss(x)[0],
    ),
    "GAN": (
        lambda factory: mg.nn.ModuleList(
            [models.Generator(3, (8,), 12, **factory), models.Discriminator(12, (8,), **factory)]
        ),
        (images(5, 12), images(5, 3)),
        lambda gan, x, z: (
            models.non_saturating.generator(gan[1], gan[0](z))
            + models.non_saturating.critic(gan[1], x, gan[0](z))
        ),
    ),
    "Diffusion": (
        lambda factory: models.Diffusion((1, 4, 4), (8, 16), 3, 1, 2, 4, **factory),
        (images(3, 1, 4, 4), ids(3, high=3)),
        lambda model, x, y: model.loss(x, y),
    ),
    "SpeechCNN": (
        lambda factory: models.SpeechCNN(3, 8, (2, 3), 0.0, **factory),
        (images(3, 8, 8), ids(3, high=3)),
        lambda model, x, y: model.loss(x, None, y),
    ),
    "CNN": (
        lambda factory: models.CNN(4, side=8, widths=(2, 3), hidden=6, **factory),
        (images(3, 1, 8, 8), ids(3, high=4)),
        lambda model, x, y: model.loss(x, y),
    ),
    "RNN": (
        lambda factory: models.LSTMClassifier(4, 6, 5, **factory),
        (images(3, 7, 4), ids(3, high=5)),
        lambda model, x, y: model.loss(x, y),
    ),
    "CharLSTM": (
        lambda factory: models.CharLSTM(7, 4, 6, **factory),
        (ids(3, 6), ids(3, 6, seed=3)),
        lambda model, x, y: model.loss(x, y),
    ),
    "GPT": (
        lambda factory: models.GPT(7, 6, 2, 2, 8, **factory),
        (ids(3, 6), ids(3, 6, seed=3)),
        lambda model, x, y: model.loss(x, y),
    ),
    "Seq2Seq": (
        lambda factory: models.Seq2SeqTransformer(7, 7, **SMALL, dropout=0.1, **factory),
        (ids(3, 6), 1 + ids(3, 5, high=6, seed=3)),
        lambda model, x, y: model.loss(x, y),
    ),
}


def losses(name, dtype, device, steps):
    """The losses of a training on a device."""
    make, inputs, loss = KINDS[name]
    model = make({"rng": mg.Generator(0), "dtype": np.dtype(dtype)}).to(device)
    inputs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in inputs]
    inputs = [mg.tensor(x).to(device) for x in inputs]
    optimizer, found = mg.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(steps):
        lost = loss(model, *inputs)
        optimizer.zero_grad()
        lost.backward()
        optimizer.step()
        found.append(lost.item())
    return found


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", KINDS)
def test_a_model_learns_on_the_device_as_on_the_cpu(name, dtype, device, steps):
    there, here = (losses(name, dtype, where, steps) for where in (device, "cpu"))
    assert here[-1] < here[0] or name in NOISY
    np.testing.assert_allclose(there, here, rtol=LIMITS[dtype])


@pytest.mark.parametrize("name", KINDS)
def test_a_training_on_the_device_repeats_bit_for_bit(name, device, steps):
    assert losses(name, "float32", device, steps) == losses(name, "float32", device, steps)
