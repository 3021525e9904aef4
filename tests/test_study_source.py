"""`run.source()`: a recorded run as a NumPy program that computes what the engine computes."""

import numpy as np
import pytest
from test_models_slope import MAKERS

import minigen as mg
from minigen import nn, ops, study
from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices
from minigen.testing.source_programs import (
    arguments_of,
    error,
    error_of_case,
    error_of_drawn,
    largest_error,
    leaves_of,
    run_program,
)


def two_layers(dtype=np.float64):
    rng = mg.Generator(0)
    net = nn.Sequential(
        nn.Linear(5, 4, rng=rng, dtype=dtype), nn.Tanh(), nn.Linear(4, 2, rng=rng, dtype=dtype)
    )
    x, target = (mg.Tensor(rng.normal((3, n), dtype=dtype)) for n in (5, 2))
    with study.record() as run:
        loss = ops.mse_loss(net(x), target)
        loss.backward()
    leaves = {f"_{name.replace('.', '_')}": p for name, p in net.named_parameters()}
    return run, loss, leaves


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_program_of_two_layers_fits_thirty_lines(dtype):
    run, loss, leaves = two_layers(dtype)
    text = run.source()
    assert len(text.splitlines()) <= 30
    assert largest_error(run, [loss], leaves) < (1e-15 if dtype == np.float64 else 1e-6)
    assert "import numpy as np" in text and "import" not in text.replace("import numpy as np", "")


def test_a_program_reads_as_written_by_hand():
    text = two_layers()[0].source()
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    for line in (
        "z = x0 @ _0_weight.T + _0_bias",
        "h = np.tanh(z)",
        "loss = ((z_2 - x1) ** 2).mean()",
        "dh = dz_2 @ _2_weight",
        "dz = dh * (1 - h * h)",
        "d_0_bias = dz.sum(axis=0)",
    ):
        assert line in lines
    assert "# loss = ops.mse_loss(net(x), target)" in text
    assert "# backward of: loss = ops.mse_loss(net(x), target)" in text


def test_a_program_is_the_same_text_each_time():
    run = two_layers()[0]
    assert run.source() == run.source() == two_layers()[0].source()


@pytest.mark.parametrize("name", CASES)
def test_the_program_of_every_op_equals_the_engine(name):
    call = draw_call(name, Choices(np.random.default_rng(1)))
    assert error_of_case(call, 1) < 1e-12


@pytest.mark.parametrize("name", [name for name in CASES if isinstance(REGISTRY[name], Fused)])
def test_fused_ops_are_functions_of_the_program(name):
    call = draw_call(name, Choices(np.random.default_rng(2)))
    assert error_of_case(call, 2, fused=True) < 1e-12


@pytest.mark.parametrize("name", [name for name in CASES if not CASES[name].sets_dtype])
def test_programs_of_float32_stay_in_float32(name):
    call = draw_call(name, Choices(np.random.default_rng(3)))
    assert error_of_case(call, 3, np.float32) < 1e-4


@pytest.mark.parametrize("seed", range(25))
def test_random_programs_equal_the_engine_on_any_arguments(seed):
    assert error_of_drawn(seed) < 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_gradients_of_gradients_equal_the_engine(seed):
    assert error_of_drawn(seed, order=2) < 1e-12


@pytest.mark.parametrize("name", MAKERS)
def test_the_program_of_every_model_equals_the_engine(name):
    model, loss_of = MAKERS[name]()
    with study.record() as run:
        loss = loss_of()
        loss.backward()
    text = run.source()
    outputs, gradients = run_program(text, arguments_of(run))
    assert error(outputs[0], loss.data) < 1e-12
    for path, p in model.named_parameters():
        names = [n for n in gradients if n.endswith(path.replace(".", "_"))]
        assert min(error(gradients[n], p.grad.data) for n in names) < 1e-12, path
    assert "np.array(" not in text  # no recorded numbers
    assert "minigen" not in text


