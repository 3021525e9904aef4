"""One step of a recurrent layer, all of it in one launch: steps are small, and there are many.

What the kernels cannot take, arrays with gaps or of several dtypes, is left to the reference.
"""

from minigen.kernels.gpu.launching import alike, launch_items
from minigen.kernels.reference import recurrent as reference


def taken(*arrays):
    """Whether the kernels can take these arrays, of which some may be None."""
    return alike(*arrays) and all(x is None or x.flags.c_contiguous for x in arrays)


def launch_step(name, state, *arrays):
    """Launch a step's kernel, with a thread for each element of the state (B, H)."""
    launch_items("recurrent.cu", name, state.dtype, state.size, *arrays, state.shape[1])


def lstm_step(gates, hidden, c, c_next, tanh_c, h_next):
    arrays = gates, hidden, c, c_next, tanh_c, h_next
    if not taken(*arrays):
        return reference.lstm_step(*arrays)
    launch_step("lstm_step", c, *arrays)
    return h_next


def lstm_step_vjp(gh, gc, gates, c, tanh_c, gz):
    arrays = gh, gc, gates, c, tanh_c, gz
    if not taken(*arrays):
        return reference.lstm_step_vjp(*arrays)
    launch_step("lstm_step_vjp", c, gh, None, *arrays[1:])
    return gz


def gru_step(gates, hidden, h, hidden_n, h_next):
    arrays = gates, hidden, h, hidden_n, h_next
    if not taken(*arrays):
        return reference.gru_step(*arrays)
    launch_step("gru_step", h, gates, hidden, None, *arrays[2:])
    return h_next


def gru_step_vjp(gh, gates, h, hidden_n, gx, ghidden):
    arrays = gh, gates, h, hidden_n, gx, ghidden
    if not taken(*arrays):
        return reference.gru_step_vjp(*arrays)
    launch_step("gru_step_vjp", h, gh, None, *arrays[1:])
    return gh
