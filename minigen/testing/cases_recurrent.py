"""Cases of the recurrent layers. The references loop over sequences and steps."""

import numpy as np

from minigen.testing.case import Case, where_real
from minigen.testing.choices import Choices


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _parts(gates, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    """W_ih x + b_ih and W_hh h + b_hh for one x (D,) and h (H,), each (gates, H)."""
    a, b = weight_ih @ x, weight_hh @ h
    a = a if bias_ih is None else a + bias_ih
    b = b if bias_hh is None else b + bias_hh
    return a.reshape(gates, -1), b.reshape(gates, -1)


def _run(gates, step, x, state, *params, lengths=None):
    """Apply step(*parts, *state) to each step of each sequence: all h, and the last state."""
    lengths = [len(x)] * x.shape[1] if lengths is None else lengths
    dtype = np.result_type(x, *state, *(p for p in params if p is not None))
    y = np.zeros((*x.shape[:2], state[0].shape[1]), dtype)
    last = [np.array(s, dtype) for s in state]
    for b in range(x.shape[1]):
        now = [s[b] for s in state]
        for t in range(lengths[b]):
            now = step(*_parts(gates, x[t, b], now[0], *params), *now)
            y[t, b] = now[0]
        for s, value in zip(last, now):
            s[b] = value
    return (y, *last)


def lstm(x, h0, c0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, lengths=None):
    def step(a, b, h, c):
        i, f, g, o = a + b
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    return _run(4, step, x, (h0, c0), weight_ih, weight_hh, bias_ih, bias_hh, lengths=lengths)


def gru(x, h0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, lengths=None):
    def step(a, b, h):
        r, z = sigmoid(a[:2] + b[:2])
        return ((1 - z) * np.tanh(a[2] + r * b[2]) + z * h,)

    return _run(3, step, x, (h0,), weight_ih, weight_hh, bias_ih, bias_hh, lengths=lengths)


def rnn(x, h0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, nonlinearity="tanh", lengths=None):
    def step(a, b, h):
        z = (a + b)[0]
        return (np.tanh(z) if nonlinearity == "tanh" else where_real(np.real(z) > 0, z, 0),)

    return _run(1, step, x, (h0,), weight_ih, weight_hh, bias_ih, bias_hh, lengths=lengths)


def _draw(gates, states):
    """A draw for a layer with that number of gates per unit and of initial states."""

    def draw(c: Choices):
        steps, count = c.integer(1, 3), c.pick((0, 1, 2, 3))
        size, units = c.pick((0, 1, 3)), c.integer(1, 3)
        rows = gates * units
        weights = [c.array((rows, n), -1.0, 1.0) for n in (size, units)]
        biases = [c.pick((None, c.array((rows,), -1.0, 1.0))) for _ in range(2)]
        first = [c.array((count, units), -1.0, 1.0) for _ in range(states)]
        lengths = [c.integer(1, steps) for _ in range(count)]
        kwargs = {"lengths": c.pick((lengths, tuple(lengths)))} if c.flag() else {}
        return (c.array((steps, count, size)), *first, *weights, *biases), kwargs

    return draw


def _draw_rnn(c):
    """For relu, x, h and weights whose sum has the sign of the bias: it is not near 0."""
    args, kwargs = _draw(1, 1)(c)
    if c.flag():
        return args, kwargs | c.pick(({}, {"nonlinearity": "tanh"}))
    x, h, weight_ih, weight_hh, *_ = args
    bias = c.array((len(weight_hh),), 0.2, 1.0) * c.pick((1.0, -1.0))
    signs = np.sign(bias)[:, None]
    x, h, weight_hh = np.abs(x), np.abs(h), np.abs(weight_hh) * np.maximum(signs, -0.01)
    return (x, h, signs * np.abs(weight_ih), weight_hh, bias, None), kwargs | {
        "nonlinearity": "relu"
    }


RECURRENT = {
    "lstm": Case(lstm, _draw(4, 2), returns_tuple=True),
    "gru": Case(gru, _draw(3, 1), returns_tuple=True),
    "rnn": Case(rnn, _draw_rnn, returns_tuple=True),
}
