"""Each kernel at a typical size: its time beside its NumPy reference and beside memory traffic.

    python benchmarks/kernels.py [--only NAME,NAME] [--rounds N] [--json FILE]

Float32. The floor is the time to read and write the bytes of arguments and results at the
bandwidth of a large copy. A ratio to the floor below 1 means that the arrays were in a cache.
Attention, convolution and recurrent kernels compute matrix products and are far above the floor.
Kernel, reference and copy take turns; on a shared machine only their ratios are reliable.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from measuring import known_names, new_file, seconds

from minigen import kernels, optim
from minigen.kernels import reference
from minigen.training import positive_int

COPY_SIZE = 2**24  # values of the large copy, 64 MB
WRITTEN = {  # indices of arguments that a kernel reads and writes; it only reads the others
    "scatter_rows": (0,),
    "sgd": (0,),
    "rmsprop": (0,),
    "adam": (0,),
    "adamw": (0,),
    "lstm_step": (0,),
    "lstm_step_vjp": (1,),
    "gru_step": (0,),
    "gru_step_vjp": (0,),
    "lstm_steps": (0, 2, 3),
    "lstm_steps_vjp": (0, 1),
    "gru_steps": (0, 3),
    "gru_steps_vjp": (0,),
}
RNG = np.random.default_rng(0)


# ------------------------------------- arguments, of the sizes of the nets in train_step.py


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def integers(high: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, high, shape)


def elementwise() -> dict[str, list]:
    """Outputs of a convolution, hidden units and products of a Transformer, random numbers."""
    images = normal(64, 32, 28, 28)
    hidden, of_hidden, logits, pixels = (normal(768, 512) for _ in range(4))
    return {
        "matmul": [normal(768, 128), normal(128, 512)],
        "linear": [normal(768, 128), normal(512, 128), normal(512)],
        "linear_vjp": [normal(768, 512), normal(768, 128), normal(512, 128), (True,) * 3, False],
        "sigmoid": [hidden],
        "softplus": [hidden],
        "tanh": [hidden],
        "gelu": [hidden],
        "gelu_vjp": [of_hidden, hidden],
        "silu": [hidden],
        "silu_vjp": [of_hidden, hidden],
        "gelu_tanh": [hidden],
        "gelu_tanh_vjp": [of_hidden, hidden],
        "bce_with_logits": [logits, pixels],
        "bce_with_logits_vjp": [of_hidden, logits, pixels],
        "bce_total": [logits, pixels],
        "philox": [np.empty(2**20, np.uint32), 0, 0],
        "uniform": [np.empty(2**20, np.float32), 0, 0],
        "bernoulli": [np.empty(2**20, np.bool_), 0.5, 0, 0],
        "erf": [normal(768, 512)],
        "relu": [images],
        "relu_vjp": [normal(*images.shape), np.maximum(images, 0)],
        "leaky_relu": [images, 0.2],
        "leaky_relu_vjp": [normal(*images.shape), images, 0.2],
        "select": [images > 0, images, 0.2],
    }


def updates() -> dict[str, list]:
    """Optimizer steps of two weight matrices and a bias."""
    sizes = (784, 400), (400,), (400, 400)
    rows = [(normal(*n), normal(*n), np.square(normal(*n)), normal(*n)) for n in sizes]
    adam = [(p, g, m, v, None) for p, g, v, m in rows]
    return {
        "sgd": [[row[:3] for row in rows], np.array([1e-3, 0.9, 0.0, 0.0, 0.0])],
        "rmsprop": [[(*row, None) for row in rows], np.array([1e-3, 0.99, 1e-8, 0.0, 0.9])],
        "adam": [adam, np.array([1e-3, 0.9, 0.999, 1e-8, 0.0, 9])],
        "adamw": [adam, np.array([1e-3, 0.9, 0.999, 1e-8, 0.01, 9])],
    }


FORMULAS = {"sgd": optim.SGD, "rmsprop": optim.RMSprop, "adam": optim.Adam, "adamw": optim.AdamW}


def by_formula(optimizer: type, rows: list, settings: np.ndarray) -> None:
    """The reference of an optimizer kernel: the formula of its class for each parameter."""
    for row in rows:
        optimizer.formula(*row, *settings.tolist())


def rows() -> dict[str, list]:
    """12 x 64 tokens of width 128, their attention scores and their logits."""
    x, g, weight, bias = normal(768, 128), normal(768, 128), normal(128), normal(128)
    scores, logits, ids = normal(48, 64, 64), normal(768, 65), integers(65, 768)
    y = reference.softmax(scores, -1)
    _, *moments = reference.layer_norm(x, weight, bias, 1e-5)
    _, lse = reference.cross_entropy(logits, ids, 0.0)
    return {
        "sum_over": [normal(768, 512), (0,)],
        "scatter_rows": [normal(65, 128), ids, x],
        "softmax": [scores, -1],
        "softmax_vjp": [normal(*y.shape), y, -1],
        "log_softmax": [scores, -1],
        "log_softmax_vjp": [normal(*y.shape), np.log(y), -1],
        "layer_norm": [x, weight, bias, 1e-5],
        "layer_norm_vjp": [g, x, weight, *moments],
        "cross_entropy": [logits, ids, 0.0],
        "cross_entropy_vjp": [normal(768), logits, ids, lse, 0.0],
    }


def channels() -> dict[str, list]:
    """Batch norm of 64 images with 32 channels of 14 x 14."""
    x, g, weight, bias = normal(64, 32, 196), normal(64, 32, 196), normal(32), normal(32)
    _, mean, _, rstd = reference.batch_norm(x, weight, bias, 1e-5)
    return {
        "batch_norm": [x, weight, bias, 1e-5],
        "batch_norm_vjp": [g, x, weight, mean, rstd],
    }


def windows() -> dict[str, list]:
    """Convolution by 3x3 filters with padding 1; 2x2 pooling."""
    x, y, w, bias = normal(64, 32, 14, 14), normal(64, 64, 14, 14), normal(64, 32, 3, 3), normal(64)
    settings = (1, 1), (1, 1), (1, 1), 1  # stride, padding, dilation, groups
    images, pooled = normal(64, 32, 28, 28), normal(64, 32, 14, 14)
    indices = reference.max_indices(images, (2, 2), (2, 2), (0, 0)).reshape(-1, 196)
    return {
        "convolve": [x, w, bias, *settings],
        "convolve_transpose": [y, w, None, (14, 14), *settings],
        "convolve_weight": [y, x, (3, 3), *settings],
        "sum_windows": [images, (2, 2), (2, 2)],
        "sum_windows_vjp": [pooled, (2, 2), (2, 2), (28, 28)],
        "max_indices": [images, (2, 2), (2, 2), (0, 0)],
        "take_along_rows": [images.reshape(-1, 784), indices],
        "scatter_along_rows": [pooled.reshape(-1, 196), indices, 784],
    }


def recurrent() -> dict[str, list]:
    """One step and 28 steps of an LSTM and a GRU: 64 sequences, 128 units."""
    gates = lambda n: normal(64, n * 128)
    state = lambda: normal(64, 128)
    steps = lambda n: 0.1 * normal(28, 64, n * 128)
    states, lstm, gru = normal(29, 64, 128), 0.1 * normal(512, 128), 0.1 * normal(384, 128)
    return {
        "lstm_steps": [steps(4), lstm.T, states, states.copy(), steps(1)],
        "lstm_steps_vjp": [state(), state(), None, steps(4), states, steps(1), lstm, steps(4)],
        "gru_steps": [steps(3), gru.T, None, states, steps(1)],
        "gru_steps_vjp": [state(), None, steps(3), states, steps(1), gru, steps(3), steps(3)],
        "lstm_step": [gates(4), gates(4), state(), state(), state(), state()],
        "lstm_step_vjp": [state(), state(), np.tanh(gates(4)), state(), np.tanh(state()), gates(4)],
        "gru_step": [gates(3), gates(3), state(), state(), state()],
        "gru_step_vjp": [state(), np.tanh(gates(3)), state(), state(), gates(3), gates(3)],
    }


def attention() -> dict[str, list]:
    """Causal attention of a batch of 12, with 4 heads, 64 tokens and 32 features."""
    q, k, v, g = (normal(12, 4, 64, 32) for _ in range(4))
    _, p = reference.dot_attention(q, k, v, None, None, True, 32**-0.5, 0.0)
    return {
        "dot_attention": [q, k, v, None, None, True, 32**-0.5, 0.0],
        "dot_attention_vjp": [g, q, k, v, p, None, True, 32**-0.5, 0.0],
    }


GROUPS = (elementwise, updates, rows, channels, windows, recurrent, attention)


# --------------------------------------------------------------------------- measurements


def arrays_of(x: Any) -> list[np.ndarray]:
    """The arrays in an argument or a result, which may be a nest of lists and tuples."""
    if isinstance(x, list | tuple):
        return [y for part in x for y in arrays_of(part)]
    return [x] if isinstance(x, np.ndarray) else []


def once(kernel: Callable, args: list, written: tuple[int, ...]) -> float:
    """The time of a second call, with warm caches. Each call gets copies of the written args."""
    for _ in range(2):
        call = partial(kernel, *(deepcopy(x) if i in written else x for i, x in enumerate(args)))
        found = seconds(call, 1)
    return found


def moved_bytes(kernel: Callable, args: list, written: tuple[int, ...]) -> int:
    """The bytes that a call reads and writes; written arguments count twice, new results once."""
    results = arrays_of(kernel(*args))
    arrays = [y for x in args for y in arrays_of(x)]
    arguments = {id(x) for x in arrays}
    arrays += [y for i in written for y in arrays_of(args[i])]
    return sum(x.nbytes for x in arrays + [x for x in results if id(x) not in arguments])


def measured(name: str, args: list, source: np.ndarray, rounds: int) -> dict:
    """A row of the table."""
    kernel = getattr(kernels, name)
    plain = getattr(reference, name, None) or partial(by_formula, FORMULAS[name])
    written, target, times = WRITTEN.get(name, ()), np.empty_like(source), []
    moved = moved_bytes(kernel, args, written)
    for _ in range(rounds):
        per_byte = seconds(lambda: np.copyto(target, source), 1) / (2 * source.nbytes)
        floor = per_byte * moved
        times.append((once(kernel, args, written), once(plain, args, written), floor))
    return {
        "name": name,
        "shape": max((y.shape for x in args for y in arrays_of(x)), key=np.prod),
        "bytes": moved,
        "seconds": min(ours for ours, _, _ in times),
        "reference": min(theirs for _, theirs, _ in times),
        "to reference": statistics.median(ours / theirs for ours, theirs, _ in times),
        "to floor": statistics.median(ours / floor for ours, _, floor in times),
    }


def main() -> None:
    arguments = {name: args for group in GROUPS for name, args in group().items()}
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    only = {"type": known_names(arguments), "default": [*arguments], "metavar": "NAME,NAME"}
    parser.add_argument("--only", **only, help=", ".join(arguments))
    parser.add_argument("--rounds", type=positive_int, default=31, help="calls of each; default 31")
    parser.add_argument("--json", type=new_file, help="write the rows to this file too")
    args = parser.parse_args()
    source, found = normal(COPY_SIZE), []
    print(f"{'':<18}{'largest array':<22}{'us':>10}{'NumPy us':>10}{'ratio':>8}{'/ floor':>9}")
    for name in args.only:
        row = measured(name, arguments[name], source, args.rounds)
        found.append(row)
        times = f"{1e6 * row['seconds']:>10.0f}{1e6 * row['reference']:>10.0f}"
        ratios = f"{row['to reference']:>8.2f}{row['to floor']:>9.2f}"
        print(f"{name:<18}{row['shape']!s:<22}{times}{ratios}", flush=True)
    if args.json:
        json.dump(found, args.json, indent=1)


if __name__ == "__main__":
    main()
