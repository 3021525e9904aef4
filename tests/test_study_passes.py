"""Backward passes in a recording: their gradients, sums of cotangents, and second derivatives."""

import numpy as np
from hypothesis import given, settings
from study_checks import check, same

import minigen as mg
from minigen import nn, study
from minigen.testing.strategies import programs


def leaf(*numbers):
    return mg.tensor(np.array(numbers), requires_grad=True)


def gradient(run, number, of):
    """The array of the gradient that a pass found for the value `of`."""
    return run.values[run.passes[number].gradients[of]].array


def test_gradients_accumulate_over_passes():
    x = leaf(1.0, 2.0)
    with study.record() as run:
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        (x * 3).sum().backward()
    assert [gradient(run, i, 0).tolist() for i in range(3)] == [[2, 4], [2, 4], [3, 3]]
    assert [p.added for p in run.passes] == [(), (0,), (0,)]
    assert sum(gradient(run, i, 0) for i in range(3)).tolist() == x.grad.numpy().tolist()
    adds = [s for s in run.steps if s.op == "add"]
    assert [run.values[s.outputs[0]].array.tolist() for s in adds] == [[4, 8], [7, 11]]
    assert [s.backward_pass for s in adds] == [None, None]  # to .grad, after the passes
    check(run)


def test_grad_takes_several_outputs_inputs_and_cotangents():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    u = np.array([5.0, 6.0])
    with study.record() as run:
        h = x * w
        y, z = mg.exp(h * 0.1), h.sum()
        gx, gh, gw = mg.grad([y, z], [x, h, w], [u, None], retain_graph=True)
        again = mg.grad([y], [x, x], [mg.tensor(u)], retain_graph=True)
        (unused,) = mg.grad([z], [leaf(1.0)], allow_unused=True)
    first, second, third = run.passes
    number = run.steps[0].outputs[0]
    assert first.inputs == (0, number, 1) or set(first.inputs) == {0, 1, number}
    for of, g in ((0, gx), (1, gw), (number, gh)):
        assert same(gradient(run, 0, of), g.numpy())
    assert same(gradient(run, 1, 0), again[0].numpy()) and same(again[0].numpy(), again[1].numpy())
    assert unused is None and not third.gradients and third.inputs == ()
    assert [run.values[n].array.tolist() for n in first.roots[0]][1] == [5, 6]
    assert first.roots[1][1] is None  # it started with a 1
    assert run.values[second.roots[0][1]].array.tolist() == [5, 6]
    assert x.grad is None
    check(run)


def test_cotangents_that_meet_are_terms_of_a_sum():
    x = leaf(0.5, 1.5)
    with study.record() as run:
        h = mg.tanh(x)
        (h * h + mg.exp(h) * h).sum().backward()
    value = run.steps[0].outputs[0]
    sums = [v for v in run.values if v.of == value and v.terms]
    assert len(sums) == 1 and len(sums[0].terms) == 4
    assert all(run.values[n].of == value for n in sums[0].terms)
    tanh = run.steps[-1]
    assert (tanh.op, tanh.inputs) == ("tanh", (sums[0].number,))
    check(run)


def test_second_derivatives_are_steps_inside_of_rules():
    x = leaf(0.5, 1.5)
    with study.record() as run:
        y = mg.tanh(x * x).sum()
        g = mg.grad(y, x, create_graph=True)
        (g * g).sum().backward()
    first, second = run.passes
    assert (first.create_graph, second.create_graph) == (True, False)
    assert same(gradient(run, 0, 0), g.numpy()) and same(gradient(run, 1, 0), x.grad.numpy())
    inside = [s for s in run.steps if s.inside is not None]
    assert inside and all(s.kind == "forward" and s.backward_pass == 0 for s in inside)
    for step in inside:
        outer = run.steps[step.inside]
        assert outer.kind == "backward" and (step.site, step.code) == (outer.site, outer.code)
    tanh = next(s for s in run.steps if s.op == "tanh" and s.kind == "backward")
    (cotangent,) = tanh.outputs
    maker = run.steps[run.values[cotangent].step]
    assert maker.inside == tanh.number and run.values[cotangent].role == "result"
    assert run.values[cotangent].of == run.steps[0].outputs[0]
    # the gradient of the first pass is what the square of it takes
    square = next(s for s in run.steps if s.number == first.last)
    assert square.inputs == (first.gradients[0],) * 2
    check(run)


