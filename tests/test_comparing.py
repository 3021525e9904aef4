"""Comparisons, masks, remainders and formats of tensors are those of Python and NumPy."""

import operator

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DTypeError

X = np.array([1.5, 2.0, 3.0])
BITS = {"&": operator.and_, "|": operator.or_, "^": operator.xor}
MASK, WHOLE = np.array([True, False, True, False]), np.array([6, -5, 3, 0])


@pytest.mark.parametrize("o", BITS.values(), ids=BITS)
@pytest.mark.parametrize("x", [MASK, WHOLE], ids=["bool", "int64"])
@pytest.mark.parametrize("other", [True, MASK[::-1].copy(), MASK[:, None]], ids=np.shape)
def test_masks_and_integers_combine_bit_by_bit_with_anything_on_either_side(o, x, other):
    pairs = [(mg.tensor(x), other), (other, mg.tensor(x)), (mg.tensor(x), mg.tensor(other))]
    for a, b in pairs:
        got = o(a, b)
        assert type(got) is mg.Tensor
        assert np.array_equal(got, o(x, other))
        assert got.dtype == o(x, other).dtype
    assert np.array_equal(~mg.tensor(x), ~x)


@pytest.mark.parametrize("f", [lambda x: ~x, lambda x: x & True, lambda x: 1 | x, lambda x: x ^ x])
def test_bits_of_floats_are_refused(f):
    with pytest.raises(DTypeError, match="booleans and integers"):
        f(mg.ones(2))


def test_comparisons_of_comparisons_make_masks_that_select_and_count():
    x = mg.tensor(X, requires_grad=True)
    inside = (x > 1.6) & ~(x >= 3)
    assert inside.sum().item() == 1
    assert mg.grad(mg.where(inside, x * x, 0.0).sum(), x).numpy().tolist() == [0, 4, 0]
    assert x[inside].numpy().tolist() == [2.0]
    assert mg.grad((x * inside).sum(), x).numpy().tolist() == [0, 1, 0]
    assert (x == X).all() and not (x != X).any()


@pytest.mark.parametrize("a", [7, -7, 7.5, -7.5])
@pytest.mark.parametrize("b", [3, -3, 2.5])
def test_remainders_have_the_sign_of_the_divisor_as_in_python(a, b):
    for x, y in ((mg.tensor(a), b), (a, mg.tensor(b)), (mg.tensor(a), mg.tensor(b))):
        assert (x % y).item() == a % b
        assert (x // y).item() == a // b


def test_the_derivative_of_a_remainder_is_1_and_minus_the_quotient():
    a, b = mg.tensor([7.5, -7.5], requires_grad=True), mg.tensor([2.0, 2.0], requires_grad=True)
    ga, gb = mg.grad((a % b).sum(), [a, b])
    assert ga.numpy().tolist() == [1, 1] and gb.numpy().tolist() == [-3, 4]
    ga, gb = mg.grad((a // b).sum(), [a, b])
    assert ga.numpy().tolist() == gb.numpy().tolist() == [0, 0]


@pytest.mark.parametrize("value", [0.123456, np.float64(2.0), 7])
def test_a_number_is_formatted_as_a_number(value):
    x = mg.tensor(value)
    assert f"{x:.3f}" == f"{value:.3f}" and f"{x:>9.1e}" == f"{value:>9.1e}"
    assert f"{mg.tensor([value]):.3f}" == f"{value:.3f}"
    assert f"{x}" == str(x)
    with pytest.raises(TypeError):
        f"{mg.ones(2):.3f}"
