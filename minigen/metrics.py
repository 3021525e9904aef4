"""Numbers that compare samples with data."""

import numpy as np

from minigen.errors import ShapeError


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The squared Frechet distance of the Gaussians fitted to features x (N, D) and y (M, D).

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
