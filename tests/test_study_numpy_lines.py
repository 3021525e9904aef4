"""Lines of NumPy for ops: each op has one, and it computes what the op computes."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minigen as mg
from minigen.autodiff.graph import Traced
from minigen.autodiff.primitives import REGISTRY, Primitive, primitive
from minigen.autodiff.trace import Observer, observed, outputs_of
from minigen.study.programs.expressions import filled, literal
from minigen.study.programs.inlining import helper_name, inlined
from minigen.study.programs.numpy_lines import HELPERS, LINES, numpy_line
from minigen.study.programs.operands import Operand
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices

PRIMITIVES = {name: op for name, op in REGISTRY.items() if type(op) is Primitive}


class Calls(Observer):
    """Keeps the calls of primitives: (op, args, static, outputs)."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward_of(self, op, arrays, parents):
        def run(*args, **static):
            result = op.forward(*args, **static)
            if type(op) is Primitive:
                self.calls.append((op, arrays, static, outputs_of(op, result)))
            return result

        return run


class Names:
    """Arrays as operands with the names x0, x1, ..."""

    def __init__(self):
        self.arrays = {}

    def operand(self, x):
        if not isinstance(x, np.ndarray | np.generic):
            return Operand(literal(x), (), None)
        name = f"x{len(self.arrays)}"
        self.arrays[name] = x
        return Operand(name, x.shape, x.dtype)

    def static(self, x):
        if isinstance(x, tuple | list):
            return type(x)(map(self.static, x))
        return self.operand(x) if isinstance(x, np.ndarray) else x


def run_line(op, args, static, outputs):
    """The results of the line for a call of op, as a list, and its text."""
    names = Names()
    operands = [names.operand(x) for x in args]
    shapes = [(np.shape(y), y.dtype) for y in outputs]
    fixed = {k: names.static(x) for k, x in static.items()}
    written = numpy_line(op, operands, fixed, shapes)
    space = {"np": np, "math": math, **names.arrays}
    for helper in written.helpers:
        assert "minigen" not in HELPERS[helper] and "kernels" not in HELPERS[helper]
        exec(HELPERS[helper], space)
    with np.errstate(all="ignore"):
        result = eval(written.text, space)
    return list(result) if len(outputs) > 1 or type(result) is list else [result], written


def check_call(op, args, static, outputs):
    found, written = run_line(op, args, static, outputs)
    assert "minigen" not in written.text and "kernels" not in written.text
    assert len(found) == len(outputs)
    for y, expected in zip(found, outputs):
        about = f"{op.name}: {written.text}"
        assert y.shape == expected.shape and y.dtype == expected.dtype, about
        rtol = 1e-12 if y.dtype == np.float64 else 2e-5
        np.testing.assert_allclose(y, expected, rtol, rtol, err_msg=about)


def observed_calls(name, seed, dtype=np.float64):
    """The calls of primitives in a call of an op and in its first and second derivatives."""
    call = draw_call(name, Choices(seed))
    observer = Calls()
    with observed(observer), np.errstate(all="ignore"):
        leaves = [mg.tensor(x, dtype, requires_grad=True) for x in call.arrays]
        args, kwargs = call.with_arrays(leaves)
        inputs = _tensors((args, list(kwargs.values())))
        outputs = call.op.function(*args, **kwargs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = [y for y in outputs if isinstance(y, Traced) and y.requires_grad]
        if inputs and outputs:
            rng = np.random.default_rng(seed)
            roots = [mg.tensor(rng.standard_normal(y.shape), dtype=y.dtype) for y in outputs]
            options = {"create_graph": True, "allow_unused": True}
            first = mg.grad(outputs, inputs, roots, **options)
            first = [g for g in first if g is not None and g.requires_grad]
            if first:
                roots = [mg.tensor(rng.standard_normal(y.shape), dtype=y.dtype) for y in first]
                mg.grad(first, inputs, roots, **options)
    return observer.calls


def _tensors(tree):
    if isinstance(tree, list | tuple):
        return [x for part in tree for x in _tensors(part)]
    return [tree] if isinstance(tree, mg.Tensor) else []


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_op_has_a_line(name):
    op = PRIMITIVES[name]
    if op not in LINES:  # then its line is its forward
        assert inlined(op.forward) or HELPERS[helper_name(op.forward)]


@pytest.mark.parametrize("name", CASES)
def test_lines_compute_what_the_ops_compute(name):
    for seed in range(3):
        for call in observed_calls(name, seed):
            check_call(*call)


@pytest.mark.parametrize("name", CASES)
def test_lines_keep_float32(name):
    for call in observed_calls(name, 1, np.float32):
        check_call(*call)


STATIC = {"p": 0.5, "signed": True, "delta": 1.0, "n": 1, "m": 1, "min": -1.0, "max": 1.0}
EXTREMES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 30.0, -800.0, np.inf, -np.inf, np.nan])
SIMPLE = [
    name
    for name, op in PRIMITIVES.items()
    if not op.signature.variadic
    and STATIC.keys() | op.signature.defaults >= set(op.signature.statics)
]


