"""The dense and the convolutional VAE: learning, shapes, labels and the KL term."""

import numpy as np
import pytest

import minigen as mg
from minigen.models import VAE, ConvVAE

DENSE = ["encoder.0", "mean", "logvar", "decoder.0", "decoder.2"]
CONV = ["down.0", "down.2", "up.2", "up.4"]


def small(model_class, classes=0, latent=8, **settings):
    """A small VAE or ConvVAE for 64 pixels."""
    size = {"pixels": 64} if model_class is VAE else {"side": 8, "widths": (4, 8)}
    return model_class(latent, 32, classes, **size, **{"rng": mg.Generator(0)} | settings)


@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("model_class", [VAE, ConvVAE])
def test_it_overfits_one_batch(model_class, classes):
    model, rng = small(model_class, classes), mg.Generator(1)
    optimizer = mg.optim.Adam(model.parameters(), lr=3e-3)
    x = mg.Tensor(rng.bernoulli(0.5, (8, *model.shape), dtype=np.float32))
    label = rng.integers(0, 10, 8)
    losses = []
    for _ in range(300):
        loss, reconstruction, kl = model.loss(x, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - 64 * np.log(2)) < 4  # of uniform predictions for 64 pixels
    assert losses[-1] < 0.5 * losses[0]
    assert loss.item() == pytest.approx(reconstruction.item() + kl.item(), rel=1e-6)


@pytest.mark.parametrize("model_class", [VAE, ConvVAE])
def test_logits_have_the_shape_of_x_and_q_that_of_z(model_class):
    model, labels = small(model_class, 3, latent=5), np.array([0, 2])
    logits, mean, logvar = model(mg.zeros((2, *model.shape)), labels)
    assert logits.shape == (2, *model.shape)
    assert mean.shape == logvar.shape == (2, 5)
    assert model.decode(mg.zeros((2, 5)), labels).shape == (2, *model.shape)


@pytest.mark.parametrize("model_class", [VAE, ConvVAE])
def test_encoder_and_decoder_use_the_label_and_require_it(model_class):
    model = small(model_class, 3)
    x, z = mg.Tensor(mg.Generator(2).uniform((1, *model.shape))), mg.zeros((1, 8))
    one, two = np.array([0]), np.array([1])
    assert not np.array_equal(model.encode(x, one)[0].data, model.encode(x, two)[0].data)
    assert not np.array_equal(model.decode(z, one).data, model.decode(z, two).data)
    for call in (model.loss, model.encode):
        with pytest.raises(ValueError, match="3 classes: pass the labels"):
            call(x)
    with pytest.raises(ValueError, match="labels"):
        model.decode(z)


@pytest.mark.parametrize("model_class", [VAE, ConvVAE])
def test_beta_is_the_weight_of_the_kl(model_class):
    model = small(model_class, beta=3.0)
    loss, reconstruction, kl = model.loss(mg.ones((4, *model.shape)))
    assert kl.item() > 0
    assert loss.item() == pytest.approx(reconstruction.item() + 3 * kl.item(), rel=1e-6)


def test_the_keys_of_the_state_dict():
    dense = [f"{layer}.{name}" for layer in DENSE for name in ("weight", "bias")]
    assert sorted(small(VAE).state_dict()) == sorted(dense)
    conv = [f"{layer}.{name}" for layer in DENSE + CONV for name in ("weight", "bias")]
    assert sorted(small(ConvVAE).state_dict()) == sorted(conv)


def test_convolutional_layers_preserve_the_variance_of_a_signal():
    model, rng = ConvVAE(rng=mg.Generator(0)), mg.Generator(1)
    seen = model.down(mg.Tensor(rng.normal((16, *model.shape))))
    assert 0.5 < np.square(seen.data).mean() < 2


def test_an_invalid_side_is_refused():
    with pytest.raises(ValueError, match="side must be a multiple of 4, got 30"):
        ConvVAE(side=30)
    with pytest.raises(mg.errors.ShapeError):
        ConvVAE().loss(mg.zeros((2, 1, 32, 32)))


def test_the_kl_term_agrees_with_monte_carlo():
    rng = mg.Generator(0)
    mean, logvar = rng.normal((1, 3), dtype=np.float64), rng.normal((1, 3), dtype=np.float64)
    z = mean + np.exp(logvar / 2) * rng.normal((200_000, 3), dtype=np.float64)
    log_q = -0.5 * (((z - mean) ** 2) / np.exp(logvar) + logvar)
    estimate = (log_q + 0.5 * z**2).sum(1).mean()
    assert mg.gaussian_kl(mean, logvar)[0] == pytest.approx(estimate, abs=0.02)
