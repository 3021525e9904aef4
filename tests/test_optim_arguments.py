"""What optimizers take: PyTorch's arguments in PyTorch's order, and one sentence."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn, optim

ALL = [optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW]
every_optimizer = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
inf, nan = float("inf"), float("nan")


def parameter(values=(1.0, 2.0), dtype=np.float32):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def with_gradient(*values, dtype=np.float32):
    p = parameter(np.zeros(np.shape(values)), dtype)
    p.grad = mg.Tensor(np.array(values, dtype))
    return p


# ------------------------------------------------------------------------------ arguments


def test_settings_go_by_position_in_pytorchs_order():
    p = [parameter()]
    given = optim.SGD(p, 0.1, 0.9, 0.0, 0.2, True).param_groups[0]
    assert (given["momentum"], given["weight_decay"], given["nesterov"]) == (0.9, 0.2, True)
    assert optim.SGD(p, 0.1, 0.9, 0.3).param_groups[0]["dampening"] == 0.3
    assert optim.SGD(p).param_groups[0]["lr"] == 1e-3
    for make in (optim.Adam, optim.AdamW):
        given = make(p, 0.1, (0.5, 0.6), 1e-6, 0.2, True).param_groups[0]
        assert (given["betas"], given["eps"], given["weight_decay"]) == ((0.5, 0.6), 1e-6, 0.2)
        assert given["amsgrad"] is True and given["maximize"] is False
    given = optim.RMSprop(p, 0.1, 0.9, 1e-6, 0.2, 0.5, True).param_groups[0]
    assert (given["alpha"], given["eps"], given["weight_decay"]) == (0.9, 1e-6, 0.2)
    assert (given["momentum"], given["centered"]) == (0.5, True)


@every_optimizer
def test_pytorchs_choices_of_an_implementation_are_ignored_and_unknown_names_refused(make):
    assert "fused" not in make([parameter()], 0.1, fused=True, foreach=None).param_groups[0]
    with pytest.raises(ValueError, match="create_graph"):
        make([parameter()], 0.1, differentiable=True)
    with pytest.raises(TypeError, match="'rate'"):
        make([parameter()], 0.1, rate=3)


@every_optimizer
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda p: p, r"write \[p\]"),
        (lambda p: {"params": [p]}, r"write \[group\]"),
        (lambda p: {"weight": p}, r"\.values\(\)"),
        (lambda p: {p}, "a set, which has no order"),
        (lambda p: nn.Linear(2, 2), r"model\.parameters\(\)"),
        (lambda p: 3, "not int"),
        (lambda p: [p.data], r"parameter 0 is a ndarray, .*nn\.Parameter"),
        (lambda p: [p, "w"], "parameter 1 is a str"),
        (lambda p: [p, p], "twice"),
        (lambda p: [p * 2], "leaf"),
        (lambda p: [{"params": {"w": p}}], r"\.values\(\)"),
        (lambda p: [{"lr": 0.1}], "its list of 'params'"),
    ],
)
def test_what_is_no_list_of_parameters_gets_one_sentence(make, wrong, says):
    with pytest.raises((TypeError, ValueError), match=f"^{make.__name__}: .*{says}"):
        make(wrong(parameter()), 0.1)


@every_optimizer
def test_generators_names_frozen_and_single_tensors_in_groups_are_taken(make):
    model = nn.Linear(2, 3)
    for params in (
        iter(model.parameters()),
        model.named_parameters(),
        [{"params": p} for p in model.parameters()],
        tuple(model.parameters()),
    ):
        assert list(map(id, make(params, 0.1).params)) == list(map(id, model.parameters()))
    frozen, moved = mg.tensor([1.0]), with_gradient(1.0, 2.0)
    make([frozen, moved], 0.1).step()
    assert frozen.item() == 1 and not np.array_equal(moved.data, [0, 0])


@every_optimizer
def test_a_group_added_later_is_optimized_and_a_wrong_one_changes_nothing(make):
    first, later = with_gradient(1.0, 2.0), with_gradient(3.0)
    optimizer = make([first], 0.1)
    optimizer.step()
    for wrong in (
        {"params": [first]},
        {"params": [later], "lr": -1},
        {"params": [later], "rate": 1},
        {"lr": 1.0},
        {"params": [later * 2]},
        [later],
    ):
        with pytest.raises((TypeError, ValueError)):
            optimizer.add_param_group(wrong)
        assert (len(optimizer.params), len(optimizer.param_groups)) == (1, 1)
    optimizer.add_param_group({"params": later, "lr": 0.01})
    optimizer.step()
    alone = with_gradient(3.0)
    make([alone], 0.01).step()
    assert np.array_equal(later.data, alone.data)
    assert len(optimizer.state_dict()["state"]) == 2


@every_optimizer
def test_scalars_of_numpy_never_widen_parameters_or_states(make):
    for lr in (np.float64(0.1), 1, np.int64(1), np.array(0.1), np.array([0.1]), mg.tensor(0.1)):
        p = with_gradient(1.0, 2.0)
        optimizer = make([p], lr, weight_decay=np.float64(0.1))
        optimizer.step()
        assert p.dtype == np.float32
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        state = optimizer.state_dict()
        assert all(x.dtype == np.float32 for x in state["state"][0].values() if np.ndim(x))
        assert type(state["param_groups"][0]["lr"]) in (int, float)
    with pytest.raises(TypeError, match=r"lr must be a number, got '0\.1'"):
        make([parameter()], "0.1")


@every_optimizer
@pytest.mark.parametrize("lr", [nan, -1.0, inf, "0.1", None])
def test_a_learning_rate_that_was_set_to_nonsense_stops_the_step_with_nothing_changed(make, lr):
    p = with_gradient(1.0, 2.0)
    optimizer = make([p], 0.1)
    optimizer.step()
    kept, version = p.numpy().copy(), p.node.version
    optimizer.param_groups[0]["lr"] = lr
    with pytest.raises((ValueError, TypeError), match=f"lr must be .*{lr}"):
        optimizer.step()
    assert np.array_equal(p.data, kept) and p.node.version == version


# ---------------------------------------------------------------------------------- steps


@every_optimizer
def test_gradients_that_do_not_fit_a_step_get_one_sentence_and_change_nothing(make):
    p, q = parameter(), parameter([3.0])
    optimizer = make([p, q], 0.1)
    good = mg.Tensor(np.ones(2, np.float32)), mg.Tensor(np.ones(1, np.float32))
    for gradients, says in (
        ([g.data for g in good], r"parameter 0 is a ndarray; .* mg\.Tensor"),
        (good[:1], "1 gradients for 2 parameters"),
        (good[0], "1 gradients for 2 parameters"),
        ([good[0], good[0]], r"gradient of parameter 1 has shape \(2,\), expected .* \(1,\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{make.__name__}: .*{says}"):
            optimizer.step(gradients)
    assert optimizer.state == [{}, {}] and p.node.version == 0
    make([p], 0.1).step(good[0])  # what mg.grad returns for one tensor
    assert p.node.version == 1


@every_optimizer
def test_a_closure_is_called_with_gradients_on_and_its_loss_returned(make):
    p, other = parameter(), parameter()
    optimizer, plain = make([p], 0.1), make([other], 0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 5
    (other * other).sum().backward()
    assert plain.step() is None
    assert np.array_equal(p.data, other.data)


@every_optimizer
def test_read_only_gradients_are_read_and_read_only_parameters_named(make):
    p, q = with_gradient(1.0, 2.0), with_gradient(1.0, 2.0)
    g = np.array([1.0, 2.0], np.float32)
    g.setflags(write=False)
    make([p], 0.1).step([mg.Tensor(g)])
    make([q], 0.1).step()
    assert np.array_equal(p.data, q.data)
    q.data.setflags(write=False)
    optimizer = make([p, q], 0.1)
    with pytest.raises(ValueError, match=f"^{make.__name__}: parameter 1 is read-only"):
        optimizer.step()
    assert optimizer.state == [{}, {}]


@every_optimizer
def test_a_model_that_changes_its_dtype_takes_the_state_along(make):
    p, q = with_gradient(1.0, 2.0), with_gradient(1.0, 2.0, dtype=np.float64)
    optimizer, exact = make([p], 0.1, weight_decay=0.1), make([q], 0.1, weight_decay=0.1)
    optimizer.step(), exact.step()
    p.data, p.grad = p.data.astype(np.float64), None  # as Module.to does
    p.grad = q.grad
    optimizer.step(), exact.step()
    assert p.dtype == np.float64 and np.allclose(p.data, q.data, atol=1e-6)
    state = optimizer.state_dict()
    assert all(x.dtype == np.float64 for x in state["state"][0].values() if np.ndim(x))
    optimizer.load_state_dict(state)


def test_an_optimizer_shows_its_settings():
    p, q = parameter(), parameter()
    shown = repr(optim.RMSprop([{"params": [p]}, {"params": [q], "lr": 0.5}], 0.1))
    assert shown.startswith("RMSprop(lr=0.1, alpha=0.99, ") and "; lr=0.5, alpha" in shown


@every_optimizer
def test_zero_grad_sets_none_or_zeros(make):
    p, q = with_gradient(1.0, 2.0), parameter()
    optimizer = make([p, q], 0.1, weight_decay=0.5)
    optimizer.zero_grad(set_to_none=False)
    assert np.array_equal(p.grad.data, [0, 0]) and p.grad.dtype == np.float32
    assert q.grad is None
    optimizer.zero_grad(set_to_none=True)
    assert p.grad is None
    p.grad = mg.Tensor(np.ones(2, np.float32))
    p.grad = None  # by hand
    optimizer.step()
    assert np.array_equal(p.data, [0, 0])
