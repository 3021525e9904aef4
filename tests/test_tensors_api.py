"""The public names exist, and every op takes its arguments by position or by keyword."""

import inspect

import numpy as np
import pytest

import minigen as mg
import minigen.ops as F

TOP = """Tensor tensor zeros ones full arange linspace eye zeros_like ones_like one_hot float32
    float64 int8 int16 int32 int64 uint8 from_dlpack primitive fused grad no_grad
    enable_grad is_grad_enabled detect_anomaly manual_seed Generator save load devices
    cuda_is_available"""
OPS = """add subtract multiply divide negative power exp log log1p expm1 sqrt reciprocal abs
    square sign sin cos tanh erf sigmoid log_sigmoid relu leaky_relu elu gelu silu
    softplus clip maximum minimum where sum mean max min prod var std logsumexp norm
    cumsum argmax argmin any all isfinite floor round sort topk reshape transpose
    swapaxes moveaxis squeeze expand_dims broadcast_to concatenate stack split pad flip
    roll repeat tile tril triu astype getitem take_along_axis scatter_add matmul einsum
    outer tensordot linear softmax log_softmax dropout embedding layer_norm
    cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss
    binary_cross_entropy binary_cross_entropy_with_logits kl_div gaussian_kl gaussian_sample"""
NN = """Module Sequential ModuleList ModuleDict Identity Parameter CrossEntropyLoss MSELoss
    BCEWithLogitsLoss L1Loss SmoothL1Loss HuberLoss NLLLoss BCELoss KLDivLoss Linear Flatten
    Unflatten Embedding Dropout LayerNorm ReLU GELU Tanh Sigmoid SiLU LeakyReLU ELU Softplus
    summary init"""
OPTIM = "SGD RMSprop Adam AdamW clip_grad_norm"
MODULE = """parameters named_parameters buffers named_modules state_dict load_state_dict train eval
    to zero_grad register_buffer"""
METHODS = """sum mean max min prod var std logsumexp norm cumsum argmax argmin any all sort topk
    reshape transpose swapaxes moveaxis squeeze expand_dims broadcast_to split flip roll repeat tile
    tril triu take_along_axis scatter_add exp log sqrt abs square tanh sigmoid relu clip softmax
    log_softmax maximum minimum matmul item numpy detach to astype backward requires_grad_"""


@pytest.mark.parametrize(
    ("where", "names"),
    [(mg, TOP), (mg, OPS), (F, OPS), (mg.nn, NN), (mg.optim, OPTIM), (mg.Tensor, METHODS)]
    + [(mg.nn.Module, MODULE), (mg.schedule, "constant step cosine")],
    ids=["mg", "mg ops", "ops", "nn", "optim", "Tensor", "Module", "schedule"],
)
def test_every_name_of_the_api_page_exists(where, names):
    assert [name for name in names.split() if not hasattr(where, name)] == []


def test_every_op_of_ops_is_there_as_a_name_of_minigen_too():
    assert [name for name in F.__all__ if getattr(mg, name, None) is not getattr(F, name)] == []
    assert set(OPS.split()) <= set(F.__all__)


def test_dtypes_are_numpys():
    for name in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint64"):
        assert getattr(mg, name) == np.dtype(name)


# ---------------------------------------------------------------------- how ops are called

x, v, m = np.array([0.25, 0.75]), np.array([0.5, 0.25]), np.array([[0.25, 0.75], [0.5, 0.125]])
classes, index = np.array([0, 1]), np.array([[0, 1], [1, 0]])
UNARY = """negative exp log log1p expm1 sqrt reciprocal abs square sign sin cos tanh erf sigmoid
    log_sigmoid relu silu isfinite floor"""
