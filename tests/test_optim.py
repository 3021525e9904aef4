"""Optimizers and schedules: PyTorch's numbers, settings, state."""

from pathlib import Path

import numpy as np
import pytest
from optimizer_cases import CASES, SHAPES, STEPS, gradient

import minigen as mg
from minigen import schedule

FIXTURES = Path(__file__).parent / "fixtures"


def run(name, steps, params=None, optimizer=None, start=0, dtype=np.float64):
    kind, settings = CASES[name]
    if optimizer is None:
        params = [mg.tensor(np.full(shape, 0.5, dtype), requires_grad=True) for shape in SHAPES]
        optimizer = getattr(mg.optim, kind)(params, **settings)
    for step in range(start, start + steps):
        for i, p in enumerate(params):
            p.grad = mg.Tensor(gradient(step, i).astype(dtype))
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize("name", CASES)
def test_a_hundred_steps_give_pytorchs_parameters(name):
    expected = mg.load(FIXTURES / "optimizers.safetensors")
    params, _ = run(name, STEPS)
    for i, p in enumerate(params):
        assert np.abs(p.data - expected[f"{name}.{i}"].data).max() < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_close_and_float32(name):
    params, _ = run(name, 20, dtype=np.float32)
    exact, _ = run(name, 20)
    for p, e in zip(params, exact):
        assert p.dtype == np.float32
        assert np.abs(p.data - e.data).max() < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_state_dict_continues_exactly(name):
    straight, _ = run(name, 10)
    params, optimizer = run(name, 6)
    state = optimizer.state_dict()
    fresh = [mg.tensor(p, requires_grad=True) for p in params]
    kind, settings = CASES[name]
    other = getattr(mg.optim, kind)(fresh, **{**settings, "lr": 9.0})
    other.load_state_dict(state)
    run(name, 4, fresh, other, start=6)
    assert all(np.array_equal(a.data, b.data) for a, b in zip(straight, fresh))


def test_state_of_another_model_is_refused_with_nothing_changed():
    _, optimizer = run("adam", 2)
    p = mg.tensor(np.zeros((5, 5)), requires_grad=True)
    other = mg.optim.Adam([p, mg.tensor(np.zeros(4), requires_grad=True)])
    with pytest.raises(mg.errors.CheckpointError, match="expected"):
        other.load_state_dict(optimizer.state_dict())
    assert other.state == [{}, {}]


def test_groups_have_settings_of_their_own():
    a, b = (mg.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = mg.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    a.grad = b.grad = mg.tensor([1.0])
    optimizer.step()
    assert np.allclose([a.item(), b.item()], [0.9, 0.5])


def test_parameters_without_gradient_stay_and_zero_grad_sets_none():
    a, b = (mg.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = mg.optim.Adam([a, b])
    (a * 2).sum().backward()
    optimizer.step()
    assert a.item() != 1
    assert b.item() == 1
    optimizer.zero_grad()
    assert a.grad is None


def test_a_transposed_parameter_is_stepped_like_any_other():
    values = np.arange(6.0).reshape(2, 3)
    plain = mg.tensor(values, requires_grad=True)
    turned = mg.Tensor(np.asfortranarray(values)).requires_grad_()
    for p in (plain, turned):
        optimizer = mg.optim.AdamW([p], 0.1)
        for _ in range(3):
            p.grad = mg.Tensor(np.ones((2, 3)))
            optimizer.step()
    assert np.allclose(plain.data, turned.data, rtol=1e-14)


def test_clip_grad_norm_returns_the_norm_before_and_scales_all():
    a, b = (mg.tensor([0.0, 0.0], requires_grad=True) for _ in range(2))
    a.grad, b.grad = mg.tensor([3.0, 0.0]), mg.tensor([0.0, 4.0])
    assert mg.optim.clip_grad_norm([a, b], 1.0) == pytest.approx(5)
    assert np.allclose(a.grad.data, [0.6, 0]) and np.allclose(b.grad.data, [0, 0.8])
    assert mg.optim.clip_grad_norm([a, b], 10.0) == pytest.approx(1, rel=1e-5)
    assert np.allclose(a.grad.data, [0.6, 0])


def test_clip_grad_norm_takes_one_tensor_and_generators():
    a = mg.tensor([0.0, 0.0], requires_grad=True)
    for params in (lambda: a, lambda: (p for p in [a])):
        a.grad = mg.tensor([120.0, 160.0])
        assert mg.optim.clip_grad_norm(params(), 1.0) == pytest.approx(200)
        assert np.allclose(a.grad.data, [0.6, 0.8])


def test_schedules_have_the_shape_they_promise():
    cosine = schedule.cosine(100, warmup=10, floor=0.1)
    assert [cosine(0), cosine(10), cosine(100), cosine(1000)] == pytest.approx(
        [1 / 11, 1, 0.1, 0.1]
    )
    assert all(cosine(i) >= cosine(i + 1) for i in range(10, 120))
    assert [schedule.step(10, 0.5)(i) for i in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]
    assert schedule.constant()(7) == 1


def test_parameters_that_differ_in_group_dtype_or_steps_are_stepped_as_if_alone():
    dtypes = [np.float32, np.float64, np.float32, np.float64]
    params = [mg.tensor(np.full(3, 0.5, dtype), requires_grad=True) for dtype in dtypes]
    optimizer = mg.optim.AdamW([{"params": params[:2], "lr": 0.1}, {"params": params[2:]}])
    alone = [mg.tensor(p.numpy().copy(), requires_grad=True) for p in params]
    others = [mg.optim.AdamW([p], lr) for p, lr in zip(alone, [0.1, 0.1, 1e-3, 1e-3])]
    for step in range(6):
        for i, (p, q) in enumerate(zip(params, alone)):
            skipped = (step + i) % 3 == 0
            g = np.full(3, 1.0 + i + step, dtypes[i])
            p.grad, q.grad = (None if skipped else mg.Tensor(g) for _ in range(2))
        for o in (optimizer, *others):
            o.step()
    assert all(np.array_equal(p.data, q.data) for p, q in zip(params, alone))
    assert [state["step"] for state in optimizer.state] == [4, 4, 4, 4]


@pytest.mark.parametrize("name", CASES)
def test_advance_alone_makes_settings_and_counts_for_work_that_is_repeated(name):
    whole, straight = run(name, 3)
    params, optimizer = run(name, 1)
    (bucket,), settings = optimizer.buckets, optimizer.buckets[0].settings
    for step in (1, 2):
        optimizer.advance()
        optimizer.update(bucket, [gradient(step, i) for i in bucket.indices])
        assert optimizer.buckets[0].settings is settings
    assert all(np.array_equal(p.data, w.data) for p, w in zip(params, whole))
    assert [s.get("step") for s in optimizer.state] == [s.get("step") for s in straight.state]
    assert all(p.node.version == w.node.version for p, w in zip(params, whole))


def test_hooks_run_before_and_after_each_step_until_they_are_removed():
    w = mg.tensor([1.0], requires_grad=True)
    sgd, seen = mg.optim.SGD([w], lr=1.0), []
    before = sgd.register_step_pre_hook(lambda *call: seen.append((*call, w.item())))
    after = sgd.register_step_post_hook(lambda *call: seen.append((*call, w.item())))
    g = [mg.tensor([0.5])]
    sgd.step(g)
    before.remove()
    sgd.step(g)
    after.remove()
    sgd.step(g)
    assert seen == [(sgd, (g,), {}, 1.0), (sgd, (g,), {}, 0.5), (sgd, (g,), {}, 0.0)]
