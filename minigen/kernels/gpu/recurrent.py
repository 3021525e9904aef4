"""One step of an LSTM or GRU in one launch.

A step is little work and a sequence has many steps, so a launch for each operation of a step would
take longer than the work. The kernels write into their arguments. So arrays that are not
C-contiguous, or not all float32 or all float64, cannot be copied first: for them the reference
kernel runs. A None among the arguments is an optional array of recurrent.cu that is not used here.
"""

from minigen.kernels.gpu.launching import have_kernel_dtype, launch_items
from minigen.kernels.reference import recurrent as reference


def can_take(*arrays):
    """Whether the kernels take the arrays: C-contiguous, one float dtype. None is ignored."""
    return have_kernel_dtype(*arrays) and all(x is None or x.flags.c_contiguous for x in arrays)


def launch_step(name, state, *arrays):
    """Launch the kernel of a step, with a thread for each element of the state (B, H)."""
    launch_items("recurrent.cu", name, state.dtype, state.size, *arrays, state.shape[1])


def lstm_step(gates, hidden, c, c_next, tanh_c, h_next):
    """`reference.lstm_step`, a thread for each unit."""
    arrays = gates, hidden, c, c_next, tanh_c, h_next
    if not can_take(*arrays):
        return reference.lstm_step(*arrays)
    launch_step("lstm_step", c, *arrays)
    return h_next


def lstm_step_vjp(gh, gc, gates, c, tanh_c, gz):
    """`reference.lstm_step_vjp`, a thread for each unit."""
    arrays = gh, gc, gates, c, tanh_c, gz
    if not can_take(*arrays):
        return reference.lstm_step_vjp(*arrays)
    launch_step("lstm_step_vjp", c, gh, None, *arrays[1:])
    return gz


def gru_step(gates, hidden, h, hidden_n, h_next):
    """`reference.gru_step`, a thread for each unit."""
    arrays = gates, hidden, h, hidden_n, h_next
    if not can_take(*arrays):
        return reference.gru_step(*arrays)
    launch_step("gru_step", h, gates, hidden, None, *arrays[2:])
    return h_next


def gru_step_vjp(gh, gates, h, hidden_n, gx, ghidden):
    """`reference.gru_step_vjp`, a thread for each unit."""
    arrays = gh, gates, h, hidden_n, gx, ghidden
    if not can_take(*arrays):
        return reference.gru_step_vjp(*arrays)
    launch_step("gru_step_vjp", h, gh, None, *arrays[1:])
    return gh
