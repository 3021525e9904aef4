"""Recurrent layers against PyTorch's, step by step, causal to the bit (properties 23 and 25)."""

from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.errors import DTypeError, ShapeError

FIXTURE = Path(__file__).parent / "fixtures" / "recurrent.safetensors"
KINDS = {"RNN": {}, "RNN_relu": {"nonlinearity": "relu"}, "LSTM": {}, "GRU": {}}
OPS = {"lstm": (4, 2), "gru": (3, 1), "rnn": (1, 1)}  # gates and states
every_op = pytest.mark.parametrize("name", OPS)


def drawn(name, steps=6, count=3, size=2, units=4, dtype=np.float64, bias=True):
    """The arguments of an op: x, states, weights, biases."""
    gates, states = OPS[name]
    rng = mg.Generator(5)
    shapes = [(steps, count, size), *[(count, units)] * states]
    shapes += [(gates * units, size), (gates * units, units), *[(gates * units,)] * (2 * bias)]
    return [rng.normal(shape, dtype=dtype) for shape in shapes]


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def close(got, want, limit=1e-12):
    return np.abs(got.data - want).max() <= limit * max(1, np.abs(want).max())


@pytest.mark.parametrize("name", KINDS)
def test_a_state_dict_of_pytorchs_gives_its_outputs_final_states_and_gradients(name):
    saved = {
        key.removeprefix(f"{name}."): v.data
        for key, v in mg.load(FIXTURE).items()
        if key.startswith(f"{name}.")
    }
    layer = getattr(nn, name.partition("_")[0])(
        *(3, 4), num_layers=2, batch_first=True, bidirectional=True, dtype=np.float64, **KINDS[name]
    )
    state = {k.removeprefix("state."): v for k, v in saved.items() if k.startswith("state.")}
    assert state.keys() == layer.state_dict().keys()
    layer.load_state_dict(state)
    x = mg.tensor(saved["x"], requires_grad=True)
    first = [mg.tensor(saved[f"s{i}"], requires_grad=True) for i in range(1 + (name == "LSTM"))]
    y, end = layer(x, tuple(first) if name == "LSTM" else first[0])
    outputs = (y, *as_tuple(end))
    sum((out * saved[f"w{i}"]).sum() for i, out in enumerate(outputs)).backward()
    assert close(y, saved["y"])
    assert close(x.grad, saved["gx"])
    for i, (s, e) in enumerate(zip(first, outputs[1:])):
        assert close(e, saved[f"end{i}"]), i
        assert close(s.grad, saved[f"gs{i}"]), i
    for key, p in layer.named_parameters():
        assert close(p.grad, saved[f"grad.{key}"]), key


@every_op
def test_step_by_step_is_the_whole_sequence_with_its_gradients(name):
    op, states = getattr(mg, name), OPS[name][1]
    whole = [mg.tensor(a, requires_grad=True) for a in drawn(name)]
    parts = [mg.tensor(a, requires_grad=True) for a in drawn(name)]
    y, *end = op(*whole)
    x, now, ys = parts[0], parts[1 : 1 + states], []
    for t in range(len(x)):
        step, *now = op(x[t : t + 1], *now, *parts[1 + states :])
        ys.append(step)
    pieces = mg.concatenate(ys)
    assert close(pieces, y.data)
    weight = mg.Generator(7).normal(y.shape, dtype=np.float64)
    for out, last in ((y, end), (pieces, now)):
        ((out * weight).sum() + sum(s.square().sum() for s in last)).backward()
    assert all(close(s, e.data) for s, e in zip(now, end))
    assert all(close(b.grad, a.grad.data) for a, b in zip(whole, parts))


@every_op
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("later", [3.0, np.inf, np.nan])
def test_an_output_does_not_depend_on_a_bit_of_later_inputs(name, dtype, later):
    args = drawn(name, dtype=dtype)
    changed = args[0].copy()
    changed[4:] = later
    with np.errstate(all="ignore"):
        before, after = (getattr(mg, name)(x, *args[1:])[0] for x in (args[0], changed))
    assert before[:4].tobytes() == after[:4].tobytes()
    assert not np.array_equal(before[4], after[4])


@every_op
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_of_an_output_to_later_inputs_is_exactly_zero(name, create_graph):
    x, *rest = drawn(name)
    x = mg.tensor(x, requires_grad=True)
    y = getattr(mg, name)(x, *rest)[0]
    g = mg.grad(y[3].sum(), x, create_graph=create_graph)
    assert (g.data[4:] == 0).all()
    assert (g.data[:4] != 0).any(axis=(1, 2)).all()


@every_op
def test_an_empty_batch_passes_and_no_step_at_all_is_refused(name):
    tensors = [mg.tensor(a, requires_grad=True) for a in drawn(name, count=0)]
    y, *end = getattr(mg, name)(*tensors)
    assert y.shape == (6, 0, 4)
    assert all(s.shape == (0, 4) for s in end)
    y.sum().backward()
    assert all((t.grad.data == 0).all() for t in tensors)
    with pytest.raises(ShapeError, match=rf"^{name}: x must be .* at least one step.*\(0, 3, 2\)"):
        getattr(mg, name)(*drawn(name, steps=0))


@every_op
def test_shapes_that_do_not_fit_are_named_with_the_op_and_the_argument(name):
    op, states = getattr(mg, name), OPS[name][1]
    names = ["x", *("h0", "c0")[:states], "weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    for i, argument in enumerate(names[1:], 1):
        for wrap in (np.asarray, mg.Tensor):
            args = [wrap(a) for a in drawn(name)]
            args[i] = wrap(np.ones((9, 7)))
            with pytest.raises(ShapeError) as caught:
                op(*args)
            assert str(caught.value).startswith(f"{name}: ")
            assert "(6, 3, 2)" in str(caught.value)
            assert argument == "weight_hh" or f"{argument} (9, 7) must be" in str(caught.value)
    x, *rest = drawn(name)
    for wrong in (x[0], x[..., None]):
        with pytest.raises(ShapeError, match=rf"^{name}: x must be \(T, B, D\)"):
            op(wrong, *rest)
    with pytest.raises(DTypeError):
        op(x.astype(complex), *rest)


def test_an_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match=r"^rnn: nonlinearity .* 'sigmoid'"):
        mg.rnn(*drawn("rnn"), nonlinearity="sigmoid")
    with pytest.raises(ValueError, match=r"^RNN: nonlinearity .* 'sigmoid'"):
        nn.RNN(2, 3, nonlinearity="sigmoid")


@every_op
def test_gates_saturate_without_overflow(name):
    x, *rest = drawn(name, dtype=np.float32)
    y = getattr(mg, name)(x * 1e6, np.tanh(rest[0]), *rest[1:])[0]
    assert np.isfinite(y).all() and np.abs(y).max() <= 1


@every_op
def test_a_bias_may_be_missing_on_either_side(name):
    args = drawn(name)
    zero = np.zeros_like(args[-1])
    full = getattr(mg, name)(*args[:-2], args[-2], zero)[0]
    assert np.array_equal(getattr(mg, name)(*args[:-1])[0], full)
    full = getattr(mg, name)(*args[:-2], zero, args[-1])[0]
    assert close(getattr(mg, name)(*args[:-2], None, args[-1])[0], full)
