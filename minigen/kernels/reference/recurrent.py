"""One step of a recurrent layer, elementwise, after the products: B rows, H units.

The kernels write into buffers of the whole sequence, a step's slice of each. `gates` comes in as
the part that x contributed and leaves activated; `hidden` is the part of the state before.
"""

from minigen.backend.arrays import array_module


def _activate(gates, parts):
    """The sigmoids and tanhs of (B, K H) in place; parts: "s" or "t" for each block of H."""
    xp, n = array_module(gates), gates.shape[1] // len(parts)
    for k, part in enumerate(parts):
        block = gates[:, k * n : (k + 1) * n]
        if part == "t":
            xp.tanh(block, out=block)
        else:  # 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2, which neither overflows nor branches
            block *= 0.5
            xp.tanh(block, out=block)
            block += 1
            block *= 0.5


def lstm_step(gates, hidden, c, c_next, tanh_c, h_next):
    """gates and hidden (B, 4H) in the order i f g o; c the cell state before, (B, H).

    Writes gates, c_next = f * c + i * g, tanh_c = tanh(c_next) and h_next = o * tanh_c.
    """
    gates += hidden
    _activate(gates, "ssts")
    n = c.shape[1]
    i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
    c_next[...] = f * c + i * g
    tanh_c[...] = array_module(c).tanh(c_next)
    h_next[...] = o * tanh_c
    return h_next


def lstm_step_vjp(gh, gc, gates, c, tanh_c, gz):
    """From the cotangents of h_next and c_next, those of the gates before activation.

    Writes gz (B, 4H), and into gc the cotangent of c.
    """
    n = c.shape[1]
    i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
    gc += gh * o * (1 - tanh_c * tanh_c)
    gz[:, :n] = gc * g * i * (1 - i)
    gz[:, n : 2 * n] = gc * c * f * (1 - f)
    gz[:, 2 * n : 3 * n] = gc * i * (1 - g * g)
    gz[:, 3 * n :] = gh * tanh_c * o * (1 - o)
    gc *= f
    return gz


def gru_step(gates, hidden, h, hidden_n, h_next):
    """gates and hidden (B, 3H) in the order r z n; h the state before, (B, H).

    Writes gates, with n = tanh(its part of gates + r * its part of hidden), hidden_n = that part
    of hidden, which the backward pass needs, and h_next = (1 - z) * n + z * h.
    """
    n = h.shape[1]
    hidden_n[...] = hidden[:, 2 * n :]
    gates[:, : 2 * n] += hidden[:, : 2 * n]
    _activate(gates[:, : 2 * n], "ss")
    r, z, new = (gates[:, k * n : (k + 1) * n] for k in range(3))
    new += r * hidden_n
    array_module(h).tanh(new, out=new)
    h_next[...] = new + z * (h - new)
    return h_next


def gru_step_vjp(gh, gates, h, hidden_n, gx, ghidden):
    """From the cotangent of h_next, those of gates and hidden before activation.

    Writes gx and ghidden (B, 3H), and into gh the part of the cotangent of h that comes past
    the gates.
    """
    n = h.shape[1]
    r, z, new = (gates[:, k * n : (k + 1) * n] for k in range(3))
    gx[:, 2 * n :] = gh * (1 - z) * (1 - new * new)
    gx[:, n : 2 * n] = gh * (h - new) * z * (1 - z)
    gx[:, :n] = gx[:, 2 * n :] * hidden_n * r * (1 - r)
    ghidden[:, : 2 * n] = gx[:, : 2 * n]
    ghidden[:, 2 * n :] = gx[:, 2 * n :] * r
    gh *= z
    return gh
