"""Recurrent modules: states, layouts, dropout, bad input; and the models made of them."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.errors import ShapeError
from minigen.models import LSTMClassifier

every_layer = pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU])


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def made(cls, *args, seed=0, **settings):
    return cls(*args, rng=mg.Generator(seed), dtype=np.float64, **settings)


def drawn(*shape, seed=1):
    return mg.Tensor(mg.Generator(seed).normal(shape, dtype=np.float64))


@every_layer
def test_parameters_are_named_shaped_and_bounded_as_pytorchs(cls):
    layer = cls(5, 100, num_layers=2, bidirectional=True)
    names = [
        f"{part}_l{i}{end}"
        for i in range(2)
        for end in ("", "_reverse")
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    state, gates = layer.state_dict(), cls.num_gates
    assert list(state) == names
    assert state["weight_ih_l0_reverse"].shape == (gates * 100, 5)
    assert state["weight_ih_l1"].shape == (gates * 100, 200)
    assert state["weight_hh_l1"].shape == (gates * 100, 100)
    assert state["bias_hh_l1"].shape == (gates * 100,)
    for p in layer.parameters():
        assert p.dtype == np.float32
        assert 0.09 < np.abs(p.data).max() <= 0.1
    assert len(cls(5, 3, bias=False).state_dict()) == 2


@every_layer
def test_a_state_handed_on_continues_the_sequence(cls):
    layer, x = made(cls, 3, 4, num_layers=2), drawn(6, 2, 3)
    whole, end = layer(x)
    first, state = layer(x[:2])
    second, last = layer(x[2:], state)
    assert np.abs(mg.concatenate([first, second]).data - whole.data).max() < 1e-12
    for a, b in zip(as_tuple(last), as_tuple(end)):
        assert a.shape == (2, 2, 4)
        assert np.abs(a.data - b.data).max() < 1e-12


@every_layer
def test_no_state_is_a_state_of_zeros(cls):
    layer, x = made(cls, 3, 4, bidirectional=True), drawn(6, 2, 3)
    zeros = mg.zeros((2, 2, 4), mg.float64)
    y, _ = layer(x, (zeros, zeros) if cls is nn.LSTM else zeros)
    assert np.array_equal(y.data, layer(x)[0].data)


@every_layer
def test_batch_first_and_single_sequences_are_the_same_numbers(cls):
    settings = {"num_layers": 2, "bidirectional": True}
    x = drawn(6, 2, 3)
    y, end = made(cls, 3, 4, **settings)(x)
    swapped, same = made(cls, 3, 4, batch_first=True, **settings)(mg.swapaxes(x, 0, 1))
    assert np.array_equal(swapped.data, y.data.swapaxes(0, 1))
    one, last = made(cls, 3, 4, batch_first=True, **settings)(x[:, 1])
    assert one.shape == (6, 8)
    assert np.abs(one.data - y.data[:, 1]).max() < 1e-12
    for whole, again, single in zip(as_tuple(end), as_tuple(same), as_tuple(last)):
        assert np.array_equal(whole.data, again.data)
        assert single.shape == (4, 4)
        assert np.abs(single.data - whole.data[:, 1]).max() < 1e-12


@every_layer
def test_the_reverse_direction_reads_from_the_end(cls):
    layer, x = made(cls, 3, 4, bidirectional=True), drawn(6, 2, 3)
    changed = x.data.copy()
    changed[:3] += 1
    before, after = layer(x)[0].data, layer(mg.Tensor(changed))[0].data
    assert np.array_equal(before[3:, :, 4:], after[3:, :, 4:])
    assert not np.array_equal(before[0, :, 4:], after[0, :, 4:])
    assert np.array_equal(
        layer(x)[1][0].data[1] if cls is nn.LSTM else layer(x)[1].data[1], before[0, :, 4:]
    )


@every_layer
def test_dropout_falls_between_layers_in_training_only(cls):
    x = drawn(6, 2, 3)
    plain = made(cls, 3, 4, num_layers=2)(x)[0].data
    layer = made(cls, 3, 4, num_layers=2, dropout=0.5)
    one, two = layer(x)[0].data, layer(x)[0].data
    assert not np.array_equal(one, two)
    again = made(cls, 3, 4, num_layers=2, dropout=0.5)
    assert np.array_equal(again(x)[0].data, one)  # its rng alone decides
    layer.eval()
    assert np.array_equal(layer(x)[0].data, plain)
    with pytest.warns(UserWarning, match="does nothing"):
        cls(3, 4, dropout=0.5)


@every_layer
def test_settings_and_inputs_that_do_not_fit_are_refused_with_the_shapes(cls):
    name = cls.__name__
    for args in ((3, 0), (-1, 2), (3, 4, 0)):
        with pytest.raises(ValueError, match=f"^{name}: "):
            cls(*args)
    with pytest.raises(ValueError, match=rf"^{name}: dropout .* 1\.5"):
        cls(3, 4, num_layers=2, dropout=1.5)
    layer = made(cls, 3, 4)
    for shape in ((6, 2, 5), (3,), (1, 6, 2, 3)):
        with pytest.raises(ShapeError, match=rf"^{name}: x must be .*D = 3"):
            layer(drawn(*shape))
    with pytest.raises(ShapeError, match="at least one step"):
        layer(drawn(0, 2, 3))
    wrong = drawn(1, 5, 4)
    with pytest.raises(ShapeError, match=rf"^{name}: the initial h must be \(1, 2, 4\)"):
        layer(drawn(6, 2, 3), (wrong, wrong) if cls is nn.LSTM else wrong)
    if cls is nn.LSTM:
        with pytest.raises(TypeError, match="tuple"):
            layer(drawn(6, 2, 3), wrong)


def test_a_layer_shows_its_settings():
    assert repr(nn.LSTM(3, 4, num_layers=2, batch_first=True)) == (
        "LSTM(3, 4, num_layers=2, batch_first=True)"
    )


def test_summary_counts_the_products_of_every_step():
    text = nn.summary(nn.LSTM(3, 4, num_layers=2), mg.ones((5, 2, 3)))
    work = 2 * 5 * 2 * (16 * (3 + 4) + 16 * (4 + 4))  # each layer's product with x and with h
    assert f"{work:,}" in text  # the states are stacked, which takes no operation


def test_the_classifier_overfits_one_batch():
    rng = mg.Generator(0)
    model = LSTMClassifier(8, 32, 4, rng=rng)
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-2)
    x, label = mg.Tensor(rng.uniform((16, 8, 8))), rng.integers(0, 4, 16)
    for _ in range(100):
        loss = model.loss(x, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
    assert (model(x).data.argmax(1) == label).all()


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_float32_layer_on_float64_inputs_gives_each_its_own_dtype(layer):
    net, x = layer(3, 4, rng=mg.Generator(0)), mg.tensor(np.ones((5, 2, 3)), requires_grad=True)
    with pytest.warns(UserWarning, match="the input is float64, the weight float32"):
        net(x)
    for create_graph in (False, True):
        y = net(x)[0]
        assert y.dtype == np.float64
        found = mg.grad(y.sum(), [x, *net.parameters()], create_graph=create_graph)
        assert [g.dtype for g in found] == [np.float64] + [np.float32] * 4
