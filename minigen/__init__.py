"""minigen: a deep-learning engine to read in an afternoon and train real models with."""

import numpy as _np

from minigen import nn, ops, optim
from minigen.autodiff import trace
from minigen.autodiff.fused import fused
from minigen.autodiff.graph import is_grad_enabled
from minigen.autodiff.primitives import composite, primitive
from minigen.autodiff.trace import detect_anomaly
from minigen.backend.devices import cuda_is_available, device_memory, devices, resolve_device
from minigen.backend.precision import get_matmul_precision, set_matmul_precision
from minigen.creation import (
    arange,
    eye,
    from_dlpack,
    full,
    linspace,
    one_hot,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from minigen.gradients import enable_grad, grad, no_grad
from minigen.ops import *  # noqa: F403
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
