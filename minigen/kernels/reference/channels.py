"""Batch normalization (Ioffe and Szegedy 2015), for batches x (N, C, S).

S is the number of pixels of an image, or the length of a sequence.
"""

import math

from minigen.backend.arrays import array_module
from minigen.kernels.reference.sums import deviations, sum_over


def batch_norm(x, weight, bias, eps):
    """y = hat * weight + bias, hat = (x - mean) * rstd, rstd = 1 / sqrt(variance + eps).

    x (N, C, S); weight and bias (C,), or None for 1 and 0. mean and variance of each channel are
    those of its N * S values, the variance divided by N * S; NaN if there are none. Returns
    y (N, C, S) and mean, variance and rstd, each (C,).
    """
    m = len(x) * x.shape[2] or math.nan
    centred, mean = deviations(x, (0, 2))
    variance = sum_over(centred * centred, (0, 2), keepdims=True) / m
    rstd = 1 / array_module(x).sqrt(variance + eps)
    y = centred * rstd
    if weight is not None:
        y = y * weight[:, None]
    if bias is not None:
        y = y + bias[:, None]
    return y, mean.reshape(-1), variance.reshape(-1), rstd.reshape(-1)


def batch_norm_vjp(g, x, weight, mean, rstd):
    """Cotangents of x (N, C, S), weight (C,) and bias (C,) for the cotangent g (N, C, S) of y.

    With m = N * S, hat = (x - mean) * rstd, and sums over n and s for each channel:
        gbias   = sum(g)                                                      (C,)
        gweight = sum(g * hat)                                                (C,)
        gx      = weight * rstd * (g - gbias / m - hat * gweight / m)         (N, C, S)
    The two subtracted terms come from the mean and the variance, which depend on x. weight (C,) may
    be None, for 1; mean and rstd (C,) are those of `batch_norm`.
    """
    m = len(x) * x.shape[2] or math.nan
    hat = (x - mean[:, None]) * rstd[:, None]
    gw, gb = sum_over(g * hat, (0, 2)), sum_over(g, (0, 2))
    scale = rstd if weight is None else rstd * weight
    gx = (g - (gb / m)[:, None] - hat * (gw / m)[:, None]) * scale[:, None]
    return gx, gw, gb
