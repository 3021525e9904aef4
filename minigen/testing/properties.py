"""Properties of one call of an op: values and derivatives. Each raises AssertionError if broken.

The test suite runs them over random calls of every op. Properties of memory are in `ownership`.
"""

from functools import partial

import numpy as np

from minigen.autodiff.primitives import REGISTRY
from minigen.errors import ShapeError
from minigen.tensors import Tensor
from minigen.testing.case import Call, cotangents, read_only
from minigen.testing.closeness import (
    FLOAT32,
    FLOAT64,
    FORWARD,
    GRADIENT,
    SECOND_ORDER,
    as_numpy,
    assert_close,
    relative_error,
)
from minigen.testing.memory import in_layout
from minigen.testing.numerical import complex_step_jvp, numerical_jvp
from minigen.testing.ownership import memory_is_left_alone
from minigen.testing.pullback import as_tuple, check_gradient, gradient_function, gradients

RICHARDSON = 1e-10  # limit for extrapolated differences, less accurate than a complex step


def has_derivative(call: Call) -> bool:
    """Whether all outputs are finite, so that differences of them can be taken."""
    return all(np.isfinite(y).all() for y in call.reference(*call.arrays))


# ------------------------------------------------------------------------------ values


def forward_equals_reference(call: Call) -> None:
    """Float64 on raw arrays and on tensors; float32 against the reference in float64."""
    want = call.reference(*call.arrays)
    for outputs in (call(*call.arrays), call(*map(Tensor, call.arrays))):
        assert len(outputs) == len(want), f"{len(outputs)} outputs, expected {len(want)}"
        for i, (y, r) in enumerate(zip(outputs, want)):
            assert_close(y, r, name=f"output {i}")
    small = call.in_float32()
    want = call.reference(*[x.astype(np.float64) for x in small])
    for i, (y, r) in enumerate(zip(call(*small), want)):
        same_dtype = r.dtype != FLOAT64 or call.case.sets_dtype
        expected = r if same_dtype else r.astype(np.float32)
        assert_close(y, expected, name=f"float32 output {i}")


# --------------------------------------------------------------------------- gradients


def gradient_equals_numerical_derivative(call: Call, rng: np.random.Generator) -> None:
    """The gradient against the derivative of the reference, for each argument alone."""
    gs = cotangents(call, rng)
    us = [rng.uniform(-1, 1, x.shape) for x in call.arrays]
    found = gradients(call, call.arrays, gs)
    exact = call.case.complex_step
    jvp, limit = (complex_step_jvp, GRADIENT[FLOAT64]) if exact else (numerical_jvp, RICHARDSON)
    for i, (u, g) in enumerate(zip(us, found) if has_derivative(call) else ()):
        alone = [u if j == i else np.zeros_like(u) for j, u in enumerate(us)]
        slopes = jvp(call.reference, call.arrays, alone)
        want = np.float64(sum((g * slope).sum() for g, slope in zip(gs, slopes)))
        assert_close((g * u).sum(), want, limit, f"slope along argument {i}")


def float32_gradient_equals_float64(call: Call, rng: np.random.Generator) -> None:
    """The gradient in float32 against float64, for the same float32 values."""
    gs, small = cotangents(call, rng), call.in_float32()
    gs = [g.astype(y.dtype) for g, y in zip(gs, call(*small))]
    found = gradients(call, small, gs)
    wide = [x.astype(np.float64) for x in small]
    want = gradients(call, wide, [g.astype(np.float64) for g in gs])
    for i, (g, w) in enumerate(zip(found, want)):
        assert_close(g, w.astype(np.float32), GRADIENT[FLOAT32], f"gradient {i}")


def dot_products_agree(call: Call, rng: np.random.Generator) -> None:
    """<g, J u> = <J^T g, u>, with J u from a second backward pass through the first."""
    if not has_derivative(call):
        return
    gs, xs = cotangents(call, rng), call.arrays
    us = [read_only(rng.uniform(-1, 1, x.shape)) for x in xs]
    vjp_of_call = gradient_function(call, len(xs))
    back = gradients(call, xs, gs)
    forth = gradients(vjp_of_call, [*xs, *gs], us)[len(xs) :]
    want = np.float64(sum((g * u).sum() for g, u in zip(back, us)))
    assert_close(np.float64(sum((g * s).sum() for g, s in zip(gs, forth))), want, 1e-11)


