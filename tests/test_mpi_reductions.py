"""Gradients of synchronous training: their sums in buckets, over shared memory and over messages.

Most need no MPI: see pair_world.py.
"""

import numpy as np
import pytest
from mpi_runs import run_ranks
from pair_world import Pair, leaf, leaves, loss_of, stepped, synchronous

import minigen as mg
from minigen import optim
from minigen.autodiff import fast_walk
from minigen.communication.shared_memory import in_order
from minigen.communication.world import World
from minigen.distributed import Synchronous
from minigen.distributed.buckets import ALIGNED, buckets_of


@pytest.fixture(params=["fast", "plain"])
def any_walk(request, monkeypatch):
    monkeypatch.setattr(fast_walk, "_plain_walk_is_set", lambda: request.param == "plain")


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


@pytest.mark.parametrize("overlap", [True, False])
def test_sums_begin_while_the_walk_goes_on(any_walk, overlap):
    @mg.primitive(lambda g, y, x, *, events: events.append(("rule", 0)) or g)
    def noted(x, *, events):
        """x; its derivative adds a line to events."""
        return x.copy()

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
