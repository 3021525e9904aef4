"""mg.grad, backward, grad mode and detect_anomaly: what they give, and what they leave alone."""

import asyncio
import gc
import sys
import threading

import numpy as np
import pytest

import minigen as mg
from minigen.errors import GradError

pytestmark = pytest.mark.usefixtures("each_walk")


def leaf(values=(1.0, 2.0, 3.0), dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


# -------------------------------------------------------------------------------- mg.grad


def test_grad_gives_a_tensor_for_a_tensor_and_a_tuple_for_a_sequence():
    x, w = leaf(), leaf()
    assert type(mg.grad((x * w).sum(), x)) is mg.Tensor
    for inputs in ([x, w], (x, w)):
        found = mg.grad((x * x * w).sum(), inputs)
        assert type(found) is tuple
        assert np.array_equal(found[0], 2 * x.data * w.data)
        assert np.array_equal(found[1], x.data**2)
    assert type(mg.grad(x.sum(), [x])) is tuple
    assert mg.grad(x.sum(), []) == ()


def test_grad_never_touches_grad():
    x, w = leaf(), leaf()
    w.grad = mg.ones(3, np.float64)
    kept = w.grad
    mg.grad((x * w).sum(), [x, w])
    assert x.grad is None
    assert w.grad is kept
    assert np.array_equal(kept, [1, 1, 1])


def test_inputs_may_be_interior_and_outputs_of_ops_with_several():
    x = leaf((1.0, 2.0, 3.0, 4.0))
    h = x * 3
    a, b = mg.split(h, 2)
    y = (a * b).sum()
    gx, gh, ga, gb, gy = mg.grad(y, [x, h, a, b, y])
    assert np.array_equal(ga, b.data)
    assert np.array_equal(gb, a.data)
    assert np.array_equal(gh, [9, 12, 3, 6])
    assert np.array_equal(gx, 3 * gh.data)
    assert float(gy) == 1


def test_one_input_given_twice_gets_its_gradient_twice():
    x = leaf()
    first, second = mg.grad((x * x).sum(), [x, x])
    assert np.array_equal(first, second)
    assert not np.shares_memory(first.data, second.data)


def test_several_outputs_add_up_with_their_cotangents():
    x = leaf()
    y, s = x * x, x.sum()
    g = np.array([1.0, 0.5, -1.0])
    assert np.array_equal(mg.grad([y, s], x, [g, None]), 2 * x.data * g + 1)
    y = x * 2
    assert np.array_equal(mg.grad([y, y], x, (g, mg.Tensor(g))), 4 * g)


def test_a_cotangent_of_ones_is_the_default_of_each_scalar_output():
    x = leaf()
    assert np.array_equal(mg.grad([x.sum(), (x * x).sum()], x), 1 + 2 * x.data)


def test_an_unused_input_raises_or_gives_none():
    x, w = leaf(), leaf()
    with pytest.raises(GradError, match=r"input 1.*allow_unused"):
        mg.grad(x.sum(), [x, w])
    gx, gw = mg.grad(x.sum(), [x, w], allow_unused=True)
    assert gw is None
    assert np.array_equal(gx, [1, 1, 1])
    assert mg.grad(x.sum(), w, allow_unused=True) is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_own_writable_memory_and_alias_neither_cotangent_nor_each_other(create_graph):
    x, w, g = leaf(), leaf(), mg.Tensor(np.array([1.0, 2.0, 3.0]))
    h = x + 0
    found = mg.grad(h + w + h, [x, w, h], g, create_graph=create_graph)
    arrays = [*(d.data for d in found), g.data, x.data, w.data]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    assert [d.data.tolist() for d in found] == [[2, 4, 6], [1, 2, 3], [2, 4, 6]]


def test_retain_graph_of_grad_follows_create_graph_unless_given():
    x = leaf()
    y = (x * x * x).sum()
    (g,) = mg.grad(y, [x], create_graph=True)
    assert g.requires_grad
    assert not mg.grad(y, x, retain_graph=True).requires_grad
    mg.grad(y, x)
    with pytest.raises(GradError):
        mg.grad(y, x)


def test_create_graph_gives_derivatives_of_every_order():
    x = leaf()
    d, want = (x**4).sum(), [4, 12, 24, 24]
    for order, factor in enumerate(want):
        d = mg.grad(d, x, create_graph=True)
        assert np.allclose(d.data, factor * x.data ** (3 - order), rtol=1e-12)
        d = d.sum()


# ------------------------------------------------------------------------------- backward


def test_backward_adds_up_over_calls_and_zeroing_is_by_none():
    x = leaf()
    for k in (1, 2, 3):
        (x * x).sum().backward()
        assert np.array_equal(x.grad, k * 2 * x.data)
    x.grad = None
    x.sum().backward()
    assert np.array_equal(x.grad, [1, 1, 1])


def test_backward_of_a_leaf_itself_gives_its_cotangent_in_memory_of_its_own():
    x, g = leaf(), np.array([1.0, 2.0, 3.0])
    x.backward(g)
    assert np.array_equal(x.grad, g)
    assert not np.shares_memory(x.grad.data, g)


def test_backward_with_create_graph_makes_the_one_cycle_and_zero_grad_cuts_it():
    gc.collect()
    gc.disable()
    try:
        x = leaf()
        optimizer = mg.optim.SGD([x], 0.1)
        y = (x * x * x).sum()
        y.backward(create_graph=True)
        assert x.grad.requires_grad
        vertex = x.grad.node
        del y
        before = sys.getrefcount(vertex)
        optimizer.zero_grad()
        assert x.grad is None
        assert sys.getrefcount(vertex) == before - 1
    finally:
        gc.enable()


def test_the_gradient_of_backward_with_create_graph_can_be_differentiated():
    x = leaf()
    (x * x * x).sum().backward(create_graph=True)
    g, x.grad = x.grad, None
    (g * g).sum().backward()
    assert np.allclose(x.grad, 2 * 3 * x.data**2 * 6 * x.data)


# ------------------------------------------------------------------------------ grad mode


def test_no_grad_and_enable_grad_as_contexts_nest_and_end():
    x = leaf()
    with mg.no_grad():
        assert not mg.is_grad_enabled()
        assert not (x * 2).requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not mg.is_grad_enabled()
        assert mg.ones(2, requires_grad=True).requires_grad
    assert mg.is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_and_enable_grad_as_decorators_with_and_without_brackets():
    x = leaf()

    @mg.no_grad()
    def twice(y, *, k=2):
        """Doubles."""
        return y * k

    assert not twice(x, k=3).requires_grad
    assert not twice(x).requires_grad
    assert (twice.__name__, twice.__doc__) == ("twice", "Doubles.")
    assert not mg.no_grad(lambda: x * 2)().requires_grad
    with mg.no_grad():
        assert mg.enable_grad()(lambda: x * 2)().requires_grad
        assert mg.enable_grad(lambda: x * 2)().requires_grad
    assert mg.is_grad_enabled()


def test_grad_mode_is_restored_when_something_is_raised():
    def fail():
        raise KeyError

    for enter in (mg.no_grad, mg.enable_grad):
        with pytest.raises(KeyError), enter():
            fail()
        assert mg.is_grad_enabled()
        with pytest.raises(KeyError):
            enter(fail)()
        assert mg.is_grad_enabled()
    with mg.no_grad(), pytest.raises(KeyError):
        mg.enable_grad(fail)()
    assert mg.is_grad_enabled()


def test_a_failed_op_or_walk_leaves_grad_mode_as_it_was():
    x = leaf()
    y = (x * x).sum()
    y.backward()
    for broken in (y.backward, lambda: x + mg.ones(2)):
        with pytest.raises((GradError, ValueError)):
            broken()
        assert mg.is_grad_enabled()


def test_grad_mode_belongs_to_the_thread():
    x, seen = leaf(), []

    def run():
        seen.append((x * 2).requires_grad)
        with mg.no_grad():
            entered.set()
            leave.wait(10)

    entered, leave = threading.Event(), threading.Event()
    with mg.no_grad():
        thread = threading.Thread(target=run)
        thread.start()
        assert entered.wait(10)
    assert (x * 2).requires_grad
    leave.set()
    thread.join()
    assert seen == [True]


def test_grad_mode_belongs_to_the_task():
    async def main():
        async def off():
            with mg.no_grad():
                await asyncio.sleep(0)
                return mg.is_grad_enabled()

        async def on():
            await asyncio.sleep(0)
            return mg.is_grad_enabled()

        return await asyncio.gather(off(), on())

    assert asyncio.run(main()) == [False, True]


def test_backward_works_inside_no_grad():
    x = leaf()
    y = (x * x).sum()
    with mg.no_grad():
        y.backward()
    assert np.array_equal(x.grad, 2 * x.data)


def test_grad_of_an_interior_tensor_leaves_the_graph_behind_it_whole():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    h = w * 3
    assert np.allclose(mg.grad((h * h).sum(), h).data, [6, 12])
    h.sum().backward()
    assert np.array_equal(w.grad.data, [3, 3])


def test_freezing_a_leaf_refuses_the_graphs_that_wait_for_its_gradient():
    p = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (p * p).sum()
    p.requires_grad = False
    p.requires_grad = True
    with pytest.raises(GradError, match="freezing"):
        loss.backward()
