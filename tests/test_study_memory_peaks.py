"""The peak of a recorded run against what NumPy allocates in the step without a recording."""

import gc
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen import study
from minigen.autodiff.primitives import raw
from minigen.models import CNN, GPT, VAE
from minigen.study.temporaries import PAGE, blank
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices

N = 10_000
SIZE = 8 * N  # bytes of a vector of N float64


def vector(requires_grad=False):
    return mg.tensor(np.linspace(0.1, 1.0, N), requires_grad=requires_grad)


def array(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def one_thread():
    """Several defer products, and the workers' workspaces come and go with the load."""
    threads = mg.get_num_threads()
    mg.set_num_threads(1)
    yield
    mg.set_num_threads(threads)


def vae():
    model, pixels = VAE(hidden=200, rng=mg.Generator(0)), array(64, 784)
    return model, lambda: model.loss(mg.sigmoid(mg.tensor(pixels)))[0]


def cnn():
    model, images = CNN(widths=(8, 16), hidden=32, rng=mg.Generator(0)), array(16, 1, 28, 28)
    return model, lambda: model.loss(mg.tensor(images), np.arange(16) % 10)


def gpt():
    model = GPT(vocab=64, context=32, layers=2, heads=2, width=64, rng=mg.Generator(0))
    ids = np.random.default_rng(0).integers(0, 64, (8, 33))
    return model, lambda: model.loss(ids[:, :-1], ids[:, 1:])


def measured_peak(step):
    """The bytes that a step takes beyond those before it, at its peak."""
    step()
    gc.collect()
    tracemalloc.start()
    try:
        step()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("make", [vae, cnn, gpt])
def test_the_peak_is_that_of_the_step_without_recording(make, values, one_thread):
    model, loss_of = make()
    optimizer = mg.optim.Adam(model.parameters())

    def step():
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        if os.environ.get("MINIGEN_KERNELS") != "reference":  # whose steps take memory in NumPy
            optimizer.step()

    measured = measured_peak(step)
    with study.record(values=values) as run:
        step()
    memory = run.memory()
    assert abs(memory.peak - memory.before - measured) < 0.05 * measured
    assert not memory.missed


def test_temporaries_of_an_op_are_measured():
    @mg.primitive(lambda g, y, x: g * np.repeat(x, 8)[::8], saves="x")
    def wasteful(x):
        return np.repeat(x, 4)[::4].copy()

    x = vector(requires_grad=True)
    with study.record() as run:
        wasteful(x).sum().backward()
    memory = run.memory()
    forward, backward = run.steps[0].number, run.steps[-1].number
    assert abs(memory.bytes["temporaries"][forward] - 4 * SIZE) < PAGE
    assert abs(memory.bytes["temporaries"][backward] - 8 * SIZE) < PAGE
    assert memory.bytes["temporaries"][1] == 0  # sum has none
    assert any(x.why == "temporaries" and "wasteful" in x.what for x in memory.alive(backward))


def test_a_call_that_cannot_be_repeated_is_named():
    @mg.primitive(None)
    def picky(x):
        if (x == 1).all():
            raise ValueError("no ones")
        return x + 1

    with study.record(values=False) as run:
        picky(vector())
    memory = run.memory()
    assert [step.op for step in memory.missed] == ["picky"]
    assert "not measured in 1 steps: picky" in str(memory)
    with study.record() as run:
        picky(vector())
    assert not run.memory().missed


@given(
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    axes=st.randoms(use_true_random=False),
    step=st.sampled_from([1, 2, -1]),
)
def test_blank_arrays_have_the_strides_that_are_asked_for(shape, axes, step):
    order = list(range(len(shape)))
    axes.shuffle(order)
    like = np.zeros(tuple(2 * n for n in shape), np.float32).transpose(order)
    like = like[tuple(slice(None, None, step) for _ in order)]
    made = blank(like.shape, like.dtype, like.strides)
    made[...] = 3.0
    assert made.shape == like.shape and made.dtype == like.dtype and (made == 3.0).all()
    assert made.size == 0 or made.strides == like.strides
    wide = np.broadcast_to(np.float32(1), (3, *like.shape))
    assert blank(wide.shape, wide.dtype, wide.strides).shape == wide.shape


@pytest.mark.parametrize("create_graph", [False, True])
def test_every_op_can_be_repeated(create_graph):
    for name, case in CASES.items():
        call = draw_call(name, Choices(np.random.default_rng(0)))
        arrays = [mg.tensor(x, requires_grad=not case.raw) for x in call.arrays]
        args, named = call.with_arrays(arrays)
        with study.record() as run:
            y = call.op.function(*args, **named)
            ys = [t for t in (y if isinstance(y, tuple | list) else [y]) if raw(t) is not t]
            ys = [t for t in ys if t.requires_grad]
            if ys:
                mg.grad(ys, arrays, ys, create_graph=create_graph, allow_unused=True)
        memory = run.memory()
        assert not memory.missed, name
        for step in range(len(run.steps) + 1):
            assert sum(held.bytes for held in memory.alive(step)) == memory.total[step], name
