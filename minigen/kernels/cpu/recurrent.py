"""One step of a recurrent layer: the twins of `reference/recurrent.py`, each a single kernel.

Steps are small, so one call, of about 1 us, does the arithmetic of all gates. Each inner loop
writes one array, at indices where no other iteration reads: LLVM vectorizes a loop only if a few
checks at run time show that the array written does not overlap those read.
"""

from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.reference import recurrent as reference


def _all_contiguous(*arrays):
    """Whether all arrays are in C order."""
    return all(x.flags.c_contiguous for x in arrays)


def _blocks(x, gates):
    """x (B, K H) as (B, K, H), K = gates: Numba vectorizes x[b, 1, j], but not x[b, n + j]."""
    return x.reshape(len(x), gates, x.shape[1] // gates)


@compiled(fastmath=CONTRACT)
def lstm_cell(z, hidden, c, c_next, tanh_c, h_next):
    """`reference.lstm_step`, with gates z and hidden (B, 4, H)."""
    rows, n = c.shape
    half, one = z.dtype.type(0.5), z.dtype.type(1)
    for b in range(rows):
        for k in range(4):
            scale = one if k == 2 else half  # sigmoid(z) = 1/2 + 1/2 tanh(z/2); gate 2 is a tanh
            for j in range(n):
                z[b, k, j] = one - scale + scale * vm.tanh(scale * (z[b, k, j] + hidden[b, k, j]))
        for j in range(n):
            c_next[b, j] = z[b, 1, j] * c[b, j] + z[b, 0, j] * z[b, 2, j]
        for j in range(n):
            tanh_c[b, j] = vm.tanh(c_next[b, j])
        for j in range(n):
            h_next[b, j] = z[b, 3, j] * tanh_c[b, j]


def lstm_step(gates, hidden, c, c_next, tanh_c, h_next):
    """`reference.lstm_step` by `lstm_cell`, for arrays in C order."""
    if not _all_contiguous(gates, hidden, c, c_next, tanh_c, h_next):
        return reference.lstm_step(gates, hidden, c, c_next, tanh_c, h_next)
    lstm_cell(_blocks(gates, 4), _blocks(hidden, 4), c, c_next, tanh_c, h_next)
    return h_next


@compiled(fastmath=CONTRACT)
def lstm_cell_vjp(gh, gc, gates, c, tanh_c, gz, one):
    """`reference.lstm_step_vjp` with gates and gz (B, 4, H); one: 1 in the dtype of gz."""
    rows, n = c.shape
    for b in range(rows):
        i, f, g, o = gates[b, 0], gates[b, 1], gates[b, 2], gates[b, 3]
        for j in range(n):
            gc[b, j] += gh[b, j] * o[j] * (one - tanh_c[b, j] * tanh_c[b, j])
        for j in range(n):
            gz[b, 0, j] = gc[b, j] * g[j] * i[j] * (one - i[j])
        for j in range(n):
            gz[b, 1, j] = gc[b, j] * c[b, j] * f[j] * (one - f[j])
        for j in range(n):
            gz[b, 2, j] = gc[b, j] * i[j] * (one - g[j] * g[j])
        for j in range(n):
            gz[b, 3, j] = gh[b, j] * tanh_c[b, j] * o[j] * (one - o[j])
        for j in range(n):
            gc[b, j] *= f[j]


def lstm_step_vjp(gh, gc, gates, c, tanh_c, gz):
    """`reference.lstm_step_vjp` by `lstm_cell_vjp`, for arrays in C order."""
    if not _all_contiguous(gh, gc, gates, c, tanh_c, gz):
        return reference.lstm_step_vjp(gh, gc, gates, c, tanh_c, gz)
    one = gz.dtype.type(1)
    lstm_cell_vjp(gh, gc, _blocks(gates, 4), c, tanh_c, _blocks(gz, 4), one)
    return gz


@compiled(fastmath=CONTRACT)
def _gru_step(z, hidden, h, hidden_n, h_next):
    """`reference.gru_step`, with gates z and hidden (B, 3, H)."""
    rows, n = h.shape
    half = z.dtype.type(0.5)
    for b in range(rows):
        for k in range(2):
            for j in range(n):
                z[b, k, j] = half + half * vm.tanh(half * (z[b, k, j] + hidden[b, k, j]))
        for j in range(n):
            hidden_n[b, j] = hidden[b, 2, j]
        # Through h_next: a loop that reads z[b, 0] and writes z[b, 2] would not be vectorized.
        for j in range(n):
            h_next[b, j] = vm.tanh(z[b, 2, j] + z[b, 0, j] * hidden[b, 2, j])
        for j in range(n):
            z[b, 2, j] = h_next[b, j]
        for j in range(n):
            h_next[b, j] = z[b, 2, j] + z[b, 1, j] * (h[b, j] - z[b, 2, j])


def gru_step(gates, hidden, h, hidden_n, h_next):
    """`reference.gru_step` by a kernel, for arrays in C order."""
    if not _all_contiguous(gates, hidden, h, hidden_n, h_next):
        return reference.gru_step(gates, hidden, h, hidden_n, h_next)
    _gru_step(_blocks(gates, 3), _blocks(hidden, 3), h, hidden_n, h_next)
    return h_next


@compiled(fastmath=CONTRACT)
def _gru_step_vjp(gh, gates, h, hidden_n, gx, ghidden, one):
    """`reference.gru_step_vjp` with gates, gx, ghidden (B, 3, H); one: 1 in the dtype of gh."""
    rows, n = h.shape
    for b in range(rows):
        r, z, new = gates[b, 0], gates[b, 1], gates[b, 2]
        for j in range(n):
            gx[b, 2, j] = gh[b, j] * (one - z[j]) * (one - new[j] * new[j])
        for j in range(n):
            gx[b, 1, j] = gh[b, j] * (h[b, j] - new[j]) * z[j] * (one - z[j])
        for j in range(n):
            ghidden[b, 2, j] = gx[b, 2, j] * r[j]
        for j in range(n):
            ghidden[b, 1, j] = gx[b, 1, j]
        for j in range(n):
            ghidden[b, 0, j] = gx[b, 2, j] * hidden_n[b, j] * r[j] * (one - r[j])
        for j in range(n):
            gx[b, 0, j] = ghidden[b, 0, j]
        for j in range(n):
            gh[b, j] *= z[j]


def gru_step_vjp(gh, gates, h, hidden_n, gx, ghidden):
    """`reference.gru_step_vjp` by a kernel, for arrays in C order."""
    if not _all_contiguous(gh, gates, h, hidden_n, gx, ghidden):
        return reference.gru_step_vjp(gh, gates, h, hidden_n, gx, ghidden)
    blocks = _blocks(gx, 3), _blocks(ghidden, 3)
    _gru_step_vjp(gh, _blocks(gates, 3), h, hidden_n, *blocks, gh.dtype.type(1))
    return gh
