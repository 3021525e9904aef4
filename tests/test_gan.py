"""The adversarial pieces: shapes, losses, second derivatives, and who is trained by what."""

import math
from pathlib import Path

import numpy as np
import pytest
from test_image_layers import below, check

import minigen as mg
from minigen.models import (
    DCDiscriminator,
    DCGenerator,
    Discriminator,
    Generator,
    non_saturating,
    wasserstein_gp,
)
from minigen.models.gan import gradient_penalty
from minigen.testing import gradcheck

PAIRS = ["dense", "dc"]


def pair_of(kind):
    """A small generator, of 3 numbers, and its discriminator, in float64."""
    how = {"rng": mg.Generator(0), "dtype": np.float64}
    if kind == "dense":
        return Generator(3, (8,), 6, **how), Discriminator(6, (8,), **how)
    return DCGenerator(3, 2, side=8, **how), DCDiscriminator(2, side=8, **how)


@pytest.fixture
def pair():
    return pair_of("dense")


def values(module):
    """Copies of its parameters and of its buffers."""
    return [x.data.copy() for x in module.state_dict().values()]


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
@pytest.mark.parametrize("kind", PAIRS)
def test_each_step_leaves_the_other_network_as_it_was(kind, loss):
    generator, critic = pair_of(kind)
    optimizers = [mg.optim.Adam(m.parameters()) for m in (generator, critic)]
    real, fake = generator(noise(4, 3, seed=2)).detach(), generator(noise(4, 3))
    before = values(generator), values(critic)
    optimizers[1].step(mg.grad(loss.critic(critic, real, fake), optimizers[1].params))
    assert same(values(generator), before[0])
    assert not same(values(critic), before[1])
    after = values(critic)
    optimizers[0].step(mg.grad(loss.generator(critic, fake), optimizers[0].params))
    assert not same(values(generator), before[0])
    assert same(values(critic), after)


@pytest.mark.parametrize("kind", PAIRS)
def test_each_network_learns_against_the_other_on_one_batch(kind):
    generator, critic = pair_of(kind)
    optimizers = [mg.optim.Adam(m.parameters(), lr=3e-2) for m in (generator, critic)]
    z = noise(4, 3)
    real = mg.Tensor(np.sign(noise(*generator(z).shape, seed=2).data))
    for _ in range(40):
        lost = non_saturating.critic(critic, real, generator(z))
        optimizers[1].step(mg.grad(lost, critic.parameters()))
    assert lost.item() < 0.1
    for _ in range(40):
        deceived = non_saturating.generator(critic, generator(z))
        optimizers[0].step(mg.grad(deceived, generator.parameters()))
    assert deceived.item() < 0.1


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_the_convolutional_pair_computes_what_pytorchs_layers_do(name):
    fixtures = mg.load(Path(__file__).parent / "fixtures/dcgan.safetensors")
    saved = below(name, {k: v.data for k, v in fixtures.items()})
    check(pair_of("dc")[name == "discriminator"], saved)


def test_the_convolutional_pair_starts_as_the_paper_says():
    for module in (DCGenerator(rng=mg.Generator(0)), DCDiscriminator(rng=mg.Generator(1))):
        weights = [p.data for p in module.parameters() if p.ndim > 1]
        assert len(weights) == 3
        for w in weights:
            assert w.dtype == np.float32
            assert abs(w.mean()) < 0.1 * w.std()
            assert w.std() == pytest.approx(0.02, rel=0.1)
    images = DCGenerator(5, 4, channels=2, side=12)(mg.zeros((3, 5)))
    assert images.shape == (3, 2, 12, 12)
    assert DCDiscriminator(4, channels=2, side=12)(images).shape == (3, 1)
    with pytest.raises(ValueError, match="side=30 must be a multiple of 4"):
        DCGenerator(side=30)


def test_smoothing_lowers_the_target_of_real_images_alone():
    identity = lambda x: x
    real, fake = noise(5, 1), noise(5, 1, seed=2)
    bce = mg.binary_cross_entropy_with_logits
    want = bce(real, mg.full((5, 1), 0.9, np.float64)) + bce(fake, mg.zeros((5, 1), np.float64))
    assert non_saturating.critic(identity, real, fake, 0.1).item() == pytest.approx(want.item())


def test_the_penalty_is_of_slopes_on_the_lines_between():
    critic = lambda x: (x * np.array([3.0, 4.0])).sum(1)
    assert gradient_penalty(critic, noise(6, 2), noise(6, 2, seed=3)).item() == pytest.approx(16)


def test_the_gradient_through_the_penalty_is_right(pair):
    _, critic = pair
    parameters, real, fake = critic.parameters(), noise(4, 6), noise(4, 6, seed=2)

    def loss(first, second):
        for layer, weight in ((critic.layers[0], first), (critic.layers[2], second)):
            vars(layer)["weight"] = weight  # which layer.weight = weight refuses
        return gradient_penalty(critic, real, fake, mg.Generator(5))

    gradcheck(loss, [parameters[0].data, parameters[2].data], order=1)
