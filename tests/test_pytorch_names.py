"""PyTorch's names: synonyms mean what they mean there, and what is left out says what to write."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from pytorch_page import PAGE, page

import minigen as mg
from minigen import nn, ops, optim
from minigen.autodiff.left_out import HINTS
from minigen.autodiff.names import REFUSED_WITH_DIM, TRAPS
from minigen.errors import DTypeError, ShapeError

X = np.random.default_rng(0).standard_normal((3, 4))
x, y = mg.tensor(X), mg.tensor(X[::-1].copy())
b = mg.tensor(np.arange(24.0).reshape(2, 3, 4))
mask = x > 0
WITH_AXIS = [n for n in ops.__all__ if "axis" in inspect.signature(getattr(ops, n)).parameters]
MORE = {"take_along_axis": [np.zeros((3, 4), np.int64)], "gather": [np.zeros((3, 4), np.int64)]}
MORE |= {"topk": [1], "repeat": [2], "roll": [1], "split": [1]}


# ------------------------------------------------------------------------------- keywords


def result(call):
    """What call returns as arrays, or the type of its error."""
    try:
        y = call()
    except Exception as error:
        return type(error)
    return [np.asarray(part) for part in (y if isinstance(y, tuple) else (y,))]


@pytest.mark.parametrize("name", WITH_AXIS)
def test_dim_is_axis_for_every_op_that_has_one(name):
    f, args = getattr(mg, name), [x, *MORE.get(name, [])]
    args = [[x, x]] if name in ("concatenate", "stack") else args
    if name == "gather":  # gather(x, axis, index)
        f, args = lambda x, index, **axis: mg.gather(x, index=index, **axis), args
    if name in REFUSED_WITH_DIM:
        with pytest.raises(TypeError, match=rf"{name}\(\) with dim= is PyTorch's"):
            f(*args, dim=0)
    else:
        got, want = result(lambda: f(*args, dim=0)), result(lambda: f(*args, axis=0))
        assert isinstance(want, list) or name == "squeeze", want
        assert got == want if isinstance(want, type) else all(map(np.array_equal, got, want))
    with pytest.raises(TypeError, match="one argument"):
        f(*args, dim=0, axis=0)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "logsumexp", "norm", "argmax", "any"])
def test_keepdim_is_keepdims(name):
    got = getattr(x, name)(dim=1, keepdim=True)
    assert np.array_equal(got, getattr(x, name)(axis=1, keepdims=True))
    assert got.shape == (3, 1)


@pytest.mark.parametrize(
    ("call", "want"),
    [
        (lambda: x.var(dim=1, unbiased=False), x.var(1)),
        (lambda: x.std(dim=1, correction=1), x.std(1, ddof=1)),
        (lambda: mg.norm(x, p=1, dim=1), x.norm(1, axis=1)),
        (lambda: mg.tril(x, diagonal=-1), x.tril(-1)),
        (lambda: mg.roll(x, shifts=1, dims=0), x.roll(1, 0)),
        (lambda: mg.flip(x, dims=(0, 1)), x.flip()),
        (lambda: mg.sum(input=x, dim=0), x.sum(0)),
        (lambda: mg.maximum(input=x, other=y), x.maximum(y)),
        (lambda: mg.linspace(start=0, end=1, steps=3), mg.linspace(0, 1, 3)),
        (lambda: mg.full((2,), fill_value=3), mg.full((2,), 3)),
    ],
)
def test_other_keywords_of_pytorch_are_understood(call, want):
    assert np.array_equal(call(), want)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: x.sum(dtype=mg.float64), "astype"),
        (lambda: mg.add(x, y, out=x), "use the result"),
        (lambda: mg.add(x, y, alpha=2), "multiply"),
        (lambda: mg.where(mask), "nonzero"),
        (lambda: x.max(dim=1), "argmax"),
        (lambda: x.max(y), "maximum"),
        (lambda: x.std(dim=0), "ddof=1"),
        (lambda: x.split(2, dim=1), "chunk"),
        (lambda: x.repeat(2, 1, 1), "tile"),
        (lambda: mg.transpose(b, 1, 2), "swapaxes"),
        (lambda: mg.save({"w": x}, "file"), "path comes first"),
        (lambda: mg.load("file", map_location="cpu"), "leave it out"),
        (lambda: x.nonzero(), "as_tuple"),
        (lambda: mg.meshgrid(x[0], x[1]), "indexing"),
    ],
)
def test_calls_that_mean_something_else_say_what_to_write(call, hint):
    with pytest.raises((TypeError, ValueError), match=hint):
        call()


# ------------------------------------------------------------------------------- synonyms

SYNONYMS = {
    "view": (x.view(4, 3), X.reshape(4, 3)),
    "view of a tuple": (x.view((2, -1)), X.reshape(2, -1)),
    "permute": (b.permute(2, 0, 1), np.transpose(b, (2, 0, 1))),
    "unsqueeze": (x.unsqueeze(-1), X[..., None]),
    "flatten": (b.flatten(1), b.data.reshape(2, 12)),
    "unflatten": (x.unflatten(1, (2, -1)), X.reshape(3, 2, 2)),
    "expand": (x[0].expand(2, -1), np.broadcast_to(X[0], (2, 4))),
    "t": (x.t(), X.T),
    "mT": (b.mT, b.data.swapaxes(1, 2)),
    "transpose of two axes": (b.transpose(1, 2), b.data.swapaxes(1, 2)),
    "transpose from the end": (b.transpose(-2, -1), b.data.swapaxes(1, 2)),
    "chunk": (mg.cat(x.chunk(3, dim=1), dim=1), X),
    "narrow": (x.narrow(1, 1, 2), X[:, 1:3]),
    "select": (x.select(1, -1), X[:, -1]),
    "index_select": (x.index_select(0, mg.tensor([2, 0])), X[[2, 0]]),
    "masked_fill": (x.masked_fill(mask, 0.0), np.where(X > 0, 0, X)),
    "masked_select": (x.masked_select(mask), X[X > 0]),
    "clamp": (x.clamp(-0.5, 0.5), X.clip(-0.5, 0.5)),
    "clamp_min": (x.clamp_min(0), X.clip(0)),
    "cat": (mg.cat([x, y], dim=1), np.concatenate([X, X[::-1]], 1)),
    "bmm": (mg.bmm(b, b.mT), b.data @ b.data.swapaxes(1, 2)),
    "amax": (x.amax(dim=1), X.max(1)),
    "cumprod": (x.cumprod(dim=1), X.cumprod(1)),
    "rsqrt": ((x * x).rsqrt(), 1 / abs(X)),
    "lerp": (x.lerp(y, 0.25), X + 0.25 * (X[::-1] - X)),
    "ceil": (x.ceil(), np.ceil(X)),
    "trunc": (x.trunc(), np.trunc(X)),
    "diag": (mg.diag(x[0], 1), np.diag(X[0], 1)),
    "diagonal": (x.diagonal(1), X.diagonal(1)),
    "hstack": (mg.hstack([x, y]), np.hstack([X, X[::-1]])),
    "meshgrid": (mg.stack(mg.meshgrid(x[0], y[0, :2], indexing="xy")),
                 np.stack(np.meshgrid(X[0], X[-1, :2]))),
    "argwhere": (mg.argwhere(mask), np.argwhere(X > 0)),
    "count_nonzero": (mask.count_nonzero(dim=0), (X > 0).sum(0)),
    "new_zeros": (x.new_zeros(2, 3), np.zeros((2, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", SYNONYMS)
def test_synonyms_compute_what_their_names_say(name):
    got, want = SYNONYMS[name]
    assert type(got) is mg.Tensor
    assert np.allclose(got.numpy(), want, 1e-6) and got.shape == np.shape(want)


def test_the_whole_part_of_infinity_is_infinity():
    ends = np.array([np.inf, -np.inf, np.nan, -2.5], np.float32)
    assert np.array_equal(mg.tensor(ends).trunc(), np.trunc(ends), equal_nan=True)


def test_a_number_of_parts_is_at_least_1():
    calls = (lambda: x.chunk(0), lambda: mg.tensor_split(x, 0), lambda: x.unflatten(1, (0, -1)))
    for call in calls:
        with pytest.raises(ShapeError):
            call()


def test_synonyms_pass_gradients_on():
    k = mg.tensor(X, requires_grad=True)
    loss = (k.view(-1).unsqueeze(0).clamp_min(0).clone() * 2).sum()
    assert np.array_equal(mg.grad(loss, k), 2 * (X > 0))


def test_facts_of_a_tensor_have_pytorchs_names():
    assert (x.dim(), x.numel(), x.is_leaf, x.is_floating_point()) == (2, 12, True, True)
    assert x.tolist() == X.tolist() and x.contiguous() is x and x.cpu() is x
    kinds = [x.float(), x.double(), x.long(), x.int(), x.bool(), x.type_as(mg.arange(2))]
    names = "float32 float64 int64 int32 bool int64"
    assert [k.dtype.name for k in kinds] == names.split()
    assert x.to("cpu", mg.float32).dtype == x.to(mg.zeros(1)).dtype == mg.float32
    assert mg.allclose(x, x + 1e-12) and mg.equal(x, x) and not mg.equal(x, y)


def test_a_clone_of_a_parameter_does_not_change_when_it_is_trained():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    before = w.clone().detach()
    (w * w).sum().backward()
    optim.SGD([w], 0.1).step()
    assert before.tolist() == [1, 2] and w.tolist() != [1, 2]


def test_random_and_filled_tensors_take_sizes_or_a_shape():
    for make in (mg.zeros, mg.ones, mg.empty, mg.rand, mg.randn):
        assert make(2, 3).shape == make((2, 3)).shape == make(shape=(2, 3)).shape == (2, 3)
        assert make(size=(2,), dtype=mg.float64, requires_grad=True).requires_grad
        assert make(4).dtype == mg.float32
    assert mg.zeros((2, 3), np.float64, "cpu").dtype == mg.zeros(2, float).dtype == np.float64
    assert mg.randint(3, (50,)).amax().item() == 2 and mg.randint(5, 7, (9,)).amin().item() == 5
    assert sorted(mg.randperm(4).tolist()) == [0, 1, 2, 3]
    assert mg.randn_like(x).dtype == np.float64
    for wrong in (lambda: mg.zeros(), lambda: mg.zeros(2.5), lambda: mg.Tensor([1, 2])):
        with pytest.raises((TypeError, DTypeError)):
            wrong()


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_draws_each_number_as_often_as_its_weight_says(replacement):
    p = mg.tensor([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])
    drawn = np.concatenate([mg.multinomial(p, 1, replacement, rng=mg.Generator(i)).data
                            for i in range(400)], 1)  # fmt: skip
    share = [[(row == n).mean() for n in range(3)] for row in drawn]
    assert np.allclose(share, [[0.25, 0, 0.75], [0.5, 0.5, 0]], atol=0.07)
    pairs = mg.multinomial(p, 2, rng=mg.Generator(1)).data
    assert sorted(pairs[0]) == [0, 2] and sorted(pairs[1]) == [0, 1]
    assert mg.multinomial([0.0, 1.0], 1).tolist() == [1] and mg.bernoulli(1.0).item() == 1
    for wrong in ([-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="multinomial"):
            mg.multinomial(mg.tensor(wrong), 1)


def test_grad_modes_have_pytorchs_names():
    k = mg.tensor([1.0], requires_grad=True)
    with mg.set_grad_enabled(False):
        assert not (k * 2).requires_grad
    assert (k * 2).requires_grad
    mg.set_grad_enabled(False)
    assert not (k * 2).requires_grad
    mg.set_grad_enabled(True)
    assert not mg.inference_mode()(lambda: k * 2)().requires_grad


# --------------------------------------------------------------------------- what is left out

ROOMS = {
    "Tensor": x,
    "minigen": mg,
    "Module": nn.ReLU(),
    "nn": nn,
    "optim": optim,
}


@pytest.mark.parametrize("room", ROOMS)
def test_names_that_are_left_out_say_what_to_write(room):
    for name, hint in HINTS[room].items():
        assert not hasattr(ROOMS[room], name), f"{room}.{name} exists: no hint is needed"
        with pytest.raises(AttributeError) as caught:
            getattr(ROOMS[room], name)
        assert str(caught.value).endswith(f"has no attribute {name!r}: {hint}")
    with pytest.raises(AttributeError, match=r"has no attribute 'qwerty'$"):
        ROOMS[room].qwerty  # noqa: B018


@pytest.mark.parametrize("name", ["add_", "sub_", "relu_", "exp_", "sigmoid_"])
def test_names_that_would_write_into_a_tensor_say_that_none_is_written_to(name):
    with pytest.raises(AttributeError, match=rf"x = x\.{name[:-1]}\("):
        getattr(x, name)


@pytest.mark.parametrize("value", [x, nn.Linear(2, 3), nn.Sequential(nn.ReLU())])
def test_the_protocols_of_python_find_no_name_that_does_not_exist(value):
    assert not hasattr(value, "_repr_png_") and not hasattr(value, "_ipython_display_")
    assert "scatter_" not in dir(value)
    assert type(copy.copy(value)) is type(copy.deepcopy(value)) is type(value)
    assert type(pickle.loads(pickle.dumps(value))) is type(value)
    assert inspect.getdoc(value)


# ---------------------------------------------------------------------------------- traps


def test_a_transposition_that_numpy_and_pytorch_read_in_two_ways_is_refused():
    for axes in ((0, 1), (-2, -1)):
        with pytest.raises(TypeError, match="to NumPy and the transpose to PyTorch"):
            x.transpose(*axes)
    for same in (x.transpose(1, 0), x.transpose(), x.transpose((1, 0)), x.transpose(-1, -2)):
        assert np.array_equal(same, X.T)
    assert x.transpose((0, 1)).shape == (3, 4)  # a tuple is NumPy's order of all axes
    with pytest.raises(ShapeError, match="no order of the axes"):
        x.transpose(0, 2)


# ----------------------------------------------------------------------------------- page


def test_the_page_for_users_of_pytorch_shows_the_tables():
    assert PAGE.read_text() == page(), "python tests/pytorch_page.py"


def test_at_most_eight_lines_of_the_page_stay_silent():
    assert len(TRAPS) <= 8


def test_a_size_that_is_called_in_a_module_says_that_it_is_a_shape():
    class Flat(nn.Module):
        def forward(self, x):
            return x.view(x.size(0), -1)

    with pytest.raises(TypeError, match="not callable") as caught:
        nn.Sequential(Flat())(x)
    assert caught.value.__notes__ == [
        "x.size is the number of values; PyTorch's x.size(0) is x.shape[0] here"
    ]
