"""gradcheck at values from 1e-6 to 1e8: right functions pass, small mistakes do not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen.autodiff.primitives import REGISTRY
from minigen.testing import GradcheckError, gradcheck
from minigen.testing.numerical import measured_jvp
from minigen.testing.slopes import scales

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "scales.py"
spec = importlib.util.spec_from_file_location("scales", SCRIPT)
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)

MIXED = np.array([1e-6, 1.0, 1e8])
before = dict(REGISTRY)
CASES, WRONG = list(table.cases()), list(table.wrong_checks())
REGISTRY.clear()  # the ops of the wrong rules are forgotten, as those that a test declares
REGISTRY.update(before)
# The checks that a fixed step of 2**-7 fails, and samples of all functions and faults.
FIXED_STEP_FAILS = {
    "x * x at 1e8": (lambda x: x * x, [1e8, -3e8]),
    "entropy at 1e-3": (lambda p: -(p * mg.log(p)).sum(), [1e-3, 0.2, 0.5]),
    "log at 1e-3": (mg.log, [1e-3, 2e-3]),
    "sqrt at 0.01": (mg.sqrt, [0.01, 0.02]),
    "sin at 1e8": (mg.sin, [1e8, -2.7e8]),
    "1 / x at 1e-6": (lambda x: 1 / x, [1e-6, -2e-6]),
    "all scales": (lambda x: x * x, MIXED),
    "sum of all scales": (lambda x: (x * x).sum(), MIXED),
}


@pytest.mark.parametrize("name", FIXED_STEP_FAILS)
def test_a_right_function_is_accepted_where_a_fixed_step_is_too_long_or_too_short(name):
    f, x = FIXED_STEP_FAILS[name]
    gradcheck(f, np.array(x))


@pytest.mark.parametrize("case", CASES[::23], ids=lambda case: f"{case[0]} at {case[1]}")
def test_right_functions_are_accepted_at_every_scale(case):
    gradcheck(*case[2:])


@pytest.mark.parametrize("case", WRONG[::29], ids=lambda case: f"{case[0]} at {case[1]}")
def test_a_derivative_that_is_5e_4_off_is_rejected_at_every_scale(case):
    with pytest.raises(GradcheckError):
        gradcheck(*case[2:], explain="sum" in case[0])


def raises_below(x):
    """sqrt that raises outside its domain."""
    if (x.data < 0).any():
        raise ValueError("negative")
    return mg.sqrt(x)


def test_a_step_stays_in_the_domain():
    gradcheck(raises_below, np.array([1e-6, 0.01, 4.0]))
    gradcheck(lambda x: x**1.5, np.array([0.0, 1.0]), order=1)  # at its end
    gradcheck(lambda x: (1 - x) ** 1.5, np.array([1.0, 0.5]), order=1)
    wrong = mg.primitive(lambda g, y, x: g * (x + 0.01), saves="x")(half_power)
    with pytest.raises(GradcheckError):
        gradcheck(wrong, np.array([0.0, 1e-6]), order=1)


def half_power(x):
    return x**1.5


def test_a_kink_or_noise_gets_a_sentence():
    with pytest.raises(GradcheckError, match="kink here, with slopes"):
        gradcheck(mg.relu, np.array([0.0, 1.0]))
    gradcheck(mg.relu, np.array([1e-6, -1e-6, 3.0]))  # a kink nearby is none
    noisy = lambda x: x + 1e-7 * mg.sin(x.detach() * 1e12)
    with pytest.raises(GradcheckError, match=r"noisy|wrong"):
        gradcheck(noisy, np.array([1.0, 2.0]), order=1)


def test_a_constant_or_random_result_gets_a_sentence():
    x = np.array([1.0, 2.0])
    with pytest.raises(GradcheckError, match="the result is constant"):
        gradcheck(lambda x: mg.tensor([3.0]), x)
    rng = np.random.default_rng(0)
    with pytest.raises(GradcheckError, match="another result when it is called again"):
        gradcheck(lambda x: x * rng.normal(), x)
    gradcheck(lambda x: mg.tanh(x), np.array([1e8, -1e5]))  # flat, and not constant


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: {"loss": x}, "must return a tensor .* got dict"),
        (lambda x: (x, (x, x)), r"got a tuple within a tuple; .* lambda x: model\(x\)\[0\]"),
        (lambda x: x.sum().item(), "got float; numbers and arrays.*have no graph"),
        (lambda x: x.numpy(), "got ndarray"),
        (lambda x: None, "got NoneType"),
        (lambda x: mg.argmax(x), "no output is of a float dtype"),
    ],
)
def test_a_function_without_a_tensor_for_a_result_is_told_so(f, message):
    with pytest.raises(GradcheckError, match=message):
        gradcheck(f, np.array([1.0, 2.0]))


def test_arguments_that_cannot_be_checked_are_named():
    with pytest.raises(TypeError, match="must be a function, got Tensor"):
        gradcheck(mg.ones(3), np.ones(3))
    with pytest.raises(GradcheckError, match="argument 1 has NaN or infinite values"):
        gradcheck(lambda x, y: x + y, [np.ones(2), np.array([1.0, -np.inf])])
    with pytest.raises(ValueError, match="order must be 1 or more"):
        gradcheck(mg.exp, np.ones(3), order=0)


def test_the_error_of_a_measured_derivative_is_honest_and_small():
    x = np.array([1e-6, 1e-3, 0.01, 0.3, 1.7, 13.1, 300.0, 7e4, 1.23e8])
    pairs = [(np.log, lambda x: 1 / x), (np.sin, np.cos), (lambda x: (x + 1e8) - 1e8, np.ones_like)]
    u = scales(x)
    for f, slope in pairs:
        *_, (values, errors, _) = measured_jvp(f, [x], [u])
        want = slope(x) * u
        assert (abs(values - want) <= errors + 1e-14 * abs(want)).all()
        assert (errors < 1e-7 * abs(want)).all()
