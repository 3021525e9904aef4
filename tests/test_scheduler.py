"""Products that threads take without the interpreter: at once, put off, and interrupted."""

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
from minigen.kernels.cpu import scheduler as crews

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def two_threads():
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    yield
    mg.set_num_threads(before)


def operands(m, k, n, dtype=np.float32):
    return rng.random((m, k)).astype(dtype), rng.random((k, n)).astype(dtype)


def given(a, b, out):
    return products._given(a, b, None, out)


def net(count, width=64):
    rng = mg.Generator(0)
    return [mg.nn.Linear(width, width, rng=rng) for _ in range(count)]


def gradients(layers, x):
    for layer in layers:
        x = mg.relu(layer(x))
    parameters = [p for layer in dict.fromkeys(layers) for p in layer.parameters()]
    return [g.numpy().tobytes() for g in mg.grad(x.sum(), parameters)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m, k, n", [(600, 100, 5000), (150, 40, 9000), (9000, 30, 2100)])
def test_wide_products_are_made_in_pieces_that_fit_the_space_of_a_thread(m, k, n, dtype):
    a, b = operands(m, k, n, dtype)
    y = kernels.matmul(a, b)
    np.testing.assert_allclose(y, a @ b, 1e-5)
    assert all(right - left <= crews.COLUMNS for *_, left, right in given(a, b, y)[-1])


@pytest.mark.parametrize("repeated", [1, 3])
def test_gradients_put_off_are_those_of_one_thread_bit_for_bit(repeated):
    """Also where a weight has several cotangents, which are added, and where a line is full."""
    layers, x = net(80) * repeated, mg.Tensor(rng.random((512, 64), np.float32))
    found = gradients(layers, x)
    mg.set_num_threads(1)
    assert found == gradients(layers, x)


def test_a_line_has_room_for_more_pieces_than_places():
    crew = crews.Crew(np.dtype(np.float32))
    a, b = operands(200, 64, 300)
    outs = [np.empty((200, 300), np.float32) for _ in range(3 * crews.LENGTH)]
    for out in outs:
        assert crew.put_off(given(a, b, out), (a, b, out))
        assert len(crew.later.kept) <= crews.PUT_OFF
    crew.finish()
    assert all(out.tobytes() == outs[0].tobytes() for out in outs)
    np.testing.assert_allclose(outs[0], a @ b, 1e-5)


def test_no_piece_is_lost_where_nobody_helps_and_a_line_is_full():
    crew = crews.Crew(np.dtype(np.float32))
    crew._summon = lambda pieces: 0
    mg.set_num_threads(24)  # so products have many pieces
    a, b = operands(4096, 30, 2304)
    outs = [np.full((4096, 2304), np.nan, np.float32) for _ in range(6)]
    assert crews.LENGTH / 4 < len(given(a, b, outs[0])[-1]) < crews.LENGTH / 2
    for out in outs:
        assert crew.put_off(given(a, b, out), (a, b, out))
    crew.finish()
    assert all(out.tobytes() == outs[0].tobytes() for out in outs)
    np.testing.assert_allclose(outs[0], a @ b, 1e-5)


def test_a_product_of_more_pieces_than_places_is_made_whole():
    a, b = operands(24, 24, 300 * crews.COLUMNS)
    for _ in range(2):  # from another place the second time
        out = np.full((len(a), b.shape[1]), np.nan, np.float32)
        kernels.matmul(a, b, out)
        np.testing.assert_allclose(out[:, ::1000], a @ b[:, ::1000], 1e-5)
        kernels.matmul(b[:, :400].T, b[:, :300])


def test_arrays_are_let_go_when_their_product_is_made():
    crew = crews.Crew(np.dtype(np.float32))
    a, b = operands(200, 64, 300)
    out = np.empty((200, 300), np.float32)
    assert crew.put_off(given(a, b, out), (a, b, out))
    alive = weakref.ref(a)
    del a
    crew.finish()
    assert alive() is None


def test_what_an_error_interrupts_is_made_all_the_same():
    crew = crews.Crew(np.dtype(np.float32))
    a, b = operands(200, 64, 300)

    def interrupt():
        raise KeyboardInterrupt

    out = np.zeros((200, 300), np.float32)
    with pytest.raises(KeyboardInterrupt):
        crew.run([given(a, b, out)], (a, b, out), [(interrupt,)])
    np.testing.assert_allclose(out, a @ b, 1e-5)
    assert not crew.now.kept
    assert crew.run([given(a, b, out)], (a, b, out), [])


def test_a_rule_that_fails_leaves_nothing_unfinished():
    layer = net(1)[0]

    @mg.primitive(lambda g, y, x: 1 / 0)
    def broken(x):
        return x.copy()

    x = mg.Tensor(rng.random((512, 64), np.float32)).requires_grad_()
    with pytest.raises(ZeroDivisionError):
        layer(broken(x)).sum().backward()
    assert not crews.crew_for(np.dtype(np.float32)).later.kept
    assert layer.weight.grad is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_was_put_off_cannot_be_made_in_a_child():
    """Another thread may have been at it, and is not there."""
    crew = crews.crew_for(np.dtype(np.float32))
    child = os.fork()
    if not child:
        try:
            crew.finish()
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_while_one_thread_leads_another_makes_its_products_alone():
    crew = crews.crew_for(np.dtype(np.float32))
    a, b = operands(200, 64, 300)
    found = []
    with crew.lead:
        other = threading.Thread(target=lambda: found.append(kernels.matmul(a, b)))
        other.start()
        other.join(timeout=30)
    np.testing.assert_allclose(found[0], a @ b, 1e-5)


def test_a_thread_that_waits_for_products_hears_of_other_jobs():
    a, b = operands(400, 300, 500)
    for _ in range(50):
        kernels.matmul(a, b)
        done = []
        pool.run(done.append, [(i,) for i in range(4)])
        assert sorted(done) == [0, 1, 2, 3]


def until(condition):
    """Wait for what another thread does."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def asleep(count):
    return lambda: pool._pool.bell.numbers[ASLEEP] == count


@pytest.mark.skipif(not HAS_SEMAPHORES, reason="there is nothing to sleep at here")
def test_a_thread_that_sleeps_in_compiled_code_wakes_up_for_products_and_for_jobs():
    a, b = operands(400, 300, 500)
    crew = crews.crew_for(np.dtype(np.float32))
    until(lambda: crew.now.state[crews.WATCHED] == 0)  # threads of the pool before have ended
    y = kernels.matmul(a, b)
    for _ in range(3):
        until(asleep(1))
        out = np.empty_like(y)
        assert crew.put_off(given(a, b, out), (a, b, out))
        line = crew.later.state
        until(lambda line=line: line[crews.TAKEN] == line[crews.PUT])  # nobody else takes them
        crew.finish()
        assert out.tobytes() == y.tobytes()
        until(asleep(1))
        both = threading.Barrier(2, timeout=20)
        pool.run(both.wait, [(), ()])  # each needs a thread
    mg.set_num_threads(1)  # and to end
    until(lambda: not any(thread.name == "minigen-0" for thread in threading.enumerate()))


def test_without_semaphores_threads_wait_in_the_interpreter(monkeypatch):
    monkeypatch.setattr(bell, "HAS_SEMAPHORES", False)
    monkeypatch.setattr(bell, "_functions", None)
    mg.set_num_threads(1)
    mg.set_num_threads(2)
    a, b = operands(400, 300, 500)
    y = kernels.matmul(a, b)
    crew = crews.crew_for(np.dtype(np.float32))
    until(lambda: crew.now.state[crews.WATCHED] == 0)
    assert asleep(0)()
    both = threading.Barrier(2, timeout=20)
    pool.run(both.wait, [(), ()])
    assert kernels.matmul(a, b).tobytes() == y.tobytes()


def test_a_pool_that_was_closed_starts_no_threads():
    """Who leads may have it still when another thread sets the number of threads."""
    mg.set_num_threads(3)
    closed, done = pool._pool, []
    mg.set_num_threads(2)
    closed.run(pool.Job(done.append, [(i,) for i in range(5)]))
    closed.wake(2, 0, crews.crew_for(np.dtype(np.float32)).serve)
    assert sorted(done) == list(range(5)) and not closed.workers and closed.idle is None


def test_the_tracer_of_non_finite_values_sees_gradients_as_they_are_made(monkeypatch):
    monkeypatch.setattr(crews.Crew, "put_off", lambda *_: pytest.fail("it would be seen unmade"))
    layer, x = net(1)[0], np.full((512, 64), 1e20, np.float32)
    with mg.detect_anomaly():
        y = layer(mg.Tensor(x).requires_grad_())
        with pytest.raises(FloatingPointError, match="derivative of op 'linear' for argument 1"):
            y.backward(np.full(y.shape, 1e20, np.float32))  # the weight's, 1e40, is too large
