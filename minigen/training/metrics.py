"""Numbers that compare samples with data, and results with chance."""

import math
from collections.abc import Sequence

import numpy as np

from minigen.errors import ShapeError

# The 0.975 quantile of Student's t with 1, 2, ... 9 degrees of freedom (NIST/SEMATECH e-Handbook
# of Statistical Methods, section 1.3.6.7.2, https://www.itl.nist.gov/div898/handbook/).
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of 2 to 10 values, and how far its 95 % confidence interval reaches either way.

    That is t * std / sqrt(n), std with ddof=1 and t of n - 1 degrees of freedom (Student 1908,
    "The Probable Error of a Mean"): right for independent values of a normal distribution.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not 2 <= len(x) <= len(T_QUANTILES) + 1:
        raise ShapeError(f"mean_interval: values must be 2 to 10 numbers, got shape {x.shape}")
    reach = T_QUANTILES[len(x) - 2] * x.std(ddof=1) / math.sqrt(len(x))
    return float(x.mean()), float(reach)


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The Frechet distance of the Gaussians fitted to features x (N, D) and y (M, D), squared.

    |mean_x - mean_y|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2)) (Dowson and Landau 1982; on the features
    of a classifier, Heusel et al. 2017). Two samples of one distribution do not give 0: compare
    with that floor. At least two rows each; in float64.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ShapeError(
            f"frechet_distance: x and y must be (N, D) and (M, D) with at least two rows, "
            f"got {x.shape} and {y.shape}"
        )
    gap = np.square(x.mean(0) - y.mean(0)).sum()
    cov_x, cov_y = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
    # Cx Cy has the eigenvalues of the symmetric root Cx^(1/2) Cy Cx^(1/2).
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    between = np.linalg.eigvalsh(root @ cov_y @ root)
    return float(
        gap + np.trace(cov_x) + np.trace(cov_y) - 2 * np.sqrt(np.maximum(between, 0)).sum()
    )
