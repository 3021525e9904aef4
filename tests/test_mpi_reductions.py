"""Gradients of synchronous training: their sums in buckets, over shared memory and over messages.

Most tests need no MPI: `Pair` is a World whose other rank has the same gradients. Half of each is
summed twice, which is exact, so training gives the bits of one process.
"""

import warnings

import numpy as np
import pytest
from mpi_runs import run_ranks

import minigen as mg
from minigen import nn, optim
from minigen.autodiff import fast_walk
from minigen.communication.shared_memory import in_order
from minigen.communication.world import Reductions, World
from minigen.distributed import Synchronous
from minigen.distributed.buckets import ALIGNED, buckets_of
from minigen.errors import DistributedError


class Pair(World):
    """Rank 0 of two ranks that do the same; `events` has what the sums of buckets were told."""

    size = 2

    def __init__(self):
        super().__init__()
        self.events = []

    def reductions(self, like):
        return Twice(self, like)

    def _reduced(self, x, op):
        self.events.append(("all_reduce", x.nbytes))
        return x + x if op == "sum" else x.copy()


class Twice(Reductions):
    def __init__(self, world, like):
        super().__init__(like)
        self.world, self.sums = world, {}

    def start(self, i):
        self.world.events.append(("start", self.slots[i].nbytes))
        self.sums[i] = self.slots[i] * 2

    def finish(self, i):
        self.world.events.append(("finish", self.slots[i].nbytes))
        self.slots[i].fill(np.nan)  # whatever kept a view of it notices
        return self.sums.pop(i)


@pytest.fixture(params=["fast", "plain"])
def any_walk(request, monkeypatch):
    monkeypatch.setattr(fast_walk, "_plain_walk_is_set", lambda: request.param == "plain")


def synchronous(params, world=None, **flags):
    return Synchronous(optim.SGD(params, lr=0.5), world or Pair(), **flags)


