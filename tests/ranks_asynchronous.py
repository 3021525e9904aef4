"""What the ranks of test_mpi_asynchronous.py do."""

import time

import numpy as np

import minigen as mg
from minigen.communication.world import current
from minigen.data import DataLoader
from minigen.distributed import Asynchronous, start
from minigen.errors import DistributedError

# The ranks whose gradients arrive, in this order. That of rank 2 comes after 4 updates by others,
# then after 5, then in time; at the end that of rank 1 comes after 6.
ARRIVALS = [0, 1, 0, 0, 2, 0, 1, 0, 1, 0, 2, 2, 0, 0, 2, 0, 0, 2, 1]
STALENESS = 4
BETAS, EPS = (0.8, 0.9), 1e-8
rate = lambda event: 0.05 / (1 + event)  # a schedule


def weights():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(4, 3)), rng.normal(size=3)]


def examples(event):
    rng = np.random.default_rng(1000 + event)
    return rng.normal(size=(5, 4)), rng.normal(size=(5, 3))


def loss_of(params, event):
    x, y = examples(event)
    return ((mg.Tensor(x) @ params[0] + params[1] - mg.Tensor(y)) ** 2).mean()


def sgd(params):
    return mg.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5)


def adam(params):
    return mg.optim.Adam(params, lr=0.1, betas=BETAS, eps=EPS)


def taking_turns(optimizer_of, make):
    """Steps in the order of ARRIVALS: weights, and whether each gradient was dropped."""
    world = start()
    params = [mg.tensor(w + world.rank, requires_grad=True) for w in weights()]
    optimizer = make(optimizer_of(params), world, staleness=STALENESS)
    was_dropped = []
    for event, rank in enumerate(ARRIVALS):
        if rank == world.rank:
            before = optimizer.dropped
            for group in optimizer.param_groups:
                group["lr"] = rate(event)
            optimizer.zero_grad()
            loss_of(params, event).backward()
            optimizer.step()
            was_dropped.append(optimizer.dropped - before)
        world.barrier()
    optimizer.synchronize()
    found = {"W": params[0].numpy(), "b": params[1].numpy(), "dropped": was_dropped}
    return found, optimizer.state_dict()["state"]


def checks():
    world = start()
    found = {}
    for optimizer_of in (sgd, adam):
        result, state = taking_turns(optimizer_of, Asynchronous)
        result |= {f"state {key}": np.asarray(value) for key, value in state[0].items()}
        found |= {f"{optimizer_of.__name__} {key}": value for key, value in result.items()}
    found |= nobody_waits(world) | refusals(world) | saved_and_loaded(world) | handed_out(world)
    return found


def nobody_waits(world):
    """Two ranks make 20 updates each while rank 2 computes; then its gradient comes too late."""
    params = [mg.tensor(w, requires_grad=True) for w in weights()]
    optimizer = Asynchronous(adam(params), world)
    calls = []

    def closure():
        calls.append(optimizer.read_after)
        if world.rank == 2:
            while optimizer.shared.updates[0] < 40:  # without a call of MPI
                time.sleep(1e-3)
        optimizer.zero_grad()
        loss = loss_of(params, len(calls))
        loss.backward()
        return loss.item()

    for _ in range(20 if world.rank < 2 else 1):
        optimizer.step(closure)
    world.barrier()
    return {"waiting": [optimizer.dropped, len(calls), int(optimizer.shared.updates[0])]}


def refusals(world):
    params = [mg.tensor(w, requires_grad=True) for w in weights()]
    optimizer = Asynchronous(sgd(params), world)
    attempts = {
        "infinite": lambda: optimizer.step([mg.tensor(np.full((4, 3), np.inf)), None]),
        "group": lambda: optimizer.add_param_group({"params": [mg.tensor(1.0)]}),
        "shape": lambda: optimizer.step([params[1], None]),
        "written": lambda: optimizer.step([mg.tensor(np.ones((4, 3))), None]),
    }
    messages = {}
    for name, attempt in attempts.items():
        if name == "written":
            sgd(params).step([mg.tensor(np.ones((4, 3))), None])
        try:
            attempt()
        except (ArithmeticError, DistributedError, ValueError) as error:
            messages[name] = f"{type(error).__name__}: {error}"
    optimizer.synchronize()
    same = all(np.array_equal(p.data, w) for p, w in zip(params, weights()))
    return {"refusals": messages, "unchanged": [same, int(optimizer.shared.updates[0])]}


def saved_and_loaded(world):
    """Weights and state after a load, which differs between ranks; a step of all continues it."""
    params = [mg.tensor(w, requires_grad=True) for w in weights()]
    optimizer = Asynchronous(adam(params), world)
    if world.rank == 1:
        for event in range(3):
            optimizer.zero_grad()
            loss_of(params, event).backward()
            optimizer.step()
    optimizer.synchronize()
    state = optimizer.state_dict()
    values = [p.numpy() for p in params]
    again = [mg.tensor(w * world.rank, requires_grad=True) for w in values]
    for p, w in zip(again, values):
        p.data = w.copy()
    other = Asynchronous(adam(again), world)
    other.load_state_dict(state)
    if world.rank == 0:
        for each, its in ((optimizer, params), (other, again)):
            each.zero_grad()
            loss_of(its, 7).backward()
            each.step()
    optimizer.synchronize()
    other.synchronize()
    equal = [np.array_equal(a.data, b.data) for a, b in zip(params, again)]
    return {"loaded": equal, "loaded step": other.state_dict()["state"][0]["step"]}


def handed_out(world):
    """The examples of this rank in two epochs, the second of which stops and goes on."""
    rng = mg.Generator(5)
    Asynchronous(sgd([mg.tensor(1.0, requires_grad=True)]), world)
    loader = DataLoader(np.arange(100), batch_size=10, shuffle=True, rng=rng, world=world)
    epochs, weights_of_rows = [[], [], []], 0.0
    for batch in loader:
        epochs[0] += batch.tolist()
        weights_of_rows += world.rows.weight
        rng.normal(world.rows.total)  # a draw for each step of this rank: the states differ
        time.sleep(0.02 if world.rank == 0 else 0.001)
    for batch in loader:
        epochs[1] += batch.tolist()
        if world.rank == 1:
            world.handing_out.stop()
        while len(epochs[1]) > 6 and world.handing_out.end == 10:
            time.sleep(1e-3)
    loader.state = stopped = loader.state  # without this, the next `for` is a new epoch
    for batch in loader:
        epochs[2] += batch.tolist()
    return {
        "epochs": epochs,
        "weight": weights_of_rows,
        "rows": str(current().rows),
        "stopped at": stopped["batches_given"],
        "ended at": loader.state["batches_given"],
    }


def on_other_machines():
    return taking_turns(adam, Asynchronous)[0] | {"local": current().local_size}
