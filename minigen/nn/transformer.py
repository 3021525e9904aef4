"""The layers of the Transformer (Vaswani et al. 2017, "Attention Is All You Need").

Shapes: B sequences of T positions (S in the memory) with d_model features. The default order of
axes is (T, B, d_model), as in PyTorch.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn.attention import MultiheadAttention
from minigen.nn.containers import ModuleList
from minigen.nn.dropout import Dropout
from minigen.nn.linear import Linear
from minigen.nn.module import Module
from minigen.nn.norm import LayerNorm
from minigen.random import Generator
from minigen.tensors import Tensor

ACTIVATIONS: dict[str, Callable] = {"relu": ops.relu, "gelu": ops.gelu}
Mask = Tensor | Array | None


class _Layer(Module):
    """The base of both layers: its sublayers are attentions and, last, two dense layers.

    Each sublayer has a residual connection, dropout and a layer norm: norm(x + dropout(f(x))) as in
    the paper ("post-norm"), or with norm_first x + dropout(f(norm(x))) ("pre-norm"), which trains
    without a warm-up of the learning rate (Xiong et al. 2020).
    """

    num_sublayers: int

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if not callable(activation) and activation not in ACTIVATIONS:
            name = type(self).__name__
            raise ValueError(f"{name}: activation must be 'relu' or 'gelu', got {activation!r}")
        self.activation, self.norm_first = activation, norm_first
        factory_kwargs = {"rng": rng, "dtype": dtype, "device": device}
        for name in ("self_attn", "multihead_attn")[: self.num_sublayers - 1]:
            arguments = (d_model, nhead, dropout, bias, batch_first)
            setattr(self, name, MultiheadAttention(*arguments, **factory_kwargs))
        self.linear1 = Linear(d_model, dim_feedforward, bias, **factory_kwargs)
        dropout_options = {"rng": rng, "batch_axis": 0 if batch_first else 1}
        self.dropout = Dropout(dropout, **dropout_options)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **factory_kwargs)
        for i in range(1, self.num_sublayers + 1):
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype, device=device)
            setattr(self, f"norm{i}", norm)
        for i in range(1, self.num_sublayers + 1):
            setattr(self, f"dropout{i}", Dropout(dropout, **dropout_options))

    def _residual(self, x: Tensor, sublayer: Callable, norm: Module, dropout: Module) -> Tensor:
        """The sublayer with its residual connection; the result has the shape of x."""
        if self.norm_first:
            return x + dropout(sublayer(norm(x)))
        return norm(x + dropout(sublayer(x)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        """Two dense layers with an activation between them, position by position."""
        activate = ACTIVATIONS.get(self.activation, self.activation)
        return self.linear2(self.dropout(activate(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention and two dense layers, each with a residual connection.

    src (T, B, d_model), or (B, T, d_model) with batch_first. For masks see MultiheadAttention.
    nhead heads of attention; dim_feedforward units between the dense layers, with activation
    "relu", "gelu" or a function; dropout in each sublayer; norm_first normalizes before each, with
    layer_norm_eps.
    """

    num_sublayers = 2

    def forward(
        self,
        src: Tensor,
        src_mask: Mask = None,
        src_key_padding_mask: Mask = None,
        is_causal: bool = False,
    ) -> Tensor:
        def self_attend(x):
            masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask}
            return self.self_attn(x, x, x, **masks, is_causal=is_causal, need_weights=False)[0]

        x = self._residual(src, self_attend, self.norm1, self.dropout1)
        return self._residual(x, self._feed_forward, self.norm2, self.dropout2)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the memory, and two dense layers, each with a residual.

    tgt (T, B, d_model); memory (S, B, d_model) is the result of the encoder. With batch_first the
    first axis is B. Arguments as of TransformerEncoderLayer; for masks see MultiheadAttention.
    """

    num_sublayers = 3

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def self_attend(x):
            masks = {"attn_mask": tgt_mask, "key_padding_mask": tgt_key_padding_mask}
            return self.self_attn(x, x, x, **masks, is_causal=tgt_is_causal, need_weights=False)[0]

        def cross_attend(x):
            masks = {"attn_mask": memory_mask, "key_padding_mask": memory_key_padding_mask}
            return self.multihead_attn(
                x, memory, memory, **masks, is_causal=memory_is_causal, need_weights=False
            )[0]

        x = self._residual(tgt, self_attend, self.norm1, self.dropout1)
        x = self._residual(x, cross_attend, self.norm2, self.dropout2)
        return self._residual(x, self._feed_forward, self.norm3, self.dropout3)


class _Stack(Module):
    """The base of both stacks: copies of a layer, one after the other, then perhaps a norm."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None = None):
        if num_layers < 1:
            name = type(self).__name__
            raise ValueError(f"{name}: num_layers must be at least 1, got {num_layers}")
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def _through(self, x, *args):
        for layer in self.layers:
            x = layer(x, *args)
        return x if self.norm is None else self.norm(x)

    def extra_repr(self) -> str:
        return ""


class TransformerEncoder(_Stack):
    """num_layers copies of encoder_layer, a TransformerEncoderLayer, then norm, if given.

    All copies start with the values of the layer. src (T, B, d_model), or (B, T, d_model) if the
    layer is batch_first; for masks see MultiheadAttention. enable_nested_tensor and mask_check are
    ignored: they only speed PyTorch up.
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ):
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self,
        src: Tensor,
        mask: Mask = None,
        src_key_padding_mask: Mask = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        return self._through(src, mask, src_key_padding_mask, bool(is_causal))


class TransformerDecoder(_Stack):
    """num_layers copies of decoder_layer, a TransformerDecoderLayer, then norm, if given.

    All copies start with the values of the layer. tgt (T, B, d_model) and memory (S, B, d_model),
    or B first if the layer is batch_first; for masks see MultiheadAttention.
    """

    def __init__(
        self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None
    ):
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self._through(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)


class SinusoidalPositionalEncoding(Module):
    """x (B, T, d_model) + pe[:T], the encoding of positions (Vaswani et al. 2017, section 3.5).

    pe[t, 2i] = sin(t / 10000^(2i / d_model)), pe[t, 2i + 1] = cos of the same; T <= max_len.
    """

    def __init__(
        self,
        d_model: int,
        max_len: int = 5000,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if d_model < 1 or max_len < 1:
            raise ValueError(
                "SinusoidalPositionalEncoding: d_model and max_len must be at least 1, "
                f"got {d_model} and {max_len}"
            )
        rate = np.exp(np.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        angle = np.arange(max_len)[:, None] * rate  # (max_len, ceil(d_model / 2))
        table = np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(max_len, -1)[:, :d_model]
        self.register_buffer("pe", creation.tensor(table, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        max_len, features = self.pe.shape
        if x.ndim < 2 or x.shape[-2] > max_len or x.shape[-1] != features:
            raise ShapeError(
                f"SinusoidalPositionalEncoding: x {x.shape} must be (B, T, {features}) "
                f"with T <= max_len = {max_len}"
            )
        return x + self.pe[: x.shape[-2]]

    def extra_repr(self) -> str:
        max_len, features = self.pe.shape
        return f"{features}, {max_len}"
