"""Clipping of gradients by norm and by value; parameters as one vector."""

import numpy as np
import pytest
from test_optim_arguments import inf, nan, parameter, with_gradient

import minigen as mg
from minigen import nn, optim


@pytest.mark.parametrize(
    ("norm_type", "norm"), [(2, 5.0), (1, 7.0), (inf, 4.0), (3, 91 ** (1 / 3)), (np.float64(2), 5)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_clipped_by_their_joint_norm_of_any_order(norm_type, norm, dtype):
    for clip in (optim.clip_grad_norm, optim.clip_grad_norm_, nn.utils.clip_grad_norm_):
        params = [
            with_gradient(3.0, 0.0, dtype=dtype),
            parameter(),
            with_gradient(4.0, dtype=dtype),
        ]
        found = clip(iter(params), np.float64(0.5), norm_type)
        assert type(found) is float and found == pytest.approx(norm, rel=1e-6)
        assert params[0].grad.data == pytest.approx(np.array([3, 0]) * 0.5 / norm, rel=1e-5)
        assert params[2].grad.data == pytest.approx(np.array([4]) * 0.5 / norm, rel=1e-5)
        assert params[0].grad.dtype == params[2].grad.dtype == dtype
        assert params[1].grad is None


def test_one_tensor_is_clipped_a_shared_one_once_and_a_read_generator_is_an_error():
    p = with_gradient(120.0, 160.0)
    assert optim.clip_grad_norm(p, 1.0) == pytest.approx(200)
    assert p.grad.data == pytest.approx([0.6, 0.8])
    q = with_gradient(30.0, 40.0)
    assert optim.clip_grad_norm([q, q], 1.0) == pytest.approx(50)
    assert q.grad.data == pytest.approx([0.6, 0.8])
    params = (x for x in [p])
    list(params)
    for clip in (optim.clip_grad_norm, optim.clip_grad_value):
        for empty in ([], (), params):
            with pytest.raises(ValueError, match=f"{clip.__name__}: .*empty"):
                clip(empty, 1.0)
        with pytest.raises(TypeError, match=f"{clip.__name__}: .*ndarray"):
            clip([np.ones(2)], 1.0)
        with pytest.raises(TypeError, match=rf"{clip.__name__}: .*model\.parameters\(\)"):
            clip(nn.Linear(2, 3), 1.0)
    assert optim.clip_grad_norm([parameter()], 1.0) == 0.0  # without a gradient


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_norm_that_is_not_finite_is_returned_or_an_error(bad):
    for norm_type in (1, 2, inf):
        p = with_gradient(1.0, bad)
        with pytest.raises(RuntimeError, match=r"clip_grad_norm: .*(nan|inf)"):
            optim.clip_grad_norm([p], 1.0, norm_type, error_if_nonfinite=True)
        assert p.grad.data[0] == 1
        with np.errstate(invalid="ignore"):
            assert not np.isfinite(optim.clip_grad_norm([p], 1.0, norm_type))
        # PyTorch's: times max_norm / norm, 0 or NaN
        assert np.array_equal(p.grad.data, [nan if bad != bad else 0, nan], equal_nan=True)


def test_the_norm_of_ten_million_gradients_is_accurate():
    p = mg.Tensor(np.zeros(10**7, np.float32)).requires_grad_()
    p.grad = mg.Tensor(np.full(10**7, 0.1, np.float32))
    exact = float(np.float32(0.1))
    assert optim.clip_grad_norm([p], inf) == pytest.approx(exact * 10**3.5, rel=1e-9)
    assert optim.clip_grad_norm([p], inf, 1) == pytest.approx(exact * 10**7, rel=1e-9)
    optim.clip_grad_norm([p], 1.0)
    assert np.linalg.norm(p.grad.data.astype(np.float64)) == pytest.approx(1, rel=1e-5)


def test_values_of_gradients_are_clipped_in_new_arrays():
    for clip in (optim.clip_grad_value, optim.clip_grad_value_, nn.utils.clip_grad_value_):
        p, q = with_gradient(-3.0, 0.2, 5.0), parameter()
        held = p.grad
        assert clip(iter([p, q]), np.float64(0.5)) is None
        assert p.grad.data == pytest.approx([-0.5, 0.2, 0.5]) and p.grad.dtype == np.float32
        assert held.data == pytest.approx([-3, 0.2, 5]) and q.grad is None
    for wrong in (-1, nan):
        with pytest.raises(ValueError, match=f"clip_value .*{wrong}"):
            optim.clip_grad_value([p], wrong)
        with pytest.raises(ValueError, match=f"norm_type .*{wrong}"):
            optim.clip_grad_norm([p], 1.0, wrong)


def test_parameters_are_read_and_written_as_one_vector():
    model = nn.Linear(2, 3)
    vec = nn.utils.parameters_to_vector(model.parameters())
    assert vec.shape == (9,)
    assert np.array_equal(vec.data[:6], model.weight.data.ravel())
    (vec * vec).sum().backward()
    assert np.allclose(model.weight.grad.data, 2 * model.weight.data)
    version = model.bias.node.version
    nn.utils.vector_to_parameters(mg.arange(9, dtype=np.float32), iter(model.parameters()))
    assert np.array_equal(model.weight.data, [[0, 1], [2, 3], [4, 5]])
    assert np.array_equal(model.bias.data, [6, 7, 8]) and model.bias.node.version == version + 1
    with pytest.raises(mg.errors.ShapeError, match=r"\(4,\) must be \(9,\)"):
        nn.utils.vector_to_parameters(mg.ones(4), model.parameters())
    assert model.bias.data[0] == 6