def leaf(*shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return mg.tensor(values.astype(dtype), requires_grad=True)


def leaves():
    """Leaves of two dtypes, 0-d and empty ones among them."""
    shapes = (4, 3), (3,), (), (0, 3), (300,)
    return [leaf(*shape, seed=i) for i, shape in enumerate(shapes)] + [leaf(3, dtype=np.float64)]


def loss_of(w, b, s, e, v, d):
    x = mg.tensor(np.random.default_rng(9).standard_normal((5, 4)).astype(np.float32))
    y = mg.tanh(x @ w + b) * s
    return (y.sum(axis=0).astype(np.float64) * d).sum() + (v * v).sum() + e.sum()


def stepped(optimizer, params, steps=4):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(*params).backward()
        optimizer.step()
    return [p.numpy().copy() for p in params]


@pytest.mark.parametrize("flags", [{}, {"bucket_bytes": 64}, {"overlap": False}])
def test_training_gives_the_bits_of_one_process(any_walk, flags):
    alone, params = leaves(), leaves()
    want = stepped(optim.SGD(alone, lr=0.5), alone)
    got = stepped(synchronous(params, **flags), params)
    assert all(np.array_equal(a, b) for a, b in zip(got, want))


def test_one_process_alone_has_no_reducer():
    params = leaves()
    stepped(Synchronous(optim.SGD(params, lr=0.5), World()), params)
    assert all(p.node.reducer is None for p in params)


@mg.primitive(lambda g, y, x, *, events: events.append(("rule", 0)) or g)
def noted(x, *, events):
    """x; its derivative adds a line to events."""
    return x.copy()


@pytest.mark.parametrize("overlap", [True, False])
def test_sums_begin_while_the_walk_goes_on(any_walk, overlap):
    world, layers = Pair(), [leaf(8, 8, seed=i) for i in range(3)]
    optimizer = synchronous(layers, world, bucket_bytes=256, overlap=overlap)
    for _ in range(2):  # the first walk learns the order
        world.events.clear()
        optimizer.zero_grad()
        x = leaf(2, 8, seed=7)
        for w in layers:
            x = noted(x, events=world.events) @ w
        x.sum().backward()
    rule, flags, bucket = ("rule", 0), ("start", 12), ("start", 256)
    began = [event for event in world.events if event[0] != "finish"]
    if overlap:
        assert began == [bucket, rule, bucket, rule, bucket, rule, flags]
    else:
        assert began == [rule, rule, rule, flags, bucket, bucket, bucket]


def test_a_bucket_ends_where_its_bytes_do():
    pairs = [(object(), np.zeros(n, np.float32)) for n in (16, 16, 100, 3, 0)]
    buckets = buckets_of(pairs, 128)
    assert [len(b.leaves) for b in buckets] == [2, 1, 2]
    assert [b.nbytes for b in buckets] == [128, 448, 64]
    assert all(part.start * 4 % ALIGNED == 0 for b in buckets for part in b.parts)


def test_buckets_have_one_dtype_each():
    dtypes = [np.float32, np.float64, np.float32]
    buckets = buckets_of([(object(), np.zeros(16, d)) for d in dtypes], 128)
    assert [(b.dtype, len(b.leaves)) for b in buckets] == [(np.float64, 1), (np.float32, 2)]


def test_gradients_are_written_to_by_no_later_walk(any_walk):
    params = leaves()
    optimizer = synchronous(params)
    kept = []
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(*params).backward()
        kept += [(p.grad.numpy(), p.grad.numpy().copy()) for p in params]
        optimizer.step()
    assert all(np.array_equal(a, b) for a, b in kept)


def test_backward_passes_add_up(any_walk):
    params = leaves()
    synchronous(params)
    for _ in range(3):
        loss_of(*params).backward()
    alone = leaves()
    for _ in range(3):
        loss_of(*alone).backward()
    assert all(np.array_equal(p.grad.numpy(), a.grad.numpy()) for p, a in zip(params, alone))


def test_a_walk_over_some_leaves_sums_their_buckets_alone(any_walk):
    world, a, b = Pair(), leaf(16), leaf(32)
    optimizer = synchronous([a, b], world)
    loss = lambda: (a * a).sum() + (b * b).sum()
    for _ in range(2):
        world.events.clear()
        (ga,) = mg.grad(loss(), [a])
    assert [n for kind, n in world.events if kind == "start"] in ([64, 8], [8, 64])
    gb = mg.grad(loss(), b)
    assert np.array_equal(ga.numpy(), 2 * a.numpy()) and np.array_equal(gb.numpy(), 2 * b.numpy())
    before = a.numpy().copy()
    optimizer.step([ga, None])
    assert np.array_equal(a.numpy(), before - 0.5 * ga.numpy())
    gradients = mg.grad(loss(), [b, a])  # buckets of two walks, in one
    assert np.array_equal(gradients[1].numpy(), 2 * a.numpy())


def test_a_loss_may_reach_the_parameters_of_two_optimizers(any_walk):
    a, b = leaf(4, seed=1), leaf(4, seed=2)
    first, second = synchronous([a]), synchronous([b])
    for _ in range(3):
        a.grad = b.grad = None
        (a * b).sum().backward()
        assert np.array_equal(a.grad.numpy(), b.numpy())
        assert np.array_equal(b.grad.numpy(), a.numpy())
        first.step()
        second.step()


def test_a_leaf_may_be_the_loss(any_walk):
    a = leaf()
    optimizer = synchronous([a])
    before = a.item()
    for _ in range(2):
        optimizer.zero_grad()
        a.backward()
        optimizer.step()
    assert a.item() == pytest.approx(before - 1.0)


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


@mg.primitive(lambda g, y, x: 1 / 0)
def broken(x):
    """An op whose derivative fails."""
    return x.copy()


def test_the_walk_after_one_that_failed_is_right(any_walk):
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


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_arrays_are_added_in_order(ranks):
    rng = np.random.default_rng(ranks)
    arrays = [rng.standard_normal((3, 7000)).astype(np.float32) for _ in range(ranks)]
    want = arrays[0]
    for x in arrays[1:]:
        want = want + x
    got = in_order(np.add, arrays)
    assert np.array_equal(got, want) and not any(np.shares_memory(got, x) for x in arrays)


# ----------------------------------------------------------------------------- on three ranks


@pytest.fixture(scope="module")
def ranks():
    """What `ranks_reductions.everything` found on each of three ranks."""
    return run_ranks("ranks_reductions:everything", 3).results


@pytest.mark.parametrize("check", ["all_reduce", "turns, shared", "turns, messages"])
def test_sums_are_those_of_all_ranks_in_order(ranks, check):
    assert [found[check] for found in ranks] == [[], [], []]


def test_runs_are_equal_bit_for_bit_on_all_ranks(ranks):
    for found in ranks:
        assert found["equal ranks"]
        assert all(found["equal runs"].values()), found["equal runs"]


def test_a_gradient_on_some_ranks_counts_as_zero_on_the_others(ranks):
    for found in ranks:
        assert found["branches"]["seen"] == pytest.approx([2.0] * 6)
        assert found["branches"]["none"] and found["branches"]["other"]