def check_with(op, args):
    """Check the line for a call of op with default static arguments, unless the op refuses it."""
    static = {k: x for k, x in STATIC.items() if k in op.signature.statics}
    static = op.signature.static_defaults | static
    try:
        with np.errstate(all="ignore"):
            outputs = outputs_of(op, op.forward(*op.prepare(args), **static))
    except (ValueError, TypeError, IndexError, AttributeError):
        return False
    check_call(op, args, static, outputs)
    return True


@pytest.mark.parametrize("name", [name for name in SIMPLE if PRIMITIVES[name].domain])
def test_lines_of_elementwise_ops_are_right_at_extreme_values(name):
    op, rng = PRIMITIVES[name], np.random.default_rng(0)
    for _ in range(4):
        args = [rng.permutation(EXTREMES) for _ in op.signature.arrays]
        rest = args[1:]
        assert check_with(op, args)
        assert check_with(op, [np.asarray(x[0]) for x in args])
        for number in (2.0, 0.5, -1, 0, np.asarray(0.5)):
            check_with(op, [args[0], *(number for _ in rest)])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_lines_promote_integers_as_the_ops_do(dtype):
    x, checked = np.arange(1, 10).reshape(3, 3).astype(dtype), 0
    for name in SIMPLE:
        op, n = PRIMITIVES[name], len(PRIMITIVES[name].signature.arrays)
        for first in (x, x[0, 0], x.astype(np.float32)):
            checked += check_with(op, [first] * n)
            for other in (x, 2, 2.0) if n > 1 else ():
                checked += check_with(op, [first, *[other] * (n - 1)])
                checked += check_with(op, [*[other] * (n - 1), first])
    assert checked > 300


BINARY = {name: {} for name in ("add", "subtract", "multiply", "divide", "_matmul", "maximum")}
BINARY |= {
    name: {} for name in ("lt", "eq", "remainder", "bitwise_and", "bitwise_or", "bitwise_xor")
}
UNARY = {"negative": {}, "square": {}, "exp": {}, "sum": {"axis": 0, "keepdims": True}}
UNARY |= {"transpose": {"axes": None}, "_getitem": {"index": slice(None, None, -1)}, "relu": {}}
UNARY |= {"reciprocal": {}, "bitwise_not": {}, "_clip": {"min": -1.0, "max": 1.0}}
LEAVES = {
    "a": np.array([[1.5, -0.5], [0.25, 2.0]]),
    "b": np.array([[3, 1], [2, 5]]),
    "c": np.array([[True, False], [False, True]]),
    "-1.5": -1.5,
}


