"""erf, relu, leaky relu and select, elementwise.

Arguments and results have one shape (...), unless a docstring says otherwise.
"""

import numpy as np

from minigen.backend.arrays import array_module

# W. J. Cody 1969, "Rational Chebyshev approximations for the error function": erf(x) for |x| up to
# 0.46875 is x P(x^2) / Q(x^2), and erfc(x) for larger x is exp(-x^2) times a quotient of
# polynomials in x. Cody has another quotient for x > 4. Coefficients have the highest power first.
_ERF_P = (
    1.85777706184603153e-1,
    3.16112374387056560e00,
    1.13864154151050156e02,
    3.77485237685302021e02,
    3.20937758913846947e03,
)
_ERF_Q = (
    1.0,
    2.36012909523441209e01,
    2.44024637934444173e02,
    1.28261652607737228e03,
    2.84423683343917062e03,
)
_ERFC_P = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e00,
    6.61191906371416295e01,
    2.98635138197400131e02,
    8.81952221241769090e02,
    1.71204761263407058e03,
    2.05107837782607147e03,
    1.23033935479799725e03,
)
_ERFC_Q = (
    1.0,
    1.57449261107098347e01,
    1.17693950891312499e02,
    5.37181101862009858e02,
    1.62138957456669019e03,
    3.29079923573345963e03,
    4.36261909014324716e03,
    3.43936767414372164e03,
    1.23033935480374942e03,
)


def _polynomial(coefficients, x):
    """The polynomial of x by Horner's rule; the coefficients have the highest power first."""
    y = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        y = y * x + c
    return y


def erf(x):
    """The error function 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    xp = array_module(x)
    magnitude = xp.abs(x)
    near = xp.minimum(magnitude, 0.46875)
    erf_near = near * _polynomial(_ERF_P, near * near) / _polynomial(_ERF_Q, near * near)
    # Cody's quotient for x up to 4 serves for larger x, too: erfc(x) is then below 2e-8, so its
    # error does not matter, and beyond 6 erf(x) rounds to 1.
    far = xp.clip(magnitude, 0.46875, 6.0)
    erfc_far = xp.exp(-far * far) * _polynomial(_ERFC_P, far) / _polynomial(_ERFC_Q, far)
    return xp.where(magnitude <= 0.46875, erf_near, 1 - erfc_far) * xp.sign(x)


def relu(x):
    """max(x, 0), NaN where x is NaN."""
    return np.maximum(x, 0)


def relu_vjp(g, y):
    """g where y = relu(x) is positive or NaN, else 0: the cotangent of x."""
    return np.where(y <= 0, 0.0, g)


def leaky_relu(x, negative_slope):
    """x where it is positive, else x * negative_slope, a Python float."""
    return np.where(x > 0, x, x * negative_slope)


def leaky_relu_vjp(g, x, negative_slope):
    """g where x is positive, else g * negative_slope: the cotangent of x."""
    return np.where(x > 0, g, g * negative_slope)


def select(condition, a, b):
    """a where condition is true, else b; shapes and dtypes are combined as by NumPy's where."""
    return np.where(condition, a, b)
