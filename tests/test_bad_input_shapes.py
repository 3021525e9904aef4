"""Shapes that do not fit: a ShapeError that names the op, every shape and the axis.

Each row is tried with tensors and, as ops take both, with raw arrays.
"""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import ShapeError

AXIS_OPS = (
    *("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "norm", "argmax", "argmin"),
    *("any", "all", "cumsum", "softmax", "log_softmax", "sort", "flip", "squeeze", "expand_dims"),
)
TUPLE_OPS = AXIS_OPS[:9] + ("any", "all", "flip", "squeeze", "expand_dims")
BROADCASTING = ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum")
LOSSES = (
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy"),
    *("binary_cross_entropy_with_logits", "kl_div", "gaussian_kl"),
)


def z(*shape):
    return np.full(shape, 0.5)


def i(*shape):
    return np.zeros(shape, int)


def row(op, call, *says):
    return pytest.param(op, call, says, id=f"{op} {call.__code__.co_firstlineno}")


def refused(op, call, says):
    """call(f, ops' module) raises a ShapeError that begins with op and holds each of says."""
    for form in (np.asarray, mg.Tensor):
        with pytest.raises(ShapeError) as caught:
            call(form)
        message = str(caught.value)
        assert message.startswith(op), message
        for part in says:
            assert part in message, message


@pytest.mark.parametrize("op", BROADCASTING)
def test_elementwise_ops_name_themselves_the_shapes_and_the_axis(op):
    f = getattr(mg, op)
    refused(op, lambda t: f(t(z(2, 3)), t(z(4, 3))), ("(2, 3)", "(4, 3)", "axis -2"))
    refused(op, lambda t: f(t(z(3)), t(z(2))), ("(3,)", "(2,)", "axis -1"))
    refused(op, lambda t: f(z(0), t(z(2))), ("(0,)", "(2,)", "axis -1"))


OPERATORS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "matmul": lambda a, b: a @ b,
}


@pytest.mark.parametrize("op", OPERATORS)
def test_operators_name_their_op_and_the_shapes_with_arrays_on_either_side(op):
    pairs = [(mg.Tensor(z(2, 3)), z(4, 5)), (z(2, 3), mg.Tensor(z(4, 5)))]
    for a, b in pairs:
        with pytest.raises(ShapeError, match=f"^{op}: shapes") as caught:
            OPERATORS[op](a, b)
        assert "(2, 3)" in str(caught.value)
        assert "(4, 5)" in str(caught.value)


