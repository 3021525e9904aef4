"""The arguments that the kernels of recurrent layers are tested with, drawn from `Choices`."""

import numpy as np


def rows_and_columns(c):
    return c.pick((0, 1, c.integer(2, 9))), c.pick((1, 2, c.integer(3, 17)))


def draw_lstm_step(c):
    b, n = rows_and_columns(c)
    return [c.array((b, 4 * n)), c.array((b, 4 * n)), *(c.array((b, n)) for _ in range(4))]


def draw_lstm_step_vjp(c):
    b, n = rows_and_columns(c)
    state = [c.array((b, n)) for _ in range(4)]
    return [*state[:2], c.array((b, 4 * n), -1.0, 1.0), *state[2:], c.array((b, 4 * n))]


def draw_gru_step(c):
    b, n = rows_and_columns(c)
    return [c.array((b, 3 * n)), c.array((b, 3 * n)), *(c.array((b, n)) for _ in range(3))]


def draw_gru_step_vjp(c):
    b, n = rows_and_columns(c)
    wide = [c.array((b, 3 * n), -1.0, 1.0) for _ in range(3)]
    return [c.array((b, n)), wide[0], c.array((b, n)), c.array((b, n)), *wide[1:]]


def draw_sequences(c, gates):
    """Gates, weight_hh.T, h and two arrays more of all steps: some are cut in pieces."""
    (b, n), t = c.pick((rows_and_columns(c), (70, 33))), c.integer(1, 3)
    states = [c.array((t + extra, b, n)) for extra in (1, 1, 0)]
    return [c.array((t, b, gates * n)), c.array((n, gates * n), -0.3, 0.3), *states]


def draw_lstm_steps_vjp(c):
    gates, w, _, cs, tanh_c = draw_sequences(c, 4)
    gh, gc = (c.array(cs.shape[1:]) for _ in range(2))
    gates, gy = np.tanh(gates), c.pick((None, c.array(tanh_c.shape)))
    return [gh, gc, gy, gates, cs, tanh_c, w.T.copy(), np.zeros(gates.shape)]


def draw_gru_steps(c):
    gates, w, h, _, hidden_n = draw_sequences(c, 3)
    return [gates, w, c.pick((None, c.array(w.shape[1:]))), h, hidden_n]


def draw_gru_steps_vjp(c):
    gates, w, h, _, hidden_n = draw_sequences(c, 3)
    gates, gy = np.tanh(gates), c.pick((None, c.array(hidden_n.shape)))
    buffers = [np.zeros(gates.shape) for _ in range(2)]
    return [c.array(h.shape[1:]), gy, gates, h, hidden_n, w.T.copy(), *buffers]


RECURRENT_DRAWS = {
    "lstm_step": draw_lstm_step,
    "lstm_step_vjp": draw_lstm_step_vjp,
    "gru_step": draw_gru_step,
    "gru_step_vjp": draw_gru_step_vjp,
    "lstm_steps": lambda c: draw_sequences(c, 4),
    "lstm_steps_vjp": draw_lstm_steps_vjp,
    "gru_steps": draw_gru_steps,
    "gru_steps_vjp": draw_gru_steps_vjp,
}
RECURRENT_WRITTEN = {  # the arguments that a kernel writes to, by their place
    "lstm_step": (0, 3, 4, 5),
    "lstm_step_vjp": (1, 5),
    "gru_step": (0, 3, 4),
    "gru_step_vjp": (0, 4, 5),
    "lstm_steps": (0, 2, 3, 4),
    "lstm_steps_vjp": (0, 1, 7),
    "gru_steps": (0, 3, 4),
    "gru_steps_vjp": (0, 6, 7),
}
