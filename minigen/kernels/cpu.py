"""The kernels for speed on a CPU, compiled by Numba; twins of those in `reference.py`.

They release the interpreter lock and run on the calling thread. A kernel and its helpers stay
in this one file: Numba's disk cache notices a change in the file of a function only.
"""

import math

import numba
import numpy as np

from minigen.kernels import reference
from minigen.kernels.reference import LOW32, PHILOX_MULTIPLIERS, PHILOX_ROUNDS, PHILOX_WEYL

# Summing in any order is as accurate as in one; NaN and infinity keep their meaning.
REASSOCIATE = {"contract", "nsz", "reassoc"}


def _compiled(function=None, *, fastmath=frozenset()):
    """Numba's njit with a disk cache where one can be written, else compiled in memory."""
    if function is None:
        return lambda f: _compiled(f, fastmath=fastmath)
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no directory to keep the cache in
        return numba.njit(function, **options)


_M0, _M1 = (np.uint64(m) for m in PHILOX_MULTIPLIERS)
_W0, _W1 = (np.uint64(w) for w in PHILOX_WEYL)
_LOW, _32, _4 = np.uint64(LOW32), np.uint64(32), np.uint64(4)


@_compiled
def _philox(out, k0, k1, start):
    n = out.size
    word = start % _4
    block = start // _4
    i = 0
    while i < n:
        c0, c1, c2, c3 = block & _LOW, block >> _32, np.uint64(0), np.uint64(0)
        a, b = k0, k1
        for _ in range(PHILOX_ROUNDS):
            p0, p1 = _M0 * c0, _M1 * c2
            c0, c2 = (p1 >> _32) ^ c1 ^ a, (p0 >> _32) ^ c3 ^ b
            c1, c3 = p1 & _LOW, p0 & _LOW
            a, b = (a + _W0) & _LOW, (b + _W1) & _LOW
        for c in (c0, c1, c2, c3):
            if word > 0:
                word -= np.uint64(1)
            elif i < n:
                out[i] = np.uint32(c)
                i += 1
        block += np.uint64(1)


def philox(out, seed, start):
    _philox(out, np.uint64(seed & LOW32), np.uint64(seed >> 32), np.uint64(start))
    return out


@_compiled
def _erf(x, y):
    for i in range(x.size):
        y[i] = math.erf(x[i])


def erf(x):
    x = np.asarray(x)
    flat = np.ascontiguousarray(x).reshape(-1)
    y = np.empty_like(flat)
    _erf(flat, y)
    return y.reshape(x.shape)


@_compiled
def _scatter_rows(out, index, updates):
    for i in range(index.size):
        row = index[i]
        for j in range(out.shape[1]):
            out[row, j] += updates[i, j]


def scatter_rows(out, index, updates):
    _scatter_rows(out, np.ascontiguousarray(index), np.ascontiguousarray(updates))
    return out


@_compiled(fastmath=REASSOCIATE)
def _layer_norm(x, weight, bias, eps, y, mean, rstd):
    rows, n = x.shape
    for i in range(rows):
        total = 0.0
        for j in range(n):
            total += x[i, j]
        mu = total / n
        spread = 0.0
        for j in range(n):
            spread += (x[i, j] - mu) * (x[i, j] - mu)
        r = 1 / math.sqrt(spread / n + eps)
        mean[i, 0], rstd[i, 0] = mu, r
        for j in range(n):
            hat = (x[i, j] - mu) * r
            if weight is not None:
                hat *= weight[j]
            if bias is not None:
                hat += bias[j]
            y[i, j] = hat


def layer_norm(x, weight, bias, eps):
    x = np.ascontiguousarray(x)
    y, mean = np.empty_like(x), np.empty((len(x), 1), x.dtype)
    rstd = np.empty_like(mean)
    _layer_norm(x, _contiguous(weight), _contiguous(bias), eps, y, mean, rstd)
    return y, mean, rstd


@_compiled(fastmath=REASSOCIATE)
def _layer_norm_vjp(g, x, weight, mean, rstd, gx, gw, gb):
    rows, n = x.shape
    for i in range(rows):
        mu, r = mean[i, 0], rstd[i, 0]
        along, level = 0.0, 0.0
        for j in range(n):
            hat, gh = (x[i, j] - mu) * r, g[i, j]
            gw[j] += gh * hat
            gb[j] += gh
            if weight is not None:
                gh *= weight[j]
            along += gh * hat
            level += gh
        along, level = along / n, level / n
        for j in range(n):
            hat, gh = (x[i, j] - mu) * r, g[i, j]
            if weight is not None:
                gh *= weight[j]
            gx[i, j] = (gh - level - hat * along) * r


def layer_norm_vjp(g, x, weight, mean, rstd):
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    # Sums over all rows: in double, or a long batch would lose digits.
    gx, gw, gb = np.empty_like(x), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    _layer_norm_vjp(g, x, _contiguous(weight), mean, rstd, gx, gw, gb)
    return gx, gw.astype(x.dtype, copy=False), gb.astype(x.dtype, copy=False)


def _contiguous(x):
    return None if x is None else np.ascontiguousarray(x)


@_compiled(fastmath={"contract"})
def _adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    for i in range(p.size):
        gi = g[i] + decay * p[i]
        m[i] += (1 - beta1) * (gi - m[i])
        v[i] = beta2 * v[i] + (1 - beta2) * gi * gi
        p[i] = shrink * p[i] - step_size * m[i] / (math.sqrt(v[i]) / root + eps)


def adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    if not (p.flags.c_contiguous and m.flags.c_contiguous and v.flags.c_contiguous):
        return reference.adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay)
    cast = p.dtype.type  # constants in the dtype of p: the loop then vectorizes at full width
    constants = (step_size, beta1, beta2, root, eps, shrink, decay)
    flat = np.ascontiguousarray(g).reshape(-1)
    _adam(p.reshape(-1), m.reshape(-1), v.reshape(-1), flat, *map(cast, constants))
    return p
