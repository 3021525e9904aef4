"""Work on the channels of a batch (N, C, S): what convolutions and batch normalization need."""

import math

from minigen.backend.arrays import array_module


def sum_channels(x):
    """The sum of each channel of x (N, C, S), as (C,)."""
    return x.sum(axis=(0, 2))


def batch_norm(x, weight, bias, eps):
    """Channels of x (N, C, S) to mean 0 and variance 1, times weight (C,), plus bias (C,).

    weight and bias may be None. Returns y (N, C, S) and, each (C,), the mean, the variance (of
    the batch itself, divided by N * S) and 1 / sqrt(variance + eps); NaN statistics of nothing.
    """
    count = len(x) * x.shape[2] or math.nan
    mean = x.sum(axis=(0, 2), keepdims=True) / count
    centred = x - mean
    variance = (centred * centred).sum(axis=(0, 2), keepdims=True) / count
    rstd = 1 / array_module(x).sqrt(variance + eps)
    y = centred * rstd
    if weight is not None:
        y = y * weight[:, None]
    if bias is not None:
        y = y + bias[:, None]
    return y, mean.reshape(-1), variance.reshape(-1), rstd.reshape(-1)


def batch_norm_vjp(g, x, weight, mean, rstd):
    """Cotangents of x (N, C, S), weight (C,) and bias (C,) for a cotangent g (N, C, S) of y."""
    count = len(x) * x.shape[2] or math.nan
    hat = (x - mean[:, None]) * rstd[:, None]
    gw, gb = (g * hat).sum(axis=(0, 2)), g.sum(axis=(0, 2))
    scale = rstd if weight is None else rstd * weight
    gx = (g - (gb / count)[:, None] - hat * (gw / count)[:, None]) * scale[:, None]
    return gx, gw, gb
