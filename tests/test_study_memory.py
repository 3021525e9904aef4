"""The memory of a recorded run: what is alive when and why, against what NumPy allocates."""

import numpy as np
import pytest
import stand_in
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen import nn, study
from minigen.models import VAE
from minigen.study.lifetimes import CATEGORIES
from minigen.study.temporaries import PAGE

N = 10_000
SIZE = 8 * N  # bytes of a vector of N float64


def vector(requires_grad=False):
    return mg.tensor(np.linspace(0.1, 1.0, N), requires_grad=requires_grad)


def array(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# ------------------------------------------------------------------ cases made by hand


def test_a_chain_of_tanh():
    x = vector(requires_grad=True)
    with study.record() as run:
        mg.tanh(mg.tanh(mg.tanh(x))).sum().backward()
    memory = run.memory()
    # Forward tanh, tanh, tanh, sum, then backward; tanh saves its result.
    assert memory.bytes["parameters"] == [SIZE] * 9
    assert memory.bytes["saved"] == [SIZE, 2 * SIZE, *[3 * SIZE] * 4, 2 * SIZE, SIZE, 0]
    # That of a tanh and that of its argument; the last one is the gradient. Sum passes on a view of
    # the 1 that the walk starts with.
    assert [size // SIZE for size in memory.bytes["cotangents"]] == [0, 0, 0, 0, 0, 1, 2, 1, 0]
    assert memory.bytes["gradients"] == [*[0] * 7, SIZE, SIZE]
    assert memory.before == SIZE
    # Of g * (1 - y * y) a product is a temporary.
    assert memory.peak_step == 5 and 6 * SIZE <= memory.peak < 6 * SIZE + PAGE
    saved = [x for x in memory.alive(5) if x.category == "saved"]
    assert {(x.what, x.why, x.bytes) for x in saved} == {("tanh", "saved by tanh", SIZE)}


def test_no_grad_saves_nothing():
    x = vector(requires_grad=True)
    with study.record() as run, mg.no_grad():
        y = x
        for _ in range(4):
            y = mg.tanh(y)
    memory = run.memory()
    assert memory.bytes["saved"] == [0] * 5
    assert memory.bytes["results"] == [SIZE, *[2 * SIZE] * 3, SIZE]


def test_views_share_the_memory_of_their_array():
    with study.record() as run:
        y = mg.tanh(vector())
        z = y.reshape(100, 100).T[:50]
        del y
    memory = run.memory()
    assert memory.total[-1] == SIZE == memory.bytes["results"][-1]
    del z


def test_retain_graph_keeps_saved_values():
    x = vector(requires_grad=True)
    with study.record() as run:
        loss = mg.tanh(x).sum()
        loss.backward(retain_graph=True)
    assert run.memory().bytes["saved"][-1] == SIZE
    with study.record() as run:
        loss = mg.tanh(x).sum()
        loss.backward()
    assert run.memory().bytes["saved"][-1] == 0


def test_gradients_live_on_and_those_from_before_count():
    x = vector(requires_grad=True)
    for gradients_before in (0, SIZE):
        with study.record() as run:
            mg.tanh(x).sum().backward()
        memory = run.memory()
        assert memory.before == SIZE + gradients_before
        assert memory.bytes["gradients"][0] == gradients_before
        assert memory.bytes["gradients"][-1] == SIZE
    with study.record() as run:
        loss = mg.tanh(x).sum()
        x.grad = None
        loss.backward()
    memory = run.memory()
    assert memory.bytes["gradients"] == [SIZE, SIZE, 0, SIZE, SIZE]
    assert [x.what for x in memory.alive(4) if x.category == "gradients"] == ["gradient of x0"]


def test_a_sum_of_cotangents_is_made_when_the_second_arrives():
    x = vector(requires_grad=True)
    with study.record() as run:
        y = mg.tanh(x)
        (y * 2.0 + y * 3.0).sum().backward()
    memory = run.memory()
    second = max(s.number for s in run.steps if s.kind == "backward" and s.op == "multiply")
    assert memory.bytes["cotangents"][second] // SIZE == 3  # two terms and their sum


def test_recomputing_a_module_saves_what_only_its_own_ops_have_saved():
    class Inner(nn.Module):
        def forward(self, x):
            return mg.tanh(mg.tanh(mg.tanh(x))) * 2.0  # whose rule reads no result

    class Outer(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones(N))
            self.parts = nn.ModuleList([Inner(), Inner()])

        def forward(self, x):
            x = x * self.weight
            for part in self.parts:
                x = part(x)
            return mg.sin(mg.cos(x)).sum()  # the peak is in the rule of sin

    model = Outer()
    with study.record() as run:
        model(vector()).backward()
    memory = run.memory()
    rows = {x.module: x for x in memory.recomputed}
    assert set(rows) == {"parts.*", "parts.0", "parts.1", "parts"}
    assert rows["parts.*"].bytes == 6 * SIZE and rows["parts.*"].calls == 2
    assert rows["parts.0"].bytes == rows["parts.1"].bytes == 3 * SIZE
    assert rows["parts.0"].peak == memory.peak - 3 * SIZE
    # While one of them runs backward, its own values are there again.
    assert memory.peak - 6 * SIZE <= rows["parts.*"].peak <= memory.peak - 3 * SIZE
    forward = [s for s in run.steps if s.module == "parts.0" and s.kind == "forward"]
    assert rows["parts.0"].seconds == sum(s.seconds for s in forward)
    assert "2 calls of Inner" in str(memory)


# ------------------------------------------------------------------------- properties


@given(
    calls=st.lists(
        st.tuples(st.sampled_from(["tanh", "add", "reshape", "sum"]), st.integers(0, 9)),
        min_size=1,
        max_size=12,
    ),
    kept=st.sets(st.integers(0, 11)),
    tracked=st.booleans(),
    backward=st.booleans(),
    values=st.booleans(),
)
def test_categories_add_up_and_end_with_what_is_still_held(calls, kept, tracked, backward, values):
    x = mg.tensor(array(6, 4), requires_grad=tracked)
    with study.record(values=values) as run:
        ys = [x]
        for op, i in calls:
            a = ys[i % len(ys)]
            if op == "add":
                ys.append(a + ys[-1])
            elif op == "reshape":
                ys.append(a.reshape(-1))
            elif op == "sum":
                ys.append(a.sum() * mg.tanh(x))
            else:
                ys.append(mg.tanh(a))
            if ys[-1].ndim == 1:
                ys[-1] = ys[-1].reshape(6, 4)
        held = [x, *(y for i, y in enumerate(ys[1:]) if i in kept)]
        loss = sum(y.sum() for y in ys) if backward and tracked else None
        del a
        ys.clear()
        if loss is not None:
            loss.backward()
    memory = run.memory()
    n = len(run.steps)
    assert memory.bytes.keys() == CATEGORIES.keys()
    assert all(len(row) == n + 1 and min(row) >= 0 for row in memory.bytes.values())
    assert memory.total == [sum(sizes) for sizes in zip(*memory.bytes.values())]
    for step in range(n + 1):
        alive = memory.alive(step)
        assert sum(x.bytes for x in alive) == memory.total[step]
        for name in CATEGORIES:
            assert sum(x.bytes for x in alive if x.category == name) == memory.bytes[name][step]
    if not tracked or backward:  # else nodes hold what they have saved
        held += [x.grad] if x.grad is not None else []
        held += [loss] if loss is not None else []
        owners = {id(owner): owner.nbytes for owner in map(owner_of, held)}
        assert memory.total[-1] == sum(owners.values())


def owner_of(tensor):
    return tensor.data if tensor.data.base is None else tensor.data.base


# ------------------------------------------------------------------- text, figure, corners


def recorded_step():
    model, pixels = VAE(hidden=200, rng=mg.Generator(0)), array(64, 784)
    with study.record() as run:
        model.loss(mg.sigmoid(mg.tensor(pixels)))[0].backward()
    return run


def test_text_and_html_name_the_peak_and_the_largest_blocks():
    memory = recorded_step().memory()
    text, html = str(memory), memory._repr_html_()
    assert text.startswith("peak ") and repr(memory) == text
    for word in ("alive at the peak", "decoder.2.weight", "(200, 784)", "vae.py:"):
        assert word in text and word in html
    assert html.count("<table>") == html.count("</table>") >= 1


def test_the_figure_is_drawn(tmp_path):
    picture = recorded_step().memory().figure(tmp_path / "memory.png")
    assert picture.path.read_bytes().startswith(b"\x89PNG")
    assert picture._repr_png_()


def test_a_run_without_steps(tmp_path):
    with study.record() as run:
        pass
    memory = run.memory()
    assert memory.peak == 0 and memory.total == [0] and memory.alive(0) == []
    assert "at the end of the run" in str(memory)
    memory.figure(tmp_path / "none.png")


def test_second_order_and_runs_that_failed():
    x = vector(requires_grad=True)
    with study.record() as run:
        y = mg.tanh(mg.linear(mg.reshape(x, (100, 100)), mg.reshape(x, (100, 100)))).sum()
        g = mg.grad(y, x, create_graph=True)
        mg.grad((g * g).sum(), x)
    memory = run.memory()
    assert not memory.missed and min(map(min, memory.bytes.values())) >= 0

    @mg.primitive(lambda g, y, x: g / [], saves="")
    def broken(x):
        return x + 1

    with study.record() as run, pytest.raises(Exception, match="broken"):
        broken(x).sum().backward()
    assert len(run.memory().total) == len(run.steps) + 1
    with study.record() as run:
        z = mg.tanh(x)
        assert run.memory().bytes["saved"] == [SIZE, SIZE]  # also while it is recorded
    del z


def test_on_a_gpu_blocks_are_followed_and_temporaries_are_not_known():
    with stand_in.installed():
        x = mg.tensor(np.ones(N, np.float32), device="cuda", requires_grad=True)
        with study.record() as run:
            mg.tanh(mg.tanh(x)).sum().backward()
        memory = run.memory()
    assert memory.bytes["saved"][2] == 8 * N and memory.before == 4 * N
    assert len(memory.missed) == len(run.steps)


def test_an_argument_in_another_dtype_is_a_copy_that_a_node_may_have_saved():
    x, weight = mg.tensor(np.arange(N, dtype=np.uint8)), vector(requires_grad=True)
    with study.record() as run:
        y = x / 255  # which copies x, and keeps nothing
        z = x * weight
    memory = run.memory()
    copies = [[h for h in memory.alive(k) if "another dtype" in h.what] for k in range(3)]
    assert [sum(h.bytes for h in some) for some in copies] == [4 * N, SIZE, SIZE]
    assert [h.category for some in copies for h in some] == ["results", "saved", "saved"]
    assert memory.bytes["temporaries"] == [0, 0, 0]
    del y, z


def test_leaves_that_the_run_makes_count_from_their_first_use():
    weight = vector(requires_grad=True)
    with study.record() as run:
        y = mg.tanh(weight)
        x = vector(requires_grad=True)
        y = mg.tanh(x).sum() + y.sum()
        del x, y
    memory = run.memory()
    assert memory.before == SIZE
    assert memory.bytes["parameters"] == [SIZE, *[2 * SIZE] * 4, SIZE]


def test_gradients_that_clipping_has_replaced_are_there_at_the_end():
    x = vector(requires_grad=True)
    with study.record() as run:
        for _ in range(2):
            mg.tanh(x).sum().backward()
            mg.optim.clip_grad_norm([x], 1e-3)
    memory = run.memory()
    assert memory.before == SIZE
    assert memory.bytes["gradients"][0] == 0
    assert memory.bytes["gradients"][-1] == SIZE
    assert memory.total[-1] == 2 * SIZE
