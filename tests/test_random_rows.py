"""Rows of draws: bit for bit those of the whole draw, with the same state afterwards."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen.communication import world as worlds
from minigen.communication.rows import rows_of
from minigen.errors import ShapeError
from minigen.random import draw_of_batch

FLOATS, INTEGERS = [np.float32, np.float64], [np.uint8, np.int16, np.int64]
DRAWS = {
    "uniform": lambda g, shape, dtype: g.uniform(shape, -2, 3, dtype=dtype),
    "unit": lambda g, shape, dtype: g.uniform(shape, dtype=dtype),
    "normal": lambda g, shape, dtype: g.normal(shape, 1.0, 2.0, dtype=dtype),
    "integers": lambda g, shape, dtype: g.integers(3, 100, shape, dtype=dtype),
    "bernoulli": lambda g, shape, dtype: g.bernoulli(0.3, shape, dtype=dtype),
    "choice": lambda g, shape, dtype: g.choice(5, shape, dtype=dtype),
    "weighed": lambda g, shape, dtype: g.choice(4, shape, p=[0.1, 0.2, 0.7, 0], dtype=dtype),
    "distinct": lambda g, shape, dtype: g.choice(125, shape, False, dtype=dtype),
    "weighed and distinct": lambda g, shape, dtype: g.choice(125, shape, False, np.ones(125) / 125),
}
DTYPES = {"uniform": FLOATS, "unit": FLOATS, "normal": FLOATS, "bernoulli": [*FLOATS, np.bool_]}


@st.composite
def shapes_and_cuts(draw):
    """A shape, an axis of it, and where its rows are cut into parts, some of them empty."""
    shape = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    cuts = draw(st.lists(st.integers(0, shape[axis]), max_size=3))
    return shape, axis, [0, *sorted(cuts), shape[axis]]


@pytest.mark.parametrize("name", DRAWS)
@given(case=shapes_and_cuts(), seed=st.integers(0, 2**64 - 1), begin=st.integers(0, 2**40))
def test_parts_of_a_draw_are_the_whole_bit_for_bit_and_leave_the_same_state(
    name, case, seed, begin
):
    (shape, axis, cuts), draw = case, DRAWS[name]
    for dtype in DTYPES.get(name, INTEGERS):
        rng, parts, states = mg.Generator(), [], set()
        rng.state = seed, begin
        whole = draw(rng, shape, dtype)
        for start, stop in pairwise(cuts):
            source = mg.Generator()
            source.state = seed, begin
            parts.append(draw(source.rows(start, stop, axis), shape, dtype))
            states.add(source.state)
        found = np.concatenate(parts, axis)
        assert found.dtype == whole.dtype and found.tobytes() == whole.tobytes()
        assert states == {rng.state}


@pytest.mark.parametrize("form", ["whole", "row", "column", "last", "number"])
@given(case=shapes_and_cuts(), seed=st.integers(0, 9))
def test_probabilities_of_their_own_are_cut_with_the_rows(form, case, seed):
    shape, axis, cuts = case
    p = {
        "whole": np.random.default_rng(0).random(shape),
        "row": np.random.default_rng(0).random((1, *shape[1:])),
        "column": np.random.default_rng(0).random((shape[0], *[1] * (len(shape) - 1))),
        "last": np.random.default_rng(0).random(shape[-1:]),
        "number": np.asarray(0.4),
    }[form]
    whole = mg.Generator(seed).bernoulli(p, shape)
    pairs = pairwise(cuts)
    parts = [mg.Generator(seed).rows(*pair, axis).bernoulli(p, shape) for pair in pairs]
    assert np.array_equal(np.concatenate(parts, axis), whole)
    if form == "whole":
        parts = [mg.Generator(seed).rows(*pair, axis).bernoulli(p) for pair in pairwise(cuts)]
        assert np.array_equal(np.concatenate(parts, axis), whole)


@given(n=st.integers(0, 30), seed=st.integers(0, 9), data=st.data())
def test_rows_of_a_permutation(n, seed, data):
    start, stop = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    one, other = mg.Generator(seed), mg.Generator(seed)
    assert np.array_equal(one.permutation(n)[start:stop], other.rows(start, stop).permutation(n))
    assert one.state == other.state


def test_a_view_shares_its_state_and_can_be_copied_and_pickled():
    rng = mg.Generator(3)
    view = rng.rows(1, 3)
    first = view.normal((4, 2))
    assert view.state == rng.state == (3, 16)
    for other in (copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
        other.state = 3, 0
        assert np.array_equal(other.normal((4, 2)), first) and other.state == (3, 16)
    view.state = 5, 7
    assert rng.state == (5, 7)
    assert repr(view) == "Generator(seed=5, counter=7).rows(1, 3, axis=0)"


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda g: g.rows(0.5, 2), TypeError, "rows: start must be a whole number"),
        (lambda g: g.rows(0, "2"), TypeError, "rows: stop must be a whole number"),
        (lambda g: g.rows(0, 2, 1.0), TypeError, "rows: axis must be a whole number"),
        (lambda g: g.rows(3, 2), ValueError, "0 <= start <= stop, got 3 and 2"),
        (lambda g: g.rows(-1, 2), ValueError, "0 <= start <= stop, got -1 and 2"),
        (lambda g: g.rows(0, 2).rows(0, 1), ValueError, "yields rows already"),
        (lambda g: g.rows(2, 7).normal((6, 3)), ShapeError, r"rows 2 to 7.*shape \(6, 3\)"),
        (lambda g: g.rows(0, 1).normal(()), ShapeError, r"a draw of shape \(\)"),
        (lambda g: g.rows(0, 1).integers(0, 9), ShapeError, r"a draw of shape \(\)"),
        (lambda g: g.rows(0, 1, 1).normal(6), ShapeError, "on axis 1: a draw of shape"),
        (lambda g: g.rows(0, 1, 1).integers(0, 9, 6), ShapeError, "on axis 1: a draw of shape"),
        (lambda g: g.rows(0, 1, -2).uniform(6), ShapeError, "on axis -2: a draw of shape"),
        (lambda g: g.rows(0, 9).permutation(8), ShapeError, r"a draw of shape \(8,\)"),
        (lambda g: g.rows(0, 9).choice(8, 4, False), ShapeError, r"a draw of shape \(4,\)"),
        (lambda g: g.rows(0, 2).bernoulli(np.ones((4, 1)) / 2, (6, 3)), ValueError, "broadcast"),
        (lambda g: g.rows(0, 2).bernoulli(np.ones((2, 6)) / 2, (6,)), ShapeError, "broadcast"),
    ],
)
def test_bad_rows_are_named_and_take_nothing_from_the_stream(call, kind, words):
    rng = mg.Generator(0)
    with pytest.raises(kind, match=words):
        call(rng)
    assert rng.state == (0, 0)


@pytest.fixture
def rank_of():
    """A function that makes this process look as if it had a rank's rows of a batch."""
    before = worlds.current()

    def become(total, rank, size):
        world = worlds.World()
        world.rank, world.size, world.rows = rank, size, rows_of(total, rank, size)
        return worlds.join(world).rows

    yield become
    worlds.join(before)


