"""The generator: known answers, exact restarts, and distributions that are what they say."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen import kernels
from minigen.kernels import reference

DRAWS = {
    "uniform": lambda g, n: g.uniform(n),
    "uniform64": lambda g, n: g.uniform(n, -2, 3, dtype=np.float64),
    "normal": lambda g, n: g.normal(n),
    "normal64": lambda g, n: g.normal(n, dtype=np.float64),
    "integers": lambda g, n: g.integers(-7, 100, n),
    "bernoulli": lambda g, n: g.bernoulli(0.3, n),
    "choice": lambda g, n: g.choice(5, n, p=[0.1, 0.2, 0.3, 0.4, 0]),
}


def words(count, seed=0, start=0, kernel=reference):
    return kernel.philox(np.empty(count, np.uint32), seed, start)


def test_philox_gives_the_published_words():
    # Random123's kat_vectors: philox4x32 with 10 rounds, counter 0, key 0
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert words(4).tolist() == expected


@given(seed=st.integers(0, 2**64 - 1), start=st.integers(0, 2**63), count=st.integers(0, 20))
def test_the_fast_philox_gives_the_same_words(seed, start, count):
    assert np.array_equal(words(count, seed, start), words(count, seed, start, kernels))


@pytest.mark.parametrize("name", DRAWS)
@given(parts=st.lists(st.integers(0, 9), min_size=1, max_size=4), seed=st.integers(0, 2**64 - 1))
def test_draws_do_not_depend_on_how_they_are_split(name, parts, seed):
    draw, one, several = DRAWS[name], mg.Generator(seed), mg.Generator(seed)
    whole = draw(one, sum(parts))
    assert np.array_equal(whole, np.concatenate([draw(several, n) for n in parts]))
    assert one.state == several.state


@pytest.mark.parametrize("name", DRAWS)
def test_the_state_restores_the_stream(name):
    generator = mg.Generator(7)
    DRAWS[name](generator, 5)
    state = generator.state
    first = DRAWS[name](generator, 5)
    generator.state = state
    assert np.array_equal(first, DRAWS[name](generator, 5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_of_uniform_and_normal(dtype):
    generator = mg.Generator(1)
    u, z = generator.uniform(200_000, dtype=dtype), generator.normal(200_000, dtype=dtype)
    assert u.dtype == z.dtype == dtype
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.003 and abs(u.var() - 1 / 12) < 0.001
    moments = [(z**k).mean() for k in (1, 2, 3, 4)]
    assert np.allclose(moments, [0, 1, 0, 3], atol=0.06)


def test_neighbouring_seeds_and_streams_are_uncorrelated():
    draws = np.stack([mg.Generator(seed).normal(50_000) for seed in range(4)])
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.02
    z = draws[0]
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.02


def test_integers_are_even_and_reach_both_ends():
    counts = np.bincount(mg.Generator(0).integers(0, 7, 70_000), minlength=7)
    assert np.abs(counts - 10_000).max() < 450
    wide = mg.Generator(0).integers(-(2**63), 2**63, 1000)
    assert (wide < 0).any() and (wide > 0).any()
    assert mg.Generator(0).integers(2**64 - 2, 2**64, 10, dtype=np.uint64).min() >= 2**64 - 2


@given(n=st.integers(0, 50), seed=st.integers(0, 100))
def test_a_permutation_has_every_number_once(n, seed):
    assert sorted(mg.Generator(seed).permutation(n).tolist()) == list(range(n))


def test_choice_follows_p_with_and_without_replacement():
    p = np.array([0.5, 0.25, 0.25, 0.0])
    counts = np.bincount(mg.Generator(0).choice(4, 40_000, p=p), minlength=4)
    assert np.abs(counts / 40_000 - p).max() < 0.01
    firsts = [mg.Generator(seed).choice(4, 2, replace=False, p=p) for seed in range(500)]
    assert all(len(set(pair.tolist())) == 2 and 3 not in pair for pair in firsts)
    assert 200 < sum(int(pair[0]) == 0 for pair in firsts) < 300


def test_zero_dims_give_arrays_and_shapes_are_kept():
    generator = mg.Generator(0)
    for draw in (generator.uniform, generator.normal):
        assert type(draw()) is np.ndarray
        assert draw((2, 0, 3)).shape == (2, 0, 3)
    assert type(generator.integers(0, 5)) is np.ndarray
    assert type(generator.bernoulli(0.5)) is np.ndarray


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda g: mg.Generator(-1), "seed"),
        (lambda g: mg.Generator(2**64), "seed"),
        (lambda g: g.uniform(3, 2, 1), "low < high"),
        (lambda g: g.normal(3, 0, -1), "std"),
        (lambda g: g.integers(5, 5), "low < high"),
        (lambda g: g.integers(0, 300, 3, dtype=np.uint8), "fit"),
        (lambda g: g.bernoulli(1.5, 3), "p in"),
        (lambda g: g.permutation(-1), "n >= 0"),
        (lambda g: g.choice(3, 4, replace=False), "without replacement"),
        (lambda g: g.choice(3, 2, p=[0.5, 0.5]), "sums to 1"),
    ],
)
def test_arguments_out_of_range_are_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call(mg.Generator(0))


def test_no_global_numpy_generator_is_read_or_advanced():
    before = np.random.get_state()[1].copy()
    mg.manual_seed(3)
    first = mg.default_generator().normal(4)
    mg.dropout(mg.ones(10))
    np.random.seed(0)
    mg.manual_seed(3)
    assert np.array_equal(first, mg.default_generator().normal(4))
    np.random.set_state(("MT19937", before, 0))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_goes_on_from_the_same_state_by_itself(copied):
    rng = mg.Generator(3)
    rng.normal(5)
    other = copied(rng)
    assert other.state == rng.state
    assert np.array_equal(other.normal(7), rng.normal(7))
    rng.normal(1)
    assert other.state != rng.state


def test_a_module_that_holds_a_generator_can_be_copied():
    layer = mg.nn.Dropout(0.5, rng=mg.Generator(1))
    other = copy.deepcopy(layer)
    assert np.array_equal(other(mg.ones(50)).data, layer(mg.ones(50)).data)
