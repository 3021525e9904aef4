"""Recordings of whole training steps: all examples' models, memory, errors, GPUs."""

import gc
import threading
import weakref

import numpy as np
import pytest
from study_checks import check, same
from study_models import STEPS

import minigen as mg
from minigen import nn, study
from minigen.backend.devices import to_numpy


@pytest.mark.parametrize("name", STEPS)
def test_two_training_steps_are_the_ones_without_a_recording(name):
    models, losses, gradients = STEPS[name]()
    with study.record() as run:
        recorded_models, *rest = STEPS[name]()
    for want, got in zip((losses, gradients), rest, strict=True):
        assert all(same(a.numpy(), b.numpy()) for a, b in zip(want, got, strict=True))
    for key, model in models.items():
        pairs = zip(model.state_dict().values(), recorded_models[key].state_dict().values())
        assert all(same(a.numpy(), b.numpy()) for a, b in pairs)
    check(run)
    assert all(step.module_class for step in run.steps if step.op in ("linear", "conv2d", "lstm"))
    in_last = {p.number for p in run.passes if not p.create_graph}
    for backward in run.passes:
        for value, gradient in backward.gradients.items():
            assert run.values[gradient].of in (None, value) or backward.number not in in_last
    with study.record(values=False) as light:
        STEPS[name]()
    assert [s.op for s in light.steps] == [s.op for s in run.steps] and light.bytes == 0


@pytest.mark.parametrize("values", [True, False])
def test_memory_is_freed_as_without_a_recording(values):
    class Chain(nn.Module):
        def forward(self, x):
            alive.append(weakref.ref(x.data))
            for _ in range(3):
                x = mg.tanh(x)
                alive.append(weakref.ref(x.data))
                seen.append(sum(reference() is not None for reference in alive))
            return x

    x = mg.tensor(np.ones(5, np.float32))
    found = []
    for recording in (False, True):
        alive, seen = [], []
        if recording:
            with study.record(values=values) as run:
                Chain()(x)
        else:
            Chain()(x)
        found.append(seen)
    assert found[0] == found[1] == [2, 2, 2]
    assert all(block.died is not None for block in run.blocks[1:3])


def test_a_recording_keeps_no_graph_and_no_model_alive():
    net = nn.Linear(3, 3)
    x = mg.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    with study.record() as run:
        y = mg.tanh(net(x))
        y.sum().backward(retain_graph=True)
    references = [weakref.ref(z) for z in (net, net.weight.data, y.node, y.data, x.node, x.data)]
    del net, x, y
    gc.collect()
    assert [reference() for reference in references] == [None] * 6
    assert len(run.steps) == 6
    check(run)


def test_ids_of_freed_arrays_and_nodes_are_not_confused():
    w = mg.tensor(np.arange(3.0), requires_grad=True)
    with study.record() as run:
        for i in range(300):
            x = np.full(3, float(i))
            y = w * x
            if i % 3 == 0:
                y = mg.tanh(mg.softplus(y))
            if i % 5 == 0:
                mg.grad(y.sum(), w)
            del x, y
    check(run)
    data = [v.array[0] for v in run.values if v.role == "data"]
    assert data == [float(i) for i in range(300)]
    assert len(run.passes) == 60 and all(set(p.gradients) == {0} for p in run.passes)
    found = [run.values[p.gradients[0]].array for p in run.passes]
    assert all(same(g, np.full(3, 5.0 * i)) for i, g in enumerate(found) if i % 3)


def test_an_error_leaves_what_was_recorded_until_then():
    @mg.primitive(lambda g, y, x: 1 / 0, saves="x")
    def broken(x):
        return x * 1

    w = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ZeroDivisionError), study.record() as run:
        (broken(w * 2) + 1).sum().backward()
    assert [s.op for s in run.steps][-2:] == ["add", "broken"]
    assert run.passes[0].last == len(run.steps) and not run.passes[0].gradients
    check(run)
    with study.record() as run:
        with pytest.raises(mg.errors.ShapeError):
            w @ mg.tensor([1.0, 2.0, 3.0])
        (w * 3).sum().backward()
    check(run)
    assert run.steps[-1].outputs and w.grad.numpy().tolist() == [3, 3]
    mg.tanh(w).sum().backward()  # nothing observes any longer
    assert len(run.steps) == 4


def test_only_the_innermost_of_two_observers_sees_a_run():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    warned = lambda: pytest.warns(UserWarning, match="only the innermost one")
    with study.record() as outer:
        with warned(), study.record() as inner:
            w * 2
        with warned() as found, mg.detect_anomaly():
            w * 3
        w * 4
    assert len(outer.steps) == len(inner.steps) == 1 and found[0].filename == __file__
    with mg.detect_anomaly(), warned(), study.record() as run:
        w * 5
    assert len(run.steps) == 1


def test_generators_are_recorded_and_other_threads_are_not():
    def products(x):
        for i in range(3):
            x = x * i
            yield x

    w = mg.tensor([1.0], requires_grad=True)
    made = []
    with study.record() as run:
        for y in products(w):
            mg.tanh(y)
        thread = threading.Thread(target=lambda: made.append(w * 7))
        thread.start()
        thread.join()
        made[0] * 2
        made[0].backward()
    assert [s.op for s in run.steps] == [*("multiply", "tanh") * 3, "multiply", "multiply"]
    assert run.values[run.steps[6].inputs[0]].role == "data" and run.steps[7].call is None
    check(run)


@pytest.mark.usefixtures("device")
def test_a_run_on_a_gpu_is_recorded():
    def step(device):
        mg.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()).to(device)
        x = mg.tensor(np.ones((2, 3), np.float32), device=device)
        with study.record() as run:
            (net(x) * x[:, :1]).sum().backward()
        return run

    host, device = step("cpu"), step("cuda")
    assert [s.op for s in device.steps] == [s.op for s in host.steps]
    assert [(v.role, v.name, v.shape) for v in device.values] == [
        (v.role, v.name, v.shape) for v in host.values
    ]
    for a, b in zip(device.values, host.values):
        assert type(a.array) is not np.ndarray
        assert np.allclose(to_numpy(a.array), b.array, 1e-5, 1e-5)
    assert device.passes[0].gradients == host.passes[0].gradients
