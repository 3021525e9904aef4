"""Recurrent layers: several in a row, in one direction or both, over whole sequences."""

import math
import warnings
from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn import init
from minigen.nn.module import Module, Parameter
from minigen.random import Generator
from minigen.tensors import Tensor

_DEFAULTS = {
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
}


class _Recurrent(Module):
    """What RNN, LSTM and GRU share. A subclass says how many gates and states it has.

    Parameters are named as PyTorch's: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, then
    those of l0_reverse, of l1 and so on; all start uniform in +-1 / sqrt(hidden_size).
    """

    gates, states = 1, 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        kind = type(self).__name__
        if input_size < 0 or hidden_size < 1 or num_layers < 1:
            raise ValueError(
                f"{kind}: hidden_size and num_layers must be at least 1 and input_size not "
                f"negative, got {hidden_size}, {num_layers} and {input_size}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{kind}: dropout must be in [0, 1], got {dropout}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{kind}: dropout={dropout} is between layers, and there is one only: it does "
                "nothing",
                UserWarning,
                stacklevel=3,
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.rng = bidirectional, rng
        bound, rows = 1 / math.sqrt(hidden_size), self.gates * hidden_size
        for suffix, size in zip(self._suffixes(), self._input_sizes()):
            shapes = {"weight_ih": (rows, size), "weight_hh": (rows, hidden_size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                setattr(
                    self, name + suffix, Parameter(init.uniform(shape, bound, rng, dtype, device))
                )

    def _directions(self):
        return ("", "_reverse") if self.bidirectional else ("",)

    def _suffixes(self):
        return [f"_l{i}{d}" for i in range(self.num_layers) for d in self._directions()]

    def _input_sizes(self):
        count = len(self._directions())
        inner = [count * self.hidden_size] * (self.num_layers - 1)
        return [size for size in (self.input_size, *inner) for _ in range(count)]

    def _layer(self, x, states, *params):
        """One layer in one direction: y and the last states."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The last layer's h at every step, and every layer's last state.

        x (T, B, D), (B, T, D) with batch_first, or (T, D) for one sequence. Output as x, with
        num_directions * H features; state (num_layers * num_directions, B, H), without B for one
        sequence, and zeros if None; an LSTM's is a tuple (h, c).
        """
        x, states, one = self._checked(x, state)
        last: list[list[Tensor]] = [[] for _ in states]
        directions = self._directions()
        for layer in range(self.num_layers):
            if layer:
                x = ops.dropout(x, self.dropout, self.training, self.rng)
            ys = []
            for direction in directions:
                place, suffix = len(last[0]), f"_l{layer}{direction}"
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]
                params = [getattr(self, name + suffix) for name in names]
                steps = ops.flip(x, 0) if direction else x
                y, *end = self._layer(steps, [s[place] for s in states], *params)
                ys.append(ops.flip(y, 0) if direction else y)
                for found, s in zip(last, end):
                    found.append(s)
            x = ys[0] if len(ys) == 1 else ops.concatenate(ys, axis=2)  # (T, B, directions H)
        # (layers directions, B, H); to stack one alone would copy it
        ends = [ops.stack(e) if len(e) > 1 else ops.expand_dims(e[0], 0) for e in last]
        if one:
            x, ends = x[:, 0], [s[:, 0] for s in ends]
        elif self.batch_first:
            x = ops.swapaxes(x, 0, 1)  # (B, T, directions H)
        return x, tuple(ends) if self.states > 1 else ends[0]

    def _checked(self, x, state):
        """x as (T, B, D), each state (layers directions, B, H), and whether x is one sequence."""
        kind = type(self).__name__
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            wanted = "(B, T, D)" if self.batch_first else "(T, B, D)"
            raise ShapeError(
                f"{kind}: x must be {wanted} or (T, D) with D = {self.input_size}, got {x.shape}"
            )
        one = x.ndim == 2
        if one:
            x = ops.expand_dims(x, 1)
        elif self.batch_first:
            x = ops.swapaxes(x, 0, 1)  # (T, B, D)
        count = self.num_layers * len(self._directions())
        shape = (count, x.shape[1], self.hidden_size)
        if state is None:
            weight = self.weight_hh_l0
            zeros = creation.zeros(shape[1:], weight.dtype, weight.device)
            return x, [[zeros] * count] * self.states, one
        states = state if self.states > 1 else (state,)
        if not isinstance(states, tuple | list) or len(states) != self.states:
            raise TypeError(f"{kind}: the state must be a tuple (h, c), got {type(state).__name__}")
        expected = (count, self.hidden_size) if one else shape
        for name, s in zip("hc", states):
            if s.shape != expected:
                raise ShapeError(
                    f"{kind}: the initial {name} must be {expected}, "
                    f"(num_layers * num_directions, {'' if one else 'B, '}H), got {s.shape}"
                )
        return x, [ops.expand_dims(s, 1) if one else s for s in states], one

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            text += f", {name}={value}" if value != default else ""
        return text


class RNN(_Recurrent):
    """Simple recurrent layers (Elman 1990), nonlinearity "tanh" or "relu"; see `ops.rnn`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **settings: Any,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, *args, **settings)
        self.nonlinearity = nonlinearity

    def _layer(self, x: Tensor, states: list, *params: Array) -> tuple:
        biases = params[2:] or (None, None)
        return ops.rnn(x, *states, *params[:2], *biases, nonlinearity=self.nonlinearity)


class LSTM(_Recurrent):
    """Layers of long short-term memory, gates i f g o; the state is (h, c); see `ops.lstm`."""

    gates, states = 4, 2

    def _layer(self, x: Tensor, states: list, *params: Array) -> tuple:
        return ops.lstm(x, *states, *params)


class GRU(_Recurrent):
    """Layers of gated recurrent units, gates r z n; see `ops.gru`."""

    gates = 3

    def _layer(self, x: Tensor, states: list, *params: Array) -> tuple:
        return ops.gru(x, *states, *params)