def test_what_was_detached_or_made_without_a_graph_gets_no_gradient():
    leaves = leaves_of([np.array([1.0, 2.0])])
    (a,) = leaves.values()
    with study.record(names=leaves) as run:
        with mg.no_grad():
            scale = a * 3
        y = a * a
        loss = (y.detach() * a + y * scale).sum()
        loss.backward()
    assert largest_error(run, [loss], leaves) < 1e-15
    assert np.array_equal(a.grad.data, [7.0, 28.0])


def test_gradients_are_added_up_over_passes_as_in_grad():
    leaves = leaves_of([np.array([1.0, 2.0]), np.array([3.0, 4.0])])
    a, b = leaves.values()
    with study.record(names=leaves) as run:
        first = (a * b).sum()
        first.backward()
        b.grad = None
        second = (a * a * b).sum()
        second.backward()
    assert largest_error(run, [first, second], leaves) < 1e-15


def test_without_backward_the_outputs_are_the_last_values():
    a = mg.tensor(np.arange(6.0).reshape(2, 3))
    with study.record(names={"a": a}) as run:
        parts = ops.split(a * 2, 3, axis=1)
    outputs, gradients = run_program(run.source(), {"a": a.data})
    assert gradients == {} and len(outputs) == 3
    assert all(np.array_equal(y, part.data) for y, part in zip(outputs, parts))


def test_of_gradients_alone_the_outputs_are_those_that_no_later_pass_differentiates():
    a = mg.tensor(np.array([0.5, 2.0]), requires_grad=True)
    with study.record(names={"a": a}) as run:
        (first,) = mg.grad((a * a * a).sum(), [a], create_graph=True)
        norm = (first * first).sum()
        (second,) = mg.grad(norm, [a])
    outputs, gradients = run_program(run.source(), {"a": a.data})
    assert len(outputs) == 1 and error(outputs[0], norm.data) < 1e-15
    assert error(gradients["a"], second.data) < 1e-15


def test_values_that_are_no_numbers_survive():
    leaves = leaves_of([np.array([-1.0, 0.0, 2.0])])
    (a,) = leaves.values()
    with study.record(names=leaves) as run, np.errstate(all="ignore"):
        loss = (ops.where(a > 0, a, -np.inf) + ops.log(a) * np.nan).sum()
        loss.backward()
    assert largest_error(run, [loss], leaves) == 0


def test_a_run_without_values_says_how_to_record_them():
    with study.record(values=False) as run:
        mg.tensor([1.0]) * 2
    with pytest.raises(ValueError, match="values=True"):
        run.source()


def test_a_forward_pass_before_the_recording_is_named():
    a = mg.tensor([1.0], requires_grad=True)
    loss = (a * a).sum()
    with study.record() as run:
        loss.backward()
    with pytest.raises(ValueError, match="put the forward pass inside"):
        run.source()


def test_an_added_gradient_has_the_name_of_its_leaf():
    leaves = leaves_of([np.array([1.0, 2.0])])
    with study.record(names=leaves) as run:
        y = leaves["a0"] * leaves["a0"]
        y.backward(np.array([3.0, 4.0]))
    assert largest_error(run, [y], leaves) == 0
    assert "da0 = da0_part + da0_part" in run.source()


def test_training_steps_have_an_argument_for_each_state_of_a_parameter():
    rng = mg.Generator(0)
    net = nn.Sequential(
        nn.Linear(3, 4, rng=rng, dtype=np.float64),
        nn.BatchNorm1d(4, dtype=np.float64),
        nn.Dropout(0.5, rng=rng),
        nn.Linear(4, 2, rng=rng, dtype=np.float64),
    )
    optimizer = mg.optim.Adam(net.parameters(), lr=1e-2)
    x, label, losses = mg.Tensor(rng.normal((6, 3), dtype=np.float64)), np.arange(6) % 2, []
    with study.record() as run:
        for _ in range(2):
            optimizer.zero_grad()
            losses.append(ops.cross_entropy(net(x), label))
            losses[-1].backward()
            optimizer.step()
    outputs, gradients = run_program(run.source(), arguments_of(run))
    assert max(map(error, outputs, (loss.data for loss in losses))) < 1e-12
    assert {"_0_weight", "_0_weight_2"} <= gradients.keys()
    assert error(gradients["_0_weight_2"], net[0].weight.grad.data) < 1e-12
