"""exp, log1p, sigmoid, tanh and erf for use in a loop, as arithmetic that LLVM vectorizes.

The plain way, math.exp in a loop, calls a scalar library for each element: 8 ns, and math.tanh 26.
A loop that calls or branches is not vectorized, so these functions do neither, and take 0.5 to
0.9 ns. The methods:

- exp: e^x = 2^n e^r with x = n log(2) + r and |r| <= log(2) / 2 (Cody and Waite 1980); e^r is a
  polynomial of degree 6, or 11 in double.
- log1p on [0, 1]: 2 atanh(s) with s = x / (2 + x) <= 1/3; atanh is a polynomial in s^2.
- tanh, erf: x p(x^2) / q(x^2), a minimax quotient of polynomials, up to a bound beyond which the
  function rounds to 1.
- n is rounded by adding 1.5 * 2^23 (1.5 * 2^52 in double): the sum has no bits for a fraction, and
  its lowest bits are n. math.floor converts to an integer and back, and takes twice the time.
- Cases are selects, `a if x > b else c` of values that are computed anyway. A comparison with NaN
  is false; the conditions are written such that NaN remains NaN.

They are compiled without "reassoc", which would cancel the rounding constant, and inlined by LLVM
and not by Numba: LLVM keeps their flags in loops that have "reassoc" for their sums.

tests/test_vector_math.py holds exp to 1.1 units in the last place, and the others to 3 to 8.
"""

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from minigen.kernels.cpu.compiling import CONTRACT

# --------------------------------------------------------------------------- instructions


@intrinsic
def larger(typingctx, a, b):
    """max(a, b), NaN if either is. A loop with Python's max would not be vectorized."""

    def codegen(context, builder, signature, args):
        real = args[0].type
        maximum = ir.FunctionType(real, [real, real])
        return builder.call(builder.module.declare_intrinsic("llvm.maximum", [real], maximum), args)

    return a(a, a), codegen


@intrinsic
def polynomial(typingctx, coefficients, x):
    """c[0] + c[1] x + c[2] x^2 + ... by Horner's rule, in the type of x."""

    def codegen(context, builder, signature, args):
        values, y = args[0], None
        for k in reversed(range(len(coefficients))):
            c = context.cast(builder, builder.extract_value(values, k), coefficients.dtype, x)
            y = c if y is None else builder.fadd(builder.fmul(y, args[1]), c)
        return y

    return x(coefficients, x), codegen


@intrinsic
def ldexp(typingctx, x, shifted):
    """x * 2^n for shifted = n + 1.5 * 2^23 (1.5 * 2^52 in double), whose lowest bits are n.

    Adds n to the exponent bits of x: correct where x and the result are normal numbers.
    """
    mantissa_bits = {types.float32: 23, types.float64: 52}[x]

    def codegen(context, builder, signature, args):
        integer = ir.IntType(x.bitwidth)
        bits, n = (builder.bitcast(value, integer) for value in args)
        exponent = builder.shl(n, ir.Constant(integer, mantissa_bits))
        return builder.bitcast(builder.add(bits, exponent), args[0].type)

    return x(x, x), codegen


def per_dtype(make: Callable) -> Callable:
    """A function for compiled code: make(np.float32) or make(np.float64), as its argument is.

    It has the name of make, without the underscore.
    """
    variants = {types.float32: make(np.float32), types.float64: make(np.float64)}

    def function(x):
        raise NotImplementedError(f"{function.__name__} is for compiled code")

    options = {"fastmath": set(CONTRACT), "error_model": "numpy", "forceinline": True}
    overload(function, jit_options=options)(lambda x: variants[x])
    function.__name__ = make.__name__.strip("_")
    return function


# ---------------------------------------------------------------- exponential and logarithm

# Coefficients, lowest power first, of polynomials that interpolate at Chebyshev points, computed
# in exact fractions from the Taylor series: of (e^r - 1 - r) / r^2 for |r| <= log(2) / 2, and of
# (atanh(s) / s - 1) / s^2 as a function of s^2 for 0 <= s <= 1/3.
# fmt: off
_EXP = {
    np.float32: (
        0.5, 0.16666576998242924, 0.041666554627878084, 0.008363177629994445,
        0.0013926181810489343,
    ),
    np.float64: (
        0.5000000000000001, 0.16666666666666669, 0.041666666666624136, 0.008333333333330063,
        0.001388888891720967, 0.00019841269863050506, 2.4801521302241082e-05,
        2.7557268464831627e-06, 2.7620085455018414e-07, 2.510038319586702e-08,
    ),
}
_ATANH = {
    np.float32: (0.33333320168349617, 0.20003780322455603, 0.1411830990265524, 0.13425749011418575),
    np.float64: (
        0.3333333333333333, 0.20000000000007292, 0.1428571428355438, 0.11111111358713932,
        0.09090894718066429, 0.07692785032479312, 0.06657072104827468, 0.06000536404795356,
        0.04400369243072337, 0.08082022805971766,
    ),
}
# fmt: on
# log(2) as a sum of two (Cody and Waite 1980). The first has few bits, so that n times it is exact.
_LN2 = {
    np.float32: (0.693145751953125, 1.428606820309417e-06),
    np.float64: (0.693147180559663, 2.8235290563031577e-13),
}
_TO_INTEGER = {np.float32: 1.5 * 2**23, np.float64: 1.5 * 2**52}  # added, it rounds
_EXP_RANGE = {  # where e^x is a normal number
    np.float32: (-87.33654, 88.72283),
    np.float64: (-708.3964185322641, 709.782712893384),
}


