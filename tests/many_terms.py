"""What tests of long sums share: equal terms, and both dtypes of one computation."""

import numpy as np

import minigen as mg

LIMIT = 1e-5
N = 200_000  # terms
AT = np.full(N, 1)  # an index that names one element N times


def tenths(*shape):
    return np.full(shape, 0.1, np.float32)


def close(got, want, magnitude=None):
    """Whether got, float32, is right: relative to the sums of magnitudes, by default to want."""
    got, want = (np.asarray(x.data if isinstance(x, mg.Tensor) else x) for x in (got, want))
    assert got.dtype == np.float32 and got.shape == want.shape
    scale = np.abs(want if magnitude is None else magnitude).max()
    return np.abs(got - want.astype(np.float64)).max() <= LIMIT * scale


def in_both_dtypes(function, *arrays):
    """function of float32 arrays, and of the same numbers in float64."""
    return function(*arrays), function(*(np.asarray(x, np.float64) for x in arrays))


def gradients(loss, *arrays):
    """The gradients of loss(*tensors), a tensor () or one to be summed with weights of 0.1."""
    tensors = [mg.tensor(x, requires_grad=True) for x in arrays]
    y = loss(*tensors)
    return mg.grad(y, tensors, np.full(y.shape, np.float32(0.1), y.dtype))