@pytest.mark.parametrize("axis, shape", [(0, (7, 2)), (1, (3, 7)), (-1, (3, 7)), (0, (14, 2))])
def test_a_draw_of_a_batch_has_the_rows_of_each_rank(rank_of, axis, shape):
    whole, parts = mg.Generator(1).normal(shape), []
    for rank in range(3):
        rows = rank_of(7, rank, 3)
        mine, each = list(shape), shape[axis] // 7
        mine[axis] = (rows.stop - rows.start) * each
        rng = mg.Generator(1)
        view, drawn = draw_of_batch(rng, tuple(mine), axis)
        assert drawn == shape
        parts.append(view.normal(drawn))
        assert rng.state == (1, 2 * whole.size)
    assert np.array_equal(np.concatenate(parts, axis), whole)


def test_a_draw_without_rows_is_the_same_on_all_ranks_and_rows_that_are_missing_are_named(rank_of):
    """A draw of fewer rows than the batch has is refused, unless it is of no rows at all."""
    x = mg.ones((5, 4))
    want = mg.dropout(x, rng=mg.Generator(0)).data
    for rank in range(3):
        rank_of(7, rank, 3)
        assert np.array_equal(mg.dropout(x, rng=mg.Generator(0), batch_axis=None).data, want)
        view = mg.Generator(0).rows(0, 5)
        assert np.array_equal(mg.dropout(x, rng=view).data, want)  # rows that the caller chose
    for axis in (2, -3):
        with pytest.raises(ShapeError, match="name the axis of the batch"):
            mg.dropout(x, rng=mg.Generator(0), batch_axis=axis)


