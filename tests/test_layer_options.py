"""Options, dtypes, masks, initial values and docstrings of layers."""

import inspect
import re

import numpy as np
import pytest

import minigen as mg
import minigen.nn.functional as F
from minigen import nn
from minigen.errors import DTypeError, GradError, ShapeError
from minigen.testing import gradcheck

# ---------------------------------------------------------------------------------- dtypes

WEIGHTED = {
    "Linear(3, 2)": (4, 3),
    "Conv2d(3, 2, 1)": (1, 3, 2, 2),
    "Conv1d(3, 2, 1)": (1, 3, 2),
    "ConvTranspose2d(3, 2, 1)": (1, 3, 2, 2),
    "LayerNorm(3)": (4, 3),
    "RMSNorm(3)": (4, 3),
    "GroupNorm(1, 3)": (4, 3),
    "BatchNorm1d(3)": (4, 3),
    "BatchNorm1d(3, affine=False).eval()": (4, 3),
    "InstanceNorm1d(3, affine=True)": (2, 3, 4),
    "PReLU()": (4, 3),
    "LSTM(3, 2)": (4, 1, 3),
    "GRU(3, 2)": (4, 1, 3),
    "RNNCell(3, 2)": (1, 3),
}


@pytest.mark.parametrize("text", WEIGHTED)
def test_a_layer_fed_another_dtype_says_so_once_with_the_remedy(text):
    layer = eval(text, vars(nn))
    x = mg.Tensor(np.ones(WEIGHTED[text]))
    layer(x.astype(mg.float32))
    with pytest.warns(UserWarning, match=r"float64.*float32.*astype.*model\.to") as caught:
        layer(x)
    assert caught[0].filename == __file__
    layer(x)  # only once: warnings are errors in these tests
    layer.to(mg.float64)(x)


def test_attention_fed_another_dtype_says_so():
    x = mg.ones((2, 1, 4), dtype=np.float64)
    with pytest.warns(UserWarning, match="MultiheadAttention: the input is float64"):
        nn.MultiheadAttention(4, 2)(x, x, x, need_weights=False)


# --------------------------------------------------------------------------------- options


def test_sizes_may_be_numpys_integers():
    n = np.int64
    for layer, shape in (
        (nn.Linear(n(3), n(2)), (2, 3)),
        (nn.LayerNorm(n(3)), (2, 3)),
        (nn.RMSNorm((n(3),)), (2, 3)),
        (nn.Conv2d(n(3), n(2), n(1), padding=n(1)), (1, 3, 4, 4)),
        (nn.MaxPool2d(n(2)), (1, 1, 4, 4)),
        (nn.AdaptiveAvgPool2d((n(2), n(1))), (1, 1, 4, 4)),
        (nn.Upsample(n(2)), (1, 1, 2, 2)),
        (nn.Upsample(np.float32(2)), (1, 1, 2, 2)),
        (nn.BatchNorm1d(n(3)), (4, 3)),
        (nn.Flatten(n(1)), (4, 3, 2)),
        (nn.Unflatten(n(1), (n(3), n(2))), (4, 6)),
    ):
        assert layer(mg.ones(shape)).dtype == np.float32
    assert nn.Embedding(n(4), n(2), n(1))([0, 3]).shape == (2, 2)