def test_definitions_of_fused_ops_are_followed_from_end_to_end():
    layer = nn.LayerNorm(3, dtype=np.float64)
    x = mg.tensor(np.random.default_rng(0).standard_normal((2, 3)), requires_grad=True)
    with study.record() as run:
        y = mg.square(layer(x)).sum()
        g = mg.grad(y, [x, layer.weight], create_graph=True)
        mg.square(g[0]).sum().backward()
    check(run)
    norm = next(s for s in run.steps if s.op == "layer_norm" and s.kind == "backward")
    inside = [s for s in run.steps if s.inside == norm.number]
    assert {s.kind for s in inside} == {"forward", "backward"}
    for number in norm.outputs:  # made by steps inside
        assert run.steps[run.values[number].step].inside is not None
    data = [v.role for v in run.values if v.name]
    assert data.count("data") == 0  # nothing came from nowhere
    assert same(gradient(run, 1, 0), x.grad.numpy())


def test_a_graph_from_before_the_recording_has_steps_without_a_call():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    z = mg.exp(x)
    with study.record() as run:
        (z * x).sum().backward()
        y.backward()
    assert [s.call is None for s in run.steps if s.kind == "backward"] == [0, 0, 1, 1, 1]
    assert run.values[run.steps[0].inputs[0]].role == "data"
    number = run.steps[0].inputs[1]
    assert same(gradient(run, 0, number) + gradient(run, 1, number), x.grad.numpy())
    check(run)


def test_what_has_no_graph_is_recorded_without_one():
    x, frozen = leaf(1.0, 2.0), leaf(3.0, 4.0)
    frozen.requires_grad = False
    with study.record() as run:
        with mg.no_grad():
            x * 2
        with mg.inference_mode():
            x * 3
        (x.detach() * 4 + x * frozen).sum().backward()
    assert [s.recorded for s in run.steps if s.kind == "forward"] == [0, 0, 0, 1, 1, 1]
    assert run.values[0].role == "parameter" and run.steps[2].inputs == (0,)
    assert list(run.passes[0].gradients) == [0] and gradient(run, 0, 0).tolist() == [3, 4]
    check(run)


def test_a_tensor_that_requires_grad_later_has_a_gradient():
    x = mg.tensor(np.array([1.0, 2.0]))
    with study.record() as run:
        x * 2
        x.requires_grad = True
        (x * x).sum().backward()
    (number,) = run.passes[0].gradients
    assert run.values[number].role == "parameter" and gradient(run, 0, number).tolist() == [2, 4]
    check(run)


def test_gradients_that_are_clipped_in_place_are_new_values():
    net = nn.Linear(2, 2, rng=mg.Generator(0))
    with study.record() as run:
        (net(leaf(1.0, 2.0).astype(np.float32)) * 100).sum().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        mg.sum(net.weight.grad * net.weight.grad)
    clipped = run.steps[-1 if run.steps[-1].op == "multiply" else -2]
    assert same(run.values[clipped.inputs[0]].array, net.weight.grad.numpy())
    assert clipped.inputs[0] not in run.passes[0].gradients.values()
    check(run)


def test_a_leaf_as_a_loss_and_an_input_as_an_output():
    x = leaf(2.0)
    with study.record() as run:
        y = x * 3
        y.backward(np.array([5.0]))
        z = y.detach().requires_grad_()
        z.backward()
    assert gradient(run, 0, 0).tolist() == [15] and z.grad.numpy().tolist() == [1]
    check(run)


@settings(max_examples=15)
@given(programs())
def test_second_derivatives_of_random_programs_change_no_bit(program):
    def derivatives():
        xs = [mg.tensor(x, requires_grad=True) for x in program.inputs]
        loss = program.loss(*xs)
        if not loss.requires_grad:
            return [loss]
        options = {"create_graph": True, "allow_unused": True}
        gs = [g for g in mg.grad(loss, xs, **options) if g is not None and g.requires_grad]
        if gs:
            sum((g * g).sum() for g in gs).backward()
        return [loss, *gs, *(x.grad for x in xs if x.grad is not None)]

    want = derivatives()
    with study.record() as run:
        got = derivatives()
    assert all(same(a.numpy(), b.numpy()) for a, b in zip(got, want, strict=True))
    check(run)
