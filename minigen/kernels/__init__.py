"""The dispatch of kernels: each call goes to CPU, GPU or reference by the type of its first array.

NumPy arrays go to the Numba kernels of `cpu/`, CuPy arrays to the CUDA kernels of `gpu/`. The
plain functions of `reference/` run where those have no twin, where MINIGEN_KERNELS=reference is
set, and where Numba is missing. A variant is imported at its first use, so that importing minigen
compiles nothing.
"""

import warnings
from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType

from numpy import ndarray

from minigen.backend.arrays import is_cupy
from minigen.kernels import reference
from minigen.variables import choice


@cache
def _load_variant(on_gpu: bool) -> ModuleType:
    """The module whose kernels run on NumPy arrays, or with on_gpu on CuPy arrays."""
    if choice("MINIGEN_KERNELS", ("reference",)) == "reference":
        return reference
    if on_gpu:
        from minigen.kernels import gpu

        return gpu
    try:
        import numba  # here, so that its errors are not mistaken for those of `cpu/`
    except Exception as error:  # a broken installation raises OSError, AttributeError and others
        missing = getattr(error, "name", None) == "numba"
        reason = "not installed" if missing else f"installed but cannot be imported ({error})"
        warnings.warn(
            f"Numba is {reason}; minigen runs on its slower NumPy kernels, with the same results; "
            "`python -m minigen doctor` names the remedy",
            RuntimeWarning,
            stacklevel=3,
        )
        return reference
    if numba.config.DISABLE_JIT:  # then the kernels would run as Python, a loop for each number
        warnings.warn(
            "Numba is switched off by NUMBA_DISABLE_JIT; minigen runs on its slower NumPy kernels, "
            "with the same results",
            RuntimeWarning,
            stacklevel=3,
        )
        return reference
    from minigen.kernels import cpu

    return cpu


def _dispatched(kernel: Callable) -> Callable:
    """A function that calls the twin of a reference kernel for its first argument.

    The first argument is an array, or a list of arrays of which the first decides.
    """
    twins: dict[bool, Callable] = {}

    @wraps(kernel)
    def run(x, *rest):
        on_gpu = type(x) is not ndarray and is_cupy(x[0] if type(x) is list else x)
        twin = twins.get(on_gpu)
        if twin is None:
            twin = twins[on_gpu] = getattr(_load_variant(on_gpu), kernel.__name__, kernel)
        return twin(x, *rest)

    return run


def _optimizer_step(name: str) -> Callable:
    """A kernel for the step of an optimizer; its reference twin is the optimizer's `formula`.

    It takes rows (p, g, *state), one for each parameter, and the settings. It returns the rows
    that it did not update, which the optimizer then updates by its formula.
    """

    def run(rows, settings):
        twin = getattr(_load_variant(is_cupy(rows[0][0])), name, None)
        return rows if twin is None else twin(rows, settings)

    return run


matmul = _dispatched(reference.matmul)
linear = _dispatched(reference.linear)
linear_vjp = _dispatched(reference.linear_vjp)
philox = _dispatched(reference.philox)
uniform = _dispatched(reference.uniform)
bernoulli = _dispatched(reference.bernoulli)
erf = _dispatched(reference.erf)
relu = _dispatched(reference.relu)
relu_vjp = _dispatched(reference.relu_vjp)
leaky_relu = _dispatched(reference.leaky_relu)
leaky_relu_vjp = _dispatched(reference.leaky_relu_vjp)
select = _dispatched(reference.select)
sigmoid = _dispatched(reference.sigmoid)
softplus = _dispatched(reference.softplus)
tanh = _dispatched(reference.tanh)
gelu = _dispatched(reference.gelu)
gelu_vjp = _dispatched(reference.gelu_vjp)
silu = _dispatched(reference.silu)
silu_vjp = _dispatched(reference.silu_vjp)
gelu_tanh = _dispatched(reference.gelu_tanh)
gelu_tanh_vjp = _dispatched(reference.gelu_tanh_vjp)
bce_with_logits = _dispatched(reference.bce_with_logits)
bce_with_logits_vjp = _dispatched(reference.bce_with_logits_vjp)
bce_total = _dispatched(reference.bce_total)
sum_over = _dispatched(reference.sum_over)
scatter_rows = _dispatched(reference.scatter_rows)
softmax = _dispatched(reference.softmax)
softmax_vjp = _dispatched(reference.softmax_vjp)
log_softmax = _dispatched(reference.log_softmax)
log_softmax_vjp = _dispatched(reference.log_softmax_vjp)
layer_norm = _dispatched(reference.layer_norm)
layer_norm_vjp = _dispatched(reference.layer_norm_vjp)
cross_entropy = _dispatched(reference.cross_entropy)
cross_entropy_vjp = _dispatched(reference.cross_entropy_vjp)
batch_norm = _dispatched(reference.batch_norm)
batch_norm_vjp = _dispatched(reference.batch_norm_vjp)
convolve = _dispatched(reference.convolve)
convolve_transpose = _dispatched(reference.convolve_transpose)
convolve_weight = _dispatched(reference.convolve_weight)
sum_windows = _dispatched(reference.sum_windows)
sum_windows_vjp = _dispatched(reference.sum_windows_vjp)
max_indices = _dispatched(reference.max_indices)
take_along_rows = _dispatched(reference.take_along_rows)
scatter_along_rows = _dispatched(reference.scatter_along_rows)
lstm_step = _dispatched(reference.lstm_step)
lstm_step_vjp = _dispatched(reference.lstm_step_vjp)
gru_step = _dispatched(reference.gru_step)
gru_step_vjp = _dispatched(reference.gru_step_vjp)
lstm_steps = _dispatched(reference.lstm_steps)
lstm_steps_vjp = _dispatched(reference.lstm_steps_vjp)
gru_steps = _dispatched(reference.gru_steps)
gru_steps_vjp = _dispatched(reference.gru_steps_vjp)
dot_attention = _dispatched(reference.dot_attention)
dot_attention_vjp = _dispatched(reference.dot_attention_vjp)
sgd = _optimizer_step("sgd")
rmsprop = _optimizer_step("rmsprop")
adam = _optimizer_step("adam")
adamw = _optimizer_step("adamw")
