"""Optimizers and layers refuse settings out of range when they are made, and name them."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn, optim

ALL = [optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW]
every_optimizer = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
inf, nan = float("inf"), float("nan")


def parameter():
    return mg.tensor(np.array([1.0, 2.0]), requires_grad=True)


@every_optimizer
@pytest.mark.parametrize("lr", [-1, -1e-9, inf, nan])
def test_a_learning_rate_out_of_range_is_named_with_its_value(make, lr):
    with pytest.raises(ValueError, match=f"lr .*{lr}"):
        make([parameter()], lr)
    with pytest.raises(ValueError, match=f"lr .*{lr}"):
        make([{"params": [parameter()], "lr": lr}], 0.1)


@every_optimizer
@pytest.mark.parametrize("value", [-1, inf, nan])
def test_weight_decay_out_of_range_is_named_with_its_value(make, value):
    with pytest.raises(ValueError, match=f"weight_decay .*{value}"):
        make([parameter()], 0.1, weight_decay=value)


@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (optim.SGD, {"momentum": -0.1}, r"momentum .*-0\.1"),
        (optim.SGD, {"momentum": nan}, "momentum .*nan"),
        (optim.SGD, {"nesterov": True}, "nesterov needs a momentum"),
        (optim.RMSprop, {"alpha": 1.5}, r"alpha .*1\.5"),
        (optim.RMSprop, {"eps": -1}, "eps .*-1"),
        (optim.Adam, {"betas": (1.0, 0.9)}, r"betas .*\(1\.0, 0\.9\)"),
        (optim.Adam, {"betas": (0.9, -0.1)}, r"betas .*\(0\.9, -0\.1\)"),
        (optim.Adam, {"betas": (0.9,)}, r"betas .*\(0\.9,\)"),
        (optim.AdamW, {"eps": nan}, "eps .*nan"),
    ],
)
def test_other_settings_out_of_range_are_named_with_their_values(make, settings, says):
    with pytest.raises(ValueError, match=says):
        make([parameter()], 0.1, **settings)


@every_optimizer
@pytest.mark.parametrize(
    "empty",
    [[], (), iter(()), [{"params": []}], [{"params": ()}, {"params": []}]],
    ids=["list", "tuple", "iterator", "group", "groups"],
)
def test_an_empty_parameter_list_is_a_value_error_that_names_the_optimizer(make, empty):
    with pytest.raises(ValueError, match=f"{make.__name__}.*empty"):
        make(empty, 0.1)


@every_optimizer
def test_a_parameter_given_twice_or_an_unknown_setting_is_a_value_error(make):
    p = parameter()
    with pytest.raises(ValueError, match="twice"):
        make([p, p], 0.1)
    with pytest.raises(ValueError, match="twice"):
        make([{"params": [p]}, {"params": [p]}], 0.1)
    with pytest.raises(ValueError, match=r"unknown.*'rate'"):
        make([{"params": [p], "rate": 1}], 0.1)


@pytest.mark.parametrize("norm", [-1, nan])
def test_clip_grad_norm_refuses_a_negative_norm(norm):
    with pytest.raises(ValueError, match=f"max_norm .*{norm}"):
        optim.clip_grad_norm([parameter()], norm)


def test_a_failed_step_of_construction_leaves_the_parameters_alone():
    p = parameter()
    with pytest.raises(ValueError, match="lr"):
        optim.SGD([p], -1)
    assert np.array_equal(p.detach(), [1, 2])
    assert p.grad is None


# --------------------------------------------------------------------------------- layers


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: nn.Linear(-1, 2), ValueError, "-1"),
        (lambda: nn.Linear(2, -2), ValueError, "-2|negative"),
        (lambda: nn.Embedding(-1, 2), ValueError, "-1|negative"),
        (lambda: nn.Linear(2, 2, dtype=np.float16), TypeError, "float16"),
        (lambda: nn.Linear(2, 2, dtype=np.int64), TypeError, "int64"),
        (lambda: nn.Sequential(1), TypeError, "Sequential.*1"),
        (lambda: nn.Sequential(mg.relu), TypeError, "Sequential.*relu"),
        (lambda: nn.ModuleList([1]), TypeError, "ModuleList.*1"),
        (lambda: nn.ModuleList().append(mg.relu), TypeError, "ModuleList.*relu"),
        (lambda: nn.ModuleDict({"a": 1}), TypeError, "ModuleDict.*'a'"),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), TypeError, r"ModuleDict.*'a\.b'"),
        (lambda: nn.Parameter(np.array([1])), TypeError, "int64"),
        (lambda: nn.Module()(1), NotImplementedError, "Module has no forward"),
    ],
)
def test_layers_refuse_what_makes_no_sense_by_name(make, error, says):
    with pytest.raises(error, match=says):
        make()
