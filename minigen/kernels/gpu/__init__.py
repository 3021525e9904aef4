"""The kernels for speed on a GPU, in CUDA C++; twins of those in `reference/`.

Each chapter is a `.cu` file and the Python that launches it; `launching` says how, `common.cuh`
is what every kernel begins with, `blas` and `products` are the matrix products.
"""

from minigen.kernels.gpu.convolution import convolve, convolve_transpose, convolve_weight
from minigen.kernels.gpu.places import add_in_rows, take_in_rows
from minigen.kernels.gpu.products import linear, matmul
from minigen.kernels.gpu.rows import softmax
from minigen.kernels.gpu.windows import max_places, spread_windows, sum_windows
