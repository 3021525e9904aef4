"""The adversarial pieces: shapes, losses, second derivatives, and who is trained by what."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.models import Discriminator, Generator, non_saturating, wasserstein_gp
from minigen.models.gan import gradient_penalty
from minigen.testing import gradcheck


@pytest.fixture
def pair():
    rng = mg.Generator(0)
    kind = {"rng": rng, "dtype": np.float64}
    return Generator(3, (8,), 6, **kind), Discriminator(6, (8,), **kind)


def values(module):
    return [p.data.copy() for p in module.parameters()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b))


def noise(*shape, seed=1):
    return mg.Tensor(mg.Generator(seed).normal(shape, dtype=np.float64))


def test_the_papers_sizes_are_the_defaults():
    generator, discriminator = Generator(), Discriminator()
    assert [p.shape[0] for p in generator.parameters()][::2] == [256, 512, 784]
    assert [p.shape[0] for p in discriminator.parameters()][::2] == [512, 256, 1]
    images = generator(mg.zeros((2, 100)))
    assert images.shape == (2, 784)
    assert discriminator(images).shape == (2, 1)


def test_losses_at_a_discriminator_that_knows_nothing():
    blind = lambda x: 0 * x.sum(1, keepdims=True)
    real, fake = noise(5, 4), noise(5, 4, seed=2)
    assert non_saturating.critic(blind, real, fake).item() == pytest.approx(2 * math.log(2))
    assert non_saturating.generator(blind, fake).item() == pytest.approx(math.log(2))
    assert wasserstein_gp.critic(blind, real, fake, 7.0).item() == pytest.approx(7.0)


@pytest.mark.parametrize("loss", [non_saturating, wasserstein_gp])
def test_each_step_leaves_the_other_network_as_it_was(pair, loss):
    generator, critic = pair
    optimizers = [mg.optim.Adam(m.parameters()) for m in pair]
    real, fake = noise(4, 6), generator(noise(4, 3))
    before = values(generator), values(critic)
    optimizers[1].step(mg.grad(loss.critic(critic, real, fake), optimizers[1].params))
    assert same(values(generator), before[0])
    assert not same(values(critic), before[1])
    after = values(critic)
    loss_of_generator = loss.generator(critic, generator(noise(4, 3)))
    optimizers[0].step(mg.grad(loss_of_generator, optimizers[0].params))
    assert not same(values(generator), before[0])
    assert same(values(critic), after)


def test_the_penalty_is_of_slopes_on_the_lines_between():
    critic = lambda x: (x * np.array([3.0, 4.0])).sum(1)
    assert gradient_penalty(critic, noise(6, 2), noise(6, 2, seed=3)).item() == pytest.approx(16)


def test_the_gradient_through_the_penalty_is_right(pair):
    _, critic = pair
    parameters, real, fake = critic.parameters(), noise(4, 6), noise(4, 6, seed=2)

    def loss(first, second):
        critic.layers[0].weight, critic.layers[2].weight = first, second
        return gradient_penalty(critic, real, fake, mg.Generator(5))

    gradcheck(loss, [parameters[0].data, parameters[2].data], order=1)
