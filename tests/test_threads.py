"""The pool of threads: the same bits for any number, errors, forks, Ctrl-C, other pools."""

import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen import kernels
from minigen.kernels import reference
from minigen.parallel import pool
from minigen.parallel.pieces import PIECE, shares, spans
from minigen.testing.pullback import as_tuple

pytest.importorskip("numba")
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def number_of_threads():
    before = mg.get_num_threads()
    yield
    mg.set_num_threads(before)


def products():
    """Pairs of operands that are cut along rows, columns, sums and batch; one batch is of one."""
    f = np.float32
    yield rng.random((600, 300), f), rng.random((300, 500), f)
    yield rng.random((500, 600), f).T[:40], rng.random((500, 900), f)
    yield rng.random((90, 2000), f), rng.random((2000, 130), f)
    yield rng.random((7, 90, 200), f), rng.random((1, 200, 300), f)
    yield rng.random((1, 300, 200), f), rng.random((200, 300), f)
    yield rng.random((2, 5, 64, 128)), rng.random((5, 64, 128)).swapaxes(-1, -2)


@pytest.mark.parametrize("a, b", list(products()), ids=lambda x: str(x.shape))
def test_a_product_in_pieces_is_right_and_the_same_bits_for_any_number_of_threads(a, b):
    found = []
    for n in (1, 2, 3, 7):
        mg.set_num_threads(n)
        found += [kernels.matmul(a, b) for _ in range(3)]
    assert all(y.tobytes() == found[0].tobytes() for y in found)
    np.testing.assert_allclose(found[0], np.einsum("...ij,...jk->...ik", a, b), 1e-5)


LONG = [rng.standard_normal(300_001).astype(np.float32) for _ in range(4)]


LONG_CALLS = {
    "relu": LONG[:1],
    "gelu": LONG[:1],
    "gelu_vjp": LONG[:2],
    "softmax": [LONG[0][:300_000].reshape(3000, 100), 1],
    "layer_norm": [LONG[0][:300_000].reshape(3000, 100), *LONG[1][:200].reshape(2, 100), 1e-5],
    "cross_entropy": [LONG[0][:300_000].reshape(3000, 100), np.arange(3000) % 100, 0.1],
    "dot_attention": [x[:262_144].reshape(16, 8, 64, 32) for x in LONG[:3]]
    + [None, None, True, 0.2, 0.0],
    "select": [LONG[0] > 0, *LONG[1:3]],
    "bce_with_logits": LONG[:2],
    "bce_with_logits_vjp": LONG[:3],
    "bce_total": [x[:300_000].reshape(3000, 100) for x in LONG[:2]],
}


@pytest.mark.parametrize("name", LONG_CALLS)
def test_a_long_loop_in_pieces_gives_what_its_reference_gives(name):
    def result(kernel):
        return kernel(*deepcopy(LONG_CALLS[name]))

    mg.set_num_threads(1)
    alone = as_tuple(result(getattr(kernels, name)))
    mg.set_num_threads(3)
    for x, y in zip(as_tuple(result(getattr(kernels, name))), alone):
        assert x.tobytes() == y.tobytes()
    for x, y in zip(as_tuple(result(getattr(reference, name))), alone):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)


@given(st.integers(0, 500), st.floats(0, 1e8), st.integers(1, 50), st.integers(1, 9))
def test_slices_are_in_order_cover_all_and_are_not_too_many(length, work, least, count):
    mg.set_num_threads(count)
    for cut in (spans, shares):
        slices = cut(length, work, least)
        assert [i for s in slices for i in range(s.start, s.stop)] == list(range(length))
        assert len(slices) == 1 or (len(slices) * least <= length and work > PIECE)


def test_a_model_trains_to_the_same_bits_on_any_number_of_threads():
    def weights(n):
        mg.set_num_threads(n)
        layers = [mg.nn.Linear(300, 500, rng=mg.Generator(0)), mg.nn.Tanh()]
        layers.append(mg.nn.Linear(500, 300, rng=mg.Generator(1)))
        model = mg.nn.Sequential(*layers)
        optimizer = mg.optim.Adam(model.parameters())
        x = mg.Tensor(mg.Generator(2).uniform((256, 300)))
        for _ in range(3):
            optimizer.zero_grad()
            mg.mse_loss(model(x), x).backward()
            optimizer.step()
        return b"".join(p.numpy().tobytes() for p in model.state_dict().values())

    assert weights(1) == weights(2) == weights(5)


def trained(seed):
    """The weights and losses of a model after some steps, as bytes."""
    rng = mg.Generator(seed)
    layers = [mg.nn.Linear(200, 300, rng=rng), mg.nn.LayerNorm(300), mg.nn.GELU()]
    model = mg.nn.Sequential(*layers, mg.nn.Dropout(0.2, rng=rng), mg.nn.Linear(300, 10, rng=rng))
    optimizer = mg.optim.Adam(model.parameters(), 1e-2)
    x, targets, found = mg.Tensor(rng.normal((128, 200))), rng.integers(0, 10, 128), []
    for _ in range(5):
        with mg.no_grad():
            found.append(model.eval()(x).data)
        loss = mg.cross_entropy(model.train()(x), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.data)
    found += [p.data for p in model.parameters()]
    return b"".join(x.tobytes() for x in found)


