"""gradcheck at values from 1e-6 to 1e8: no false alarm, and faults of 5e-4 are rejected.

First, 53 right functions at up to 12 scales, each with values of one scale and with values of all
scales in one array. Second, wrong rules of one op at the same values, wrong by 5e-4 in all entries
or in one, at the first order or at the second.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

import minigen as mg
from minigen.testing import GradcheckError, gradcheck

SCALES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e2, 1e4, 1e6, 1e8)
MIXED = np.array([1e-6, 1.0, 1e8, -3e-3, 20.0, -1e5])
SHAPE = (3, 4)
WRONG = 1.0005


def values(scale: float, signs: bool, seed: int = 0) -> np.ndarray:
    """Values of that scale, of both signs where the domain allows."""
    rng = np.random.default_rng(seed)
    x = scale * rng.uniform(0.5, 2.0, SHAPE)
    return x * np.where(rng.random(SHAPE) < 0.5, -1.0, 1.0) if signs else x


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


W, V, B = weights(4, 4), weights(4, 2), weights(4)
CLASSES = np.array([0, 3, 1])

# name -> (function, whether negative values are in its domain, its largest scale). exp and cosh
# overflow from 710 on.
FUNCTIONS: dict[str, tuple[Callable, bool, float]] = {
    "x * x": (lambda x: x * x, True, 1e8),
    "sum of x * x": (lambda x: (x * x).sum(), True, 1e8),
    "cubic polynomial": (lambda x: 2 * x**3 - x * x + 3 * x - 1, True, 1e8),
    "x ** 2.5": (lambda x: x**2.5, False, 1e8),
    "x ** -1.5": (lambda x: x**-1.5, False, 1e8),
    "x ** x": (lambda x: x**x, False, 10.0),
    "1 / x": (lambda x: 1 / x, True, 1e8),
    "(x + 1) / (x * x + 1)": (lambda x: (x + 1) / (x * x + 1), True, 1e8),
    "sqrt": (mg.sqrt, False, 1e8),
    "sum of sqrt": (lambda x: mg.sqrt(x).sum(), False, 1e8),
    "exp": (mg.exp, True, 100.0),
    "exp(-x)": (lambda x: mg.exp(-x), True, 100.0),
    "expm1, log1p": (lambda x: mg.expm1(mg.log1p(x)), False, 1e8),
    "log": (mg.log, False, 1e8),
    "entropy": (lambda x: -(x * mg.log(x)).sum(), False, 1e8),
    "entropy of a distribution": (
        lambda x: (lambda p: -(p * mg.log(p)).sum())(x / x.sum(1, keepdims=True)),
        *(False, 1e8),
    ),
    "sin": (mg.sin, True, 1e8),
    "cos(3 x) + x": (lambda x: mg.cos(3 * x) + x, True, 1e8),
    "tanh": (mg.tanh, True, 1e8),
    "sigmoid": (mg.sigmoid, True, 1e8),
    "softplus": (mg.softplus, True, 1e8),
    "gelu": (mg.gelu, True, 1e8),
    "gelu, tanh": (lambda x: mg.gelu(x, approximate="tanh"), True, 1e8),
    "silu": (mg.silu, True, 1e8),
    "relu": (mg.relu, True, 1e8),
    "relu of rows less their mean": (
        lambda x: mg.relu(x - x.mean(1, keepdims=True)) ** 2,
        *(True, 1e8),
    ),
    "abs": (mg.abs, True, 1e8),
    "huber": (lambda x: mg.where(abs(x) < 3, x * x / 2, 3 * abs(x) - 4.5), True, 1e8),
    "softmax": (mg.softmax, True, 1e8),
    "logsumexp": (mg.logsumexp, True, 1e8),
    "log_softmax": (mg.log_softmax, True, 1e8),
    "cross-entropy": (lambda x: mg.cross_entropy(x, CLASSES), True, 1e8),
    "norm": (mg.norm, True, 1e8),
    "norm of rows, p = 3": (lambda x: mg.norm(x, 3, axis=1), True, 1e8),
    "x / norm": (lambda x: x / mg.norm(x, axis=1, keepdims=True), True, 1e8),
    "matmul": (lambda x: x @ W, True, 1e8),
    "x.T @ x": (lambda x: x.T @ x, True, 1e8),
    "layer_norm": (lambda x: mg.layer_norm(x, 4, np.ones(4), np.zeros(4)), True, 1e8),
    "var": (lambda x: mg.var(x, axis=1), True, 1e8),
    "std": (lambda x: mg.std(x, axis=1), True, 1e8),
    "cumsum and prod": (lambda x: mg.cumsum(x, axis=1) * mg.prod(x), True, 1e8),
    "prod": (lambda x: mg.prod(x, axis=1), True, 1e8),
    "max": (lambda x: mg.max(x, axis=1), True, 1e8),
    "dense net": (lambda x: mg.tanh(x @ W + B) @ V, True, 1e8),
    "relu net": (lambda x: mg.relu(x @ W + B) @ V, True, 1e8),
    "logistic loss": (lambda x: mg.softplus(-x * B).mean(), True, 1e8),
    "weights of all scales": (
        lambda x: (x * MIXED[:4]).sum() + mg.sqrt(x * x + 1).sum(),
        *(True, 1e8),
    ),
}
TWO_INPUTS = {
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a @ b.T": lambda a, b: a @ b.T,
    "hypot": lambda a, b: mg.sqrt(a * a + b * b),
    "a / (a + b)": lambda a, b: abs(a) / (abs(a) + abs(b)),
    "exp(-a * a) + b": lambda a, b: mg.exp(-(a * a)) + b,
}


def cases() -> Iterator[tuple[str, str, Callable, list]]:
    """(function, scale, f, inputs) of the right functions."""
    for name, (f, signs, largest) in FUNCTIONS.items():
        for scale in SCALES:
            if scale <= largest:
                yield name, f"{scale:g}", f, [values(scale, signs)]
        # Of a distribution, rounding hides the small values.
        if largest == 1e8 and "distribution" not in name:
            mixed = np.broadcast_to(MIXED[:4], SHAPE) * np.array([[1.0], [2.5], [0.7]])
            yield name, "mixed", f, [mixed if signs else abs(mixed)]
    for name, f in TWO_INPUTS.items():
        for i, scale in enumerate(SCALES):
            yield name, f"{scale:g}", f, [values(scale, True), values(SCALES[-1 - i], True, 1)]
            yield name, f"{scale:g}", f, [values(scale, True), values(scale, True, 1)]


def alarm(f: Callable, inputs: list, order: int = 2) -> str:
    """What gradcheck says; "" if it accepts f."""
    try:
        gradcheck(f, inputs, order=order)
    except GradcheckError as error:
        return str(error)
    return ""


# ------------------------------------------------------------------------------- wrong rules


def wrong_ops() -> dict[str, tuple[Callable, bool, float]]:
    """Ops whose rule is wrong by 5e-4: name -> (op, negative values, largest scale)."""

    def one(g):  # WRONG at one entry, 1 at all others
        mask = np.ones(g.shape)
        mask.flat[-1] = WRONG
        return mask

    everywhere = lambda g: WRONG
    ops = {}
    slopes = {
        "square": (lambda x: x * x, lambda x: 2 * x, True, 1e8),
        "cube": (lambda x: x * x * x, lambda x: 3 * x * x, True, 1e8),
        "log": (mg.log, lambda x: 1 / x, False, 1e8),
        "sqrt": (mg.sqrt, lambda x: 0.5 / mg.sqrt(x), False, 1e8),
        "sin": (mg.sin, mg.cos, True, 1e8),
        "x log x": (lambda x: x * mg.log(x), lambda x: mg.log(x) + 1, False, 1e8),
        "1 / x": (lambda x: 1 / x, lambda x: -1 / (x * x), True, 1e8),
        "exp": (mg.exp, mg.exp, True, 10.0),
        "tanh": (mg.tanh, lambda x: 1 - mg.tanh(x) ** 2, True, 1.0),
    }
    for name, (f, slope, signs, largest) in slopes.items():
        for where, factor in (("everywhere", everywhere), ("in one entry", one)):
            rule = lambda g, y, x, slope=slope, factor=factor: g * slope(x) * factor(g)
            op = mg.primitive(rule, saves="x")(_forward(f))
            ops[f"{name}, {where}"] = (op, signs, largest)
            ops[f"sum of {name}, {where}"] = (lambda x, op=op: op(x).sum(), signs, largest)
            ops[f"{name}, {where}, order 2"] = (_second(f, slope, factor), signs, largest)
    return ops


def _forward(f):
    def wrong(x):
        return f(x)

    return wrong


def _second(f, slope, factor):
    """f with the right rule, whose own derivative is wrong."""

    @mg.primitive(lambda g, y, x: g * d2(x) * factor(g), saves="x")
    def wrong_slope(x):
        return slope(x)

    def d2(x):
        leaf = mg.Tensor(getattr(x, "data", x), requires_grad=True)
        return mg.grad(slope(leaf).sum(), leaf).data

    @mg.primitive(lambda g, y, x: g * wrong_slope(x), saves="x")
    def right(x):
        return f(x)

    return right


def wrong_checks() -> Iterator[tuple[str, str, Callable, list]]:
    """(op, scale, f, inputs) of the wrong rules."""
    for name, (op, signs, largest) in wrong_ops().items():
        for scale in SCALES:
            if scale <= largest:
                yield name, f"{scale:g}", op, [values(scale, signs)]
        if largest == 1e8:
            for order in (1, -1):
                mixed = MIXED[::order]
                yield name, "mixed", op, [mixed if signs else abs(mixed)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", help="functions whose name contains this text")
    args = parser.parse_args()
    start, alarms, count = time.perf_counter(), 0, 0
    for name, scale, f, inputs in cases():
        if args.only in name:
            count += 1
            said = alarm(f, inputs)
            if said:
                alarms += 1
                print(f"FALSE ALARM {name} at {scale}: {said}")
    print(f"{alarms} false alarms in {count} checks; {time.perf_counter() - start:.0f} s")
    missed = total = 0
    for name, scale, f, inputs in wrong_checks():
        if args.only in name:
            total += 1
            if not alarm(f, inputs):
                missed += 1
                print(f"MISSED {name} at {scale}")
    print(f"{missed} of {total} wrong rules missed; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
