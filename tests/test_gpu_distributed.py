"""Several processes with a GPU each: NCCL's sums, also in captured steps.

On the stand-in, which runs NCCL's work as late as it may and checks what NCCL demands
(stand_in/nccl.py).
"""

import os
import warnings

import numpy as np
import pytest
from gpu_device import on_device
from mpi_runs import run_ranks
from stand_in import installed

import minigen as mg
from minigen.backend.devices import capturing, to_numpy
from minigen.distributed import Synchronous, start
from minigen.training import capture

SHAPES = (3, 4), (1000,)


def values(rank, i, shape, dtype=np.float32):
    return np.random.default_rng((rank, i)).normal(0, 9, shape).astype(dtype)


# ------------------------------------------------------------------------- on two ranks


def on_two_ranks():
    """What each rank finds, in one start: a dict of arrays and texts."""
    found = {}
    with installed() as cupy:
        world = start()
        for check in (exchanged, started, races, captured, failures, shared_gpu):
            found |= check(world, cupy)
    return found


def exchanged(world, cupy):
    """all_reduce and broadcast of arrays on the GPU."""
    found = {}
    for dtype in ("float32", "float64", "int32", "int16"):
        x = on_device(values(world.rank, 0, (3, 4), dtype))
        for op in ("sum", "mean", "max", "min"):
            out = world.all_reduce([x.T, x], op)
            assert all(type(y) is cupy.ndarray for y in out)
            found[f"{dtype} {op}"] = to_numpy(out[0]).T
        found[f"{dtype} of 1"] = to_numpy(world.broadcast(x, root=1))
    return found


def started(world, cupy):
    """Sums that are started while others go on, twice, and finished in another order."""
    sums = world.reductions([on_device(np.zeros(shape, np.float32)) for shape in SHAPES])
    found = {"reductions": type(sums).__name__}
    for turn in range(2):
        for i, shape in enumerate(SHAPES):
            sums.slots[i][...] = on_device(values(world.rank, i + turn, shape))
            sums.start(i)
            sums.poll()
        found[f"unfinished {turn}"] = bool(np.isnan(sums.begun[0][0].get()).all())
        for i in (1, 0):
            found[f"sum {turn} {i}"] = to_numpy(sums.finish(i) * 1)
    return found


def races(world, cupy):
    """What the stand-in finds where a stream does not wait, or ranks call differently."""
    found, link, x = {}, world.links[0], on_device(values(world.rank, 0, 5))
    out, end = link.begun(x)
    found["read too early"] = bool(np.isnan(out.get()).all())
    x.fill(0)  # before the event: the sum is then another
    cupy.cuda.get_current_stream().wait_event(end)
    found["written too early"] = float(out.get().sum())
    link.stream.wait_event = lambda event: None
    found["does not wait"] = message(lambda: link.begun(on_device(values(0, 0, 5))))
    del link.stream.wait_event
    sums, stream = world.reductions([x]), cupy.cuda.Stream()
    with stream:  # as where an error ends a capture before the sum is waited for
        stream.begin_capture()
        token = capturing.set(stream)
        sums.start(0)
        capturing.reset(token)
        found["not joined"] = message(stream.end_capture)
    sums.finish(0)
    sums.slots[0].fill(1)
    sums.start(0)
    found["after that"] = float(to_numpy(sums.finish(0))[0])
    calls = lambda: world.all_reduce(on_device(values(0, 0, 5 + world.rank)), "sum")
    found["other sizes"] = message(calls)
    return found


class Training:
    """A network with dropout and batch norm, whose optimizer sums gradients over ranks."""

    def __init__(self, world, reads_on=None):
        self.world, self.rng, self.reads = world, mg.Generator(0), world.rank == reads_on
        rng, nn = self.rng, mg.nn
        model = nn.Sequential(
            *(nn.Linear(6, 8, rng=rng), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3, rng=rng)),
            nn.Linear(8, 3, rng=rng),
        )
        self.model = model.to("cuda")
        inner = mg.optim.Adam(self.model.parameters(), lr=1e-2)
        self.optimizer = Synchronous(inner, world, bucket_bytes=256)

    def step(self, x, y):
        lost = mg.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        lost.backward()
        if self.reads:
            lost.item()
        self.optimizer.step()
        return lost

    def run(self, step):
        """Losses of batches; one has fewer rows, and one draws its dropout masks on each rank."""
        losses = []
        for i, total in enumerate((6, 6, 6, 6, 6, 5, 6, 6, 6)):
            rows = self.world.split(total)
            x = values(9, i, (total, 6))[rows.start : rows.stop]
            y = np.arange(total)[rows.start : rows.stop] % 3
            if i == 7:
                self.world.rows = None
            losses.append(step(mg.Tensor(on_device(x)), mg.Tensor(on_device(y))).item())
            self.world.rows = None
        return losses

    def state(self):
        return np.concatenate([p.numpy().ravel() for p in self.model.state_dict().values()])