def vjp_is_linear(call: Call, rng: np.random.Generator) -> None:
    """Linear in the cotangent; exactly so for zero and for a power of two."""
    one, two = cotangents(call, rng), cotangents(call, rng)
    g1, g2 = gradients(call, call.arrays, one), gradients(call, call.arrays, two)
    mixed = [read_only(0.75 * a - 1.5 * b) for a, b in zip(one, two)]
    for i, g in enumerate(gradients(call, call.arrays, mixed)):
        assert_close(g, 0.75 * g1[i] - 1.5 * g2[i], GRADIENT[FLOAT64], f"gradient {i} of a sum")
    scaled = gradients(call, call.arrays, [read_only(8 * g) for g in one])
    nothing = gradients(call, call.arrays, [read_only(0 * g) for g in one])
    for i, g in enumerate(g1):
        assert np.array_equal(scaled[i], 8 * g), f"gradient {i}: a cotangent times 8"
        assert np.array_equal(nothing[i], 0 * g), f"gradient {i}: a zero cotangent"


def layout_makes_no_difference(call: Call, rng: np.random.Generator, layouts: list[str]) -> None:
    """Results do not depend on memory layout. Arrays and cotangents take the layouts in turn."""
    arrays = [*call.arrays, *cotangents(call, rng)]
    strided = [in_layout(x, layouts[i % len(layouts)]) for i, x in enumerate(arrays)]
    plain, num_inputs = [np.array(x, order="C") for x in strided], len(call.arrays)
    for y, want in zip(call(*strided[:num_inputs]), call(*plain[:num_inputs])):
        assert_close(y, want)
    found = gradients(call, strided[:num_inputs], strided[num_inputs:])
    for g, want in zip(found, gradients(call, plain[:num_inputs], plain[num_inputs:])):
        assert_close(g, want, GRADIENT[FLOAT64])


def broadcasting_sums_the_gradient(call: Call, rng: np.random.Generator) -> None:
    """The gradient of f(broadcast x) is the sum of the gradient over the copies of x."""
    gs = cotangents(call, rng)
    full = [np.broadcast_to(x, gs[0].shape) for x in call.arrays]
    for x, g, wide in zip(call.arrays, gradients(call, call.arrays, gs), gradients(call, full, gs)):
        lead = wide.ndim - x.ndim
        copies = [i for i in range(wide.ndim) if i < lead or x.shape[i - lead] == 1]
        want = wide.sum(tuple(copies), keepdims=True).reshape(x.shape)
        assert_close(g, want, GRADIENT[FLOAT64])


def each_output_alone(call: Call, rng: np.random.Generator) -> None:
    """An output without a cotangent gives the same gradient as one with cotangent zero."""
    gs = cotangents(call, rng)
    for i, g in enumerate(gs):
        zero_but_one = [g if j == i else np.zeros_like(other) for j, other in enumerate(gs)]
        for create_graph in (False, True):
            want = gradients(call, call.arrays, zero_but_one, create_graph)
            found = gradients(lambda *xs, i=i: call(*xs)[i], call.arrays, [g], create_graph)
            for got, expected in zip(found, want):
                assert_close(got, expected, 0.0)


# ---------------------------------------------------------------------- higher orders


def higher_orders_equal_numerical_derivative(call: Call, rng: np.random.Generator) -> None:
    """Each order against differences of the order before; a missing derivative counts as zero."""
    if not has_derivative(call):
        return
    function, xs = call, [x.copy() for x in call.arrays]
    gs = cotangents(call, rng)
    for order in range(2, call.case.order + 1):
        function, xs = gradient_function(function, len(xs)), [*xs, *gs]
        gs = check_gradient(function, xs, rng, order, SECOND_ORDER[FLOAT64], strict=True)


