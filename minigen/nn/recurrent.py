"""Recurrent layers: num_layers of them stacked, in one direction or both, over whole sequences."""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from minigen import creation, ops
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, array_module
from minigen.communication.world import current
from minigen.errors import ShapeError
from minigen.nn import init
from minigen.nn.module import Module, Parameter
from minigen.nn.utils.rnn import PackedSequence, packed_like, pad_packed_sequence
from minigen.ops.sequences import checked_lengths
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
    """Base of RNN, LSTM and GRU, which differ in `_layer` and in the numbers of gates and states.

    Parameters have PyTorch's names: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, then those
    with the suffix _l0_reverse (if bidirectional), _l1 and so on. All start uniform in
    +-1 / sqrt(hidden_size).
    """

    num_gates, num_states = 1, 1  # weight_ih is (num_gates * hidden_size, input_size)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        """input_size and hidden_size: the features D of x, and H of each state.

        num_layers: layers, each on the outputs of the one below. bias: whether there are biases.
        batch_first: x and y are (B, T, ...). dropout: its probability between layers.
        bidirectional: a second direction reads from the end, and its outputs come last. proj_size
        is left out: an nn.Linear after the layer projects its outputs. rng draws the parameters,
        and the masks of dropout; dtype and device are those of the parameters.
        """
        name = type(self).__name__
        if input_size < 0 or hidden_size < 1 or num_layers < 1:
            raise ValueError(
                f"{name}: hidden_size and num_layers must be at least 1 and input_size not "
                f"negative, got {hidden_size}, {num_layers} and {input_size}"
            )
        if proj_size:
            raise ValueError(
                f"{name}: proj_size={proj_size} is left out; project the outputs with an nn.Linear"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must be in [0, 1], got {dropout}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} does nothing: it is applied between layers, and "
                "num_layers is 1",
                UserWarning,
                stacklevel=3,
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.rng = bidirectional, rng
        for suffix, size in zip(self._suffixes(), self._input_sizes()):
            for key, parameter in first_parameters(self, size, rng, dtype, device):
                setattr(self, key + suffix, parameter)

    def _directions(self):
        """The suffixes of the directions."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _suffixes(self):
        """The suffix of each layer and direction, in the order of the states."""
        return [f"_l{i}{d}" for i in range(self.num_layers) for d in self._directions()]

    def _input_sizes(self):
        """The number of input features of each layer and direction."""
        directions = len(self._directions())
        later_layers = [directions * self.hidden_size] * (self.num_layers - 1)
        return [size for size in (self.input_size, *later_layers) for _ in range(directions)]

    def _layer(self, x, states, lengths, *params):
        """One layer in one direction: (y, *last states). params: weights, then biases if any."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: Any = None,
        lengths: Sequence[int] | Tensor | None = None,
    ) -> tuple[Any, Any]:
        """(y, state): h of the last layer after every step, and the last state of every layer.

        x (T, B, D), or (B, T, D) with batch_first, or (T, D) for one sequence; y likewise with
        num_directions * H features. state (num_layers * num_directions, B, H), without B for one
        sequence; zeros if None. The state of an LSTM is a tuple (h, c). lengths: B integers, where
        sequences are padded at their ends: y is 0 there, the other direction begins at the end of
        each sequence, and the last states are those at it. x may be packed, too; y then is as well.
        """
        packed = x if isinstance(x, PackedSequence) else None
        if packed is not None:
            if lengths is not None:
                raise ValueError(f"{type(self).__name__}: a packed sequence comes without lengths")
            x, lengths = pad_packed_sequence(packed, total_length=self._steps_of_all(packed))
        x, states, unbatched = self._checked_input(x, state, self.batch_first and packed is None)
        lengths, reverse = self._order(x, lengths, unbatched)
        last: list[list[Tensor]] = [[] for _ in states]
        directions = self._directions()
        for layer in range(self.num_layers):
            if layer:
                x = ops.dropout(x, self.dropout, self.training, self.rng, batch_axis=1)
            ys = []
            for direction in directions:
                index, suffix = len(last[0]), f"_l{layer}{direction}"
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]
                params = [getattr(self, name + suffix) for name in names]
                steps = _reversed(x, reverse) if direction else x
                y, *ends = self._layer(steps, [s[index] for s in states], lengths, *params)
                ys.append(_reversed(y, reverse) if direction else y)
                for lasts, s in zip(last, ends):
                    lasts.append(s)
            x = ys[0] if len(ys) == 1 else ops.concatenate(ys, axis=2)  # (T, B, directions H)
        # (num_layers * num_directions, B, H); stack would copy a single state
        ends = [ops.stack(e) if len(e) > 1 else ops.expand_dims(e[0], 0) for e in last]
        if packed is not None:
            x = packed_like(packed, x)
        elif unbatched:
            x, ends = x[:, 0], [s[:, 0] for s in ends]
        elif self.batch_first:
            x = ops.swapaxes(x, 0, 1)  # (B, T, directions H)
        return x, tuple(ends) if self.num_states > 1 else ends[0]

    if TYPE_CHECKING:  # y has the form of x

        @overload
        def __call__(
            self, x: Tensor, state: Any = None, lengths: Sequence[int] | Tensor | None = None
        ) -> tuple[Tensor, Any]: ...
        @overload
        def __call__(self, x: PackedSequence, state: Any = None) -> tuple[PackedSequence, Any]: ...

    def _steps_of_all(self, packed):
        """The longest length on all ranks, if they draw masks together; None for the own one."""
        if not (self.training and self.dropout) or current().shared_rows is None:
            return None
        return int(current().all_reduce(np.array(len(packed.batch_sizes)), "max"))

    def _order(self, x, lengths, unbatched):
        """lengths as a tuple, None if nothing is padded; and the index of `_reversed`."""
        if lengths is None:
            return None, None
        if unbatched:
            raise ValueError(f"{type(self).__name__}: x (T, D) is one sequence; it has no lengths")
        steps, count = x.shape[:2]
        found = checked_lengths(type(self).__name__, lengths, steps, count)
        if (found == steps).all():
            return None, None
        t = np.arange(steps)[:, None]
        order = np.where(t < found, found - 1 - t, t)  # (T, B): padding stays at the end
        xp = array_module(raw(x))
        return tuple(found.tolist()), (xp.asarray(order), xp.arange(count))

    def _checked_input(self, x, state, batch_first):
        """x as (T, B, D), the states, and whether x is one sequence (T, D).

        Each state is (num_layers * num_directions, B, H), or a list of that many (B, H).
        """
        name = type(self).__name__
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            expected = "(B, T, D)" if batch_first else "(T, B, D)"
            raise ShapeError(
                f"{name}: x must be {expected} or (T, D) with D = {self.input_size}, got {x.shape}"
            )
        if x.dtype is not self.weight_hh_l0.dtype:
            self.warn_of_dtype(x, self.weight_hh_l0)
        unbatched = x.ndim == 2
        if unbatched:
            x = ops.expand_dims(x, 1)
        elif batch_first:
            x = ops.swapaxes(x, 0, 1)  # (T, B, D)
        num_layers = self.num_layers * len(self._directions())
        shape = (num_layers, x.shape[1], self.hidden_size)
        if state is None:
            weight = self.weight_hh_l0
            zeros = creation.zeros(shape[1:], weight.dtype, weight.device)
            return x, [[zeros] * num_layers] * self.num_states, unbatched
        expected = (num_layers, self.hidden_size) if unbatched else shape
        axes = f"(num_layers * num_directions, {'' if unbatched else 'B, '}H)"
        states = checked_states(name, self.num_states, state, expected, axes)
        return x, [ops.expand_dims(s, 1) if unbatched else s for s in states], unbatched

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            text += f", {name}={value}" if value != default else ""
        return text


def first_parameters(
    module: Any, input_size: int, rng: Generator | None, dtype: Any, device: str | None
) -> Iterator[tuple[str, Parameter]]:
    """Each weight and bias of one layer, or of a cell, by name: uniform in +-1 / sqrt(H)."""
    H, rows = module.hidden_size, module.num_gates * module.hidden_size
    shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, H)}
    if module.bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    for name, shape in shapes.items():
        yield name, Parameter(init.uniform(shape, 1 / math.sqrt(H), rng, dtype, device))


def checked_states(name: str, count: int, state: Any, shape: tuple, axes: str) -> list:
    """The `count` states (h or h, c) in state; an error unless each has that shape, named axes."""
    states = state if isinstance(state, tuple | list) else (state,)
    if count == 1 and isinstance(state, tuple | list):
        raise TypeError(f"{name}: the state is one tensor h, got a {type(state).__name__}")
    if len(states) != count:
        raise TypeError(
            f"{name}: the state must be a tuple (h, c), got a {type(state).__name__}; beside h, "
            "c may be mg.zeros_like(h)"
        )
    for letter, s in zip("hc", states):
        found = getattr(s, "shape", type(s).__name__)
        if found != shape:
            raise (ShapeError if isinstance(found, tuple) else TypeError)(
                f"{name}: the initial {letter} must be {shape}, {axes}, got {found}"
            )
    return list(states)


def _reversed(x, order):
    """x (T, B, ...) from the last step to the first; order: where sequences end earlier."""
    return ops.flip(x, 0) if order is None else x[order]


class RNN(_Recurrent):
    """Simple recurrent layers (Elman 1990) with nonlinearity "tanh" or "relu": see `ops.rnn`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **settings: Any,
    ):
        """nonlinearity: "tanh" or "relu"; the other arguments, in this order, are those of LSTM."""
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, *args, **settings)
        self.nonlinearity = nonlinearity

    def _layer(self, x: Tensor, states: list, lengths: Any, *params: Array) -> tuple:
        return ops.rnn(x, *states, *params, nonlinearity=self.nonlinearity, lengths=lengths)


class LSTM(_Recurrent):
    """Long short-term memory, gates in the order i f g o, state (h, c): see `ops.lstm`."""

    num_gates, num_states = 4, 2

    def _layer(self, x: Tensor, states: list, lengths: Any, *params: Array) -> tuple:
        return ops.lstm(x, *states, *params, lengths=lengths)


class GRU(_Recurrent):
    """Gated recurrent units, gates in the order r z n: see `ops.gru`."""

    num_gates = 3

    def _layer(self, x: Tensor, states: list, lengths: Any, *params: Array) -> tuple:
        return ops.gru(x, *states, *params, lengths=lengths)
