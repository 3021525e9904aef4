"""Gradients of whole models by Taylor's theorem: |f(x + hd) - f(x) - h <g, d>| is O(h^2)."""

import numpy as np
import pytest

import minigen as mg
from minigen import models

STEPS = np.logspace(-4, -6, 5)  # above rounding error, too small to cross kinks
SMALL = {"width": 8, "heads": 2, "layers": 2, "hidden": 16, "dropout": 0.0}


def factory(seed=0):
    """Keyword arguments of a model's constructor."""
    return {"rng": mg.Generator(seed), "dtype": np.float64}


def uniform(*shape, seed=1):
    return mg.Tensor(mg.Generator(seed).uniform(shape, dtype=np.float64))


def ids(*shape, high=7, seed=2):
    return mg.Generator(seed).integers(0, high, shape)


def vae(model_class, **settings):
    def make():
        model = model_class(3, 8, **settings, **factory())
        x = uniform(5, *model.shape)

        def loss():
            model.rng = mg.Generator(3)  # the same noise at every call
            return model.loss(x)[0]

        return model, loss

    return make


def gan(part, objective):
    def make():
        generator = models.Generator(3, (8,), 12, **factory())
        critic = models.Discriminator(12, (8,), **factory(1))
        z = uniform(5, 3)
        if part == "generator":
            return generator, lambda: objective.generator(critic, generator(z))
        more = (10.0, mg.Generator(0)) if objective is models.wasserstein_gp else ()

        def loss():
            if more:
                more[1].state = mg.Generator(4).state
            return objective.critic(critic, uniform(5, 12), generator(z), *more)

        return critic, loss

    return make


def cnn():
    model = models.CNN(4, side=8, widths=(2, 3), hidden=6, **factory())
    return model, lambda: model.loss(uniform(3, 1, 8, 8), ids(3, high=4))


def rnn():
    model = models.LSTMClassifier(4, 6, 5, **factory())
    return model, lambda: model.loss(uniform(3, 7, 4), ids(3, high=5))


def char_lstm():
    model = models.CharLSTM(7, 4, 6, **factory())
    return model, lambda: model.loss(ids(3, 6), ids(3, 6, seed=3))


def gpt():
    model = models.GPT(7, 6, 2, 2, 8, **factory())
    return model, lambda: model.loss(ids(3, 6), ids(3, 6, seed=3))


def seq2seq():
    model = models.Seq2SeqTransformer(7, 7, **SMALL, **factory())
    return model, lambda: model.loss(ids(3, 6), 1 + ids(3, 5, high=6, seed=3))


def classifier():
    model = models.TransformerClassifier(7, 4, **SMALL, **factory())
    return model, lambda: model.loss(1 + ids(3, 6, high=6), ids(3, high=4))


MAKERS = {
    "VAE": vae(models.VAE, pixels=12),
    "ConvVAE": vae(models.ConvVAE, side=8, widths=(2, 3)),
    "GAN generator": gan("generator", models.non_saturating),
    "GAN discriminator": gan("critic", models.non_saturating),
    "WGAN-GP generator": gan("generator", models.wasserstein_gp),
    "WGAN-GP critic": gan("critic", models.wasserstein_gp),
    "CNN": cnn,
    "LSTMClassifier": rnn,
    "CharLSTM": char_lstm,
    "GPT": gpt,
    "Seq2SeqTransformer": seq2seq,
    "TransformerClassifier": classifier,
}


def slopes(make, wrong_by=0.0):
    """The log-log slope of the remainder in h, with the gradient scaled by 1 + wrong_by."""
    model, loss = make()
    parameters = list(model.parameters())
    rng = mg.Generator(9)
    start = [p.data.copy() for p in parameters]
    value = loss().item()
    gradients = [g.data for g in mg.grad(loss(), parameters)]
    scale = sum(g.size for g in gradients) / sum(float((g * g).sum()) for g in gradients)
    # A random direction plus a multiple of the gradient of the same norm, so that f changes in it.
    direction = [rng.normal(g.shape, dtype=np.float64) + scale**0.5 * g for g in gradients]
    expected = sum(float((g * d).sum()) for g, d in zip(gradients, direction))
    expected *= 1 + wrong_by

    def remainder(h):
        for p, x, d in zip(parameters, start, direction):
            p.data[...] = x + h * d
        return abs(loss().item() - value - h * expected)

    remainders = [remainder(h) for h in STEPS]
    return np.polyfit(np.log(STEPS), np.log(remainders), 1)[0]


@pytest.mark.parametrize("name", MAKERS)
def test_the_remainder_of_a_first_order_step_falls_with_slope_two(name):
    assert slopes(MAKERS[name]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("name", MAKERS)
def test_with_a_gradient_wrong_by_a_thousandth_the_slope_is_one(name):
    assert slopes(MAKERS[name], wrong_by=1e-3) < 1.6
