"""The reference kernels, in plain array code for NumPy and CuPy: they define the right results.

Each function takes its arrays first. A twin in `cpu/` or `gpu/`, where there is one, has the same
name, arguments, results and errors.
"""

from minigen.kernels.reference.activations import (
    bce_total,
    bce_with_logits,
    bce_with_logits_vjp,
    gelu,
    gelu_tanh,
    gelu_tanh_vjp,
    gelu_vjp,
    sigmoid,
    silu,
    silu_vjp,
    softplus,
    tanh,
)
from minigen.kernels.reference.attention import dot_attention, dot_attention_vjp
from minigen.kernels.reference.channels import batch_norm, batch_norm_vjp
from minigen.kernels.reference.convolution import (
    convolve,
    convolve_transpose,
    convolve_weight,
)
from minigen.kernels.reference.functions import (
    erf,
    leaky_relu,
    leaky_relu_vjp,
    relu,
    relu_vjp,
    select,
)
from minigen.kernels.reference.products import linear, linear_vjp, matmul
from minigen.kernels.reference.random_bits import bernoulli, philox, uniform
from minigen.kernels.reference.recurrent import (
    gru_step,
    gru_step_vjp,
    lstm_step,
    lstm_step_vjp,
)
from minigen.kernels.reference.rows import (
    cross_entropy,
    cross_entropy_vjp,
    layer_norm,
    layer_norm_vjp,
    log_softmax,
    log_softmax_vjp,
    scatter_rows,
    softmax,
    softmax_vjp,
)
from minigen.kernels.reference.sequences import (
    gru_steps,
    gru_steps_vjp,
    lstm_steps,
    lstm_steps_vjp,
)
from minigen.kernels.reference.sums import sum_over
from minigen.kernels.reference.windows import (
    max_indices,
    scatter_along_rows,
    sum_windows,
    sum_windows_vjp,
    take_along_rows,
)
