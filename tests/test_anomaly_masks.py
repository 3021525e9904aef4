"""detect_anomaly passes what is not finite and no answer, and finds the op behind an answer."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.models.transformer import GPT


@pytest.fixture(autouse=True)
def quiet():
    """NumPy's own warnings are not the subject."""
    with np.errstate(all="ignore"):
        yield


def leaf(values):
    return mg.tensor(np.array(values, np.float64), requires_grad=True)


X = np.linspace(-1, 1, 16).reshape(4, 4)
CAUSAL = np.tri(4, dtype=bool)


def own_attention(x):
    layer = nn.MultiheadAttention(4, 2, batch_first=True).to(np.float64)
    return layer(x[None], x[None], x[None], attn_mask=~CAUSAL)[0].sum()


def wholly_masked_row(x):
    mask = mg.tensor(CAUSAL & (np.arange(4)[:, None] > 0))
    return mg.scaled_dot_product_attention(x, x, x, mask).sum()


HARMLESS = {
    "where": lambda x: mg.softmax(mg.where(CAUSAL, x @ x, -np.inf)).sum() + (x * x).sum(),
    "a float mask": lambda x: (mg.softmax(x @ x + np.where(CAUSAL, 0, -np.inf)) @ x).sum(),
    "own attention": own_attention,
    "a wholly masked row": wholly_masked_row,
    "logsumexp": lambda x: mg.logsumexp(mg.where(CAUSAL, x, -np.inf)).sum(),
    "max over padding": lambda x: mg.max(mg.where(CAUSAL, x, -np.inf), axis=1).sum(),
    "an impossible class": lambda x: mg.cross_entropy(
        mg.where(np.arange(4) > 0, x, -np.inf), np.array([1, 2, 3, 1])
    ),
    "a branch not taken": lambda x: mg.where(X > 0, mg.log(mg.where(X > 0, x, 1.0)), 0.0).sum(),
    "an overflow that is bounded": lambda x: (
        mg.clip(mg.exp(x.detach() * 1e5), 0, 9).sum() + x.sum()
    ),
    "an unused gradient": lambda x: mg.where(X > 0, mg.log(mg.where(X > 0, x, 0.0)), 0.0).sum(),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_masked_or_dropped_is_no_anomaly(name):
    x = leaf(X)
    want = HARMLESS[name](x)
    with mg.detect_anomaly():
        loss = HARMLESS[name](leaf(X))
        with_graph = leaf(X)
        HARMLESS[name](with_graph).backward()
    assert np.isfinite(loss.data) and np.isfinite(want.data)
    assert np.isfinite(with_graph.grad.data).all()
    with mg.detect_anomaly():  # also if the masked scores are all that was computed
        mg.where(CAUSAL, leaf(X) * 2, -np.inf)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("divide", lambda x: (x - x) / (x - x)),
        ("exp", lambda x: mg.exp(x * 1e5 + 1e5)),
        ("log", lambda x: mg.log(x - 0.9)),
        ("sqrt", lambda x: mg.sqrt(x - 0.5)),
    ],
)
def test_the_op_that_made_a_nan_is_named_and_not_the_mask(name, fault, masked):
    def run(x):
        scores = mg.where(CAUSAL, x @ x, -np.inf) if masked else x @ x
        bad = fault(x)
        weights = mg.softmax(scores)
        return (weights @ bad).sum(), mg.max(bad) - mg.max(bad)

    for backward in (False, True):
        match = f"^op '{name}' gave"
        with pytest.raises(FloatingPointError, match=match) as caught, mg.detect_anomaly():
            loss = run(leaf(X))[0]
            if backward:
                loss.backward()
                pytest.fail("the output of backward is not finite")
        assert f"{__file__}:" in str(caught.value)


def test_an_infinity_that_becomes_nan_is_named_at_its_origin():
    match = r"^op 'exp' gave inf at index \(1,\)"
    with pytest.raises(FloatingPointError, match=match), mg.detect_anomaly():
        y = mg.exp(leaf([1.0, 1000.0]))
        (y / y.sum()).sum().backward()


def test_a_nan_gradient_of_a_branch_not_taken_is_named():
    with mg.detect_anomaly():
        x = leaf([4.0, 0.0])
        y = mg.sqrt(x)
        loss = mg.where(x.data > 0, y, 0.0).sum()
        with pytest.raises(FloatingPointError, match=r"derivative of op 'sqrt'.*nan at index \(1,"):
            loss.backward()


@pytest.mark.parametrize("f", [mg.sqrt, lambda x: x**-0.5, lambda x: x**0.5])
def test_an_infinite_gradient_is_an_answer(f):
    x = leaf([4.0, 0.0, 1.0])
    with pytest.raises(FloatingPointError), mg.detect_anomaly():
        f(x).sum().backward()
    with mg.detect_anomaly():
        mg.norm(leaf([0.0, 0.0])).backward()  # 0 by convention


@pytest.mark.parametrize("shift", [0, -1])  # -1: the first row is wholly masked
def test_second_derivatives_of_masked_attention_are_no_anomaly(shift):
    x, mask = leaf(X), np.tri(4, k=shift, dtype=bool)
    with mg.detect_anomaly():
        y = mg.scaled_dot_product_attention(x, x, x, mask).sum()
        g = mg.grad(y, x, create_graph=True)
        assert np.isfinite(mg.grad((g * g).sum(), x).data).all()


def test_gpt_with_a_nan_weight_or_an_overflow_names_module_and_op():
    ids = np.array([[1, 2, 3, 4]])
    model = GPT(10, context=8, layers=2, heads=2, width=8)
    model.blocks[1].up.weight.data[2, 3] = np.nan
    with pytest.raises(FloatingPointError) as caught, mg.detect_anomaly():
        mg.cross_entropy(model(ids)[0], ids[0]).backward()
    assert "op 'linear' gave nan" in str(caught.value) and "Linear" in str(caught.value)
    assert "argument 1 had such values before" in str(caught.value)
    model = GPT(10, context=8, layers=2, heads=2, width=8)
    with pytest.raises(FloatingPointError, match="op 'exp' gave inf"), mg.detect_anomaly():
        loss = mg.cross_entropy(model(ids)[0], ids[0])
        mg.exp(loss * 1e4).backward()
