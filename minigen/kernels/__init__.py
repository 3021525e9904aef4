"""The one place where a kernel is chosen: by the type of its first array.

NumPy arrays go to the Numba kernels of `cpu/`, CuPy arrays to `gpu/`; what those lack, and
everything where MINIGEN_KERNELS=reference is set or Numba is missing, runs as in `reference/`.
A variant is loaded at its first use, so that importing minigen compiles nothing.
"""

import os
import warnings
from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType

from minigen.backend.arrays import is_cupy
from minigen.kernels import reference


@cache
def _variant(on_gpu: bool) -> ModuleType:
    if os.environ.get("MINIGEN_KERNELS") == "reference":
        return reference
    if on_gpu:
        from minigen.kernels import gpu

        return gpu
    try:
        import numba  # to tell its errors from ours
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
    from minigen.kernels import cpu

    return cpu


def _chosen(kernel: Callable) -> Callable:
    """kernel, or its faster twin for the kind of array that comes first, or first in a list."""
    twins: dict[bool, Callable] = {}

    @wraps(kernel)
    def run(x, *rest):
        on_gpu = is_cupy(x[0] if type(x) is list else x)
        twin = twins.get(on_gpu)
        if twin is None:
            twin = twins[on_gpu] = getattr(_variant(on_gpu), kernel.__name__, kernel)
        return twin(x, *rest)

    return run


def _update(name: str) -> Callable:
    """A kernel for the step of an optimizer, whose plain twin is the optimizer's formula.

    It takes rows of arrays and settings, and returns the rows that are left to the formula.
    """

    def run(rows, settings):
        twin = getattr(_variant(is_cupy(rows[0][0])), name, None)
        return rows if twin is None else twin(rows, settings)

    return run


matmul = _chosen(reference.matmul)
linear = _chosen(reference.linear)
linear_vjp = _chosen(reference.linear_vjp)
philox = _chosen(reference.philox)
uniform = _chosen(reference.uniform)
bernoulli = _chosen(reference.bernoulli)
erf = _chosen(reference.erf)
relu = _chosen(reference.relu)
relu_vjp = _chosen(reference.relu_vjp)
leaky_relu = _chosen(reference.leaky_relu)
leaky_relu_vjp = _chosen(reference.leaky_relu_vjp)
select = _chosen(reference.select)
sigmoid = _chosen(reference.sigmoid)
softplus = _chosen(reference.softplus)
tanh = _chosen(reference.tanh)
gelu = _chosen(reference.gelu)
gelu_vjp = _chosen(reference.gelu_vjp)
gelu_tanh = _chosen(reference.gelu_tanh)
gelu_tanh_vjp = _chosen(reference.gelu_tanh_vjp)
bce_with_logits = _chosen(reference.bce_with_logits)
bce_with_logits_vjp = _chosen(reference.bce_with_logits_vjp)
bce_total = _chosen(reference.bce_total)
sum_rows = _chosen(reference.sum_rows)
sum_channels = _chosen(reference.sum_channels)
scatter_rows = _chosen(reference.scatter_rows)
softmax = _chosen(reference.softmax)
softmax_vjp = _chosen(reference.softmax_vjp)
log_softmax = _chosen(reference.log_softmax)
log_softmax_vjp = _chosen(reference.log_softmax_vjp)
layer_norm = _chosen(reference.layer_norm)
layer_norm_vjp = _chosen(reference.layer_norm_vjp)
cross_entropy = _chosen(reference.cross_entropy)
cross_entropy_vjp = _chosen(reference.cross_entropy_vjp)
batch_norm = _chosen(reference.batch_norm)
batch_norm_vjp = _chosen(reference.batch_norm_vjp)
convolve = _chosen(reference.convolve)
convolve_transpose = _chosen(reference.convolve_transpose)
convolve_weight = _chosen(reference.convolve_weight)
sum_windows = _chosen(reference.sum_windows)
sum_windows_vjp = _chosen(reference.sum_windows_vjp)
max_indices = _chosen(reference.max_indices)
take_along_rows = _chosen(reference.take_along_rows)
scatter_along_rows = _chosen(reference.scatter_along_rows)
lstm_step = _chosen(reference.lstm_step)
lstm_step_vjp = _chosen(reference.lstm_step_vjp)
gru_step = _chosen(reference.gru_step)
gru_step_vjp = _chosen(reference.gru_step_vjp)
lstm_steps = _chosen(reference.lstm_steps)
lstm_steps_vjp = _chosen(reference.lstm_steps_vjp)
gru_steps = _chosen(reference.gru_steps)
gru_steps_vjp = _chosen(reference.gru_steps_vjp)
dot_attention = _chosen(reference.dot_attention)
dot_attention_vjp = _chosen(reference.dot_attention_vjp)
sgd = _update("sgd")
rmsprop = _update("rmsprop")
adam = _update("adam")
adamw = _update("adamw")
