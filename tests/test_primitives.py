"""Ops that a reader declares: rules, several outputs, fused ops, and what is refused."""

import numpy as np
import pytest

import minigen as mg

pytestmark = pytest.mark.usefixtures("each_walk")


def leaf(*shape, seed=0, dtype=np.float64):
    return mg.tensor(mg.Generator(seed).normal(shape, dtype=dtype), requires_grad=True)


def test_a_readers_own_op_with_several_outputs_and_a_fused_one():
    @mg.primitive(
        lambda g, y, x: (0 if g[0] is None else g[0]) + (0 if g[1] is None else 2 * g[1] * x),
        saves="x",
    )
    def both(x):
        return x.copy(), x * x

    @mg.fused(lambda x: mg.exp(x) * x, lambda g, e, wanted, x: (g * e * (1 + x),))
    def exp_times(x):
        e = np.exp(x)
        return e * x, e

    x = leaf(3)
    same, squared = both(x)
    (same + squared * 3).sum().backward()
    assert np.allclose(x.grad.data, 1 + 6 * x.data)
    first = mg.grad(exp_times(x).sum(), x, create_graph=True)
    second = mg.grad(first.sum(), x)
    assert np.allclose(first.data, np.exp(x.data) * (1 + x.data))
    assert np.allclose(second.data, np.exp(x.data) * (2 + x.data))


def test_a_fused_op_gets_one_tensor_as_two_arguments_and_one_computed_from_another():
    @mg.fused(lambda a, b: a * b, lambda g, r, wanted, a, b: (g * b, g * a))
    def times(a, b):
        return a * b, None

    x = leaf(3)
    g = mg.grad(times(x, x).sum(), x, create_graph=True)
    assert np.allclose(g.data, 2 * x.data)
    assert np.allclose(mg.grad(g.sum(), x).data, 2)
    y = mg.square(x)
    g = mg.grad(times(x, y).sum(), x, create_graph=True)
    assert np.allclose(g.data, 3 * x.data**2)
    assert np.allclose(mg.grad(g.sum(), x).data, 6 * x.data)


def test_second_derivatives_through_a_fused_op_work_after_an_optimizer_step():
    @mg.fused(lambda a: a * a * a, lambda g, r, wanted, a: (3 * g * a * a,))
    def cube(a):
        return a**3, None

    w = leaf(4)
    w.grad = mg.Tensor(np.ones(4))
    mg.optim.SGD([w], 0.1).step()
    g = mg.grad(cube(w).sum(), w, create_graph=True)
    assert np.allclose(mg.grad(g.sum(), w).data, 6 * w.data)


def test_a_rule_that_reads_what_was_not_saved_fails():
    @mg.primitive(lambda g, y, x: g * x)
    def dishonest(x):
        return x * x / 2

    with pytest.raises(TypeError):
        dishonest(leaf(3)).sum().backward()


def test_an_argument_without_a_rule_gets_no_gradient_though_it_is_tracked():
    @mg.primitive(lambda g, y, x, scale: g * scale, None, saves=("scale", ""))
    def scaled(x, scale):
        return x * scale

    x, scale = leaf(3), leaf(3, seed=1)
    scaled(x, scale).sum().backward()
    assert np.array_equal(x.grad.data, scale.data)
    assert scale.grad is None


def test_a_rule_of_the_wrong_shape_is_named():
    @mg.primitive(lambda g, y, x: g.sum())
    def shrinking(x):
        return x * 1

    with pytest.raises(mg.errors.ShapeError, match="shrinking"):
        shrinking(leaf(3)).sum().backward()


def test_cotangents_that_nobody_asked_for_are_not_computed():
    calls = []
    rules = [lambda g, y, a, b, i=i: calls.append(i) or g for i in range(2)]

    @mg.primitive(*rules)
    def counted(a, b):
        return a + b

    x, w = leaf(2), leaf(2, seed=1)
    counted(x, mg.ones(2, np.float64)).sum().backward()
    assert calls == [0]
    mg.grad(counted(x, mg.exp(w)).sum(), x)
    assert calls == [0, 0]


def test_a_gradient_is_its_own_even_where_a_rule_gives_away_what_it_holds():
    held = np.full(3, 7.0)

    @mg.fused(lambda a, b: a + b, lambda g, held, wanted, a, b: (held[0], held[0]))
    def sevens(a, b):
        return a + b, (held,)

    @mg.primitive(lambda g, y, a, b: g, lambda g, y, a, b: b, saves=("", "b"))
    def given(a, b):
        return a + b

    for op in (sevens, given):
        a, b, g = leaf(3), leaf(3), np.ones(3)
        before = b.data.copy()
        op(a, b).backward(g)
        a.grad.data[:] = b.grad.data[:] = -1
        op(a, b).backward(g)
        assert np.array_equal(held, np.full(3, 7.0)) and np.array_equal(g, np.ones(3))
        assert np.array_equal(b.data, before) and not np.shares_memory(a.grad.data, b.grad.data)
