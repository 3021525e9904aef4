"""Confidence intervals of means, and how a set of generated images compares with a real one."""

import math
from collections.abc import Sequence

import numpy as np

from minigen.errors import ShapeError

# The 0.975 quantile of Student's t with 1, 2, ... 9 degrees of freedom (NIST/SEMATECH e-Handbook
# of Statistical Methods, section 1.3.6.7.2, https://www.itl.nist.gov/div898/handbook/).
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of 2 to 10 values, and the half-width of its 95 % confidence interval.

    The half-width is t * std / sqrt(n), with ddof=1 in std and n - 1 degrees of freedom in t
    (Student 1908, "The Probable Error of a Mean"). It assumes independent normal values.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not 2 <= len(x) <= len(T_QUANTILES) + 1:
        raise ShapeError(f"mean_interval: values must be 2 to 10 numbers, got shape {x.shape}")
    half_width = T_QUANTILES[len(x) - 2] * x.std(ddof=1) / math.sqrt(len(x))
    return float(x.mean()), float(half_width)


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The squared Frechet distance of the Gaussians fitted to features x (N, D) and y (M, D).

    |mean_x - mean_y|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2)) (Dowson and Landau 1982; used on the
    features of a classifier by Heusel et al. 2017). Even two samples of the same distribution
    give more than 0; that value is the baseline to compare with. N and M at least 2; in float64.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ShapeError(
            f"frechet_distance: x and y must be (N, D) and (M, D) with at least two rows, "
            f"got {x.shape} and {y.shape}"
        )
    gap = np.square(x.mean(0) - y.mean(0)).sum()
    cov_x, cov_y = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
    # The square root of Cx Cy itself would need a Schur decomposition. Its trace only needs the
    # eigenvalues, which are those of the symmetric matrix Cx^(1/2) Cy Cx^(1/2).
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    products = np.linalg.eigvalsh(root @ cov_y @ root)
    return float(
        gap + np.trace(cov_x) + np.trace(cov_y) - 2 * np.sqrt(np.maximum(products, 0)).sum()
    )


def precision_recall(x: np.ndarray, y: np.ndarray, k: int = 3) -> tuple[float, float]:
    """The shares of features x (N, D) that look real, and of real ones y (M, D) that x covers.

    A row looks real if it is at most as far from some row of y as that row's k-th nearest neighbour
    in y; the recall is the same with x and y exchanged (Kynkaanniemi et al. 2019, "Improved
    Precision and Recall Metric for Assessing Generative Models"). Both have more than k rows.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) <= k:
        raise ShapeError(
            f"precision_recall: x and y must be (N, D) and (M, D) with more than {k} rows, "
            f"got {x.shape} and {y.shape}"
        )
    radius = lambda points: np.sort(_squared_distances(points, points), axis=1)[:, k]
    between = _squared_distances(x, y)
    precision = (between <= radius(y)).any(1).mean()
    return float(precision), float((between <= radius(x)[:, None]).any(0).mean())


def near_copies(images: np.ndarray, training: np.ndarray, neighbours: int = 50) -> float:
    """The share of images (N, ...) that are nearly one of the training images (M, ...).

    Such an image is at most half as far from the nearest training image as from its `neighbours`
    nearest ones in the mean: so simple images, which all are alike, are no copies (Carlini et al.
    2023, "Extracting Training Data from Diffusion Models"). Distances are those of the values.
    """
    x, y = (np.asarray(z, np.float32).reshape(len(z), -1) for z in (images, training))
    if x.shape[1] != y.shape[1] or not len(x) or len(y) < neighbours:
        raise ShapeError(
            f"near_copies: needs images of one size and at least {neighbours} training images, "
            f"got {images.shape} and {training.shape}"
        )
    found = 0
    for i in range(0, len(x), 500):  # a block of rows, to bound the memory
        squares = np.partition(_squared_distances(x[i : i + 500], y), neighbours - 1, axis=1)
        nearest = np.sqrt(np.sort(squares[:, :neighbours], axis=1))
        found += int((nearest[:, 0] <= 0.5 * nearest.mean(1)).sum())
    return found / len(x)


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2, (N, M), without an array (N, M, D)."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
    return np.maximum(squares, 0)
