"""Cases of the elementwise ops. Values are drawn from the domain that each op declares."""

import math
from collections.abc import Callable, Iterable

import numpy as np

from minigen.autodiff.primitives import REGISTRY
from minigen.random import Generator
from minigen.testing.case import Case, modulus, where_real
from minigen.testing.choices import GAP, Choices, away_from


def _case(
    name: str,
    reference: Callable,
    options: Callable[[Choices], dict] = lambda c: {},
    kinks: Callable[[dict], tuple] = lambda options: (),
    both_signs: bool = False,
    untied: bool = False,
    order: int = 2,
    complex_step: bool = True,
) -> Case:
    """A case from the domain of the op.

    both_signs: the domain is of |x|. untied: no two arguments have equal elements. options draws
    the keyword arguments; kinks are the points near which no value may be.
    """
    domain, count = REGISTRY[name].domain, len(REGISTRY[name].signature.arrays)

    def draw(c):
        named = options(c)
        shapes = c.broadcastable(count)
        if untied:
            return tuple(_on_grid(c, shape, i / count) for i, shape in enumerate(shapes)), named
        values = c.signed if both_signs else c.array
        return tuple(away_from(values(shape, *domain), *kinks(named)) for shape in shapes), named

    return Case(reference, draw, order, complex_step)


def cases_from_numpy(names: Iterable[str]) -> dict[str, Case]:
    """Cases of those elementwise ops whose reference is the NumPy ufunc of the same name."""
    ufuncs = {name: getattr(np, name, None) for name in names if REGISTRY[name].domain}
    return {
        name: _case(name, function, complex_step=any("D->D" in types for types in function.types))
        for name, function in ufuncs.items()
        if isinstance(function, np.ufunc)
    }


def _on_grid(c, shape, offset):
    """Values within 0.1 of an integer plus offset: never equal to those of another offset."""
    return np.asarray(c.integer_array(shape, -3, 3) + offset + c.array(shape, -0.1, 0.1))


# ---------------------------------------------------------------------------- references


def erf(x):
    """2 / sqrt(pi) exp(-x^2) (x + 2 x^3 / 3 + 4 x^5 / 15 + ...): all terms have one sign."""
    term = total = x + 0.0
    for n in range(1, 120):
        term = term * (2 * x * x / (2 * n + 1))
        total = total + term
    return 2 / math.sqrt(math.pi) * np.exp(-x * x) * total


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def leaky_relu(x, negative_slope=0.01):
    return where_real(x.real > 0, x, negative_slope * x)


def elu(x, alpha=1.0):
    return where_real(x.real > 0, x, alpha * (np.exp(x) - 1))


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + erf(x / math.sqrt(2)))


def gelu_vjp(g, x):
    slope = (1 + erf(x / math.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return g * slope


def gelu_tanh_vjp(g, x):
    s = sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))  # equals (1 + tanh(u)) / 2
    slope = math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return g * s * (1 + x * (1 - s) * slope)


def softplus(x, beta=1, threshold=20):
    return where_real(beta * x.real > threshold, x, np.log(1 + np.exp(beta * x)) / beta)


def clip(x, min=None, max=None):
    if min is not None:
        x = where_real(x.real < np.real(min), min, x)
    return x if max is None else where_real(x.real > np.real(max), max, x)


def dropout(x, p=0.5, training=True, rng=None):
    if not training or p == 0:
        return x
    kept = rng.bernoulli(1 - p, x.shape)
    return where_real(kept, x / (1 - p) if p < 1 else x, 0.0)


# --------------------------------------------------------------------------------- draws


def _draw_where(c):
    condition, a, b = c.broadcastable(3)
    return (c.mask(condition), c.array(a), c.array(b)), {}


def _draw_quotient(c):
    """a and b with a / b at a distance from the integers, where floor(a / b) jumps."""
    a, b = c.broadcastable(2)
    return (_on_grid(c, a, 0.5), c.signed(b, 0.98, 1.02)), {}


def _draw_dropout(c):
    options = {"p": c.pick((0, 0.25, 0.5, 0.9, 1)), "training": c.integer(0, 4) > 0}
    return (c.array(c.shape()),), options | {"rng": Generator(c.integer(0, 99))}


def _draw_gelu(c):
    return (c.array(c.shape()),), {"approximate": c.pick(("none", "tanh"))}


def _draw_vjp(c):
    shape = c.shape()
    return (c.array(shape), c.array(shape)), {}


