"""Synchronous optimizers whose parameters, gradients and passes change, on the World of a pair."""

import warnings

import numpy as np
import pytest
from pair_world import Pair, leaf, leaves, loss_of, synchronous

import minigen as mg
from minigen import nn, optim
from minigen.autodiff import fast_walk
from minigen.distributed import Synchronous
from minigen.errors import DistributedError


@pytest.fixture(params=["fast", "plain"])
def any_walk(request, monkeypatch):
    monkeypatch.setattr(fast_walk, "_plain_walk_is_set", lambda: request.param == "plain")


def test_a_frozen_parameter_stays_as_it_is(any_walk):
    a, b = leaf(3, seed=1), leaf(3, seed=2)
    optimizer = synchronous([a, b])

    def step():
        optimizer.zero_grad()
        (a * b).sum().backward()
        optimizer.step()

    step()
    b.requires_grad = False
    frozen = b.numpy().copy()
    step()
    assert np.array_equal(b.numpy(), frozen) and b.node.grad is None
    b.requires_grad = True
    step()
    assert not np.array_equal(b.numpy(), frozen)


def test_a_constant_may_become_a_parameter():
    a, b = leaf(3, seed=1), mg.tensor(np.ones(3, np.float32))
    optimizer = synchronous([a, b])
    for requires_grad in (False, True, True):
        b.requires_grad = requires_grad
        optimizer.zero_grad()
        (a * b).sum().backward()
        before = b.numpy().copy()
        optimizer.step()
    assert np.allclose(before - b.numpy(), 0.5 * (a.numpy() + 0.5 * before), atol=1e-6)
    assert b.node.reducer is not None


def test_groups_may_be_added_and_states_loaded(any_walk):
    def trained(make):
        a, b = leaf(3, seed=1), leaf(5, seed=2)
        optimizer = make([a])
        for i in range(4):
            if i == 1:
                optimizer.add_param_group({"params": [b], "lr": 0.1})
            if i == 2:
                optimizer.load_state_dict(optimizer.state_dict())
            optimizer.zero_grad()
            ((a * a).sum() * (b * b).sum()).backward()
            optimizer.step()
        return np.concatenate([a.numpy(), b.numpy()])

    make = lambda params: optim.Adam(params, lr=0.01)
    got = trained(lambda params: Synchronous(make(params), Pair()))
    assert np.array_equal(got, trained(make))


def test_a_closure_is_called_once_and_its_gradients_are_summed():
    params, alone, calls = leaves(), leaves(), []

    def closure(params):
        def run():
            calls.append(params)
            loss = loss_of(*params)
            loss.backward()
            return loss

        return run

    got = synchronous(params).step(closure(params))
    want = optim.SGD(alone, lr=0.5).step(closure(alone))
    assert got.item() == want.item() and len(calls) == 2
    assert all(np.array_equal(p.numpy(), a.numpy()) for p, a in zip(params, alone))


def test_gradients_that_no_walk_has_summed_are_summed_by_the_step():
    world, a, b = Pair(), leaf(3, seed=1), leaf(3, seed=2)
    optimizer = synchronous([a, b], world)
    (a * a).sum().backward()
    b.grad = mg.Tensor(np.ones(3, np.float32))  # of this rank alone, for all that is known
    world.events.clear()
    optimizer.step()
    assert world.events == [("all_reduce", 12)]
    world.events.clear()
    gradients = mg.grad((a * b).sum(), [a, b], create_graph=True)
    assert world.events == []  # its walk is not reduced: its result has a graph
    optimizer.step(gradients)
    assert world.events == [("all_reduce", 12)] * 2


def test_parameters_without_gradient_are_named_once():
    model = nn.Linear(3, 2, rng=mg.Generator(0))
    spare = leaf(7, 2)
    optimizer = synchronous([*model.parameters(), spare])

    def step():
        optimizer.zero_grad()
        model(mg.tensor(np.ones((1, 3), np.float32))).sum().backward()
        optimizer.step()

    with pytest.warns(RuntimeWarning, match=r"1 of 3 parameters.*2 of shape \(7, 2\)"):
        step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step()
    assert spare.grad is None


def test_the_walk_after_one_that_failed_is_right(any_walk):
    @mg.primitive(lambda g, y, x: 1 / 0)
    def broken(x):
        """An op whose derivative fails."""
        return x.copy()

    a, b = leaf(16, seed=1), leaf(16, seed=2)
    optimizer = synchronous([a, b], bucket_bytes=64)
    for fails in (False, True, False, True, False):
        optimizer.zero_grad()
        x = a * a
        loss = ((broken(x) if fails else x) * b).sum()
        if fails:
            with pytest.raises(ZeroDivisionError):
                loss.backward()
        else:
            loss.backward()
            assert np.array_equal(b.grad.numpy(), a.numpy() ** 2)


def test_a_model_that_was_converted_is_refused():
    a = leaf(3)
    synchronous([a])
    (a * a).sum().backward()
    a.data = a.data.astype(np.float64)
    with pytest.raises(DistributedError, match="float64 on cpu, was of shape"):
        (a * a).sum().backward()