def _exp(real):
    """e^x = 2^n e^r with x = n log(2) + r; 0 where e^x is a subnormal number."""
    zero, one, inf = map(real, (0, 1, math.inf))
    log2_e, to_integer = real(1 / math.log(2)), real(_TO_INTEGER[real])
    (ln2, ln2_rest), (low, high) = map(real, _LN2[real]), map(real, _EXP_RANGE[real])
    series = _EXP[real]

    def exp(x):
        shifted = x * log2_e + to_integer
        n = shifted - to_integer
        r = (x - n * ln2) - n * ln2_rest
        y = ldexp(r * r * polynomial(series, r) + r + one, shifted)
        y = y if x >= low else zero
        return y if x <= high else x + inf  # infinity, but NaN for NaN

    return exp


exp = per_dtype(_exp)


def _log1p_unit_interval(real):
    """log(1 + x) = 2 atanh(x / (2 + x)) for 0 <= x <= 1."""
    two, series = real(2), _ATANH[real]

    def log1p_unit_interval(x):
        s = x / (two + x)
        z = s * s
        s = s + s
        return s * z * polynomial(series, z) + s

    return log1p_unit_interval


log1p_unit_interval = per_dtype(_log1p_unit_interval)


def _sigmoid(real):
    """1 / (1 + e^-x)."""
    one = real(1)

    def sigmoid(x):
        return one / (one + exp(-x))

    return sigmoid


sigmoid = per_dtype(_sigmoid)

# --------------------------------------------------------------- quotients of polynomials

# (bound, p, q), coefficients with the lowest power first: f(x) = x p(x^2) / q(x^2) for 0 <= x up to
# the bound, and 1 beyond it. Minimax approximations of the relative error by Lawson's algorithm
# (1961): least squares at Chebyshev points, in 60 digits, repeated with larger weights where the
# error is large until it has the same size everywhere. That is 3e-8, and 8e-17 in double.
# fmt: off
_TANH = {
    np.float32: (
        9.2,
        (
            0.9999999755714841, 0.13368113227741593, 0.0034802622879178437,
            2.0357364318645075e-05, 1.300697651900562e-08,
        ),
        (
            1.0, 0.46701425420437903, 0.02581865060264096, 0.00032605906074206027,
            7.634010144019647e-07,
        ),
    ),
    np.float64: (
        19.1,
        (
            0.9999999999999999, 0.15180424999052086, 0.005974546525172937, 9.35965914037328e-05,
            6.829457995074945e-07, 2.4397559888168323e-09, 4.168512549330257e-12,
            3.0605220630775755e-15, 7.40161030024941e-19, 2.4953552135249486e-23,
        ),
        (
            1.0, 0.48513758332385337, 0.03435374096645914, 0.0008280864386287055,
            8.752733360258891e-06, 4.462257245256505e-08, 1.1106674497789184e-10,
            1.269409089728656e-13, 5.624252857512756e-17, 6.210785126755e-21,
        ),
    ),
}
_ERF = {
    np.float32: (
        4.0,
        (
            1.1283791395563763, 0.193524065459091, 0.05309894526767669, 0.0038824529326044006,
            0.0002845472219029081, 1.9869488274033945e-06,
        ),
        (
            1.0, 0.5048387964125821, 0.11534130365959996, 0.015205445185982934,
            0.001185358970557587, 3.742095417376739e-05,
        ),
    ),
    np.float64: (
        6.0,
        (
            1.1283791670955126, 0.2214228204263689, 0.0663421518107654, 0.006957631704997438,
            0.0008617904946040115, 5.771128477659503e-05, 3.941589081063772e-06,
            1.7215975823136435e-07, 6.835606134478685e-09, 1.7433398369856702e-10,
            3.324875327732173e-12, 2.1714397922073625e-14, 1.507614938376121e-17,
        ),
        (
            1.0, 0.5295641987048689, 0.13531560079551025, 0.022124344758317423,
            0.0025860052157535072, 0.00022840222746516427, 1.5683088641720712e-05,
            8.460360494743512e-07, 3.563647498843027e-08, 1.1386128503991415e-09,
            2.5693840087041273e-11, 3.2693456841450684e-13, 8.556750920540236e-16,
        ),
    ),
}
# fmt: on


def _odd_rational(real, bound, p, q):
    """sign(x) min(|x| p(x^2) / q(x^2), 1), and sign(x) where |x| > bound."""
    bound, one = real(bound), real(1)

    def odd_rational(x):
        z, magnitude = x * x, abs(x)
        y = magnitude * polynomial(p, z) / polynomial(q, z)
        y = one if y > one else y
        y = one if magnitude > bound else y
        return math.copysign(y, x)

    return odd_rational


def _tanh(real):
    """The hyperbolic tangent of x."""
    return _odd_rational(real, *_TANH[real])


def _erf(real):
    """The error function of x."""
    return _odd_rational(real, *_ERF[real])


tanh, erf = per_dtype(_tanh), per_dtype(_erf)
