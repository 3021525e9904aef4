"""One step of a recurrent layer as a module, for loops of one's own."""

from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.errors import ShapeError
from minigen.nn.module import Module
from minigen.nn.recurrent import checked_states, first_parameters
from minigen.random import Generator
from minigen.tensors import Tensor


class _Cell(Module):
    """Base of the cells. Parameters: weight_ih, weight_hh, bias_ih and bias_hh, as PyTorch's.

    All start uniform in +-1 / sqrt(hidden_size).
    """

    num_gates, num_states = 1, 1  # weight_ih is (num_gates * hidden_size, input_size)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        """input_size and hidden_size: the features D of x, and H of the state.

        bias: whether there are biases. rng draws the parameters; dtype and device are theirs.
        """
        if input_size < 0 or hidden_size < 1:
            raise ValueError(
                f"{type(self).__name__}: hidden_size must be at least 1 and input_size not "
                f"negative, got {hidden_size} and {input_size}"
            )
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        for key, parameter in first_parameters(self, input_size, rng, dtype, device):
            setattr(self, key, parameter)

    def _step(self, x, states, *params):
        """(y, *states) after the one step of x (1, B, D)."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """The state after x (B, D), or (D,): h (B, H), or (H,); (h, c) of an LSTMCell.

        state: the one before, zeros if None.
        """
        name = type(self).__name__
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: x must be (B, D) or (D,) with D = {self.input_size}, got {x.shape}"
            )
        if x.dtype is not self.weight_hh.dtype:
            self.warn_of_dtype(x, self.weight_hh)
        shape, axes = (*x.shape[:-1], self.hidden_size), "(B, H)" if x.ndim == 2 else "(H,)"
        if state is None:
            zeros = creation.zeros(shape, self.weight_hh.dtype, self.weight_hh.device)
            states = [zeros] * self.num_states
        else:
            states = checked_states(name, self.num_states, state, shape, axes)
        params = [self.weight_ih, self.weight_hh]
        params += [self.bias_ih, self.bias_hh] if self.bias else []
        batched = [ops.reshape(s, (-1, self.hidden_size)) for s in states]
        _, *after = self._step(
            ops.reshape(x, (1, len(batched[0]), self.input_size)), batched, *params
        )
        after = [ops.reshape(s, shape) for s in after]
        return tuple(after) if self.num_states > 1 else after[0]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias=False"


class RNNCell(_Cell):
    """A step of a simple recurrent layer, nonlinearity "tanh" or "relu": see `ops.rnn`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        **settings: Any,
    ):
        """nonlinearity: "tanh" or "relu"; the other arguments are those of LSTMCell."""
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}"
            )
        super().__init__(input_size, hidden_size, bias, **settings)
        self.nonlinearity = nonlinearity

    def _step(self, x, states, *params):
        return ops.rnn(x, *states, *params, nonlinearity=self.nonlinearity)


class LSTMCell(_Cell):
    """A step of long short-term memory, state (h, c): see `ops.lstm`."""

    num_gates, num_states = 4, 2

    def _step(self, x, states, *params):
        return ops.lstm(x, *states, *params)


class GRUCell(_Cell):
    """A step of a gated recurrent unit: see `ops.gru`."""

    num_gates = 3

    def _step(self, x, states, *params):
        return ops.gru(x, *states, *params)