@st.composite
def nests(draw, depth=4):
    """A random nest of calls: its value, and its line with the lines of arguments inside."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        name = draw(st.sampled_from(sorted(LEAVES)))
        x = LEAVES[name]
        return x, Operand(name, np.shape(x), getattr(x, "dtype", None))
    name = draw(st.sampled_from([*UNARY, *BINARY]))
    op, static = PRIMITIVES[name], {**UNARY, **BINARY}[name]
    pairs = [draw(nests(depth - 1)) for _ in op.signature.arrays]
    assume(isinstance(pairs[0][0], np.ndarray))
    try:
        with np.errstate(all="ignore"):
            y = np.asarray(op.forward(*op.prepare([x for x, _ in pairs]), **static))
    except (TypeError, ValueError, AttributeError):
        return pairs[0]
    written = numpy_line(op, [x for _, x in pairs], static, [(y.shape, y.dtype)])
    return y, Operand(written.text, y.shape, y.dtype)


@settings(max_examples=60, deadline=None)
@given(nests())
def test_a_nest_of_lines_computes_what_a_nest_of_ops_computes(nest):
    (expected, operand), space = nest, {"np": np, "math": math, **LEAVES}
    with np.errstate(all="ignore"):
        found = eval(operand.text, space)
        product = eval(filled("x * 2", {"x": operand.text}).text, space)
        doubled = 2 * np.asarray(expected)
    np.testing.assert_allclose(found, expected, 1e-9, err_msg=operand.text)
    np.testing.assert_allclose(product, doubled, 1e-9)


@pytest.mark.parametrize(
    "name, args, static, text",
    [
        ("_matmul", ["x", "w.T - 1"], {}, "x @ (w.T - 1)"),
        ("multiply", ["-g", "1 - y * y"], {}, "-g * (1 - y * y)"),
        ("sum", ["a + b"], {"axis": 0, "keepdims": False}, "(a + b).sum(axis=0)"),
        ("sum_to", ["g"], {"shape": (4,)}, "g.sum(axis=0)"),
        ("reshape", ["x"], {"shape": (3, 4, 1)}, "x[..., None]"),
        ("reshape", ["x"], {"shape": (2, 6)}, "x.reshape(2, 6)"),
        ("reshape", ["x"], {"shape": (12,)}, "x.reshape(-1)"),
        ("transpose", ["x"], {"axes": (1, 0)}, "x.T"),
        ("_getitem", ["x"], {"index": (slice(1, None), None)}, "x[1:, None]"),
        ("crop", ["x"], {"pad_width": ((1, 0), (0, 2))}, "x[1:, :-2]"),
        ("relu", ["x"], {}, "np.maximum(x, 0)"),
        ("_relu_vjp", ["g", "y"], {}, "np.where(y <= 0, 0.0, g)"),
        ("_power_derivative", ["x", "3"], {"n": 1, "m": 0}, "3 * x ** 2"),
        ("_einsum", ["a", "b"], {"terms": ("ij", "ij"), "out": "i"}, 'np.einsum("ij,ij->i", a, b)'),
        ("softmax", ["x"], {"axis": -1}, "softmax(x, axis=-1)"),
    ],
)
def test_a_line_is_what_a_person_would_write(name, args, static, text):
    number = Operand("3", (), None)
    operands = [number if x == "3" else Operand(x, (3, 4), np.dtype(float)) for x in args]
    shape = static.get("shape", (3, 4))
    assert numpy_line(PRIMITIVES[name], operands, static, [(shape, np.dtype(float))]).text == text


HALF = 0.5


def doubled(x):
    """Twice x."""
    return x + x


def my_own_op(x):
    """A function of a user's."""
    y = doubled(x) * HALF
    return np.cos(y) ** 2


def test_an_op_of_the_users_is_a_function_of_the_program():
    op = primitive(lambda g, y, x: g * 2 * HALF)(my_own_op).op
    x = np.linspace(-1, 1, 5)
    found, written = run_line(op, [x], {}, [x])
    np.testing.assert_allclose(found[0], my_own_op(x), 1e-15)
    assert written.text == "my_own_op(x0)" and written.helpers == ("doubled", "my_own_op")


def test_an_op_that_is_not_numpy_has_no_line():
    @primitive(lambda g, y, x: g)
    def through_json(x):
        return np.asarray(json.loads(json.dumps(x.tolist())))

    with pytest.raises(TypeError, match="imports numpy and math alone, and not json"):
        run_line(through_json.op, [np.ones(2)], {}, [np.ones(2)])
    del REGISTRY["through_json"]


def test_literals_read_as_their_values():
    values = (1, -2.5, True, None, math.inf, -math.inf, (3,), (1, 2), [4, 5], "mean", np.int64(3))
    for x in values:
        assert eval(literal(x), {"np": np}) == x
    assert math.isnan(eval(literal(math.nan), {"np": np}))
    assert eval(literal(np.dtype(bool)), {"np": np}) is bool
    with pytest.raises(TypeError, match="no text for a setting of type set"):
        literal({1})
