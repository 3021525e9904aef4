"""The kernels for speed on a GPU, in CUDA C++; twins of those in `reference/`.

Each chapter is a `.cu` file and the Python that launches it; `launching` says how, `common.cuh`
is what every kernel begins with, `blas` and `products` are the matrix products.
"""

from minigen.kernels.gpu.products import linear, matmul
from minigen.kernels.gpu.recurrent import gru_step, gru_step_vjp, lstm_step, lstm_step_vjp
from minigen.kernels.gpu.rows import softmax
from minigen.kernels.gpu.sequences import gru_steps, gru_steps_vjp, lstm_steps, lstm_steps_vjp
from minigen.kernels.gpu.updates import adam, sgd
