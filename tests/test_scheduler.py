"""The scheduler of products: tasks that workers compute without the interpreter lock.

Products at once and deferred, full queues, errors, Ctrl-C, forks, sleeping workers.
"""

import os
import threading
import time
import weakref

import numpy as np
import pytest

import minigen as mg
from minigen import kernels
from minigen.parallel import bell, pool
from minigen.parallel.bell import ASLEEP, HAS_SEMAPHORES

pytest.importorskip("numba")
from minigen.kernels.cpu import products
from minigen.kernels.cpu.gemm import N_BLOCK
from minigen.kernels.cpu.scheduler import MAX_DEFERRED, Scheduler, scheduler_for
from minigen.kernels.cpu.task_queue import POLLING, QUEUED, SLOTS, TAKEN

FLOAT32 = np.dtype(np.float32)
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def two_threads():
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    yield
    mg.set_num_threads(before)


def operands(m, k, n, dtype=np.float32):
    return rng.random((m, k)).astype(dtype), rng.random((k, n)).astype(dtype)


def product(a, b, out):
    return products._product(a, b, None, out)


def linear_layers(count, width=64):
    rng = mg.Generator(0)
    return [mg.nn.Linear(width, width, rng=rng) for _ in range(count)]


def gradients(layers, x):
    for layer in layers:
        x = mg.relu(layer(x))
    parameters = [p for layer in dict.fromkeys(layers) for p in layer.parameters()]
    return [g.numpy().tobytes() for g in mg.grad(x.sum(), parameters)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m, k, n", [(600, 100, 5000), (150, 40, 9000), (9000, 30, 2100)])
def test_tasks_of_wide_products_fit_the_workspace_of_a_thread(m, k, n, dtype):
    a, b = operands(m, k, n, dtype)
    y = kernels.matmul(a, b)
    np.testing.assert_allclose(y, a @ b, 1e-5)
    assert all(n_stop - n_start <= N_BLOCK for *_, n_start, n_stop in product(a, b, y).parts)


@pytest.mark.parametrize("repeated", [1, 3])
def test_deferred_gradients_are_those_of_one_thread_bit_for_bit(repeated):
    """Also where a weight has several cotangents, which are added, and where a queue is full."""
    layers, x = linear_layers(80) * repeated, mg.Tensor(rng.random((512, 64), np.float32))
    found = gradients(layers, x)
    mg.set_num_threads(1)
    assert found == gradients(layers, x)


def test_a_queue_takes_more_tasks_than_it_has_slots():
    scheduler = Scheduler(FLOAT32)
    a, b = operands(200, 64, 300)
    outs = [np.empty((200, 300), np.float32) for _ in range(3 * SLOTS)]
    for out in outs:
        assert scheduler.defer(product(a, b, out), (a, b, out))
        assert len(scheduler.deferred.unfinished) <= MAX_DEFERRED
    scheduler.finish_deferred()
    assert all(out.tobytes() == outs[0].tobytes() for out in outs)
    np.testing.assert_allclose(outs[0], a @ b, 1e-5)


def test_no_task_is_lost_without_workers_and_with_a_full_queue():
    scheduler = Scheduler(FLOAT32)
    scheduler._request_workers = lambda tasks: 0
    mg.set_num_threads(24)  # so products have many tasks
    a, b = operands(4096, 30, 2304)
    outs = [np.full((4096, 2304), np.nan, np.float32) for _ in range(6)]
    assert SLOTS / 4 < len(product(a, b, outs[0]).parts) < SLOTS / 2
    for out in outs:
        assert scheduler.defer(product(a, b, out), (a, b, out))
    scheduler.finish_deferred()
    assert all(out.tobytes() == outs[0].tobytes() for out in outs)
    np.testing.assert_allclose(outs[0], a @ b, 1e-5)


def test_a_product_of_more_tasks_than_slots_is_computed_completely():
    a, b = operands(24, 24, 300 * N_BLOCK)
    for _ in range(2):  # the second time, its first task is in another slot
        out = np.full((len(a), b.shape[1]), np.nan, np.float32)
        kernels.matmul(a, b, out)
        np.testing.assert_allclose(out[:, ::1000], a @ b[:, ::1000], 1e-5)
        kernels.matmul(b[:, :400].T, b[:, :300])


def test_references_to_arrays_are_dropped_when_their_product_is_done():
    scheduler = Scheduler(FLOAT32)
    a, b = operands(200, 64, 300)
    out = np.empty((200, 300), np.float32)
    assert scheduler.defer(product(a, b, out), (a, b, out))
    alive = weakref.ref(a)
    del a
    scheduler.finish_deferred()
    assert alive() is None


def test_an_interrupted_product_is_computed_all_the_same():
    scheduler = Scheduler(FLOAT32)
    a, b = operands(200, 64, 300)

    def interrupt():
        raise KeyboardInterrupt

    out = np.zeros((200, 300), np.float32)
    with pytest.raises(KeyboardInterrupt):
        scheduler.run([product(a, b, out)], (a, b, out), [(interrupt,)])
    np.testing.assert_allclose(out, a @ b, 1e-5)
    assert not scheduler.urgent.unfinished
    assert scheduler.run([product(a, b, out)], (a, b, out), [])


def test_a_rule_that_fails_leaves_nothing_unfinished():
    layer = linear_layers(1)[0]

    @mg.primitive(lambda g, y, x: 1 / 0)
    def broken(x):
        return x.copy()

    x = mg.Tensor(rng.random((512, 64), np.float32)).requires_grad_()
    with pytest.raises(ZeroDivisionError):
        layer(broken(x)).sum().backward()
    assert not scheduler_for(FLOAT32).deferred.unfinished
    assert layer.weight.grad is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_deferred_products_cannot_be_finished_in_a_forked_child():
    """A worker may have taken a task of them, and a child has no workers."""
    scheduler = scheduler_for(FLOAT32)
    child = os.fork()
    if not child:
        try:
            scheduler.finish_deferred()
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_while_one_thread_uses_the_scheduler_another_computes_its_products_alone():
    scheduler = scheduler_for(FLOAT32)
    a, b = operands(200, 64, 300)
    found = []
    with scheduler.lock:
        other = threading.Thread(target=lambda: found.append(kernels.matmul(a, b)))
        other.start()
        other.join(timeout=30)
    np.testing.assert_allclose(found[0], a @ b, 1e-5)


def test_a_worker_that_waits_for_products_takes_tasks_of_other_jobs():
    a, b = operands(400, 300, 500)
    for _ in range(50):
        kernels.matmul(a, b)
        done = []
        pool.run(done.append, [(i,) for i in range(4)])
        assert sorted(done) == [0, 1, 2, 3]


def wait_until(condition):
    """Wait until another thread has made condition() true."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def sleeping(workers):
    return lambda: pool._pool.events.state[ASLEEP] == workers


@pytest.mark.skipif(not HAS_SEMAPHORES, reason="this system has no semaphores to sleep on")
def test_a_worker_that_sleeps_in_compiled_code_wakes_up_for_products_and_for_jobs():
    a, b = operands(400, 300, 500)
    scheduler = scheduler_for(FLOAT32)
    wait_until(lambda: scheduler.urgent.memory[POLLING] == 0)  # workers of earlier pools have ended
    y = kernels.matmul(a, b)
    for _ in range(3):
        wait_until(sleeping(1))
        out = np.empty_like(y)
        assert scheduler.defer(product(a, b, out), (a, b, out))
        queue = scheduler.deferred.memory
        wait_until(lambda queue=queue: queue[TAKEN] == queue[QUEUED])  # only the worker takes tasks
        scheduler.finish_deferred()
        assert out.tobytes() == y.tobytes()
        wait_until(sleeping(1))
        both = threading.Barrier(2, timeout=20)
        pool.run(both.wait, [(), ()])  # each needs a thread
    mg.set_num_threads(1)  # a sleeping worker also wakes up to end
    wait_until(lambda: not any(thread.name == "minigen-0" for thread in threading.enumerate()))


def test_without_semaphores_workers_wait_in_the_interpreter(monkeypatch):
    monkeypatch.setattr(bell, "HAS_SEMAPHORES", False)
    monkeypatch.setattr(bell, "_functions", None)
    mg.set_num_threads(1)
    mg.set_num_threads(2)
    a, b = operands(400, 300, 500)
    y = kernels.matmul(a, b)
    scheduler = scheduler_for(FLOAT32)
    wait_until(lambda: scheduler.urgent.memory[POLLING] == 0)
    assert sleeping(0)()
    both = threading.Barrier(2, timeout=20)
    pool.run(both.wait, [(), ()])
    assert kernels.matmul(a, b).tobytes() == y.tobytes()


def test_a_closed_pool_starts_no_workers():
    """A caller may still use it when another thread sets the number of threads."""
    mg.set_num_threads(3)
    closed, done = pool._pool, []
    mg.set_num_threads(2)
    closed.run(pool.Job(done.append, [(i,) for i in range(5)]))
    closed.wake(2, 0, scheduler_for(FLOAT32).serve)
    assert sorted(done) == list(range(5)) and not closed.workers and closed.idle is None


def test_detect_anomaly_sees_gradients_when_they_are_computed(monkeypatch):
    monkeypatch.setattr(Scheduler, "defer", lambda *_: pytest.fail("it would see unfinished ones"))
    layer, x = linear_layers(1)[0], np.full((512, 64), 1e20, np.float32)
    with mg.detect_anomaly():
        y = layer(mg.Tensor(x).requires_grad_())
        with pytest.raises(FloatingPointError, match="derivative of op 'linear' for argument 1"):
            y.backward(np.full(y.shape, 1e20, np.float32))  # the weight's, 1e40, is too large
