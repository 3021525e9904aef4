"""Nobody's array is written to: rules that keep, share and view; gradients that are held."""

import numpy as np
import pytest
from aliasing_draws import RNG, leaf, same_draws, untouched  # noqa: F401 - a fixture

import minigen as mg
from minigen import nn
from minigen.errors import GradError

pytestmark = pytest.mark.usefixtures("each_walk")


# ------------------------------------------------------------------ rules that keep, share, view


def kept():
    """An op whose rule returns an array that it keeps."""
    zero = np.zeros(4)

    @mg.primitive(lambda g, y, x: zero)
    def staircase(x):
        return np.floor(x)

    return staircase, zero


@pytest.mark.parametrize("swapped", [False, True])
def test_a_rule_may_keep_what_it_returns(swapped):
    (staircase, zero), x = kept(), mg.tensor(np.ones(4), requires_grad=True)
    for _ in range(4):
        parts = [staircase(x), x * 2]
        y = parts[1] + parts[0] if swapped else parts[0] + parts[1]
        assert np.array_equal(mg.grad(y.sum(), x), [2, 2, 2, 2])
    (staircase(x) + x).sum().backward()
    x.grad.data[:] = 7
    assert not zero.any()


@pytest.mark.parametrize("uses", [2, 3, 9, 20])
def test_a_kept_array_is_not_added_to_however_often_the_leaf_is_used(uses):
    (staircase, zero), x, w = kept(), leaf(4), RNG.standard_normal(4)
    y = staircase(x)
    for _ in range(uses):
        y = y + x * w
    assert np.allclose(mg.grad(y.sum(), x).data, uses * w) and not zero.any()


def test_a_kept_array_that_flows_into_an_interior_value_is_not_added_to():
    (staircase, zero), x = kept(), leaf(4)
    y = x * 1.0
    z = staircase(y) + y + y * 3 + staircase(y)
    for _ in range(2):
        assert np.array_equal(mg.grad(z.sum(), x, retain_graph=True), [4, 4, 4, 4])
    assert not zero.any()


def test_one_array_may_be_the_cotangent_of_two_arguments():
    @mg.fused(lambda a, b: 2 * (a + b), lambda g, r, wanted, a, b: (2 * g,) * 2)
    def twice_the_sum(a, b):
        return 2 * (a + b), None

    a, b = leaf(3), leaf(3)
    y = twice_the_sum(a, b) + a * 5 + b * 7 + twice_the_sum(a, a)
    y.sum().backward()
    assert np.array_equal(a.grad, [11, 11, 11]) and np.array_equal(b.grad, [9, 9, 9])
    assert not np.shares_memory(a.grad.data, b.grad.data)