def test_an_option_that_is_left_out_says_what_to_use():
    x = mg.ones((1, 1, 4, 4))
    for call, says in (
        (lambda: nn.MaxPool2d(2, dilation=2), r"MaxPool2d: dilation=2 is left out; pool x\["),
        (lambda: F.max_pool2d(x, 2, return_indices=True), "return_indices=True is left out.*argm"),
        (lambda: nn.AvgPool2d(2, divisor_override=3), "AvgPool2d: divisor_override=3.*multiply"),
        (lambda: nn.Embedding(3, 2, max_norm=1.0), "Embedding: max_norm=1.0 is left out"),
        (lambda: nn.Softmax(), r"Softmax: name the axis, as in Softmax\(dim=1\)"),
        (lambda: F.log_softmax(x), "log_softmax: name the axis"),
        (lambda: nn.InstanceNorm2d(3, track_running_stats=True), "InstanceNorm2d: track.*BatchN"),
        (lambda: F.instance_norm(x, running_mean=x), "instance_norm: running_mean.*batch_norm"),
    ):
        with pytest.raises(TypeError, match=says):
            call()
    nn.MaxPool2d(2, dilation=1)
    for call, says in (
        (lambda: nn.Conv2d(1, 1, 3, 2, padding="same"), "padding='same' needs stride 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding="all"), "padding must be a number, 'same'"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), "padding_mode must be one of zeros"),
        (lambda: F.pad(x, (1, 1), mode="edge"), "pad: mode must be one of constant, reflect"),
        (lambda: F.pad(x, (4, 0), mode="reflect"), "pad: .* is more than"),
        (lambda: F.pad(x, (1,)), "pad: .*pairs"),
        (lambda: nn.Upsample(), "Upsample: takes one of scale_factor and size"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "padding_idx=3 is not one of 3"),
        (lambda: F.instance_norm(mg.ones((2, 3, 1))), "one value for each mean"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


def test_inplace_is_ignored_since_tensors_are_not_written_to():
    for name in ("ReLU", "ReLU6", "SiLU", "Mish", "SELU", "Hardswish", "Hardsigmoid"):
        x = mg.tensor([-1.0, 2.0])
        assert np.array_equal(getattr(nn, name)(True)(x).data, getattr(nn, name)()(x).data)
        assert x.data.tolist() == [-1, 2] and "ignored" in getattr(nn, name).__doc__
    layers = [nn.LeakyReLU(0.2, inplace=True), nn.ELU(inplace=True), nn.Dropout(0.5, True)]
    assert all(layer.eval()(mg.ones(2)).data.tolist() == [1, 1] for layer in layers)


def test_the_padding_row_of_an_embedding_is_zero_and_stays():
    layer = nn.Embedding(4, 2, padding_idx=-1)
    layer(np.array([[0, 3, 3]], np.uint8)).sum().backward()
    assert layer.weight.data[3].tolist() == [0, 0]
    assert layer.weight.grad.data.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    frozen = nn.Embedding.from_pretrained(np.eye(3, dtype=np.float32))
    assert not frozen.weight.requires_grad and list(frozen.state_dict()) == ["weight"]
    assert frozen([2]).data.tolist() == [[0, 0, 1]]


def test_dropout_of_channels_drops_whole_ones():
    for layer, shape in ((nn.Dropout1d(0.5), (8, 9, 5)), (nn.Dropout2d(0.5), (8, 9, 5, 4))):
        y = layer(mg.ones(shape)).data.reshape(72, -1)
        assert set(np.unique(y)) == {0, 2} and (y == y[:, :1]).all()
        assert layer.eval()(mg.ones(shape)).data.all()


def test_one_hot_gives_integers_and_finds_the_number_of_classes():
    assert F.one_hot([0, 2]).data.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert F.one_hot(mg.tensor([1]), 2).dtype == np.int64
    with pytest.raises(ShapeError, match="num_classes is needed"):
        F.one_hot([])


def test_masks_of_floats_are_added_to_the_scores():
    """Booleans and floats of 0 and -inf mean the same; a learned bias gets its gradient."""
    rng = np.random.default_rng(0)
    x, taken = rng.standard_normal((2, 3, 4, 5)), np.tri(4, dtype=bool)
    taken[2] = False
    floats = np.where(taken, 0.0, -np.inf)
    for wrap in (np.asarray, mg.tensor):
        y = mg.scaled_dot_product_attention(x, x, x, wrap(floats))
        want = mg.scaled_dot_product_attention(x, x, x, taken)
        assert np.abs(np.asarray(y) - want).max() < 1e-15
    gradcheck(
        lambda q, m: mg.scaled_dot_product_attention(q, q, q, m, is_causal=True),
        [x[0, 0], rng.standard_normal((4, 4))],
    )
    layer, t = nn.MultiheadAttention(4, 2), mg.Tensor(rng.standard_normal((4, 2, 4)).astype("f4"))
    padding = np.array([[0, 0, 1, 1], [0, 0, 0, 0]], bool)
    results = [
        layer(t, t, t, key_padding_mask=p, attn_mask=m, need_weights=need)[0].data
        for p in (padding, np.where(padding, -np.inf, 0.0))
        for m in (~taken, floats)
        for need in (False, True)
    ]
    assert all(np.abs(y - results[0]).max() < 1e-6 and np.isfinite(y).all() for y in results)
    encoder = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)
    assert np.abs(encoder(t, floats).data - encoder(t, ~taken).data).max() < 1e-6
    with pytest.raises(DTypeError, match="boolean"):
        layer(t, t, t, attn_mask=np.ones((4, 4), int))


# ------------------------------------------------------------------------- initialisation


def test_initialisers_write_into_parameters_with_pytorchs_spread():
    def spread(f, shape=(400, 300), **options):
        p = nn.Parameter(np.zeros(shape, np.float32))
        graph = (p * p).sum()
        assert f(p, rng=mg.Generator(0), **options) is p
        with pytest.raises(GradError, match="has been changed"):
            graph.backward()
        return p.data.std(), np.abs(p.data).max()

    gain = nn.init.calculate_gain
    for f, std, bound in (
        (nn.init.xavier_uniform_, np.sqrt(2 / 700), np.sqrt(6 / 700)),
        (nn.init.xavier_normal_, np.sqrt(2 / 700), None),
        (nn.init.kaiming_uniform_, np.sqrt(2 / 300), np.sqrt(6 / 300)),
        (nn.init.kaiming_normal_, np.sqrt(2 / 300), None),
        (nn.init.normal_, 1, None),
        (nn.init.trunc_normal_, 0.8796, 2),
    ):
        found, largest = spread(f)
        assert abs(found / std - 1) < 0.01 and (bound is None or largest <= bound)
    found, _ = spread(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="tanh")
    assert abs(found / (gain("tanh") / 20) - 1) < 0.01
    assert gain("leaky_relu", 0.2) == np.sqrt(2 / 1.04) and gain("relu") == np.sqrt(2)
    for shape in ((3, 5), (6, 2, 2), (4, 4)):
        p = nn.init.orthogonal_(nn.Parameter(np.zeros(shape, np.float64)), gain=2)
        q = p.data.reshape(shape[0], -1)
        q = q if len(q) <= q.shape[1] else q.T
        assert np.abs(q @ q.T - 4 * np.eye(len(q))).max() < 1e-12
    p = nn.Parameter(np.zeros((2, 3), np.float32))
    assert nn.init.ones_(p).data.all() and not nn.init.zeros_(p).data.any()
    assert np.array_equal(nn.init.eye_(p).data, np.eye(2, 3))
    assert not nn.init.xavier_uniform_(p, gain=0.0).data.any()
    assert (nn.init.constant_(p, 7).data == 7).all() and nn.init.uniform_(p).data.max() < 1
    with pytest.raises(GradError, match="multiply"):
        nn.init.zeros_(p * 2)
    with pytest.raises(ValueError, match="fan_in"):
        nn.init.xavier_uniform_(nn.Parameter(np.zeros(3)))


def test_every_layer_explains_its_arguments():
    """The docstrings of a class and its bases name each argument of its constructor."""
    usual = {"self", "rng", "dtype", "device", "bias", "args", "kwargs", "settings", "modules"}
    silent = []
    for name, layer in vars(nn).items():
        if inspect.isclass(layer) and issubclass(layer, nn.Module):
            assert len((layer.__doc__ or "").splitlines()) in range(1, 11), name
            documented = [d for cls in layer.__mro__ for d in (cls, cls.__init__)]
            words = " ".join(d.__doc__ or "" for d in documented)
            for other in re.findall(r"as (?:of|in) `?(\w+)`?", words):
                words += vars(nn)[other].__doc__ if other in vars(nn) else ""
            arguments = set(inspect.signature(layer.__init__).parameters) - usual
            silent += [f"{name}: {a}" for a in sorted(arguments) if a not in words]
    assert silent == []
