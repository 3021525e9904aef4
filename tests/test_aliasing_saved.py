"""Saved values that are written to before the walk back: a right gradient, or a GradError."""

import numpy as np
import pytest
from aliasing_draws import RNG, leaf, same_draws, untouched  # noqa: F401 - a fixture

import minigen as mg
from minigen import nn
from minigen.errors import GradError

pytestmark = pytest.mark.usefixtures("each_walk")


def stepped(w):
    mg.optim.SGD([w], 0.1).step([mg.Tensor(np.ones(w.shape))])


CONSTANTS = {
    "the parameter": lambda w: w,
    "detached": lambda w: w.detach(),
    "detached twice": lambda w: w.detach().detach(),
    "a view, detached": lambda w: w.T[1:].reshape(-1).detach(),
    "one of several views, detached": lambda w: mg.split(w, 2, axis=0)[1].detach(),
    "a view made in no_grad": lambda w: mg.no_grad(lambda: w[0])(),
    "a view of that": lambda w: mg.no_grad(lambda: w[0])()[::-1].T,
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_graph_that_reads_a_parameter_is_refused_after_a_step(name):
    w = leaf(4, 4)
    c = CONSTANTS[name](w)
    x = leaf(*c.shape)
    first, second = (x * c).sum(), (x * c).sum()
    assert np.array_equal(mg.grad(first, x), c.data)
    stepped(w)
    with pytest.raises(GradError, match="changed since"):
        second.backward()
    assert x.grad is None


VIEWED = {
    "transposed": lambda v: v.T,
    "a view of a view": lambda v: v[::-1].reshape(16).reshape(4, 4),
    "one of several": lambda v: mg.concatenate(mg.split(v, 2)[:1] * 2),
    "one of several, as it is": lambda v: mg.split(v, [4])[0],
}


@pytest.mark.parametrize("name", VIEWED)
def test_a_view_of_a_parameter_that_no_gradient_is_asked_for_is_watched_too(name):
    a, v = leaf(4, 4), leaf(4, 4)
    y, right = a @ VIEWED[name](v), np.ones((4, 4)) @ VIEWED[name](v).data.T
    stepped(v)
    if name == "one of several":  # whose values were copied
        assert np.allclose(mg.grad(y.sum(), a).data, right)
    else:
        with pytest.raises(GradError, match="changed since"):
            mg.grad(y.sum(), a)


def test_a_view_of_what_was_computed_from_a_parameter_stays_good_after_a_step():
    a, v = leaf(4, 4), leaf(4, 4)
    y, right = a @ (v * 2).T, 2 * np.ones((4, 4)) @ v.data
    stepped(v)
    assert np.allclose(mg.grad(y.sum(), a).data, right)


def test_a_long_chain_of_views_needs_no_recursion():
    v = y = leaf(6)
    for i in range(20_000):
        y = y.reshape((2, 3) if i % 2 else (3, 2))
    (y * y).sum().backward()
    assert np.allclose(v.grad.data, 2 * v.data)


def test_a_constant_that_was_computed_from_a_parameter_stays_good_after_a_step():
    w, x = leaf(4), leaf(4)
    c = (w * 2).detach()
    want, loss = c.numpy().copy(), (x * c).sum()
    stepped(w)
    assert np.array_equal(mg.grad(loss, x), want)


def test_a_frozen_network_that_is_thawed_and_stepped_is_not_walked_back_with_new_weights():
    critic, x = nn.Linear(3, 1, rng=mg.Generator(0), dtype=np.float64), leaf(5, 3)
    critic.requires_grad_(False)
    loss = critic(x).sum()
    critic.requires_grad_(True)
    mg.optim.SGD(critic.parameters(), 0.1).step([mg.ones((1, 3), np.float64), None])
    with pytest.raises(GradError, match="changed since"):
        loss.backward()


def test_loading_a_state_into_a_frozen_network_or_a_buffer_is_noticed():
    class Scaled(nn.Module):
        def __init__(self):
            self.register_buffer("scale", given)
            self.linear = nn.Linear(3, 3, rng=mg.Generator(0), dtype=np.float64)

        def forward(self, x):
            return self.linear(x) * self.scale

    given = np.full(3, 2.0)
    model, x = Scaled().requires_grad_(False), leaf(2, 3)
    state = {k: v.data + 1 for k, v in model.state_dict().items()}
    loss = model(x).sum()
    model.load_state_dict(state)
    with pytest.raises(GradError, match="load_state_dict"):
        loss.backward()
    assert np.array_equal(given, [2, 2, 2]) and np.array_equal(model.scale, [3, 3, 3])
    assert [name for name, _ in model.named_parameters()] == ["linear.weight", "linear.bias"]
    assert not any(p.requires_grad for p in model.parameters())


def test_a_state_made_of_the_modules_own_tensors_is_loaded_as_it_was():
    model = nn.Sequential(*(nn.Linear(3, 3, rng=mg.Generator(i)) for i in range(2)))
    state = model.state_dict()
    swapped = {f"{1 - int(name[0])}{name[1:]}": x for name, x in state.items()}
    want = {name: x.numpy().copy() for name, x in swapped.items()}
    model.load_state_dict(swapped)
    assert all(np.array_equal(x, want[name]) for name, x in model.state_dict().items())
    model.load_state_dict({**state, "0.weight": state["0.weight"].data.T})
    assert np.array_equal(model[0].weight.data, want["0.weight"].T)


def test_running_statistics_that_an_evaluation_has_read_may_not_change_before_its_walk_back():
    norm, x = nn.BatchNorm1d(3, dtype=np.float64), leaf(6, 3)
    loss = (norm.eval()(x) * 2).sum()
    norm.train()(leaf(6, 3))
    with pytest.raises(GradError, match="batch_norm"):
        loss.backward()
    first, second = norm(x), norm(x * 2)  # but batches of training read none
    (first.sum() + second.sum()).backward()
    assert x.grad is not None


def test_recurrent_layers_leave_states_and_cotangents_alone():
    for layer in (nn.LSTM, nn.GRU, nn.RNN):
        net = layer(3, 4, num_layers=2, bidirectional=True, rng=mg.Generator(0), dtype=np.float64)
        x, h0, g = leaf(5, 2, 3), leaf(4, 2, 4), RNG.standard_normal((5, 2, 8))
        state = (h0, h0) if layer is nn.LSTM else h0
        safe = untouched(x.data, h0.data, g)
        y, last = net(x, state)
        held = untouched(y.data, last[0].data)
        first = mg.grad(y, [x, h0], g, retain_graph=True)
        again = mg.grad(y, [x, h0], g)
        assert safe() and held()
        assert all(np.array_equal(a, b) for a, b in zip(first, again))
        assert not np.shares_memory(first[1].data, again[1].data)


def test_ops_that_fill_arrays_leave_what_they_are_filled_with():
    x, table, index = leaf(3, 4), leaf(5, 4), np.array([1, 1, 4])
    y = mg.embedding(index, table) + mg.scatter_add(x, (index // 2, 2), np.ones(3))
    y = mg.pad(y, ((1, 1), (0, 2))) + mg.concatenate([y, y], 1)[:, :6].sum()
    y = (
        mg.cross_entropy(y, np.array([0, 1, 2, 3, 0]))
        + y.std()
        + mg.conv1d(y[None], leaf(2, 5, 2)).sum()
    )
    safe = untouched(x.data, table.data, index)
    first = mg.grad(y, [x, table], retain_graph=True)
    held = untouched(*(g.data for g in first))
    again = mg.grad(y, [x, table])
    assert safe() and held() and all(np.array_equal(a, b) for a, b in zip(first, again))


def test_gradients_of_weights_that_are_put_off_are_not_read_before_they_are_made():
    linear, x = nn.Linear(96, 96, rng=mg.Generator(0)), mg.Tensor(mg.Generator(1).normal((300, 96)))

    def gradient():
        y = x
        for _ in range(11):  # one weight, more often than cotangents wait for it
            y = mg.tanh(linear(y)) + (linear.weight * linear.weight).sum(0)
        return mg.grad(y.sum(), linear.weight).data

    assert np.array_equal(gradient(), gradient())


LAYERS = {
    "GroupNorm": (lambda: nn.GroupNorm(1, 4, dtype=np.float64), (2, 4, 3)),
    "LayerNorm": (lambda: nn.LayerNorm((2, 3), dtype=np.float64), (4, 2, 3)),
    "Conv1d": (
        lambda: nn.Conv1d(4, 2, 2, bias=False, rng=mg.Generator(0), dtype=np.float64),
        (2, 4, 5),
    ),
    "Linear": (lambda: nn.Linear(3, 2, bias=False, rng=mg.Generator(0), dtype=np.float64), (4, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_gradient_by_the_input_of_a_layer_is_refused_after_a_step_of_its_weight(name):
    make, shape = LAYERS[name]
    layer, x = make(), leaf(*shape)
    loss = (layer(x) ** 3).sum()
    stepped(layer.weight)
    with pytest.raises(GradError, match="changed since"):
        mg.grad(loss, x)


READS = {
    "where": lambda m, x: mg.where(m.mask, x, 0.0),
    "getitem": lambda m, x: x[m.index],
    "take_along_axis": lambda m, x: mg.take_along_axis(x, m.index, 0),
    "embedding": lambda m, x: mg.embedding(m.index, x.reshape(3, 1))[:, 0],
    "scatter_add": lambda m, x: mg.scatter_add(mg.zeros(3, np.float64), m.index, x),
}


@pytest.mark.parametrize("name", READS)
def test_masks_and_indices_that_are_buffers_may_be_loaded_anew_before_the_walk_back(name):
    module, x, c = nn.Module(), leaf(3), np.array([1.0, 2.0, 4.0])
    module.register_buffer("mask", np.array([True, False, True]))
    module.register_buffer("index", np.array([2, 0, 0]))
    want = mg.grad((READS[name](module, x) * c).sum(), x).data
    y = (READS[name](module, x) * c).sum()
    module.load_state_dict({"mask": ~module.mask.data, "index": np.array([1, 1, 1])})
    assert np.array_equal(mg.grad(y, x).data, want)


def test_a_leaf_that_was_frozen_when_it_was_used_gets_no_gradient_when_it_is_thawed():
    w, x = leaf(3), leaf(3)
    w.requires_grad = False
    y = (x * w + w * w).sum()
    w.requires_grad = True
    y.backward()
    assert w.grad is None and np.array_equal(x.grad, w.data)


def test_what_a_module_hands_out_of_its_memory_is_watched():
    def after(make, change):
        module, x = nn.BatchNorm1d(2, dtype=np.float64), leaf(2)
        module.weight = nn.Parameter(np.ones(2))
        loss = (x * make(module)).sum()
        change(module)
        mg.grad(loss, x)

    step = lambda m: stepped(m.weight)
    train = lambda m: m.train()(leaf(3, 2))
    load = lambda m: m.load_state_dict({k: v.data + 1 for k, v in m.state_dict().items()})

    def renewed(module):
        module.running_mean = module.running_mean * 0.5 + 1
        return module.running_mean

    for make, change in [
        (lambda m: m.state_dict()["weight"], step),
        (lambda m: m.state_dict()["running_var"], train),
        (lambda m: m.running_mean[:], train),
        (renewed, load),
        (renewed, train),
    ]:
        with pytest.raises(GradError, match="changed since"):
            after(make, change)


def test_running_statistics_that_are_no_buffers_may_change_after_an_evaluation():
    r, v, x = mg.Tensor(np.ones(2)), np.ones(2), leaf(4, 2)
    loss = (mg.batch_norm(x, r, v) ** 2).sum()
    want = mg.grad((mg.batch_norm(x, r, v) ** 2).sum(), x).data
    mg.batch_norm(mg.Tensor(9 * RNG.standard_normal((5, 2))), r, v, training=True)
    assert not np.array_equal(r, [1, 1]) and np.array_equal(mg.grad(loss, x).data, want)


def test_a_buffer_that_is_assigned_has_memory_of_its_own():
    given, module = np.zeros(2), nn.Module()
    module.w = nn.Parameter(np.ones(2))
    module.register_buffer("c", given)
    for value in (mg.Tensor(given), module.w.detach()):
        module.c = value
        module.load_state_dict({"w": np.full(2, 5.0), "c": np.full(2, 9.0)})
        assert not given.any() and np.array_equal(module.w.data, [5, 5])
        assert np.array_equal(module.c, [9, 9])