def captured(world, cupy):
    """A step with its sums as a graph, beside the step; then one that rank 1 cannot record."""
    eager, replayed, refused = Training(world), Training(world), Training(world, reads_on=1)
    found = {"eager losses": eager.run(eager.step), "eager": eager.state()}
    step = capture(replayed.step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found |= {"replayed losses": replayed.run(step), "replayed": replayed.state()}
    found["weights"] = np.concatenate([p.numpy().ravel() for p in eager.model.parameters()])
    assert step.recording.graph is not None and replayed.rng.state == eager.rng.state
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found |= {"refused losses": refused.run(capture(refused.step)), "refused": refused.state()}
    return found | {"said": [str(w.message) for w in said]}


def failures(world, cupy):
    """An error of NCCL is a DistributedError with the remedy."""
    link, nccl = world.links[0], cupy.cuda.nccl

    def fail():
        raise nccl.NcclError("NCCL_ERROR_SYSTEM_ERROR: unhandled system error")

    link.comm.check_async_error = fail
    sums = world.reductions([on_device(np.zeros(3))])
    found = {"link": message(lambda: sums.start(0))}
    w = mg.tensor(np.ones((2, 3)), requires_grad=True, device=("cuda", "cpu")[world.rank])
    found["two devices"] = message(lambda: Synchronous(mg.optim.SGD([w], lr=1.0), world))
    nccl.available = False
    world.links.clear()
    found["missing"] = to_numpy(world.all_reduce(on_device(values(world.rank, 0, 5)), "sum"))
    nccl.available = True
    return found


def shared_gpu(world, cupy):
    """Two ranks on one GPU: the host sums."""
    os.environ["STAND_IN_GPU"] = "0000:65:00.0"
    world.links.clear()
    found = {"shared": to_numpy(world.all_reduce(on_device(values(world.rank, 0, 5)), "sum"))}
    sums = world.reductions([on_device(np.zeros(5, np.float32)), np.zeros(5, np.float32)])
    for i in range(2):
        sums.slots[i][...] = (on_device if i == 0 else np.copy)(values(world.rank, 0, 5))
        sums.start(i)
    assert type(sums.finish(0)) is cupy.ndarray
    return found | {"shared, a part on the host": sums.finish(1)}


def message(call):
    """The class and the text of the error that call raises."""
    try:
        call()
    except (AssertionError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


@pytest.fixture(scope="module")
def finished(device):
    return run_ranks("test_gpu_distributed:on_two_ranks", 2)


def test_sums_and_broadcasts_of_arrays_on_gpus_are_those_of_numpy(finished):
    for dtype in ("float32", "float64", "int32", "int16"):
        xs = [values(rank, 0, (3, 4), dtype) for rank in range(2)]
        want = {"sum": xs[0] + xs[1], "max": np.maximum(*xs), "min": np.minimum(*xs)}
        want["mean"] = want["sum"] / 2
        for result in finished.results:
            for op, y in want.items():
                assert np.array_equal(result[f"{dtype} {op}"], y), (dtype, op)
                assert result[f"{dtype} {op}"].dtype == y.dtype
            assert np.array_equal(result[f"{dtype} of 1"], xs[1])


def test_sums_that_are_started_go_on_while_the_gpu_computes_and_are_waited_for(finished):
    for result in finished.results:
        assert result["reductions"] == "NcclReductions"
        for turn in range(2):
            assert result[f"unfinished {turn}"]
            for i, shape in enumerate(SHAPES):
                a, b = (values(rank, i + turn, shape) for rank in range(2))
                assert np.array_equal(result[f"sum {turn} {i}"], a + b)


def test_the_stand_in_finds_races_and_calls_that_differ(finished):
    for result in finished.results:
        assert result["read too early"] and result["written too early"] == 0
        assert "has not waited for what wrote" in result["does not wait"]
        assert "Unjoined" in result["not joined"] and result["after that"] == 2
        assert "ranks call NCCL with" in result["other sizes"]


def test_a_captured_step_with_its_sums_over_ranks_is_the_step_bit_for_bit(finished):
    one, two = finished.results
    assert one["eager losses"] != two["eager losses"]
    assert np.array_equal(one["weights"], two["weights"])
    for result in finished.results:
        assert result["replayed losses"] == result["eager losses"]
        assert np.array_equal(result["replayed"], result["eager"])


def test_a_step_that_one_rank_cannot_record_runs_eagerly_on_all(finished):
    for result, words in zip(finished.results, ("on another rank", "a copy to the host")):
        assert len(result["said"]) == 1 and words in result["said"][0]
        assert result["refused losses"] == result["eager losses"]
        assert np.array_equal(result["refused"], result["eager"])


def test_an_error_of_nccl_names_the_remedy(finished):
    for result in finished.results:
        assert result["link"].startswith("DistributedError: NCCL cannot reach")
        assert "UNHANDLED" in result["link"].upper() and "NCCL_DEBUG=INFO" in result["link"]


def test_a_rank_that_trains_on_another_device_is_refused(finished):
    for result in finished.results:
        assert result["two devices"].startswith(
            "DistributedError: parameter 0 is (2, 3) float64 on cpu on rank 1, "
            "(2, 3) float64 on cuda on rank 0: all ranks train the same model"
        )


def test_ranks_without_nccl_or_with_one_gpu_sum_on_the_host_and_say_so_once(finished):
    want = values(0, 0, 5) + values(1, 0, 5)
    for result in finished.results:
        for name in ("missing", "shared", "shared, a part on the host"):
            assert np.array_equal(result[name], want)
    lines = [line for line in finished.stderr.splitlines() if "summed on the host" in line]
    assert len(lines) == 2
    assert lines[0].startswith("rank 0: NCCL cannot be loaded; install the package nvidia-nccl")
    assert lines[1].startswith("ranks 0 and 1 share a GPU of ") and "--device cuda " in lines[1]
