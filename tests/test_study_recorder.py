"""A recording has the right numbers, and a run goes on as if nobody watched."""

import numpy as np
import pytest
from hypothesis import given, settings
from study_checks import check, same

import minigen as mg
from minigen import nn, study
from minigen.testing.case import cotangents
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices
from minigen.testing.strategies import programs


def first_and_second(call, us, create_graph):
    """Outputs of a call, the gradients, and with create_graph gradients of those."""
    xs = [mg.tensor(x, requires_grad=True) for x in call.arrays]
    ys = [y if isinstance(y, mg.Tensor) else mg.Tensor(y) for y in call(*xs)]
    found = list(ys)
    pairs = [(y, u) for y, u in zip(ys, us) if y.requires_grad]
    while pairs:
        options = {"create_graph": create_graph, "allow_unused": True}
        gs = mg.grad([y for y, _ in pairs], xs, [u for _, u in pairs], **options)
        gs = [g for g in gs if g is not None]
        found += gs
        pairs = [(g, np.ones(g.shape, g.dtype)) for g in gs if g.requires_grad]
        create_graph = False
    return [y.numpy() for y in found]


@pytest.mark.parametrize("name", CASES)
def test_recording_an_op_and_its_derivatives_changes_no_bit(name):
    call = draw_call(name, Choices(3))
    us = cotangents(call, np.random.default_rng(0))
    for create_graph in (False, True):
        want = first_and_second(call, us, create_graph)
        with study.record() as run:
            got = first_and_second(call, us, create_graph)
        assert all(map(same, got, want)) and len(got) == len(want)
        check(run)
        for backward in run.passes:
            inside = [step.backward_pass for step in run.steps[backward.first : backward.last]]
            assert set(inside) <= {backward.number}


def trained(program, dtype=np.float64):
    """The loss of a program and the `.grad` of its inputs after two backward passes."""
    xs = [mg.tensor(x.astype(dtype), requires_grad=True) for x in program.inputs]
    losses = [program.loss(*xs) for _ in range(2)]
    for loss in losses:
        if loss.requires_grad:
            loss.backward()
    return [*losses, *(x.grad for x in xs)], xs


@given(programs())
def test_gradients_of_random_programs_are_those_in_grad(program):
    want, _ = trained(program)
    with study.record() as run:
        got, xs = trained(program)
    assert all(a is b is None or same(a.numpy(), b.numpy()) for a, b in zip(got, want))
    check(run)
    for i, x in enumerate(xs):
        number = number_of(run, program.inputs[i])
        parts = [run.values[p.gradients[number]] for p in run.passes if number in p.gradients]
        assert len(parts) == (0 if x.grad is None else 2)
        if parts:
            assert same(parts[0].array + parts[1].array, x.grad.numpy())
            assert number in run.passes[1].added and number not in run.passes[0].added


def number_of(run, array):
    """The number of the parameter with the contents of array."""
    found = [v.number for v in run.values if v.role == "parameter" and same(v.array, array)]
    return found[0] if found else None


def linear_net():
    return nn.Sequential(nn.Linear(3, 4, rng=mg.Generator(0)), nn.Tanh())


def test_the_random_stream_is_the_one_without_a_recording():
    def draws():
        mg.manual_seed(5)
        x = mg.tensor(np.ones((2, 3), np.float32), requires_grad=True)
        return [nn.functional.dropout(x, 0.5).numpy(), mg.randn(3).numpy()]

    want = draws()
    with study.record():
        got = draws()
    assert all(map(same, got, want))


def test_a_parameter_before_and_after_a_step_is_two_values():
    net = linear_net()
    optimizer = mg.optim.SGD(net.parameters(), lr=0.5)
    x = mg.tensor(np.ones((2, 3), np.float32))
    weights = []
    with study.record() as run:
        for _ in range(3):
            optimizer.zero_grad()
            weights.append(net[0].weight.numpy().copy())
            net(x).sum().backward()
            optimizer.step()
    values = [v for v in run.values if v.path == "0.weight"]
    assert len(values) == 3 and all(same(v.array, w) for v, w in zip(values, weights))
    assert [v.name for v in values] == ["_0_weight", "_0_weight_2", "_0_weight_3"]
    for value, backward in zip(values, run.passes):
        gradient = run.values[backward.gradients[value.number]]
        assert gradient.of == value.number and not backward.added
    assert same(gradient.array, net[0].weight.grad.numpy())
    check(run)


def test_buffers_are_recorded_before_batch_norm_writes_to_them():
    layer = nn.BatchNorm1d(3)
    x = mg.tensor(np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32))
    with study.record() as run:
        layer(x)
        layer(x)
    means = [v for v in run.values if v.path == "running_mean"]
    assert [v.role for v in means] == ["buffer", "buffer"] and not means[0].array.any()
    after = 0.1 * x.numpy().mean(0)
    assert np.allclose(means[1].array, after) and means[1].name == "running_mean_2"


