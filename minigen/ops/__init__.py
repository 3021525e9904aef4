"""All operations, each with its derivative beside it. For short, `import minigen.ops as F`.

Arguments are tensors, raw arrays or Python scalars. If no argument is a tensor, an op returns raw
arrays. The map in minigen/README.md lists the files in the order of reading; README.md says how to
add an op.
"""

from minigen.autodiff.primitives import REGISTRY
from minigen.ops.activations import (
    dropout,
    elu,
    gelu,
    leaky_relu,
    log_sigmoid,
    relu,
    sigmoid,
    silu,
    softplus,
)
from minigen.ops.attention import scaled_dot_product_attention
from minigen.ops.class_losses import cross_entropy, nll_loss
from minigen.ops.comparing import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    ge,
    gt,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from minigen.ops.conv import conv1d, conv2d, conv_transpose2d
from minigen.ops.counting import (
    all,
    any,
    argmax,
    argmin,
    argsort,
    ceil,
    floor,
    isfinite,
    isinf,
    isnan,
    round,
    sort,
    topk,
)
from minigen.ops.densities import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_kl,
    gaussian_sample,
    kl_div,
)
from minigen.ops.elementwise import (
    abs,
    add,
    clip,
    cos,
    divide,
    erf,
    exp,
    expm1,
    floor_divide,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    reciprocal,
    remainder,
    sign,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from minigen.ops.further import (
    arccos,
    arcsin,
    arctan,
    arctan2,
    cosh,
    exp2,
    log2,
    log10,
    sinh,
    tan,
)
from minigen.ops.indexing import embedding, gather, getitem, repeat, scatter_add, take_along_axis
from minigen.ops.interpolation import interpolate
from minigen.ops.joining import concatenate, crop, pad, split, stack
from minigen.ops.linalg import einsum, linear, matmul, outer, tensordot
from minigen.ops.losses import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from minigen.ops.normalization import (
    batch_norm,
    group_norm,
    layer_norm,
    log_softmax,
    rms_norm,
    softmax,
)
from minigen.ops.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from minigen.ops.powers import power
from minigen.ops.recurrent import gru, lstm, rnn
from minigen.ops.reduce import cumprod, cumsum, logsumexp, max, mean, min, norm, prod, std, sum, var
from minigen.ops.shape import (
    astype,
    broadcast_to,
    clone,
    expand_dims,
    flip,
    moveaxis,
    reshape,
    roll,
    squeeze,
    sum_to,
    swapaxes,
    tile,
    to_device,
    transpose,
    tril,
    triu,
)

# The public ops are the primitives, fused ops and composites that are imported here.
__all__ = sorted(name for name in dir() if name in REGISTRY)
