"""Attention: what is masked has no say, exactly (properties 24 and 25)."""

import itertools

import numpy as np
import pytest

import minigen as mg
from minigen.ops import scaled_dot_product_attention as attention
from minigen.testing import assert_close

T, S, D, E = 6, 7, 4, 5
CUT = 3  # the first position of the future


def arrays(*lead, dtype=np.float64, seed=0, keys=T):
    rng = mg.Generator(seed)
    sides = (T, D), (keys, D), (keys, E)
    return [rng.normal((*lead, *side), dtype=dtype) for side in sides]


def gradients(q, k, v, g, **how):
    leaves = [mg.Tensor(x).requires_grad_() for x in (q, k, v)]
    return [part.data for part in mg.grad(attention(*leaves, **how), leaves, g)]


def changed(x, value):
    x = x.copy()
    x[..., CUT:, :] = value
    return x


both = pytest.mark.parametrize("dtype", [np.float32, np.float64])
masked = pytest.mark.parametrize(
    "how", [{"is_causal": True}, {"mask": np.tri(T, dtype=bool)}], ids=["is_causal", "mask"]
)


def test_permuting_keys_with_their_values_changes_nothing():
    q, k, v = arrays(2, keys=S)
    mask = mg.Generator(1).bernoulli(0.7, (2, T, S))
    order = mg.Generator(2).permutation(S)
    y = attention(q, k, v, mask)
    assert np.abs(y - attention(q, k[:, order], v[:, order], mask[:, :, order])).max() < 1e-14
    g = mg.Generator(3).normal(y.shape, dtype=np.float64)
    gq, gk, gv = gradients(q, k, v, g, mask=mask)
    pq, pk, pv = gradients(q, k[:, order], v[:, order], g, mask=mask[:, :, order])
    for a, b in ((gq, pq), (gk[:, order], pk), (gv[:, order], pv)):
        assert np.abs(a - b).max() < 1e-14


@both
@masked
@pytest.mark.parametrize("create_graph", [False, True])
def test_no_gradient_of_the_past_reaches_the_future(dtype, how, create_graph):
    x = mg.Tensor(arrays(3, dtype=dtype)[0]).requires_grad_()
    y = attention(x, x, x, **how)
    for t in range(T):
        g = np.zeros_like(y.data)
        g[:, t] = mg.Generator(t).normal((3, D), dtype=dtype)
        gx = mg.grad(y, x, g, create_graph=create_graph, retain_graph=True).data
        assert (gx[:, t + 1 :] == 0.0).all()
        assert (gx[:, : t + 1] != 0.0).all()


@both
@masked
@pytest.mark.parametrize("value", [3.5, -1e10, np.nan])
def test_the_past_is_bit_identical_whatever_the_future_holds(dtype, how, value):
    q, k, v = arrays(2, 3, dtype=dtype)
    y = attention(q, k, v, **how)
    later = 3.5 if np.isnan(value) else value  # 0 times a NaN value may be NaN
    again = attention(changed(q, value), changed(k, value), changed(v, later), **how)
    assert y[..., :CUT, :].tobytes() == again[..., :CUT, :].tobytes()
    assert not np.array_equal(y[..., CUT:, :], again[..., CUT:, :])


@both
@masked
def test_gradients_of_the_past_are_bit_identical_with_nan_in_the_future(dtype, how):
    q, k, v = arrays(2, dtype=dtype)
    g = changed(mg.Generator(1).normal((2, T, E), dtype=dtype), 0)
    want = gradients(q, k, v, g, **how)
    for a, b in zip(want, gradients(changed(q, np.nan), changed(k, np.nan), v, g, **how)):
        assert a.tobytes() == b.tobytes()
        assert (b[:, CUT:] == 0).all()


def test_a_masked_key_may_be_nan_and_gets_no_gradient():
    q, k, v = arrays(2, keys=S)
    mask = np.ones((2, 1, S), bool)
    mask[1, :, 4:] = False
    padded = k.copy()
    padded[1, 4:] = np.nan
    g = np.ones((2, T, E))
    assert np.array_equal(attention(q, padded, v, mask), attention(q, k, v, mask))
    want, found = gradients(q, k, v, g, mask=mask), gradients(q, padded, v, g, mask=mask)
    for a, b in zip(want, found):
        assert np.array_equal(a, b)
    assert (found[1][1, 4:] == 0).all() and (found[2][1, 4:] == 0).all()


def test_nan_where_it_takes_part_is_seen():
    q, k, v = arrays(keys=S)
    k[2, 0] = np.nan
    assert np.isnan(attention(q, k, v)).all()
    gq, gk, gv = gradients(q, k, v, np.ones((T, E)))
    assert np.isnan(gq).all() and np.isnan(gk).all() and np.isnan(gv).all()


@both
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_wholly_masked_row_gives_zero_with_gradient_zero(dtype, create_graph):
    q, k, v = (mg.Tensor(x).requires_grad_() for x in arrays(2, dtype=dtype))
    mask = np.tri(T, k=-2, dtype=bool)  # the first two queries see nothing
    y = attention(q, k, v, mask)
    assert (y.data[:, :2] == 0).all() and y.dtype == dtype
    g = np.zeros_like(y.data)
    g[:, :2] = 1
    for part in mg.grad(y, (q, k, v), g, create_graph=create_graph):
        assert (part.data == 0).all()
    nothing = attention(q, k, v, np.zeros((1, 1), bool))
    assert (nothing.data == 0).all()


