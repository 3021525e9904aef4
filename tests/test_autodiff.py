"""The graph and the walk back: what is made, kept, freed and refused."""

import gc
import sys
import threading

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.autodiff import graph

pytestmark = pytest.mark.usefixtures("each_walk")


@pytest.fixture
def nodes_made(monkeypatch):
    """Counts the nodes made from here on."""
    made = []
    init = graph.Node.__init__
    monkeypatch.setattr(graph.Node, "__init__", lambda *a: (made.append(1), init(*a))[1])
    return made


def leaf(*shape, seed=0, dtype=np.float64):
    return mg.tensor(mg.Generator(seed).normal(shape, dtype=dtype), requires_grad=True)


def small_net(dtype=np.float32):
    rng = mg.Generator(0)
    factory = {"rng": rng, "dtype": dtype}
    model = nn.Sequential(nn.Linear(4, 8, **factory), nn.Tanh(), nn.LayerNorm(8, dtype=dtype))
    head = nn.Linear(8, 3, **factory)
    x, y = rng.normal((16, 4), dtype=dtype), rng.integers(0, 3, 16)
    return nn.Sequential(*model, head), mg.Tensor(x), y


def test_first_order_backward_makes_no_node(nodes_made):
    model, x, y = small_net()
    loss = mg.cross_entropy(model(x), y) + mg.softmax(model(x)).var()
    count = len(nodes_made)
    assert count > 10
    loss.backward()
    assert len(nodes_made) == count


def test_no_node_is_made_without_an_argument_that_requires_grad(nodes_made):
    (mg.ones(3) * 2).sum()
    with mg.no_grad():
        mg.exp(leaf(3))
    assert not nodes_made


def test_a_chain_of_a_million_ops_goes_forward_and_back_without_recursion():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    gc.disable()
    try:
        y = x
        for _ in range(1_000_000):
            y = y + x.data
        y.sum().backward()
        del y
    finally:
        gc.enable()
    assert np.array_equal(x.grad.data, [1, 1])


def test_training_leaves_no_live_object_behind_without_the_garbage_collector():
    model, x, y = small_net()
    optimizer = mg.optim.Adam(model.parameters())

    def train(steps):
        for _ in range(steps):
            loss = mg.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        del loss
        return sys.getallocatedblocks()

    gc.disable()
    try:
        train(2500)  # Python keeps up to 2,000 freed tuples of a length for later
        before, after = train(10), train(1000)
    finally:
        gc.enable()
    assert after - before < 100  # a leak of one object a step would be 1,000


def test_the_walk_drops_saved_arrays_as_it_passes():
    x = leaf(3)
    y = mg.exp(x)
    z = y.sum()
    z.backward()
    assert y.node.args is None
    assert y.node.y is None


def test_a_second_backward_is_refused_even_where_nothing_was_saved():
    x = leaf(3)
    y = (x + 1).sum()
    y.backward()
    with pytest.raises(mg.errors.GradError, match="retain_graph=True"):
        y.backward()


def test_retained_graphs_accumulate_exactly():
    x = leaf(3)
    y = (mg.tanh(x) * x).sum()
    y.backward(retain_graph=True)
    once = x.grad.data.copy()
    y.backward()
    assert np.array_equal(x.grad.data, once + once)


@pytest.mark.parametrize("uses", [1, 2, 3, 7])
def test_k_uses_of_a_tensor_give_the_sum_of_k_gradients(uses):
    x = leaf(4)
    weights = [mg.Generator(i).normal(4, dtype=np.float64) for i in range(uses)]
    total = x * weights[0]
    for w in weights[1:]:
        total = total + x * w
    total.sum().backward()
    assert np.allclose(x.grad.data, sum(weights), rtol=1e-14)


def test_accumulation_does_not_write_into_the_cotangent_that_was_passed():
    x, g = leaf(3), np.ones(3)
    y = x + x
    (y + y + y).backward(g)
    assert np.array_equal(g, np.ones(3))
    assert np.array_equal(x.grad.data, np.full(3, 6.0))


def test_a_parameter_stepped_between_forward_and_backward_is_refused_before_any_gradient():
    w, v = leaf(3), leaf(3, seed=1)
    loss = (w + v).sum() + (w * v).sum()
    w.grad = mg.Tensor(np.ones(3))
    mg.optim.SGD([w], 0.1).step()
    w.grad = None
    with pytest.raises(mg.errors.GradError, match="optimizer step"):
        loss.backward()
    assert w.grad is None
    assert v.grad is None


def test_a_parameter_stepped_under_a_view_of_it_is_refused_too():
    w = leaf(3)
    loss = mg.exp(w[:2]).sum()
    w.grad = mg.Tensor(np.ones(3))
    mg.optim.SGD([w], 0.1).step()
    with pytest.raises(mg.errors.GradError):
        loss.backward()


def test_outputs_without_a_cotangent_count_as_zero():
    x = leaf(6)
    first, _, last = mg.split(x, 3)
    (first.sum() + (last * 3).sum()).backward()
    assert np.array_equal(x.grad.data, [1, 1, 0, 0, 3, 3])


def test_float32_stays_float32_everywhere():
    model, x, y = small_net()
    optimizer = mg.optim.Adam(model.parameters())
    for _ in range(2):
        out = model(x * 1.5) / 3 + np.float32(2)
        losses = [mg.cross_entropy(out, y), mg.mse_loss(out, out.detach() * 0.5)]
        losses.append(mg.binary_cross_entropy_with_logits(out, mg.zeros(out.shape)))
        loss = losses[0] + 0.3 * losses[1] - losses[2] ** 2
        assert {t.dtype for t in (out, *losses, loss)} == {np.dtype(np.float32)}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    arrays = [v for state in optimizer.state for v in state.values() if not isinstance(v, int)]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


def test_a_program_gives_the_same_bits_again_with_retain_graph_and_in_another_thread():
    x = leaf(5, 4)

    def gradient(retain):
        x.grad = None
        a = mg.softmax(x @ x.T)
        b = mg.tanh(a[1:] * a[:-1]) + a.mean(0)
        b.std().backward(retain_graph=retain)
        return x.grad.data

    first = gradient(False)
    assert np.array_equal(first, gradient(True))
    result = []
    thread = threading.Thread(target=lambda: result.append(gradient(False)))
    thread.start()
    thread.join()
    assert np.array_equal(first, result[0])


def test_observers_cost_nothing_when_off_and_are_told_of_each_op_when_on():
    x = leaf(3)
    with mg.trace.profile() as profile:
        mg.exp(x * 2).sum().backward()
    assert {name: row[0] for name, row in profile.ops.items()} == {
        "multiply": 1,
        "exp": 1,
        "sum": 1,
    }
    assert graph.trace_observer.get() is None
