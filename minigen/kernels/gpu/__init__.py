"""The kernels for speed on a GPU, in CUDA C++; twins of those in `reference/`.

Each chapter is a `.cu` file and the Python that launches it; `launching` says how, `common.cuh`
is what every kernel begins with, `blas` and `products` are the matrix products.
"""

from minigen.kernels.gpu.attention import dot_attention, dot_attention_vjp
from minigen.kernels.gpu.products import linear, matmul
from minigen.kernels.gpu.rows import softmax
