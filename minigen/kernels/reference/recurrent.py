"""One step of a recurrent layer: the elementwise arithmetic after the matrix products.

B sequences, H units. In the forward functions, `gates` starts as the input's contribution
W_ih x + b_ih to the gates (plus b_hh in the LSTM) and ends as the activated gates; `hidden` is the
contribution W_hh h of the state before the step (plus b_hh in the GRU). All functions write into
buffers of the caller, which are the slices for one step of the buffers of a whole sequence.

LSTM: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
GRU: Cho et al. 2014, with the reset gate of PyTorch and cuDNN. There r multiplies W_hn h + b_hn;
in the paper it multiplies h before the product, W_hn (r * h).
"""

from minigen.backend.arrays import array_module


def _activate(gates, activations):
    """Apply sigmoid ("s") or tanh ("t") to each block of H columns of gates (B, K H), in place.

    activations: a string of K letters.
    """
    xp, n = array_module(gates), gates.shape[1] // len(activations)
    for k, activation in enumerate(activations):
        block = gates[:, k * n : (k + 1) * n]
        if activation == "t":
            xp.tanh(block, out=block)
        else:  # sigmoid(z) = (1 + tanh(z / 2)) / 2; 1 / (1 + exp(-z)) would overflow in exp
            block *= 0.5
            xp.tanh(block, out=block)
            block += 1
            block *= 0.5


def lstm_step(gates, hidden, c, c_next, tanh_c, h_next):
    """One step of an LSTM. Writes all arguments but hidden and c; returns h_next (B, H).

        [i f g o] = [sigmoid(z_i) sigmoid(z_f) tanh(z_g) sigmoid(z_o)],  z = gates + hidden
        c_next = f * c + i * g
        h_next = o * tanh_c,  tanh_c = tanh(c_next)

    gates, hidden (B, 4H), their columns in the order i f g o; gates ends as [i f g o].
    c, c_next, tanh_c, h_next (B, H); c is the cell state before the step.
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
    """The VJP of `lstm_step`, in z = gates + hidden before the activation, and in c.

    With gh the cotangent of h_next, gc that of c_next from later steps, and d the whole one:
        d     = gc + gh * o * (1 - tanh_c^2)      (c_next acts on h_next and on the next step)
        gz_i  = d * g * i * (1 - i)               (sigmoid' = s (1 - s))
        gz_f  = d * c * f * (1 - f)
        gz_g  = d * i * (1 - g^2)                 (tanh' = 1 - tanh^2)
        gz_o  = gh * tanh_c * o * (1 - o)
        new gc = d * f                            (the cotangent of c)

    gh, gc, c, tanh_c (B, H); gates (B, 4H), activated, [i f g o]. Writes gz (B, 4H) and, in place,
    gc; returns gz. The cotangent of the state h before the step is then gz W_hh (B, H).
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
    """One step of a GRU. Writes gates, hidden_n and h_next; returns h_next (B, H).

    With a = gates (the input's contribution) and b = hidden, in blocks of columns r z n:
        r = sigmoid(a_r + b_r),  z = sigmoid(a_z + b_z),  n = tanh(a_n + r * b_n)
        h_next = (1 - z) * n + z * h

    gates, hidden (B, 3H); gates ends as [r z n]. h, the state before the step, hidden_n and h_next
    (B, H); hidden_n is a copy of b_n for the VJP.
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
    """The VJP of `gru_step`, in a = gates and b = hidden before the activation, and in h.

    With gh the cotangent of h_next, and gx, ghidden those of a and b:
        gx_n = gh * (1 - z) * (1 - n^2)           ghidden_n = gx_n * r
        gx_z = gh * (h - n) * z * (1 - z)         ghidden_z = gx_z
        gx_r = gx_n * hidden_n * r * (1 - r)      ghidden_r = gx_r
        new gh = gh * z                           (from z * h in h_next)

    gh, h, hidden_n (B, H); gates (B, 3H), activated, [r z n]. Writes gx and ghidden (B, 3H) and, in
    place, gh, which it returns. The cotangent of h is then gh + ghidden W_hh (B, H).
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
