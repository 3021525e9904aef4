"""The CPU kernels, compiled by Numba: each is the twin of the function of its name in `reference/`.

They release Python's global interpreter lock, and large work is cut into tasks for the thread pool
of `parallel/`. `compiling` says how they are compiled; `vector_math` has the exp, tanh and erf that
they compute with.
"""

from minigen.kernels.cpu.activations import (
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
from minigen.kernels.cpu.attention import dot_attention, dot_attention_vjp
from minigen.kernels.cpu.channels import batch_norm, batch_norm_vjp
from minigen.kernels.cpu.convolution import convolve, convolve_transpose, convolve_weight
from minigen.kernels.cpu.functions import erf, leaky_relu, leaky_relu_vjp, relu, relu_vjp, select
from minigen.kernels.cpu.lstm import lstm_steps, lstm_steps_vjp
from minigen.kernels.cpu.memory import keep_freed_memory
from minigen.kernels.cpu.products import linear, linear_vjp, matmul
from minigen.kernels.cpu.random_bits import bernoulli, philox, uniform
from minigen.kernels.cpu.recurrent import gru_step, gru_step_vjp, lstm_step, lstm_step_vjp
from minigen.kernels.cpu.rows import layer_norm, layer_norm_vjp, scatter_rows
from minigen.kernels.cpu.sequences import gru_steps, gru_steps_vjp
from minigen.kernels.cpu.softmax import (
    cross_entropy,
    cross_entropy_vjp,
    log_softmax,
    log_softmax_vjp,
    softmax,
    softmax_vjp,
)
from minigen.kernels.cpu.sums import sum_over
from minigen.kernels.cpu.updates import adam, adamw, rmsprop, sgd
from minigen.kernels.cpu.windows import max_indices, scatter_along_rows, take_along_rows

keep_freed_memory()
