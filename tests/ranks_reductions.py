"""What test_mpi_reductions runs on each rank: sums through shared memory, and gradients."""

import time

import numpy as np

import minigen as mg
from minigen import distributed, optim
from minigen.communication.world import World

SHAPES = (), (3,), (0, 2), (5, 7), (70_000,)  # the last in two parts, for float64
OPS = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum}


def everything() -> dict:
    world = distributed.start()
    found = {"all_reduce": all_reduce_differs(world), "branches": branches(world)}
    found["turns, shared"] = turns_differ(world)
    local, world.local = world.local, None
    found["turns, messages"] = turns_differ(world)
    world.local = local
    sums = {name: trained(world, **flags) for name, flags in RUNS.items()}
    found["equal runs"] = {name: np.array_equal(sums[name], sums["plain"]) for name in sums}
    mine = sums["plain"]
    found["equal ranks"] = bool(
        (world.all_reduce(mine, "max") == world.all_reduce(mine, "min")).all()
    )
    return found


def drawn(rank: int, shape: tuple, dtype: type, turn: int = 0) -> np.ndarray:
    """What a rank brings to a sum: values of very different size, so that the order matters."""
    rng = np.random.default_rng([rank, turn])
    return (rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 5, shape)).astype(dtype)


def in_order(world: World, shape: tuple, dtype: type, op: str = "sum", turn: int = 0) -> np.ndarray:
    """The plain way: each rank's array after the other."""
    want = drawn(0, shape, dtype, turn)
    for rank in range(1, world.size):
        want = OPS[op](want, drawn(rank, shape, dtype, turn))
    return want / np.dtype(dtype).type(world.size) if op == "mean" else want


def all_reduce_differs(world: World) -> list[str]:
    """The cases in which all_reduce does not give the bits of the plain way."""
    cases = [(s, d, op) for s in SHAPES for d in (np.float32, np.float64) for op in OPS]
    cases.append(((4,), np.int64, "sum"))
    differ = []
    for shape, dtype, op in cases:
        got, want = (
            world.all_reduce(drawn(world.rank, shape, dtype), op),
            in_order(world, shape, dtype, op),
        )
        if got.dtype != want.dtype or got.shape != shape or not np.array_equal(got, want):
            differ.append(f"{op} {shape} {dtype.__name__}")
    return differ


def turns_differ(world: World) -> list[str]:
    """The turns of Reductions in which a rank that comes late gets or gives wrong values."""
    like = [np.empty(1000, np.float32), np.empty((2, 3)), np.empty(0)]
    reductions, kept, differ = world.reductions(like), [], []
    for turn in range(12):
        if turn % world.size == world.rank:
            time.sleep(0.003)  # the others are ahead, by as much as they can be
        for i, x in enumerate(like):
            reductions.ready(i)
            reductions.slots[i][...] = drawn(world.rank, x.shape, x.dtype, turn)
            reductions.start(i)
            reductions.poll()
        for i, x in enumerate(like):
            want = in_order(world, x.shape, x.dtype, turn=turn)
            kept.append((f"{turn} {x.shape}", reductions.finish(i), want))
    for name, got, want in kept:  # a later turn has written to no array
        if not np.allclose(got, want, rtol=1e-5, atol=1e-2):
            differ.append(name)
        if world.local is not None and not np.array_equal(got, want):
            differ.append(f"{name}: other bits")
    return differ


RUNS = {
    "plain": {},
    "again": {},
    "blocking": {"overlap": False},
    "small buckets": {"bucket_bytes": 256},
}


def trained(world: World, **flags) -> np.ndarray:
    """The weights after some steps on batches of 7 rows, whose parts have weights of their own."""
    rng = mg.Generator(world.rank)  # the weights become those of rank 0
    model = mg.nn.Sequential(
        mg.nn.Linear(6, 40, rng=rng), mg.nn.Tanh(), mg.nn.Linear(40, 3, rng=rng)
    )
    optimizer = distributed.Synchronous(optim.Adam(model.parameters(), lr=0.01), world, **flags)
    data = np.random.default_rng(5)
    for _ in range(5):
        rows, x = world.split(7), data.standard_normal((7, 6)).astype(np.float32)
        loss = (model(mg.tensor(x[rows.start : rows.stop])) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    world.rows = None
    return np.concatenate([p.data.ravel() for p in model.parameters()])


def branches(world: World) -> dict:
    """Gradients of leaves that get one on some ranks, later on others, or on none."""
    a, b, c = (mg.tensor(np.ones(3), requires_grad=True) for _ in range(3))
    optimizer = distributed.Synchronous(optim.SGD([a, b], lr=1.0), world)
    seen = []
    for turn in range(3):
        loss = (a * (world.rank + 1)).sum()
        if world.rank == turn:
            loss = loss + (b * 6).sum()
        optimizer.zero_grad()
        loss.backward()
        seen += [a.grad.data[0], b.grad.data[0]]
    optimizer.zero_grad()
    a.sum().backward()
    return {"seen": [float(x) for x in seen], "none": b.grad is None, "other": c.grad is None}