def hessian_is_symmetric(call: Call, rng: np.random.Generator) -> None:
    """<H u, w> = <u, H w> for the Hessian of the outputs' sum under random weights."""
    gs, xs = cotangents(call, rng), call.arrays
    us, ws = ([rng.standard_normal(x.shape) for x in xs] for _ in range(2))
    vjp_of_call = gradient_function(lambda *args: call(*args), len(xs))

    def slope(*args):
        return vjp_of_call(*args, *gs)

    hu, hw = gradients(slope, xs, us), gradients(slope, xs, ws)
    left = [np.asarray((h * w).sum()) for h, w in zip(hu, ws)]
    right = [np.asarray((h * u).sum()) for h, u in zip(hw, us)]
    assert_close(sum(left, np.float64(0)), sum(right, np.float64(0)), SECOND_ORDER[FLOAT64])


# ----------------------------------------------------------- saved values and integers


def rules_read_only_saved_values(call: Call, rng: np.random.Generator) -> None:
    """With one argument tracked alone, only what its rule declared is saved: it must be enough."""
    gs = cotangents(call, rng)
    everything = gradients(call, call.arrays, gs)
    for i, (x, want) in enumerate(zip(call.arrays, everything)):

        def alone(x, i=i):
            return call(*call.arrays[:i], x, *call.arrays[i + 1 :])

        for create_graph in (False, True):
            (found,) = gradients(alone, [x], gs, create_graph)
            assert_close(found, want, GRADIENT[FLOAT64], f"gradient {i} alone")


def integers_have_no_gradient(call: Call, rng: np.random.Generator, dtype: type = np.int64) -> None:
    """An integer argument has no gradient, and those of the others are as beside a float one."""
    for i, x in enumerate(call.arrays):
        integers = Tensor(read_only(np.trunc(x).astype(dtype)))
        floats = Tensor(integers.data.astype(np.float64))
        others = [other for j, other in enumerate(call.arrays) if j != i]

        def mixed(*xs, value=integers, i=i):
            return call(*xs[:i], value, *xs[i:])

        with np.errstate(all="ignore"):  # log(0) and the like
            try:
                outputs = mixed(*map(Tensor, others))
            except (TypeError, ShapeError):  # an op may refuse integers, or read them as classes
                continue
            assert not any(isinstance(y, Tensor) and y.requires_grad for y in outputs)
            if dtype is not bool:  # a sum of booleans is a boolean
                for y, r in zip(outputs, mixed(*others, value=floats.data)):
                    error = relative_error(y, r)
                    assert error <= GRADIENT[FLOAT32], f"argument {i} as {dtype.__name__}: {error}"
            if not others or any(y.dtype != FLOAT64 for y in outputs):
                continue
            gs = [read_only(rng.standard_normal(y.shape)) for y in outputs]
            want = gradients(partial(mixed, value=floats), others, gs)
            found = gradients(mixed, others, gs)
        for g, w in zip(found, want):  # float32 may have been used inside
            assert_close(g, w, GRADIENT[FLOAT32])


# --------------------------------------------------------------------------- fused ops


def fused_equals_its_definition(call: Call, rng: np.random.Generator) -> None:
    """Forward and gradients equal those of the definition, with and without create_graph."""
    definition = REGISTRY[call.name].definition

    def defined(*arrays):
        args, kwargs = call.with_arrays(arrays)
        return as_tuple(definition(*args, **kwargs))

    for dtype in (FLOAT64, FLOAT32):
        xs = [read_only(x.astype(dtype)) for x in call.arrays]
        outputs = [as_numpy(y) for y in call(*xs)]
        for y, want in zip(outputs, defined(*xs)):
            assert_close(y, want, 2 * FORWARD[dtype])
        gs = [read_only(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]
        want = gradients(defined, xs, gs)
        for create_graph in (False, True):
            for g, w in zip(gradients(call, xs, gs, create_graph), want):
                assert_close(g, w, GRADIENT[dtype])


def check_call(call: Call, rng: np.random.Generator) -> None:
    """The four properties that a wrong derivative breaks."""
    gradient_equals_numerical_derivative(call, rng)
    higher_orders_equal_numerical_derivative(call, rng)
    rules_read_only_saved_values(call, rng)
    memory_is_left_alone(call, rng)
