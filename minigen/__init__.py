"""minigen: a deep-learning engine to read in an afternoon and train real models with."""

from math import e, inf, nan, pi
from typing import TYPE_CHECKING as _TYPE_CHECKING

import numpy as _np

from minigen import nn, ops, optim
from minigen.autodiff import left_out as _left_out
from minigen.autodiff import trace
from minigen.autodiff.fused import fused
from minigen.autodiff.grad_modes import is_grad_enabled
from minigen.autodiff.primitives import composite, primitive
from minigen.autodiff.trace import detect_anomaly
from minigen.backend.devices import (
    cuda_is_available,
    device,
    device_memory,
    devices,
    resolve_device,
)
from minigen.backend.precision import get_matmul_precision, set_matmul_precision
from minigen.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    one_hot,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from minigen.draws import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
)
from minigen.gradients import enable_grad, grad, inference_mode, no_grad, set_grad_enabled
from minigen.ops import *  # noqa: F403
from minigen.ops.parts import (
    argwhere,
    broadcast_tensors,
    chunk,
    count_nonzero,
    diag,
    diagonal,
    hstack,
    index_select,
    masked_select,
    meshgrid,
    narrow,
    nonzero,
    select,
    tensor_split,
    unbind,
    vstack,
)
from minigen.ops.synonyms import (
    absolute,
    acos,
    allclose,
    amax,
    amin,
    asin,
    atan,
    atan2,
    bmm,
    cat,
    clamp,
    clamp_max,
    clamp_min,
    concat,
    div,
    dot,
    equal,
    flatten,
    fliplr,
    flipud,
    ger,
    greater,
    greater_equal,
    is_floating_point,
    is_tensor,
    isclose,
    lerp,
    less,
    less_equal,
    masked_fill,
    mm,
    movedim,
    mul,
    mv,
    neg,
    not_equal,
    numel,
    permute,
    pow,
    ravel,
    repeat_interleave,
    rsqrt,
    sub,
    swapdims,
    t,
    true_divide,
    trunc,
    unflatten,
    unsqueeze,
)
from minigen.optim import schedules as schedule
from minigen.parallel.pool import get_num_threads, set_num_threads
from minigen.random import Generator, default_generator, manual_seed
from minigen.tensor_files import load, save
from minigen.tensors import Tensor

__version__ = "0.1.0"

float32, float64 = _np.dtype("float32"), _np.dtype("float64")
int8, int16, int32, int64 = map(_np.dtype, ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = map(_np.dtype, ("uint8", "uint16", "uint32", "uint64"))
bool_ = _np.dtype("bool")
# PyTorch's other names of dtypes. `import *` does not take those of Python's types along.
double, short, long = float64, int16, int64
float, int, bool = float32, int32, bool_

if not _TYPE_CHECKING:  # for type checkers it would make any name an attribute

    def __getattr__(name):
        raise AttributeError(_left_out.missing("minigen", name))
