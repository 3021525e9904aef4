"""Tables of a model: output shape, parameters, FLOPs and bytes of each module; attention maps."""

from html import escape
from typing import Any

import numpy as np

from minigen.autodiff.grad_modes import grad_mode
from minigen.autodiff.trace import Observer, observed, outputs_of
from minigen.backend.devices import to_numpy
from minigen.nn.flops import forward_flops
from minigen.nn.modes import evaluation
from minigen.nn.module import Module


class _Work(Observer):
    """FLOPs, output bytes and output shape of each module, its submodules included."""

    def __init__(self):
        super().__init__()
        self.flops: dict[int, int] = {}
        self.bytes: dict[int, int] = {}
        self.shapes: dict[int, str] = {}

    def called(self, module, args, kwargs):
        result = super().called(module, args, kwargs)
        self.shapes[id(module)] = ", ".join(_shapes(result))
        return result

    def watched(self, op):
        def run(*args, **static):
            result = op.forward(*args, **static)
            parts = outputs_of(op, result)
            flops = forward_flops(op.name, args, parts, static)
            for module in self.modules:
                key = id(module)
                self.flops[key] = self.flops.get(key, 0) + flops
                self.bytes[key] = self.bytes.get(key, 0) + sum(part.nbytes for part in parts)
            return result

        return run


def _shapes(result: Any) -> list[str]:
    """The shapes of the tensors in a result, also in tuples, lists and dicts within it."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, tuple | list):
        return [shape for part in result for shape in _shapes(part)]
    return [str(getattr(result, "shape", "-"))]


class Summary(str):
    """The text of a table, shown as it is at a prompt, and as an HTML table in a notebook.

    rows: the head first. The first `words` columns are aligned to the left, numbers to the right.
    """

    rows: list[tuple[str, ...]]
    words: int

    def __new__(cls, rows: list[tuple[str, ...]], words: int = 2) -> "Summary":
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = []
        for row in rows:
            cells = (f"{x:{'<' if i < words else '>'}{widths[i]}}" for i, x in enumerate(row))
            lines.append("  ".join(cells).rstrip())
        text = super().__new__(cls, "\n".join(lines))
        text.rows, text.words = rows, words
        return text

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        lines = ""
        for cell, row in zip(["th"] + ["td"] * len(self.rows), self.rows):
            cells = (
                f'<{cell} style="text-align:{"left" if i < self.words else "right"}">'
                f"{escape(text)}</{cell}>"
                for i, text in enumerate(row)
            )
            lines += f"<tr>{''.join(cells)}</tr>"
        return f"<table>{lines}</table>"


def summary(model: Module, *inputs: Any) -> Summary:
    """A table as text, with a row for each module of model, measured in one call on inputs.

    The columns: output shape, number of parameters, floating-point operations, output bytes. The
    model runs in evaluation mode, so that running means and the random generator do not change.
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary(model, *inputs): model must be a module, got {model!r}")
    if not inputs or isinstance(inputs[0], tuple):
        raise TypeError(
            "summary(model, *inputs): expected tensors or arrays to call the model with, got "
            f"{inputs or 'none'}; of a shape: summary(model, mg.zeros(shape))"
        )
    with evaluation(model), grad_mode(False), observed(_Work()) as work:
        model(*inputs)
    rows = [("module", "output", "parameters", "FLOPs", "bytes")]
    for path, module in model.named_modules():
        key, class_name = id(module), type(module).__name__
        size = sum(p.size for p in module.parameters())
        numbers = (size, work.flops.get(key, 0), work.bytes.get(key, 0))
        label = f"{path} ({class_name})" if path else class_name
        rows.append((label, work.shapes.get(key, "-"), *(f"{n:,}" for n in numbers)))
    return Summary(rows)


class _Attention(Observer):
    """The weights of each call of attention, by the id of the module that called it."""

    def __init__(self):
        super().__init__()
        self.weights: dict[int, np.ndarray] = {}

    def watched(self, op):
        if op.name != "attention":
            return op.forward

        def run(*args, **static):
            y, weights = op.forward(*args, **static)  # the weights are the op's residuals
            self.weights[id(self.modules[-1])] = to_numpy(weights)
            return y, weights

        return run


def attention_maps(model: Module, *inputs: Any) -> dict[str, np.ndarray]:
    """The weights of scaled_dot_product_attention in model(*inputs), by path of the module.

    They are the arrays (..., T, S) that the op used; row t has the weight of each key for query t.
    The model runs in evaluation mode. For a module that calls attention several times, the result
    has the weights of its last call.
    """
    with evaluation(model), grad_mode(False), observed(_Attention()) as seen:
        model(*inputs)
    paths = {id(module): path for path, module in model.named_modules()}
    return {paths[key]: weights for key, weights in seen.weights.items()}
