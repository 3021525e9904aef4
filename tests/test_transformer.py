"""Multi-head attention and the layers of the Transformer, against PyTorch's and their promises."""

from pathlib import Path

import numpy as np
import pytest
from attention_cases import CASES, arguments

import minigen as mg
from minigen import nn
from minigen.testing import gradcheck

FIXTURE = Path(__file__).parent / "fixtures" / "attention.safetensors"


@pytest.fixture(scope="module")
def saved():
    return {key: x.data for key, x in mg.load(FIXTURE).items()}


def part(saved, *path):
    """The arrays whose names begin with path, by the rest of their names."""
    start = "/".join(path) + "/"
    return {key[len(start) :]: x for key, x in saved.items() if key.startswith(start)}


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_all_gradients_are_pytorchs(name, saved):
    kind, sizes, settings, _, _, options = CASES[name]
    layer = getattr(nn, kind)(*sizes, **settings, dtype=np.float64)
    state = part(saved, name, "state")
    assert set(layer.state_dict()) == set(state)
    layer.load_state_dict(state)
    inputs = [mg.Tensor(x).requires_grad_() for x in part(saved, name, "x").values()]
    result = layer(*arguments(kind, inputs), **part(saved, name, "mask"), **options)
    outputs = [y for y in (result if isinstance(result, tuple) else [result]) if y is not None]
    want = list(part(saved, name, "y").values())
    assert [y.shape for y in outputs] == [y.shape for y in want]
    for y, w in zip(outputs, want):
        assert np.abs(y.data - w).max() < 1e-12
    gs = part(saved, name, "g").values()
    sum((y * g).sum() for y, g in zip(outputs, gs)).backward()
    for x, g in zip(inputs, part(saved, name, "gx").values()):
        assert np.abs(x.grad.data - g).max() < 1e-12
    grads = part(saved, name, "grad")
    assert dict(layer.named_parameters()).keys() == grads.keys()
    for key, p in layer.named_parameters():
        assert np.abs(p.grad.data - grads[key]).max() < 1e-12, key


def attention(**settings):
    settings = {"batch_first": True, "dtype": np.float64, "rng": mg.Generator(0)} | settings
    return nn.MultiheadAttention(8, 2, **settings)


def normal(*shape, seed=1):
    return mg.Tensor(mg.Generator(seed).normal(shape, dtype=np.float64))


def test_the_fast_path_gives_what_the_one_with_weights_gives():
    layer, x, memory = attention(), normal(3, 4, 8), normal(3, 5, 8, seed=2)
    hidden = mg.Generator(3).bernoulli(0.4, (6, 4, 5))
    padding = np.arange(5) >= np.array([[5], [3], [0]])  # the last example has no key at all
    how = {"attn_mask": hidden, "key_padding_mask": padding}
    y, weights = layer(x, memory, memory, **how)
    fast, none = layer(x, memory, memory, **how, need_weights=False)
    assert none is None and weights.shape == (3, 4, 5)
    assert np.abs(y.data - fast.data).max() < 1e-14
    assert np.array_equal(fast.data[2], np.broadcast_to(layer.out_proj.bias.data, (4, 8)))
    assert (weights.data[2] == 0).all() and (weights.data[1, :, 3:] == 0).all()


@pytest.mark.parametrize("need_weights", [False, True])
def test_is_causal_is_the_causal_mask(need_weights):
    layer, x = attention(), normal(3, 4, 8)
    mask = ~np.tri(4, dtype=bool)
    want, _ = layer(x, x, x, attn_mask=mask, need_weights=need_weights)
    got, _ = layer(x, x, x, is_causal=True, need_weights=need_weights)
    assert np.array_equal(got.data, want.data)


def test_batch_first_only_moves_the_axes():
    x = normal(3, 4, 8)
    first, second = attention(), attention(batch_first=False)
    y, weights = first(x, x, x)
    turned = x.swapaxes(0, 1)
    other, same = second(turned, turned, turned)
    assert np.abs(y.data - other.swapaxes(0, 1).data).max() < 1e-14
    assert np.abs(weights.data - same.data).max() < 1e-14


def test_initial_values_are_pytorchs_formula_and_the_seeds():
    one, two = (nn.MultiheadAttention(64, 4, rng=mg.Generator(3)) for _ in range(2))
    assert np.array_equal(one.in_proj_weight.data, two.in_proj_weight.data)
    bound = np.sqrt(6 / (64 + 192))
    assert 0.99 * bound < np.abs(one.in_proj_weight.data).max() <= bound
    assert 0.12 < np.abs(one.out_proj.weight.data).max() <= 0.125
    assert not one.in_proj_bias.data.any() and not one.out_proj.bias.data.any()
    assert one.in_proj_bias.dtype == np.float32
    apart = nn.MultiheadAttention(64, 4, kdim=16, bias=False)
    bound = np.sqrt(6 / 80)
    assert apart.k_proj_weight.shape == (64, 16)
    assert 0.98 * bound < np.abs(apart.k_proj_weight.data).max() <= bound


def test_dropout_is_of_training_and_of_the_generator():
    def outputs(mode, need_weights=False):
        layer = attention(dropout=0.5).train(mode)
        return layer(normal(3, 4, 8), *[normal(3, 5, 8)] * 2, need_weights=need_weights)[0].data

    assert np.array_equal(outputs(True), outputs(True))
    assert np.abs(outputs(True) - outputs(True, True)).max() < 1e-14
    assert np.abs(outputs(True) - outputs(False)).max() > 0.01
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, rng=mg.Generator(0))
    x = mg.Tensor(mg.Generator(0).normal((2, 3, 8)))
    assert not np.array_equal(layer(x).data, layer(x).data)
    layer.eval()
    assert np.array_equal(layer(x).data, layer(x).data)
    assert layer(x).dtype == np.float32


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_causal_encoder_layer_passes_no_gradient_to_the_future(norm_first):
    kind = {"norm_first": norm_first, "batch_first": True, "dtype": np.float64}
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, **kind, rng=mg.Generator(0))
    x = normal(2, 5, 8).requires_grad_()
    y = layer(x, is_causal=True)
    for t in range(5):
        g = normal(2, 8, seed=t)
        gx = mg.grad((y[:, t] * g).sum(), x, retain_graph=True).data
        assert (gx[:, t + 1 :] == 0.0).all() and (gx[:, t] != 0.0).any()