@pytest.mark.parametrize("compare", ["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_comparisons_of_shapes_that_do_not_fit_raise_shape_error(compare):
    with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
        getattr(mg.ones(2), compare)(mg.ones(3))


@pytest.mark.parametrize("op", AXIS_OPS)
@pytest.mark.parametrize("axis", [5, -6])
def test_an_axis_that_does_not_exist_is_named_with_op_and_shape(op, axis):
    f = getattr(mg, op)
    refused(op, lambda t: f(t(z(2, 3)), axis=axis), (str(axis), "(2, 3)"))


@pytest.mark.parametrize("op", TUPLE_OPS)
def test_an_axis_named_twice_is_refused_with_op_and_shape(op):
    f = getattr(mg, op)
    refused(op, lambda t: f(t(z(1, 1)), axis=(0, 0)), ("(0, 0)", "(1, 1)"))


@pytest.mark.parametrize("op", LOSSES)
def test_losses_do_not_broadcast_and_name_both_shapes(op):
    f = getattr(mg, op)
    refused(op, lambda t: f(t(z(2, 3)), t(z(2, 1))), ("(2, 3)", "(2, 1)", "broadcast"))


@pytest.mark.parametrize("op", ["cross_entropy", "nll_loss"])
def test_class_losses_say_which_shape_the_target_must_have(op):
    f = getattr(mg, op)
    refused(op, lambda t: f(t(z(2, 3)), i(3)), ("(2, 3)", "axis 1", "(2,)", "(3,)"))
    refused(op, lambda t: f(t(z(2, 3, 4)), i(2, 3)), ("(2, 3, 4)", "(2, 4)", "(2, 3)"))
    refused(op, lambda t: f(t(z()), i()), ("()",))


ROWS = [
    row("where", lambda t: mg.where(t(z(2)) > 0, t(z(3)), t(z(3))), "(2,)", "(3,)", "axis -1"),
    row("matmul", lambda t: mg.matmul(t(z(2, 3)), t(z(4, 2))), "(2, 3)", "(4, 2)", "axis -1"),
    row("matmul", lambda t: mg.matmul(t(z(3)), t(z(4))), "(3,)", "(4,)"),
    row("matmul", lambda t: mg.matmul(t(z()), t(z(4))), "()", "(4,)"),
    row("matmul", lambda t: mg.matmul(t(z(2, 3, 4)), t(z(3, 4, 5))), "(2, 3, 4)", "(3, 4, 5)"),
    row("linear", lambda t: mg.linear(t(z(2, 3)), t(z(4, 5))), "(2, 3)", "(4, 5)"),
    row("linear", lambda t: mg.linear(t(z(2, 3)), t(z(4, 3)), t(z(3))), "(3,)", "(4,)"),
    row("linear", lambda t: mg.linear(t(z()), t(z(4, 3))), "()", "(4, 3)"),
    row("linear", lambda t: mg.linear(t(z(3)), t(z(3))), "(3,)", "(out, in)"),
    row("einsum", lambda t: mg.einsum("ij,jk", t(z(2, 3)), t(z(4, 5))), "(2, 3)", "(4, 5)", "'j'"),
    row("einsum", lambda t: mg.einsum("ij,jk", t(z(2, 3))), "2 operands", "1"),
    row("einsum", lambda t: mg.einsum("ijk->i", t(z(2, 2))), "'ijk'", "(2, 2)"),
    row("einsum", lambda t: mg.einsum("ij->ik", t(z(2, 2))), "'ij->ik'"),
    row("einsum", lambda t: mg.einsum("i->ii", t(z(2))), "'i->ii'"),
    row("einsum", lambda t: mg.einsum("i2->i", t(z(2))), "'i2->i'"),
    row("einsum", lambda t: mg.einsum("...i,...i", t(z(2, 3)), t(z(4, 3))), "(2, 3)", "(4, 3)"),
    row("tensordot", lambda t: mg.tensordot(t(z(2, 3)), t(z(2, 3)), 1), "(2, 3)"),
    row("tensordot", lambda t: mg.tensordot(t(z(2, 3)), t(z(2, 3)), ([0], [5])), "5", "(2, 3)"),
    row("tensordot", lambda t: mg.tensordot(t(z(2)), t(z(2)), 3), "(2,)"),
    row("concatenate", lambda t: mg.concatenate([t(z(2, 3)), t(z(2, 4))]), "(2, 3)", "(2, 4)"),
    row("concatenate", lambda t: mg.concatenate([t(z(2, 3)), t(z(2))]), "(2, 3)", "(2,)"),
    row("concatenate", lambda t: mg.concatenate([t(z(2))], 3), "axis 3", "(2,)"),
    row("concatenate", lambda t: mg.concatenate([t(z()), t(z())]), "axis 0", "()"),
    row("concatenate", lambda t: mg.concatenate([]), "at least one"),
    row("stack", lambda t: mg.stack([t(z(2)), t(z(3))]), "(2,)", "(3,)"),
    row("stack", lambda t: mg.stack([t(z(2))], 5), "axis 5", "(2,)"),
    row("stack", lambda t: mg.stack([]), "at least one"),
    row("split", lambda t: mg.split(t(z(5)), 2), "axis 0", "5", "2"),
    row("split", lambda t: mg.split(t(z(5)), 0), "axis 0", "0"),
    row("split", lambda t: mg.split(t(z(5)), 1, 3), "axis 3", "(5,)"),
    row("reshape", lambda t: mg.reshape(t(z(2, 3)), (4, 2)), "(2, 3)", "(4, 2)", "6"),
    row("reshape", lambda t: mg.reshape(t(z(2, 3)), (-1, -1)), "(2, 3)", "(-1, -1)"),
    row("transpose", lambda t: mg.transpose(t(z(2, 3)), (0, 0)), "(0, 0)", "(2, 3)"),
    row("transpose", lambda t: mg.transpose(t(z(2, 3)), (0, 1, 2)), "(0, 1, 2)", "(2, 3)"),
    row("transpose", lambda t: mg.transpose(t(z(2, 3)), (0, 5)), "(0, 5)", "(2, 3)"),
    row("swapaxes", lambda t: mg.swapaxes(t(z(2, 3)), 0, 2), "axis 2", "(2, 3)"),
    row("moveaxis", lambda t: mg.moveaxis(t(z(2, 3)), 0, 2), "axis 2", "(2, 3)"),
    row("moveaxis", lambda t: mg.moveaxis(t(z(2, 3)), (0, 1), 0), "2", "1"),
    row("squeeze", lambda t: mg.squeeze(t(z(2, 3)), 0), "axis 0", "(2, 3)"),
    row("broadcast_to", lambda t: mg.broadcast_to(t(z(2)), (3,)), "(2,)", "(3,)"),
    row("broadcast_to", lambda t: mg.broadcast_to(t(z()), (-1,)), "()", "(-1,)"),
    row("broadcast_to", lambda t: mg.broadcast_to(t(z(2, 2)), (2,)), "(2, 2)", "(2,)"),
    row("pad", lambda t: mg.pad(t(z(2)), -1), "-1"),
    row("pad", lambda t: mg.pad(t(z(2)), 1.5), "1.5"),
    row("pad", lambda t: mg.pad(t(z(2)), ((1, 1), (1, 1))), "(2,)", "((1, 1), (1, 1))"),
    row("crop", lambda t: mg.crop(t(z(2)), ((3, 0),)), "(2,)", "((3, 0),)"),
    row("crop", lambda t: mg.crop(t(z(2)), ((0, 0), (0, 0))), "(2,)"),
    row("roll", lambda t: mg.roll(t(z(2, 3)), 1, 4), "4", "(2, 3)"),
    row("roll", lambda t: mg.roll(t(z(2, 3)), (1, 1, 1), (0, 1)), "3", "2"),
    row("repeat", lambda t: mg.repeat(t(z(2, 3)), [1, 2, 3], 0), "[1, 2, 3]", "2"),
    row("repeat", lambda t: mg.repeat(t(z(2)), -1), "-1"),
    row("repeat", lambda t: mg.repeat(t(z(2)), 1, 3), "axis 3", "(2,)"),
    row("tile", lambda t: mg.tile(t(z(2)), -1), "-1"),
    row("tril", lambda t: mg.tril(t(z(2))), "(2,)"),
    row("triu", lambda t: mg.triu(t(z())), "()"),
    row("topk", lambda t: mg.topk(t(z(3)), 5), "5", "(3,)"),
    row("topk", lambda t: mg.topk(t(z(3)), -1), "-1", "(3,)"),
    row("topk", lambda t: mg.topk(t(z(3)), 1, 4), "axis 4", "(3,)"),
    row("take_along_axis", lambda t: mg.take_along_axis(t(z(2, 3)), i(3), 1), "(3,)", "(2, 3)"),
    row("take_along_axis", lambda t: mg.take_along_axis(t(z(2, 3)), i(3, 3), 1), "(3, 3)"),
    row("take_along_axis", lambda t: mg.take_along_axis(t(z(2)), i(2), 2), "axis 2", "(2,)"),
    row("scatter_add", lambda t: mg.scatter_add(t(z(3)), i(2), t(z(4))), "(4,)", "(2,)"),
    row("embedding", lambda t: mg.embedding(i(2), t(z(3))), "(N, D)", "(3,)"),
    row("layer_norm", lambda t: mg.layer_norm(t(z(2, 3)), 4), "(2, 3)", "(4,)"),
    row("layer_norm", lambda t: mg.layer_norm(t(z(3)), (2, 3)), "(3,)", "(2, 3)"),
    row("layer_norm", lambda t: mg.layer_norm(t(z(2, 3)), 3, t(z(2))), "weight", "(2,)", "(3,)"),
    row("layer_norm", lambda t: mg.layer_norm(t(z(2, 3)), 3, None, t(z(4))), "bias", "(4,)"),
    row("cross_entropy", lambda t: mg.cross_entropy(t(z(2, 3)), t(z(2, 4))), "(2, 3)", "(2, 4)"),
]


@pytest.mark.parametrize(("op", "call", "says"), ROWS)
def test_shapes_that_do_not_fit_are_named_with_the_op(op, call, says):
    refused(op, call, says)


def test_the_last_line_of_the_traceback_outside_minigen_is_the_users():
    with pytest.raises(ShapeError) as caught:
        mg.ones(2) + mg.ones(3)
    files = [str(entry.path) for entry in caught.traceback]
    users = [entry for entry in caught.traceback if str(entry.path) == __file__]
    assert "mg.ones(2) + mg.ones(3)" in str(users[-1].statement)
    assert all("minigen" in file for file in files[files.index(__file__) + 1 :])


@pytest.mark.parametrize(
    ("module", "x", "says"),
    [
        (mg.nn.Linear(2, 3), (1, 4), ("(1, 4)", "(3, 2)")),
        (mg.nn.LayerNorm(3), (2, 2), ("(2, 2)", "(3,)")),
        (mg.nn.Unflatten(1, (2, 3)), (1, 5), ("(1, 5)", "(1, 2, 3)")),
        (mg.nn.Flatten(5), (2, 3), ("5", "(2, 3)")),
        (mg.nn.Flatten(), (), ("1", "()")),
    ],
)
def test_layers_refuse_inputs_that_do_not_fit(module, x, says):
    with pytest.raises(ShapeError) as caught:
        module(mg.zeros(x))
    for part in says:
        assert part in str(caught.value)