def test_writes_into_data_between_ops_make_new_values():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    data = np.array([3.0, 4.0], np.float32)
    with study.record() as run:
        h = w * data
        w.data[0], data[1] = 5.0, 6.0
        k = w * data
        h.data[...] = 7.0
        h + k
    first, second, third = run.steps
    assert not set(first.inputs) & set(second.inputs) and first.outputs[0] not in third.inputs
    numbers = [n for step in run.steps for n in (*step.inputs, *step.outputs)]
    contents = [run.values[n].array.tolist() for n in numbers]
    assert contents[:3] == [[1, 2], [3, 4], [3, 8]] and contents[3:6] == [[5, 2], [3, 6], [15, 12]]
    assert contents[6:] == [[7, 7], [15, 12], [22, 19]]
    check(run)


def test_arrays_of_every_dtype_and_size_are_recorded():
    x = mg.tensor(np.float64(3), requires_grad=True)
    with study.record() as run:
        mg.where(np.array([True, False]), np.int64([2, 3]), 1)
        y = mg.where(mg.tensor([True, False]), x, mg.tensor(np.uint8([1, 2])))
        mg.concatenate([y, mg.zeros(0, dtype=np.float64)]).sum().backward()
        x * np.float32(2)
        mg.zeros((0, 3)) @ mg.zeros((3, 2))
        x * x
    check(run)
    assert {str(v.dtype) for v in run.values} >= {"bool", "uint8", "float64", "float32"}
    assert run.values[run.passes[0].gradients[number_of(run, np.float64(3))]].array == 1.0
    assert run.steps[-1].inputs[0] == run.steps[-1].inputs[1]  # one array as two arguments


def test_a_converted_argument_is_the_value_that_was_passed():
    x = mg.tensor([1.5, 2.5], requires_grad=True)
    ids = mg.tensor(np.array([1, 2]))
    with study.record() as run:
        (x * ids).sum().backward()
    multiply = run.steps[0]
    assert [run.values[n].dtype.kind for n in multiply.inputs] == ["f", "i"]
    assert multiply.saved == (multiply.inputs[1],)
    check(run)


def test_an_op_that_returns_its_argument_makes_a_value_of_its_own():
    @mg.primitive(lambda g, y, x: g, views=True)
    def same_array(x):
        return x

    w = mg.tensor([1.0, 2.0], requires_grad=True)
    with study.record() as run:
        (same_array(w) * w).sum().backward()
    assert [step.inputs for step in run.steps[:2]] == [(0,), (1, 0)]
    assert run.values[run.passes[0].gradients[0]].array.tolist() == [2, 4]
    check(run)


def test_several_outputs_and_residuals():
    x = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    with study.record() as run:
        a, b, _ = mg.split(x, 3, axis=1)
        values, _ = mg.topk(x, 2)
        (a * b).sum().backward()
        (values.sum() + mg.sort(x, axis=0)[0]).sum().backward()
    check(run)
    assert len(run.steps[0].outputs) == 3
    split = next(s for s in run.steps if s.kind == "backward" and s.op == run.steps[0].op)
    assert len(split.inputs) == 2  # the third output got no cotangent
    assert [run.values[n].of for n in split.inputs] == list(run.steps[0].outputs[:2])
    with study.record() as run:
        nn.LSTM(3, 2)(mg.tensor(np.ones((4, 1, 3), np.float32)))[0].sum().backward()
    check(run)
    lstm = next(step for step in run.steps if step.op == "lstm")
    residuals = [run.values[n] for n in lstm.saved if run.values[n].role == "residual"]
    assert residuals and all(v.step == lstm.number for v in residuals)


def test_a_recording_keeps_values_up_to_its_limit_and_says_so_once():
    x = mg.tensor(np.ones((10, 10), np.float32), requires_grad=True)
    message = r"the first 0\.0 MB of values were kept.*limit="
    with pytest.warns(UserWarning, match=message) as found, study.record(limit=1_000) as run:
        (x * 2 + x).sum().backward()
    assert len(found) == 1 and found[0].filename == __file__
    assert run.bytes == sum(v.nbytes for v in run.values if v.array is not None) <= 1_000
    assert len(run.steps) == 6 and x.grad.numpy()[0, 0] == 3
    with study.record(values=False) as run:
        mg.grad((x * 2).sum(), x)
    assert run.bytes == 0 and all(v.array is None for v in run.values) and len(run.steps) == 4
    assert run.values[0].shape == (10, 10)


@settings(max_examples=5)
@given(programs())
def test_without_values_a_recording_has_the_same_steps(program):
    with study.record() as full:
        trained(program)
    with study.record(values=False) as run:
        trained(program)
    facts = [[(s.kind, s.op, s.site, s.bytes) for s in r.steps] for r in (full, run)]
    assert facts[0] == facts[1]