VIEWS = {
    "the cotangent": (lambda g, y, x: g, "", lambda g, x: g),
    "the cotangent reversed": (lambda g, y, x: g[::-1], "", lambda g, x: g[::-1]),
    "the result": (lambda g, y, x: y, "y", lambda g, x: 3 * x),
    "an argument": (lambda g, y, x: x, "x", lambda g, x: x),
    "a view of an argument": (lambda g, y, x: x[::-1], "x", lambda g, x: x[::-1]),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_rule_may_return_what_it_was_given_or_a_view_of_it(name):
    rule, saves, want = VIEWS[name]

    @mg.primitive(rule, saves=saves)
    def odd(x):
        return 3 * x

    x, g = leaf(5), RNG.standard_normal(5)
    y = odd(x)
    safe, total = untouched(x.data, y.data, g), y + odd(x) + y
    found = [mg.grad(total, x, g, retain_graph=True).data for _ in range(2)]
    of_y = mg.grad(total, y, g).data
    expected = want(2 * g, x.data) + want(g, x.data)
    assert all(np.allclose(f, expected) for f in found) and np.allclose(of_y, 2 * g)
    for f in (*found, of_y):
        f[:] = np.nan
    assert safe()


def test_residuals_that_a_backward_returns_are_not_added_to():
    held = np.full(3, 7.0)

    @mg.fused(lambda a: 7 * a, lambda g, held, wanted, a: (held,))
    def sevenfold(a):
        return 7 * a, held

    a = leaf(3)
    y = sevenfold(a) + a + sevenfold(a) * 1.0
    for _ in range(2):
        assert np.array_equal(mg.grad(y.sum(), a, retain_graph=True), [15, 15, 15])
    assert np.array_equal(held, [7, 7, 7])


# -------------------------------------------------------------------- gradients that are held


def test_a_gradient_that_was_taken_before_stays_as_it_was():
    x, w = leaf(4), leaf(4)
    loss = (x * w).sum() + (x * x).sum()
    loss.backward(retain_graph=True)
    first, arrays = x.grad, (x.grad.data, w.grad.data)
    safe, by_grad = untouched(*arrays), mg.grad(loss, x, retain_graph=True)
    loss.backward()
    assert safe() and np.array_equal(x.grad, 2 * first.data) and np.array_equal(by_grad, first)


def test_one_cotangent_may_be_given_for_several_outputs():
    x, g = leaf(4), RNG.standard_normal(4)
    safe = untouched(g)
    found = mg.grad([x, x * 2, x + 1], x, [g, g, g])
    assert np.allclose(found.data, 4 * g) and safe()
    found.data[:] = 0
    assert safe()


def test_clipping_leaves_gradients_that_are_held_or_shared():
    x, w = leaf(4), leaf(4)
    x.grad = w.grad = held = mg.Tensor(np.full(4, 3.0))
    assert mg.optim.clip_grad_norm([x, w], 1.0) == pytest.approx(np.sqrt(72))
    assert np.array_equal(held, [3, 3, 3, 3])
    assert np.allclose(x.grad.data, 3 / np.sqrt(72)) and np.allclose(w.grad.data, 3 / np.sqrt(72))


OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "RMSprop": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "Adam": {"lr": 0.1, "weight_decay": 0.1},
    "AdamW": {"lr": 0.1, "weight_decay": 0.1},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_may_be_shared_by_parameters_and_be_the_values_of_one(name):
    make, settings = getattr(mg.optim, name), OPTIMIZERS[name]
    w, v = leaf(50), leaf(50)
    plain = [mg.tensor(x.data, requires_grad=True) for x in (w, v)]
    shared, alone = make([w, v], **settings), make(plain, **settings)
    for _ in range(3):
        for p in plain:
            p.grad = mg.Tensor(w.data.copy())
        w.grad = v.grad = mg.Tensor(w.data)
        shared.step()
        alone.step()
    assert all(np.allclose(p.data, q.data, rtol=1e-12) for p, q in zip(plain, (w, v)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_writes_to_parameters_and_to_the_optimizers_own_state_alone(name):
    given, g = RNG.standard_normal(6), mg.Tensor(RNG.standard_normal(6))
    w, p = mg.Tensor(given).requires_grad_(), nn.Parameter(given)
    optimizer = getattr(mg.optim, name)([w, p], **OPTIMIZERS[name])
    w.grad = p.grad = g
    optimizer.step()
    state = optimizer.state_dict()
    arrays = [x for entry in state["state"] for x in entry.values() if isinstance(x, np.ndarray)]
    other = getattr(mg.optim, name)([leaf(6), leaf(6)], **OPTIMIZERS[name])
    other.load_state_dict(state)
    safe = untouched(given, g.data, *arrays)
    other.step([g, g])
    assert safe() and arrays
    assert not np.array_equal(w, given) and not np.array_equal(p, given)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("turned", [False, True])
def test_parameters_that_were_made_to_share_memory_are_stepped_one_after_the_other(threads, turned):
    before = mg.get_num_threads()
    mg.set_num_threads(threads)
    try:
        w, v = leaf(600, 500), leaf(600, 500)
        start, gs = w.data.copy(), RNG.standard_normal((2, 600, 500))
        v.data = w.data.T if turned else w.data
        mg.optim.SGD([w, v], 0.5).step([mg.Tensor(gs[0]), mg.Tensor(gs[1].T if turned else gs[1])])
        assert np.allclose(w.data, start - 0.5 * gs[0] - 0.5 * gs[1], rtol=1e-12)
    finally:
        mg.set_num_threads(before)


def test_tensors_that_become_leaves_share_no_memory():
    given = np.arange(4.0)
    a, b = (mg.Tensor(given).requires_grad_() for _ in range(2))
    c = nn.Parameter(a)
    loss = (a * a).sum() + (b * c).sum()
    mg.optim.SGD([c], 0.1).step([mg.Tensor(np.ones(4))])
    assert np.array_equal(a.data, given) and np.array_equal(b.data, given) and given[1] == 1
    with pytest.raises(GradError, match="changed since"):
        loss.backward()