def test_eight_threads_that_train_eight_models_at_once_give_the_serial_results():
    mg.set_num_threads(2)
    serial, together, start = [trained(seed) for seed in range(8)], {}, threading.Barrier(8)

    def run(seed):
        start.wait(timeout=60)
        together[seed] = trained(seed)

    leaders = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for leader in leaders:
        leader.start()
    for leader in leaders:
        leader.join(timeout=60)
    assert [together[seed] for seed in range(8)] == serial
    assert len(set(serial)) == 8


def test_every_piece_is_done_once_whoever_takes_it():
    for n in (1, 2, 4):
        mg.set_num_threads(n)
        for count in (1, 2, 3, 50):
            done = []
            pool.run(done.append, [(i,) for i in range(count)])
            assert sorted(done) == list(range(count))


def test_an_error_in_a_piece_reaches_the_caller_and_the_pool_goes_on():
    mg.set_num_threads(3)

    def fail(i):
        if i == 5:
            raise KeyError(i)

    for _ in range(20):
        with pytest.raises(KeyError):
            pool.run(fail, [(i,) for i in range(8)])
    test_every_piece_is_done_once_whoever_takes_it()


def test_pieces_may_have_pieces_and_many_threads_may_lead():
    mg.set_num_threads(2)
    done = []

    def outer(i):
        pool.run(lambda j: done.append((i, j)), [(j,) for j in range(4)])

    leaders = [
        threading.Thread(target=pool.run, args=(outer, [(k * 4 + i,) for i in range(4)]))
        for k in range(5)
    ]
    for leader in leaders:
        leader.start()
    for leader in leaders:
        leader.join(timeout=30)
    assert sorted(done) == [(i, j) for i in range(20) for j in range(4)]


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core"
)
def test_a_thread_of_the_pool_does_not_share_the_core_of_the_one_that_leads():
    mg.set_num_threads(2)
    here = os.sched_getaffinity(0)
    try:
        for core in sorted(here)[:2]:  # the leader moves
            os.sched_setaffinity(0, {core})
            os.sched_setaffinity(0, here)
            pool.run(len, [("",)] * 2)
            names = {t.name: t.native_id for t in threading.enumerate()}
            assert len(os.sched_getaffinity(names["minigen-0"])) == len(here) - 1
    finally:
        os.sched_setaffinity(0, here)


def test_numpys_error_state_holds_in_all_threads():
    mg.set_num_threads(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="ignore"):
            pool.run(np.divide, [(np.ones(10), np.zeros(10)) for _ in range(40)])


def _product_in_child(queue, a, b):
    queue.put((mg.get_num_threads(), kernels.matmul(a, b)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_pool_of_its_own():
    mg.set_num_threads(2)
    a = rng.random((600, 300), np.float32)
    y = kernels.matmul(a, a.T)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_product_in_child, args=(queue, a, a.T))
    child.start()
    n, found = queue.get(timeout=60)
    child.join()
    assert n == 2 and found.tobytes() == y.tobytes()


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", None])
def test_a_number_that_is_none_is_refused(n):
    before = mg.get_num_threads()
    with pytest.raises(ValueError, match="set_num_threads: n must be a whole number"):
        mg.set_num_threads(n)
    assert mg.get_num_threads() == before


def output_of(program, **environment):
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_default_is_the_environments_number_or_that_of_the_cores():
    program = "import minigen as mg; print(mg.get_num_threads())"
    assert output_of(program, OMP_NUM_THREADS="3") == ["3"]
    assert int(output_of(program, OMP_NUM_THREADS="")[0]) >= 1


AFTER_A_PRODUCT = """
{first}
import numpy as np, minigen as mg
from threadpoolctl import threadpool_info
pools = lambda: {{(i["filepath"], i["num_threads"]) for i in threadpool_info()}}
before = {{(path, number) for path, number in pools() if "numpy" not in path}}
x = mg.tensor(np.ones((300, 300)))
print((x @ x).numpy()[0, 0], {then})
found = threadpool_info()
print(*{{i["num_threads"] for i in found if i["user_api"] == "blas" and "numpy" in i["filepath"]}})
print(before <= pools())
"""


@pytest.mark.skipif(
    os.environ.get("MINIGEN_KERNELS") == "reference", reason="the plain kernels leave BLAS alone"
)
def test_numpys_blas_is_held_to_one_thread():
    found = output_of(AFTER_A_PRODUCT.format(first="", then=0))
    assert found[:2] == ["300.0", "0"] and set(found[2:-1]) <= {"1"} and found[-1] == "True"


def test_the_pools_of_pytorch_are_left_alone_when_it_comes_first():
    pytest.importorskip("torch")
    program = AFTER_A_PRODUCT.format(
        first="import torch; torch.set_num_threads(2); torch.ones(300, 300) @ torch.ones(300, 300)",
        then="int((torch.ones(300, 300) @ torch.ones(300, 300))[0, 0]), torch.get_num_threads()",
    )
    found = output_of(program)
    assert found[:3] == ["300.0", "300", "2"] and found[-1] == "True"
