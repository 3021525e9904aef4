"""Lines of NumPy for reductions, and for elementwise ops that are not written as their forward.

Each function takes the operands of a call, its static arguments, and the shape and dtype of each
result, and returns the line.
"""

import math

import numpy as np

from minigen.autodiff.primitives import REGISTRY
from minigen.backend.dtypes import promoted
from minigen.study.programs.expressions import filled, literal
from minigen.study.programs.inlining import helper_name
from minigen.study.programs.line_parts import (
    arguments,
    astype,
    axes_of,
    axis_text,
    converted,
    is_array,
    number_of,
    one,
    sum_dtype,
    unchanged,
    with_text,
)

# --------------------------------------------------------------------------- reductions


def _settings(x, static, *more):
    """axis= and keepdims= as text, and further arguments."""
    keepdims = "keepdims=True" if static.get("keepdims") else ""
    return arguments(axis_text(static["axis"], len(x.shape)), *more, keepdims)


def reduced_size(x, axis):
    """The number of values that are reduced to one."""
    return math.prod(x.shape[i] for i in axes_of(axis, len(x.shape)))


def method_line(name):
    """The line of a reduction that is a method of arrays."""
    return lambda args, static, outputs: one(f"x.{name}({_settings(args[0], static)})", args[0])


def sum_line(args, static, outputs):
    """x.sum(axis=0)."""
    (x,) = args
    return one(f"x.sum({_settings(x, static, sum_dtype(x.dtype))})", x)


def cumsum_line(args, static, outputs):
    """x.cumsum(axis=0)."""
    (x,) = args
    axis = f"axis={static['axis']}"
    return one(f"x.cumsum({arguments(axis, sum_dtype(x.dtype))})", x)


def mean_line(args, static, outputs):
    """x.mean(axis=0), without NumPy's warning where there are no values."""
    (x,) = args
    if not reduced_size(x, static["axis"]):
        return one(f"x.sum({_settings(x, static)}) * np.nan", x)
    return one(f"x.mean({_settings(x, static)})", x)


def variance_line(name):
    """The line of var or std, NaN where NumPy would divide by 0 or less."""

    def line(args, static, outputs):
        (x,), ddof = args, static["ddof"]
        if reduced_size(x, static["axis"]) <= ddof or not reduced_size(x, static["axis"]):
            return one(f"x.sum({_settings(x, static)}) * np.nan", x)
        return one(f"x.{name}({_settings(x, static, f'ddof={literal(ddof)}' if ddof else '')})", x)

    return line


def logsumexp_line(args, static, outputs):
    """logsumexp(x, axis), which the program defines."""
    return one(f"logsumexp({arguments('x', _settings(args[0], static))})", args[0], "logsumexp")


def norm_line(args, static, outputs):
    """vector_norm(x, order, axis), which the program defines."""
    texts = "x", literal(static["ord"]), _settings(args[0], static)
    return one(f"vector_norm({arguments(*texts)})", args[0], "vector_norm")


def softmax_line(name):
    """The line of softmax or log_softmax, which the program defines."""

    def line(args, static, outputs):
        return one(f"{name}(x, axis={literal(static['axis'])})", args[0], name)

    return line


def argsort_line(args, static, outputs):
    """A stable argsort, or for a descending one a function that the program defines."""
    axis = literal(static["axis"])
    if static["descending"]:
        return one(f"argsort_descending(x, axis={axis})", args[0], "argsort_descending")
    return one(f'x.argsort(axis={axis}, kind="stable")', args[0])


def round_line(args, static, outputs):
    """np.round."""
    decimals = literal(static["decimals"]) if static["decimals"] else ""
    return one(f"np.round({arguments('x', decimals)})", args[0])


# --------------------------------------------------------------------------- elementwise


def where_line(args, static, outputs):
    """np.where; of two Python numbers, in the dtype of the result."""
    args = [args[0], *converted(args[1:], promoted, True)]
    names = dict(zip("cab", (x.text for x in args)))
    written = filled("np.where(c, a, b)", names)
    if not any(map(is_array, args[1:])) and outputs[0][1] == np.float32:
        return one("x.astype(np.float32)", with_text(written, outputs[0][0], np.float64))
    return written


def clip_line(args, static, outputs):
    """np.clip, or with one bound np.maximum or np.minimum."""
    (x,), low, high = args, static["min"], static["max"]
    if x.dtype != outputs[0][1]:
        x = astype(x, outputs[0][1])
    if low is high is None:
        return unchanged(x)
    if low is None or high is None:
        name, bound = ("minimum", high) if low is None else ("maximum", low)
        return one(f"np.{name}(x, {literal(bound)})", x)
    return one(f"np.clip(x, {literal(low)}, {literal(high)})", x)


def square_line(args, static, outputs):
    """x ** 2; for booleans np.square, whose dtype is another one."""
    return one("np.square(x)" if args[0].dtype == np.bool_ else "x ** 2", args[0])


def leaky_relu_line(args, static, outputs):
    """np.where(x > 0, x, 0.01 * x), and with x for the sign alone its VJP."""
    slope = literal(static["negative_slope"])
    slots = {"x": args[-1].text, "g": args[0].text}
    return filled(f"np.where(x > 0, g, {slope} * g)", slots)


def power_line(args, static, outputs):
    """a ** b. NumPy takes ** 0.5 for sqrt, which differs from the power at -0.0 and -inf."""
    a, b = args
    is_sure = b.shape != () if is_array(b) else number_of(b) != 0.5
    is_sure = is_sure and a.dtype != np.bool_
    return filled("a ** b" if is_sure else "np.power(a, b)", {"a": a.text, "b": b.text})


def power_derivative_line(args, static, outputs):
    """The derivative of a power: for a number b as 3 * a ** 2, else by a function."""
    (a, b), n, m = args, static["n"], static["m"]
    name = helper_name(REGISTRY["_power_derivative"].forward)
    if m or is_array(b):
        settings = arguments("a", "b", f"n={n}", f"m={m}")
        slots = {"a": a.text, "b": b.text}
        return filled(f"{name}({settings})", slots, (name,))
    exponent = number_of(b)
    factor = math.prod(exponent - i for i in range(n))
    if factor == 0 or exponent == n:
        return one(f"np.full_like(x, {literal(factor)})", a)
    if exponent - n == 1:
        text = "x"
    elif exponent - n == 0.5:
        text = "np.power(x, 0.5)"
    else:
        text = f"x ** {literal(exponent - n)}"
    return one(text if factor == 1 else f"{literal(factor)} * {text}", a)


NUMBER_LINES = {
    "sum": sum_line,
    "mean": mean_line,
    "var": variance_line("var"),
    "std": variance_line("std"),
    "max": method_line("max"),
    "min": method_line("min"),
    "any": method_line("any"),
    "all": method_line("all"),
    "argmax": method_line("argmax"),
    "argmin": method_line("argmin"),
    "cumsum": cumsum_line,
    "logsumexp": logsumexp_line,
    "_norm": norm_line,
    "softmax": softmax_line("softmax"),
    "log_softmax": softmax_line("log_softmax"),
    "argsort": argsort_line,
    "round": round_line,
    "_where": where_line,
    "_clip": clip_line,
    "leaky_relu": leaky_relu_line,
    "_leaky_relu_vjp": leaky_relu_line,
    "square": square_line,
    "power": power_line,
    "_power_derivative": power_derivative_line,
}
