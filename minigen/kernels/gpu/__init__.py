"""Fast kernels for an NVIDIA GPU, in CUDA C++: twins of those in `reference/`.

Each subject is a `.cu` file and a Python file that launches its kernels. `launching` compiles and
launches, `common.cuh` has what every `.cu` file includes, `blas` and `products` have the matrix
products.
"""

from minigen.kernels.gpu.activations import (
    bce_total,
    bce_with_logits,
    bce_with_logits_vjp,
    erf,
    gelu,
    gelu_tanh,
    gelu_tanh_vjp,
    gelu_vjp,
    leaky_relu,
    leaky_relu_vjp,
    relu,
    relu_vjp,
    sigmoid,
    silu,
    silu_vjp,
    softplus,
)
from minigen.kernels.gpu.attention import dot_attention, dot_attention_vjp
from minigen.kernels.gpu.channels import batch_norm, batch_norm_vjp
from minigen.kernels.gpu.convolution import convolve, convolve_transpose, convolve_weight
from minigen.kernels.gpu.indexing import scatter_along_rows, take_along_rows
from minigen.kernels.gpu.products import linear, linear_vjp, matmul
from minigen.kernels.gpu.random_bits import bernoulli, philox, uniform
from minigen.kernels.gpu.recurrent import gru_step, gru_step_vjp, lstm_step, lstm_step_vjp
from minigen.kernels.gpu.rows import layer_norm, layer_norm_vjp, scatter_rows, sum_over
from minigen.kernels.gpu.sequences import gru_steps, gru_steps_vjp, lstm_steps, lstm_steps_vjp
from minigen.kernels.gpu.softmax import (
    cross_entropy,
    cross_entropy_vjp,
    log_softmax,
    log_softmax_vjp,
    softmax,
    softmax_vjp,
)
from minigen.kernels.gpu.updates import adam, adamw, rmsprop, sgd
from minigen.kernels.gpu.windows import max_indices, sum_windows, sum_windows_vjp