def test_a_layer_has_second_derivatives():
    layer = attention()
    x = normal(2, 3, 8)
    how = {"need_weights": False, "is_causal": True}
    gradcheck(lambda x: layer(x, x, x, **how)[0], [x.data])


def test_the_sinusoidal_encoding_is_the_papers():
    encoding = nn.SinusoidalPositionalEncoding(7, 20, dtype=np.float64)
    pe = encoding(mg.zeros((2, 11, 7), np.float64)).data[1]
    for t in range(11):
        for i in range(7):
            angle = t / 10000 ** (2 * (i // 2) / 7)
            assert abs(pe[t, i] - (np.cos(angle) if i % 2 else np.sin(angle))) < 1e-13
    assert nn.SinusoidalPositionalEncoding(6)(mg.ones((1, 3, 6))).dtype == np.float32
    with pytest.raises(mg.errors.ShapeError, match=r"\(1, 21, 7\).*max_len = 20"):
        encoding(mg.ones((1, 21, 7)))


class Attend(nn.Module):
    def forward(self, q, k, v, mask=None, is_causal=False):
        return mg.scaled_dot_product_attention(q, k, v, mask, is_causal)


@pytest.mark.parametrize("how", [(), (None, True), (np.tri(3, 5, 1, dtype=bool),)])
def test_attention_maps_times_values_are_the_ops_output(how):
    q, k, v = normal(2, 3, 4), normal(2, 5, 4, seed=2), normal(2, 5, 7, seed=3)
    weights = nn.attention_maps(Attend(), q, k, v, *how)[""]
    assert weights.shape == (2, 3, 5) and np.abs(weights.sum(-1) - 1).max() < 1e-14
    assert np.array_equal(weights @ v.data, Attend()(q, k, v, *how).data)


class Look(nn.Module):
    def __init__(self, padding):
        settings = {"batch_first": True, "dtype": np.float64, "rng": mg.Generator(0)}
        self.layer = nn.TransformerDecoderLayer(8, 2, 16, 0.5, **settings)
        self.padding = padding

    def forward(self, x, memory):
        return self.layer(x, memory, memory_key_padding_mask=self.padding)


def test_attention_maps_are_those_of_the_layers_by_their_paths():
    x, memory = normal(2, 3, 8), normal(2, 5, 8, seed=2)
    model = Look(np.arange(5) >= np.array([[5], [3]]))
    maps = nn.attention_maps(model, x, memory)
    assert list(maps) == ["layer.self_attn", "layer.multihead_attn"]
    assert maps["layer.self_attn"].shape == (2, 2, 3, 3)  # (B, H, T, S)
    assert model.training and model.layer.dropout.training
    layer = model.eval().layer
    h = layer.norm1(x + layer.self_attn(x, x, x)[0])
    how = {"key_padding_mask": model.padding, "average_attn_weights": False}
    want = layer.multihead_attn(h, memory, memory, **how)[1].data
    assert (want[1, :, :, 3:] == 0).all()
    assert np.abs(maps["layer.multihead_attn"] - want).max() < 1e-14


def test_summary_counts_the_work_of_attention():
    text = nn.summary(Attend(), normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 7))
    assert text.splitlines()[1].split()[-2] == f"{2 * 2 * 3 * 5 * (4 + 7):,}"


X, MEMORY = (2, 4, 8), (2, 5, 8)


@pytest.mark.parametrize(
    ("shapes", "how", "error", "words"),
    [
        ((X, MEMORY, (2, 6, 8)), {}, mg.errors.ShapeError, ["(2, 6, 8)", "one length"]),
        ((X, (3, 5, 8), (3, 5, 8)), {}, mg.errors.ShapeError, ["one batch", "(B, T, E)"]),
        ((X, (2, 5, 7), MEMORY), {}, mg.errors.ShapeError, ["(2, 5, 7)", "(8, 8, 8)"]),
        ((X, (5, 8), (5, 8)), {}, mg.errors.ShapeError, ["3 dims"]),
        (
            (X,) * 3,
            {"attn_mask": np.zeros((4, 4), int)},
            mg.errors.DTypeError,
            ["attn_mask", "int64"],
        ),
        ((X,) * 3, {"attn_mask": np.zeros((3, 4), bool)}, mg.errors.ShapeError, ["attn_mask"]),
        ((X,) * 3, {"key_padding_mask": np.zeros((2, 5), bool)}, mg.errors.ShapeError, ["(2, 4)"]),
    ],
)
def test_bad_input_is_refused(shapes, how, error, words):
    with pytest.raises(error) as caught:
        attention()(*(normal(*shape) for shape in shapes), **how)
    assert str(caught.value).startswith("MultiheadAttention: ")
    for word in words:
        assert word in str(caught.value)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="multiple of num_heads, got 8, 3"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(ValueError, match="dropout must be in"):
        nn.MultiheadAttention(8, 2, dropout=1.5)
    with pytest.raises(ValueError, match=r"TransformerEncoderLayer: activation .*'tanh'"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(ValueError, match="at least 1"):
        nn.SinusoidalPositionalEncoding(0)