def test_mask_and_is_causal_combine_by_and():
    q, k, v = arrays(2, keys=S)
    mask = mg.Generator(1).bernoulli(0.6, (2, 1, S))
    want = attention(q, k, v, mask & np.tri(T, S, dtype=bool))
    assert np.array_equal(attention(q, k, v, mask, True), want)


def test_is_causal_aligns_the_first_query_with_the_first_key():
    q, k, v = arrays(keys=S)
    assert np.array_equal(attention(q, k, v, is_causal=True)[0], v[0])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("used", [1, 2])
def test_cotangents_of_the_parts_of_one_array_meet_in_their_places(order, used):
    """Kernels may write them side by side as they are used, and they be split in another order."""
    x = mg.Tensor(mg.Generator(0).normal((2, T, 3 * 2 * D), dtype=np.float64)).requires_grad_()

    def cotangent(form):
        y = 0
        for _ in range(used):  # the second time, another cotangent is added to each
            parts = [form(i).reshape(2, T, 2, D).transpose(0, 2, 1, 3) for i in order]
            y = y + attention(*parts, is_causal=True)
        return mg.grad(y, x, mg.Generator(1).normal(y.shape, dtype=np.float64)).data

    whole = mg.split(x, 3, -1)
    alone = cotangent(lambda i: x[:, :, 2 * D * i : 2 * D * (i + 1)])
    assert np.abs(cotangent(lambda i: whole[i]) - alone).max() < 1e-14


def test_dropout_scales_what_it_keeps_and_is_the_generators():
    q, k = np.zeros((1, 200, 1)), np.zeros((1, 300, 1))
    v = np.ones((1, 300, 1))
    y = attention(q, k, v, dropout_p=0.25, rng=mg.Generator(0))
    assert abs(y.mean() - 1) < 0.01 and y.std() > 0.01
    assert np.array_equal(y, attention(q, k, v, dropout_p=0.25, rng=mg.Generator(0)))
    assert (attention(q, k, v, dropout_p=1.0) == 0).all()
    x = mg.Tensor(v).requires_grad_()
    gv = mg.grad(attention(q, k, x, dropout_p=0.25, rng=mg.Generator(0)), x, np.ones(y.shape))
    assert abs(gv.data.sum() - y.sum()) < 1e-9  # linear in v: the same mask both ways


def test_batch_axes_broadcast():
    q, k, v = arrays(3, 1, keys=S)
    k, v = k[:1, 0], v[:1, 0]
    assert attention(q, k, v).shape == (3, 1, T, E)
    gq, gk, gv = gradients(q, k, v, np.ones((3, 1, T, E)))
    assert (gq.shape, gk.shape, gv.shape) == (q.shape, k.shape, v.shape)
    wide = [np.broadcast_to(x, (3, 1, *x.shape[-2:])) for x in (q, k, v)]
    assert np.array_equal(attention(*wide), attention(q, k, v))


def test_dtypes_mix_as_everywhere():
    q, k, v = arrays()
    assert attention(q.astype(np.float32), k, v).dtype == np.float64
    assert attention(np.ones((2, 3), np.int64), *(np.ones((4, 3), np.float32),) * 2).dtype == (
        np.float32
    )


@pytest.mark.parametrize(
    ("shapes", "how", "error", "words"),
    [
        (((2, 3), (4, 5), (4, 6)), {}, mg.errors.ShapeError, ["(2, 3)", "(4, 5)", "axis -1"]),
        (((2, 3), (4, 3), (5, 6)), {}, mg.errors.ShapeError, ["(4, 3)", "(5, 6)", "axis -2"]),
        (((3,), (4, 3), (4, 3)), {}, mg.errors.ShapeError, ["(3,)", "2 dims"]),
        (((2, 4, 3), (3, 4, 3), (4, 3)), {}, mg.errors.ShapeError, ["broadcast"]),
        (((2, 3),) * 3, {"mask": np.ones((2, 2), int)}, mg.errors.DTypeError, ["mask", "boolean"]),
        (((2, 3),) * 3, {"mask": np.ones((2, 2), int)}, mg.errors.DTypeError, ["int64"]),
        (((2, 3),) * 3, {"mask": np.ones((2, 3), bool)}, mg.errors.ShapeError, ["(2, 2)"]),
        (((2, 3),) * 3, {"mask": np.ones((5, 2, 2), bool)}, mg.errors.ShapeError, ["mask"]),
        (((2, 3),) * 3, {"dropout_p": 1.5}, ValueError, ["dropout_p", "1.5"]),
    ],
)
def test_bad_input_is_refused_by_name(shapes, how, error, words):
    with pytest.raises(error) as caught:
        attention(*(mg.ones(shape) for shape in shapes), **how)
    assert str(caught.value).startswith("scaled_dot_product_attention: ")
    for word in words:
        assert word in str(caught.value)


def test_batch_axes_in_fortran_order_give_the_same():
    """NumPy lays a product out as its operands are; kernels that write rows need C order."""
    rng = mg.Generator(5)
    q, k, v = (
        rng.normal(shape, dtype=np.float64) for shape in [(2, 3, 4, 5), (3, 6, 5), (3, 6, 2)]
    )
    g = rng.normal((2, 3, 4, 2), dtype=np.float64)
    turned = [np.asfortranarray(q), np.asfortranarray(k), v[::-1].copy()[::-1]]

    def found(arrays):
        how = lambda: {"dropout_p": 0.5, "rng": mg.Generator(0)}
        return [attention(*arrays, **how()), *gradients(*arrays, g, **how())]

    for got, want in zip(found(turned), found([q, k, v])):
        assert_close(got, want)
