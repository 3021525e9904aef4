"""The kernels in plain array code, valid on NumPy and CuPy alike: the truth for the fast ones.

Every function here takes its arrays first and has the same name, arguments, result and errors
as its twin in `cpu.py` and `gpu.py`, where there is one.
"""

import numpy as np

from minigen.backend import array_module

# ------------------------------------------------------------------------- random bits

# Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Philox 4x32 with 10 rounds.
PHILOX_ROUNDS = 10
PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
PHILOX_WEYL = 0x9E3779B9, 0xBB67AE85
LOW32 = 0xFFFFFFFF


def philox(out, seed, start):
    """Fill out (uint32, 1-d) with the words start, start + 1, ... of the stream of a 64-bit seed.

    Word w is word w % 4 of the block whose 128-bit counter is w // 4 and whose key is seed.
    """
    xp = array_module(out)
    first, last = start // 4, (start + out.size + 3) // 4
    block = xp.arange(last - first, dtype=np.uint64) + np.uint64(first)
    low, shift = np.uint64(LOW32), np.uint64(32)
    c0, c1 = block & low, block >> shift
    c2, c3 = xp.zeros_like(block), xp.zeros_like(block)
    k0, k1 = seed & LOW32, seed >> 32
    m0, m1 = map(np.uint64, PHILOX_MULTIPLIERS)
    for _ in range(PHILOX_ROUNDS):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> shift) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + PHILOX_WEYL[0]) & LOW32, (k1 + PHILOX_WEYL[1]) & LOW32
    words = xp.stack([c0, c1, c2, c3], axis=1).astype(np.uint32).ravel()
    out[...] = words[start % 4 : start % 4 + out.size]
    return out


# -------------------------------------------------------------------------- elementwise

# W. J. Cody 1969, "Rational Chebyshev approximations for the error function": erf for |x| below
# 0.46875 as x * P(x^2) / Q(x^2); erfc for |x| up to 4 and beyond as exp(-x^2) times a rational
# function of |x| or of 1 / x^2. Coefficients from the highest power down.
_ERF_P = (
    1.85777706184603153e-1,
    3.16112374387056560e00,
    1.13864154151050156e02,
    3.77485237685302021e02,
    3.20937758913846947e03,
)
_ERF_Q = (
    1.0,
    2.36012909523441209e01,
    2.44024637934444173e02,
    1.28261652607737228e03,
    2.84423683343917062e03,
)
_ERFC_P = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e00,
    6.61191906371416295e01,
    2.98635138197400131e02,
    8.81952221241769090e02,
    1.71204761263407058e03,
    2.05107837782607147e03,
    1.23033935479799725e03,
)
_ERFC_Q = (
    1.0,
    1.57449261107098347e01,
    1.17693950891312499e02,
    5.37181101862009858e02,
    1.62138957456669019e03,
    3.29079923573345963e03,
    4.36261909014324716e03,
    3.43936767414372164e03,
    1.23033935480374942e03,
)


def _polynomial(coefficients, x):
    y = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        y = y * x + c
    return y


def erf(x):
    """The error function 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    xp = array_module(x)
    size = xp.abs(x)
    near = xp.minimum(size, 0.46875)
    inner = near * _polynomial(_ERF_P, near * near) / _polynomial(_ERF_Q, near * near)
    # Beyond 4 the complement is below 2e-8 and beyond 6 it is below rounding: one formula serves.
    far = xp.clip(size, 0.46875, 6.0)
    tail = xp.exp(-far * far) * _polynomial(_ERFC_P, far) / _polynomial(_ERFC_Q, far)
    return xp.where(size <= 0.46875, inner, 1 - tail) * xp.sign(x)


# ----------------------------------------------------------------------------- indexing


def scatter_rows(out, index, updates):
    """out[index[i]] += updates[i] for i in order; out (R, D), index (N,) in [0, R), updates (N, D).

    Writes into out and returns it; duplicate indices add up.
    """
    array_module(out).add.at(out, index, updates)
    return out


# ------------------------------------------------------------------------ normalization


def softmax(x, axis):
    """exp(x) normalised to sum 1 over axis; NaN for a slice of nothing but -inf."""
    with np.errstate(invalid="ignore"):  # -inf less -inf is the NaN that is promised
        e = array_module(x).exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_vjp(g, y, axis):
    """y * (g - sum(g * y)) over axis."""
    gy = g * y
    return gy - y * gy.sum(axis=axis, keepdims=True)


def log_softmax(x, axis):
    """x - logsumexp(x) over axis."""
    xp = array_module(x)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


def log_softmax_vjp(g, y, axis):
    """g - exp(y) * sum(g) over axis."""
    return g - array_module(g).exp(y) * g.sum(axis=axis, keepdims=True)


def layer_norm(x, weight, bias, eps):
    """Rows of x (M, N) to mean 0 and variance 1, times weight (N,), plus bias (N,), either None.

    Returns y (M, N) and the mean and the reciprocal standard deviation, (M, 1) each.
    """
    n = max(x.shape[1], 1)
    mean = x.sum(axis=1, keepdims=True) / n
    centred = x - mean
    variance = (centred * centred).sum(axis=1, keepdims=True) / n
    rstd = 1 / array_module(x).sqrt(variance + eps)
    y = centred * rstd
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), mean, rstd


def layer_norm_vjp(g, x, weight, mean, rstd):
    """Cotangents of x (M, N), weight (N,) and bias (N,) for a cotangent g (M, N) of y."""
    hat = (x - mean) * rstd
    gw, gb = (g * hat).sum(axis=0), g.sum(axis=0)
    gh = g if weight is None else g * weight
    n = max(x.shape[1], 1)
    level, along = (part.sum(axis=1, keepdims=True) / n for part in (gh, gh * hat))
    return (gh - level - hat * along) * rstd, gw, gb


# ------------------------------------------------------------------------------- losses


def cross_entropy(x, target, smoothing):
    """-sum of q * log_softmax(x) for each row of x (M, C), target (M,) int64 in [0, C).

    q is 1 - smoothing at the target and smoothing / C more everywhere; a negative target makes
    the loss of its row 0. Returns the losses (M,) and the log-sum-exp of each row (M, 1).
    """
    xp = array_module(x)
    top = x.max(axis=1, keepdims=True)
    lse = xp.log(xp.exp(x - top).sum(axis=1, keepdims=True)) + top
    loss = lse[:, 0] - (1 - smoothing) * x[xp.arange(len(x)), xp.maximum(target, 0)]
    if smoothing:
        loss = loss - smoothing * x.mean(axis=1)
    return xp.where(target < 0, 0, loss), lse


def cross_entropy_vjp(g, x, target, lse, smoothing):
    """Cotangent of x (M, C) for the cotangent g (M,) of the losses: g * (softmax(x) - q)."""
    xp = array_module(x)
    gx = xp.exp(x - lse)
    if smoothing:
        gx -= smoothing / x.shape[1]
    rows = xp.arange(len(x))
    gx[rows, xp.maximum(target, 0)] -= 1 - smoothing
    return xp.where((target < 0)[:, None], 0, gx * g[:, None])


# --------------------------------------------------------------------------- optimizers


def adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    """One Adam update in place; all arrays of one shape, p and m and v written.

    g += decay * p (into a copy); p *= shrink; m, v: moving means of g and g^2;
    p -= step_size * m / (sqrt(v) / root + eps).
    """
    if decay:
        g = g + decay * p
    if shrink != 1:
        p *= shrink
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * g * g
    p -= step_size * m / (array_module(p).sqrt(v) / root + eps)
    return p
