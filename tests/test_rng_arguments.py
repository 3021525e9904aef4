"""The argument rng, seeds and sizes: what is not a generator or an integer is refused.

A seed where a generator is expected must never be ignored: 0 is false, and once stood for None.
"""

import numpy as np
import pytest

import minigen as mg
from minigen import data, models, nn

ONES = np.ones((2, 4, 4), np.float32)
DRAWS = {
    "randn": lambda rng: mg.randn(2, rng=rng),
    "rand": lambda rng: mg.rand(2, rng=rng),
    "randint": lambda rng: mg.randint(0, 3, (2,), rng=rng),
    "randperm": lambda rng: mg.randperm(3, rng=rng),
    "bernoulli": lambda rng: mg.bernoulli(mg.ones(3), rng=rng),
    "multinomial": lambda rng: mg.multinomial(mg.ones(3), 2, rng=rng),
    "dropout": lambda rng: mg.dropout(mg.ones(3), 0.5, rng=rng),
    "attention": lambda rng: mg.scaled_dot_product_attention(
        ONES, ONES, ONES, dropout_p=0.5, rng=rng
    ),
    "Dropout": lambda rng: nn.Dropout(0.5, rng=rng)(mg.ones(3)),
    "Linear": lambda rng: nn.Linear(2, 2, rng=rng),
    "LSTM": lambda rng: nn.LSTM(2, 2, rng=rng),
    "Embedding": lambda rng: nn.Embedding(2, 2, rng=rng),
    "init": lambda rng: nn.init.xavier_uniform_(nn.Parameter(np.ones((2, 2))), rng=rng),
    "orthogonal": lambda rng: nn.init.orthogonal_(nn.Parameter(np.ones((2, 2))), rng=rng),
    "random_split": lambda rng: data.random_split(np.arange(4), [2, 2], rng=rng),
    "generate": lambda rng: models.CharLSTM(4, hidden=4).generate([[0]], 1, rng=rng),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("rng", [0, 1, "x", np.random.default_rng(0)], ids=str)
def test_a_seed_or_another_generator_in_place_of_rng_is_refused(name, rng):
    with pytest.raises(TypeError, match=r"rng: expected a generator of minigen.*mg\.Generator"):
        DRAWS[name](rng)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: mg.Generator(1.5),
        lambda rng: mg.manual_seed(0.5),
        lambda rng: mg.Generator("3"),
        lambda rng: setattr(rng, "state", (0, 2.5)),
        lambda rng: rng.integers(0, 2.5, (2,)),
        lambda rng: rng.permutation(2.5),
        lambda rng: rng.choice(3.5, (2,)),
        lambda rng: rng.normal((2.5,)),
        lambda rng: mg.randint(0, 2.5, (2,)),
    ],
)
def test_seeds_sizes_and_limits_that_are_no_integers_are_refused_and_not_rounded(draw):
    rng = mg.Generator(3)
    with pytest.raises(TypeError, match="must be a whole number"):
        draw(rng)
    assert rng.state == (3, 0)


def test_integers_of_numpy_are_seeds_sizes_and_limits():
    rng = mg.Generator(np.uint64(3))
    assert rng.state == (3, 0)
    assert rng.integers(np.int8(0), np.uint8(200), (np.int64(2),)).shape == (2,)
    assert sorted(rng.permutation(np.int32(3))) == [0, 1, 2]
    with pytest.raises(ValueError, match="choice needs n >= 1"):
        rng.choice(0, (2,))