def _draw_relu_vjp(c):
    shape = c.shape()
    return (c.array(shape), c.signed(shape, 0.1, 3.0)), {}


def _draw_clip(c):
    """Numbers, arrays or None as bounds, and values that are not near them."""
    shape = c.shape()
    x, named = c.array(shape), {}
    for key, numbers in (("min", (-1.5, -0.5)), ("max", (0.5, 2))):
        bound = c.pick((None, c.pick(numbers), c.array(c.narrowed(shape), *numbers)))
        if bound is not None:
            x = np.where(np.abs(x - bound) < GAP, bound + 2 * GAP, x)
        if bound is not None or c.flag():
            named[key] = bound
    return (np.asarray(x),), named


def _softplus_options(c):
    return {"beta": c.pick((1, 0.5, 2.0)), "threshold": c.pick((20, 3.0))}


ELEMENTWISE = {
    "add": _case("add", lambda a, b: a + b),
    "subtract": _case("subtract", lambda a, b: a - b),
    "multiply": _case("multiply", lambda a, b: a * b, order=3),
    "scaled": _case("scaled", lambda x, weight: x * weight),
    "divide": _case("divide", lambda a, b: a / b),
    "floor_divide": Case(lambda a, b: np.floor(a.real / b.real), _draw_quotient),
    "remainder": Case(lambda a, b: a - b * np.floor(a.real / b.real), _draw_quotient),
    "arctan2": _case("arctan2", lambda a, b: np.arctan(a / b)),
    "negative": _case("negative", lambda x: -x),
    "power": _case("power", lambda a, b: a**b),
    "square": _case("square", lambda x: x * x),
    "reciprocal": _case("reciprocal", lambda x: 1 / x),
    "sqrt": _case("sqrt", lambda x: x**0.5),
    "abs": _case("abs", modulus, both_signs=True),
    "sign": _case("sign", lambda x: where_real(x.real > 0, 1.0, -1.0), both_signs=True),
    "exp": _case("exp", np.exp, order=3),
    "expm1": _case("expm1", lambda x: np.exp(x) - 1),
    "log1p": _case("log1p", lambda x: np.log(1 + x)),
    "tanh": _case("tanh", lambda x: 1 - 2 / (np.exp(2 * x) + 1), order=3),
    "erf": _case("erf", erf),
    "where": Case(where_real, _draw_where),
    "maximum": _case("maximum", lambda a, b: where_real(a.real > b.real, a, b), untied=True),
    "minimum": _case("minimum", lambda a, b: where_real(a.real < b.real, a, b), untied=True),
    "clip": Case(clip, _draw_clip),
    "sigmoid": _case("sigmoid", sigmoid),
    "log_sigmoid": _case("log_sigmoid", lambda x: np.log(sigmoid(x))),
    "relu": _case("relu", lambda x: where_real(x.real > 0, x, 0.0), both_signs=True),
    "leaky_relu": _case(
        "leaky_relu", leaky_relu, lambda c: {"negative_slope": c.pick((0.01, 0.3))}, both_signs=True
    ),
    "elu": _case("elu", elu, lambda c: {"alpha": c.pick((1.0, 0.3))}, both_signs=True),
    "gelu": Case(gelu, _draw_gelu),
    "_relu_vjp": Case(lambda g, y: where_real(y.real > 0, g, 0.0), _draw_relu_vjp),
    "_leaky_relu_vjp": Case(
        lambda g, x, negative_slope: where_real(x.real > 0, g, g * negative_slope),
        lambda c: (_draw_relu_vjp(c)[0], {"negative_slope": c.pick((0.01, 0.3))}),
    ),
    "_gelu_vjp": Case(gelu_vjp, _draw_vjp),
    "_silu_vjp": Case(
        lambda g, x: g * sigmoid(x) * (1 + x * sigmoid(-x)),
        _draw_vjp,
    ),
    "_gelu_tanh_vjp": Case(gelu_tanh_vjp, _draw_vjp),
    "silu": _case("silu", lambda x: x * sigmoid(x)),
    "softplus": _case(
        "softplus", softplus, _softplus_options, lambda o: (o["threshold"] / o["beta"],)
    ),
    "dropout": Case(dropout, _draw_dropout),
}
ELEMENTWISE |= cases_from_numpy([name for name in REGISTRY if name not in ELEMENTWISE])