FOR_A_TENSOR = {
    "rand_like": lambda x, rng: mg.rand_like(x, rng=rng),
    "randn_like": lambda x, rng: mg.randn_like(x, rng=rng),
    "normal": lambda x, rng: mg.normal(x, 2.0, rng=rng),
    "bernoulli": lambda x, rng: mg.bernoulli(x, rng=rng),
    "multinomial": lambda x, rng: mg.multinomial(x, 5, True, rng=rng),
    "multinomial, distinct": lambda x, rng: mg.multinomial(x, 3, rng=rng),
}


@pytest.mark.parametrize("name", FOR_A_TENSOR)
def test_draws_for_a_tensor_are_the_rows_of_the_batch(rank_of, name):
    x, draw, parts = mg.rand(7, 4, rng=mg.Generator(3)), FOR_A_TENSOR[name], []
    one = mg.Generator(4)
    whole = draw(x, one).data
    for rank in range(3):
        rows, rng = rank_of(7, rank, 3), mg.Generator(4)
        parts.append(draw(x[rows.start : rows.stop], rng).data)
        assert rng.state == one.state
    assert np.array_equal(np.concatenate(parts), whole)


def test_draws_for_a_parameter_are_the_same_on_all_ranks(rank_of):
    weight = mg.nn.Parameter(mg.full((6, 2), 0.5))
    draws = [d for name, d in FOR_A_TENSOR.items() if "multinomial" not in name]
    want = [draw(weight, mg.Generator(4)).data for draw in draws]
    for rank in range(3):
        rank_of(7, rank, 3)
        found = [draw(weight, mg.Generator(4)).data for draw in draws]
        assert all(map(np.array_equal, found, want))
    with pytest.raises(ShapeError, match="name the axis of the batch"):
        mg.randn_like(weight.data[:4])
    assert mg.randn_like(weight.data[:4], batch_axis=None).shape == (4, 2)


@pytest.mark.parametrize(
    "draw", [mg.rand, mg.randn, lambda *s, rng: mg.randint(9, shape=s, rng=rng)]
)
def test_a_draw_of_a_shape_that_looks_like_a_ranks_rows_is_warned_of(rank_of, draw):
    rows = rank_of(7, 1, 3)
    with pytest.warns(UserWarning, match=r"pass rng=rng.rows\(2, 4\) and the shape \(7, 3\)"):
        draw(2, 3, rng=mg.Generator(0))
    whole = draw(7, 3, rng=mg.Generator(0)).data
    view = mg.Generator(0).rows(rows.start, rows.stop)
    assert np.array_equal(draw(7, 3, rng=view).data, whole[2:4])


LAYERS = {  # layer, and the axis of the batch in x (..., 8)
    "dropout": (lambda: mg.nn.Dropout(rng=mg.Generator(5)), 0),
    "dropout of (T, B, D)": (lambda: mg.nn.Dropout(rng=mg.Generator(5), batch_axis=1), 1),
    "channels": (lambda: mg.nn.Dropout1d(rng=mg.Generator(5)), 0),
    "encoder": (lambda: encoder(batch_first=False), 1),
    "encoder, batch first": (lambda: encoder(batch_first=True), 0),
    "attention with weights": (lambda: attending(batch_first=False), 1),
    "attention, batch first": (lambda: attending(batch_first=True), 0),
    "lstm": (lambda: lstm(batch_first=False), 1),
    "lstm, batch first, both directions": (lambda: lstm(True, bidirectional=True), 0),
}


def encoder(**options):
    return mg.nn.TransformerEncoderLayer(8, 2, 8, dropout=0.4, rng=mg.Generator(5), **options)


def attending(**options):
    layer = mg.nn.MultiheadAttention(8, 2, dropout=0.4, rng=mg.Generator(5), **options)
    return lambda x: layer(x, x, x)[0]


def lstm(batch_first, **options):
    layer = mg.nn.LSTM(8, 4, 2, True, batch_first, 0.5, rng=mg.Generator(5), **options)
    return lambda x: layer(x)[0]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_draw_the_rows_of_their_batch(rank_of, name):
    make, axis = LAYERS[name]
    shape = (3, 7, 8) if axis else (7, 3, 8)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    whole, parts = make()(mg.Tensor(x)).data, []
    for rank in range(3):
        layer = make()  # parameters are drawn before there are rows
        rows = rank_of(7, rank, 3)
        part = x[:, rows.start : rows.stop] if axis else x[rows.start : rows.stop]
        parts.append(layer(mg.Tensor(part.copy())).data)
        worlds.join(worlds.World())
    np.testing.assert_allclose(np.concatenate(parts, axis), whole, atol=2e-6)