BINARY = "add subtract multiply divide power maximum minimum outer matmul"
REDUCTIONS = "sum mean max min prod logsumexp any all argmax argmin"
CALLS = {
    **{name: {"x": x} for name in UNARY.split()},
    **{name: {"a": x, "b": v} for name in BINARY.split()},
    **{name: {"x": m, "axis": 1, "keepdims": True} for name in REDUCTIONS.split()},
    **{n: {"x": m, "axis": 0} for n in ("softmax", "log_softmax", "cumsum", "flip", "sort")},
    "leaky_relu": {"x": -x, "negative_slope": 0.5},
    "elu": {"x": -x, "alpha": 0.5},
    "gelu": {"x": x, "approximate": "tanh"},
    "softplus": {"x": x, "beta": 2.0, "threshold": 1.0},
    "clip": {"x": x, "min": 0.3, "max": 0.7},
    "where": {"condition": x > 0.5, "a": x, "b": v},
    "var": {"x": m, "axis": 1, "ddof": 1, "keepdims": True},
    "std": {"x": m, "axis": 1, "ddof": 1, "keepdims": True},
    "norm": {"x": m, "ord": 3, "axis": 1, "keepdims": True},
    "round": {"x": x, "decimals": 1},
    "topk": {"x": m, "k": 1, "axis": 0},
    "reshape": {"x": m, "shape": (4, 1)},
    "transpose": {"x": m, "axes": (1, 0)},
    "swapaxes": {"x": m, "axis1": 0, "axis2": 1},
    "moveaxis": {"x": m, "source": 0, "destination": 1},
    "squeeze": {"x": m[:1], "axis": 0},
    "expand_dims": {"x": x, "axis": 1},
    "broadcast_to": {"x": x, "shape": (3, 2)},
    "concatenate": {"xs": [m, m], "axis": 1},
    "stack": {"xs": [x, v], "axis": 1},
    "split": {"x": m, "sections_or_indices": 2, "axis": 1},
    "pad": {"x": x, "pad_width": 1, "value": 5.0},
    "roll": {"x": m, "shift": 1, "axis": 1},
    "repeat": {"x": m, "repeats": 2, "axis": 1},
    "tile": {"x": x, "reps": 2},
    "tril": {"x": m, "k": -1},
    "triu": {"x": m, "k": 1},
    "astype": {"x": x, "dtype": np.float32},
    "getitem": {"x": m, "index": 0},
    "take_along_axis": {"x": m, "index": index, "axis": 1},
    "scatter_add": {"x": x, "index": [0, 0], "updates": v},
    "tensordot": {"a": m, "b": m, "axes": 1},
    "linear": {"x": m, "weight": m, "bias": x},
    "dropout": {"x": x, "p": 1.0, "training": True, "rng": None},
    "embedding": {"index": classes, "weight": m},
    "layer_norm": {"x": m, "normalized_shape": 2, "weight": x, "bias": v, "eps": 0.1},
    "cross_entropy": {
        "logits": m,
        "target": classes,
        "weight": None,
        "reduction": "sum",
        "ignore_index": 1,
        "label_smoothing": 0.1,
    },
    "nll_loss": {
        "input": m,
        "target": classes,
        "weight": None,
        "reduction": "sum",
        "ignore_index": 1,
    },
    **{
        name: {"input": x, "target": v, "reduction": "sum"}
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
    },
    "binary_cross_entropy": {"input": x, "target": v, "weight": v, "reduction": "sum"},
    "binary_cross_entropy_with_logits": {
        "input": x,
        "target": v,
        "weight": v,
        "pos_weight": x,
        "reduction": "sum",
    },
    "kl_div": {"input": x, "target": v, "log_target": True, "reduction": "sum"},
    "gaussian_kl": {"mean": x, "logvar": v},
    "gaussian_sample": {"mean": x, "logvar": v, "noise": x},
}


def test_every_op_of_the_api_page_is_called_here():
    assert set(OPS.split()) - set(CALLS) == {"einsum"}


def parts(y):
    """The arrays of a result, also of an op with several outputs."""
    return [np.asarray(getattr(p, "data", p)) for p in (y if type(y) is tuple else (y,))]


def same(got, want):
    return all(np.array_equal(a, b) for a, b in zip(parts(got), parts(want), strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_arguments_go_by_position_or_keyword_in_the_order_of_the_signature(name):
    f, named = getattr(F, name), CALLS[name]
    names = list(inspect.signature(f).parameters)
    assert names[: len(named)] == list(named)
    values = list(named.values())
    want = f(**named)
    kinds = [p.kind for p in inspect.signature(f).parameters.values()]
    for count in range(kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) + 1):
        rest = {key: named[key] for key in names[count : len(values)]}
        assert same(f(*values[:count], **rest), want)
        assert same(f(*values[:count], **dict(reversed(rest.items()))), want)


@pytest.mark.parametrize("name", CALLS)
def test_raw_arrays_give_raw_arrays_and_tensors_give_tensors(name):
    f, named = getattr(F, name), CALLS[name]
    want = f(**named)
    first = next(key for key, value in named.items() if key != "index" or name == "embedding")
    first = {"embedding": "weight", "where": "a"}.get(name, first)

    def tensor(value):
        return list(map(mg.tensor, value)) if isinstance(value, list) else mg.tensor(value)

    got = f(**named | {first: tensor(named[first])})
    assert same(got, want)
    for y in got if type(got) is tuple else (got,):
        assert isinstance(y, mg.Tensor)
    for y in want if type(want) is tuple else (want,):
        assert not isinstance(y, mg.Tensor)


@pytest.mark.parametrize("name", CALLS)
def test_every_op_has_a_line_of_documentation_and_a_signature_with_names(name):
    f = getattr(F, name)
    assert f.__doc__
    assert f.__name__ == name
    kinds = {p.kind for p in inspect.signature(f).parameters.values()}
    keyword = {inspect.Parameter.KEYWORD_ONLY} if name in ("cross_entropy", "nll_loss") else set()
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD} | keyword


@pytest.mark.parametrize("name", [name for name in METHODS.split() if name in CALLS])
def test_methods_are_the_ops(name):
    named = dict(CALLS[name])
    first = mg.tensor(named.pop(next(iter(named))))
    if name in ("reshape", "transpose"):
        named = {}
        got, want = first.reshape(4, 1), mg.reshape(first, (4, 1))
        assert same(first.reshape((4, 1)), want)
        if name == "transpose":
            got, want = first.transpose(1, 0), mg.transpose(first)
            assert same(first.transpose((1, 0)), want)
            assert same(first.transpose(), want)
            assert same(first.T, want)
    else:
        got, want = getattr(first, name)(**named), getattr(F, name)(first, **named)
    assert same(got, want)
