"""Sequences of different lengths in a batch: padded with `lengths=`, or packed, as PyTorch's."""

from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.errors import ShapeError
from minigen.nn.utils import rnn

FIXTURE = Path(__file__).parent / "fixtures" / "packed.safetensors"
KINDS = {"RNN": {}, "RNN_relu": {"nonlinearity": "relu"}, "LSTM": {}, "GRU": {}}
LENGTHS = [2, 5, 1, 5]  # of the fixture, in which T is 6
every_kind = pytest.mark.parametrize("name", KINDS)
every_layer = pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU])


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def close(got, want, limit=1e-12):
    want = want.data
    return got.shape == want.shape and np.abs(got.data - want).max() <= limit * max(
        1, np.abs(want).max()
    )


def saved(name):
    parts = mg.load(FIXTURE)
    return {k.removeprefix(f"{name}."): v for k, v in parts.items() if k.startswith(f"{name}.")}


def of_fixture(name):
    """PyTorch's values, the layer with its parameters, x and the first states."""
    values = saved(name)
    layer = getattr(nn, name.partition("_")[0])(
        3, 4, num_layers=2, bidirectional=True, dtype=np.float64, **KINDS[name]
    )
    layer.load_state_dict(
        {k.removeprefix("state."): v for k, v in values.items() if k.startswith("state.")}
    )
    x = mg.tensor(values["x"].data, requires_grad=True)
    first = [mg.tensor(values[f"s{i}"].data, requires_grad=True) for i in range(layer.num_states)]
    return values, layer, x, first


@every_kind
@pytest.mark.parametrize("how", ["list", "array", "tensor", "packed", "batch_first"])
def test_outputs_states_and_gradients_are_pytorchs(name, how):
    values, layer, x, first = of_fixture(name)
    state = tuple(first) if name == "LSTM" else first[0]
    if how == "packed":
        packed = rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        assert close(packed.data, values["data"])
        assert np.array_equal(packed.batch_sizes.data, values["batch_sizes"].data)
        y, end = layer(packed, state)
        assert close(y.data, values["ydata"])
        y, lengths = rnn.pad_packed_sequence(y, total_length=6)
        assert lengths.data.tolist() == LENGTHS
    elif how == "batch_first":
        layer.batch_first = True
        y, end = layer(mg.swapaxes(x, 0, 1), state, LENGTHS)
        y = mg.swapaxes(y, 0, 1)
    else:
        given = {"list": list, "array": np.array, "tensor": lambda n: mg.tensor(np.array(n))}
        y, end = layer(x, state, lengths=given[how](LENGTHS))
    outputs = (y, *as_tuple(end))
    sum((out * values[f"w{i}"].data).sum() for i, out in enumerate(outputs)).backward()
    assert close(y, values["y"])
    assert close(x.grad, values["gx"])
    for i, (s, e) in enumerate(zip(first, outputs[1:])):
        assert close(e, values[f"end{i}"]), i
        assert close(s.grad, values[f"gs{i}"]), i
    for key, p in layer.named_parameters():
        assert close(p.grad, values[f"grad.{key}"]), key


@every_kind
@pytest.mark.parametrize("lengths", [[3, 1, 5, 2], [1, 1, 1, 1], [5, 5, 5, 5], [4, 4, 4, 4]])
def test_each_sequence_is_as_if_it_were_alone_whatever_is_in_the_padding(name, lengths):
    _, layer, x, first = of_fixture(name)
    padded = x.data[:5].copy()
    for b, n in enumerate(lengths):
        padded[n:, b] = np.nan
    x = mg.tensor(padded, requires_grad=True)
    y, end = layer(x, tuple(first) if name == "LSTM" else first[0], lengths)
    weight = mg.Generator(3).normal(y.shape, dtype=np.float64)
    found = mg.grad(
        [(y * weight).sum(), *as_tuple(end)],
        [x, *layer.parameters()],
        [None, *(mg.ones_like(e) for e in as_tuple(end))],
    )
    total = [0.0] * len(layer.parameters())
    for b, n in enumerate(lengths):
        states = [s[:, b : b + 1] for s in first]
        one = mg.tensor(padded[:n, b : b + 1], requires_grad=True)
        alone, last = layer(one, tuple(states) if name == "LSTM" else states[0])
        assert close(y[:n, b : b + 1], alone)
        assert (y.data[n:, b] == 0).all()
        assert all(close(e[:, b : b + 1], s) for e, s in zip(as_tuple(end), as_tuple(last)))
        loss = (alone * weight[:n, b : b + 1]).sum() + sum(s.sum() for s in as_tuple(last))
        gx, *rest = mg.grad(loss, [one, *layer.parameters()])
        assert close(found[0][:n, b : b + 1], gx)
        assert (found[0].data[n:, b] == 0).all()
        total = [t + g.data for t, g in zip(total, rest)]
    assert all(close(g, mg.Tensor(t), 1e-11) for g, t in zip(found[1:], total))


@every_layer
def test_second_derivatives_of_padded_batches_are_those_of_a_difference(cls):
    layer = cls(2, 3, bidirectional=True, rng=mg.Generator(0), dtype=np.float64)
    x = mg.tensor(mg.Generator(1).normal((4, 3, 2), dtype=np.float64), requires_grad=True)
    w, v = layer.weight_hh_l0_reverse, mg.Generator(2).normal(x.shape, dtype=np.float64)

    def slope(x, create_graph):
        y, end = layer(x, lengths=[2, 4, 1])
        loss = y.square().sum() + sum(e.sum() for e in as_tuple(end))
        return mg.grad(loss, w, create_graph=create_graph)

    u = mg.Generator(4).normal(w.shape, dtype=np.float64)
    found = mg.grad((slope(x, True) * u).sum(), x)
    ends = [
        (slope(mg.tensor(x.data + h * v, requires_grad=True), False) * u).sum().item()
        for h in (1e-5, -1e-5)
    ]
    assert (found.data * v).sum() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_falls_between_layers_of_padded_batches_and_padding_stays_zero(cls, dtype):
    layer = cls(3, 4, num_layers=2, dropout=0.5, rng=mg.Generator(0), dtype=dtype)
    x = mg.Tensor(np.full((5, 2, 3), 0.7, dtype))
    one, two = (layer(x, lengths=[2, 4])[0].data for _ in range(2))
    assert not np.array_equal(one[:2], two[:2])
    assert (one[2:, 0] == 0).all() and (one[4:] == 0).all() and one.dtype == dtype
    layer.eval()
    assert np.array_equal(layer(x, lengths=[2, 4])[0].data, layer(x, lengths=[2, 4])[0].data)


@every_layer
def test_full_lengths_are_the_fast_path_bit_for_bit(cls):
    layer = cls(3, 4, bidirectional=True, rng=mg.Generator(0))
    x = mg.Tensor(mg.Generator(1).normal((5, 2, 3)))
    assert np.array_equal(layer(x, lengths=[5, 5])[0].data, layer(x)[0].data)


@every_layer
def test_lengths_that_do_not_fit_are_refused_with_their_place(cls):
    layer, x = cls(3, 4), mg.ones((5, 2, 3))
    for lengths, error, says in (
        ([0, 5], ValueError, "length 0 of sequence 0"),
        ([5, 6], ValueError, "length 6 of sequence 1 must be at least 1 and at most 5"),
        ([5, -1], ValueError, "length -1 of sequence 1"),
        ([5], ShapeError, r"\(1,\) must be \(2,\)"),
        (5, ShapeError, r"\(\) must be \(2,\)"),
        ([5.0, 2.0], TypeError, "integers, got float64"),
        ([True, True], TypeError, "integers, got bool"),
    ):
        for call in (layer, mg.rnn, rnn.pack_padded_sequence):
            rest = [mg.zeros((2, 4)), *nn.RNN(3, 4).parameters()] if call is mg.rnn else []
            with pytest.raises(error, match=says):
                call(x, *rest, lengths=lengths)
    with pytest.raises(ValueError, match=rf"{cls.__name__}: .* no lengths"):
        layer(x[:, 0], lengths=[5])
    packed = rnn.pack_padded_sequence(x, [5, 3])
    with pytest.raises(ValueError, match=rf"{cls.__name__}: .* without lengths"):
        layer(packed, lengths=[5, 3])


def test_an_empty_batch_passes_with_lengths_too():
    y, h = nn.GRU(3, 4)(mg.ones((5, 0, 3)), lengths=[])
    assert (y.shape, h.shape) == ((5, 0, 4), (1, 0, 4))


@every_kind
def test_padded_and_packed_batches_on_a_gpu_are_those_on_the_host(name, device):
    values, layer, x, first = of_fixture(name)
    layer, x = layer.to(device), mg.tensor(x.data).to(device).requires_grad_()
    first = [mg.tensor(s.data).to(device) for s in first]
    state = tuple(first) if name == "LSTM" else first[0]
    lengths = mg.tensor(np.array(LENGTHS)).to(device)
    packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    for y, end in (
        layer(x, state, lengths),
        (lambda y, end: (rnn.pad_packed_sequence(y, total_length=6)[0], end))(
            *layer(packed, state)
        ),
    ):
        outputs = (y, *as_tuple(end))
        found = mg.grad(outputs, x, [values[f"w{i}"].to(device) for i in range(len(outputs))])
        assert y.device == found.device == x.device
        assert close(mg.Tensor(y.numpy()), values["y"])
        assert close(mg.Tensor(found.numpy()), values["gx"])


# ------------------------------------------------------------------------ packed sequences


def drawn(*lengths):
    rng = mg.Generator(0)
    return [mg.tensor(rng.normal((n, 2)), requires_grad=True) for n in lengths]


def test_padded_and_packed_sequences_come_back_with_their_gradients():
    parts = drawn(2, 4, 1)
    for batch_first in (False, True):
        padded = rnn.pad_sequence(parts, batch_first, -1.0)
        assert padded.shape == ((3, 4, 2) if batch_first else (4, 3, 2))
        assert (padded.data if batch_first else padded.data.swapaxes(0, 1))[0, 2:].tolist() == [
            [-1, -1]
        ] * 2
        for part, back in zip(parts, rnn.unpad_sequence(padded, [2, 4, 1], batch_first)):
            assert np.array_equal(part.data, back.data)
        packed = rnn.pack_padded_sequence(padded, [2, 4, 1], batch_first, enforce_sorted=False)
        assert packed.data.shape == (7, 2) and packed.batch_sizes.data.tolist() == [3, 2, 1, 1]
        assert packed.sorted_indices.data.tolist() == [1, 0, 2]
        assert packed.unsorted_indices.data.tolist() == [1, 0, 2]
        back, lengths = rnn.pad_packed_sequence(packed, batch_first, padding_value=-1.0)
        assert np.array_equal(back.data, padded.data)
        assert lengths.data.tolist() == [2, 4, 1]
    back, _ = rnn.pad_packed_sequence(rnn.pack_sequence(parts, enforce_sorted=False))
    (back * back).sum().backward()
    assert all(np.allclose(p.grad.data, 2 * p.data) for p in parts)
    longer, _ = rnn.pad_packed_sequence(packed, total_length=6, padding_value=2.0)
    assert longer.shape == (6, 3, 2) and (longer.data[4:] == 2).all()
    assert longer.dtype == np.float32


def test_sequences_that_come_sorted_keep_their_order():
    packed = rnn.pack_sequence(drawn(4, 2, 2))
    assert packed.sorted_indices is None and packed.unsorted_indices is None
    assert packed.batch_sizes.data.tolist() == [3, 3, 1, 1]
    with pytest.raises(ValueError, match="enforce_sorted=False"):
        rnn.pack_sequence(drawn(2, 4))
    layer = nn.LSTM(2, 3)
    y, (h, c) = layer(packed)
    assert y.data.shape == (8, 3) and h.shape == c.shape == (1, 3, 3)
    again = rnn.PackedSequence(nn.Linear(3, 2)(y.data), y.batch_sizes)
    assert layer(again)[0].data.shape == (8, 3)


def test_sequences_are_padded_left_and_keep_their_dtype():
    ids = [np.array([1, 2, 3]), np.array([4])]
    assert rnn.pad_sequence(ids, True, padding_side="left").tolist() == [[1, 2, 3], [0, 0, 4]]
    assert rnn.pad_sequence(list(map(mg.tensor, ids)), True, 9).data.tolist() == [
        [1, 2, 3],
        [4, 9, 9],
    ]
    for wrong in ([], mg.ones((2, 3))):
        with pytest.raises(TypeError, match="list"):
            rnn.pad_sequence(wrong)
    with pytest.raises(TypeError, match=r"sequence 1 is a list; use mg\.tensor\(x\)"):
        rnn.pad_sequence([mg.ones(2), [1.0]])
    with pytest.raises(ShapeError, match="pad_sequence"):
        rnn.pad_sequence([mg.ones((2, 3)), mg.ones((2, 4))])
    with pytest.raises(ValueError, match="'top'"):
        rnn.pad_sequence(ids, padding_side="top")
    packed = rnn.pack_sequence(drawn(2, 1))
    assert packed.to(np.float64).data.dtype == np.float64
    with pytest.raises(ShapeError, match=r"data \(2, 2\) must have 3 rows"):
        rnn.pad_packed_sequence(packed._replace(data=packed.data[:2]))
    with pytest.raises(ValueError, match="total_length is 1"):
        rnn.pad_packed_sequence(rnn.pack_sequence(drawn(2)), total_length=1)
