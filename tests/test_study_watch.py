"""`study.watch`: numbers of layers at the watched steps, as NumPy computes them."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
from watched_nets import linear, rows_of, small_net, train

import minigen as mg
from minigen import nn, study
from minigen.autodiff.graph import trace_observer
from minigen.nn import functional as F


def test_the_numbers_are_those_that_numpy_computes():
    rng = mg.Generator(0)
    net = small_net(rng)
    optimizer = mg.optim.SGD(net.parameters(), lr=0.1)
    x = rng.normal((32, 6), dtype=np.float64)
    w, b = (net[0].weight.data.copy(), net[0].bias.data.copy())
    with study.watch(net, optimizer) as watch:
        y = net(mg.Tensor(x))
        mg.mean(mg.square(y)).backward()
        optimizer.step()
    layer = x @ w.T + b
    first, relu = watch.rows[:2]
    assert (first["step"], first["layer"], first["class"], first["calls"]) == (1, "0", "Linear", 1)
    assert np.allclose([first["mean"], first["std"]], [layer.mean(), layer.std()])
    assert relu["dead"] == ((layer > 0).sum(0) == 0).mean()
    last = watch.rows[-1]
    g = 2 * y.data / y.data.size
    assert np.allclose([last["grad_mean"], last["grad_std"]], [g.mean(), g.std()])
    change = net[0].weight.data - w
    assert np.allclose(first["updates"]["weight"], change.std() / w.std())
    assert json.loads(json.dumps(watch.rows, allow_nan=False)) == watch.rows


def test_several_calls_in_a_step_are_taken_together():
    rng = mg.Generator(0)
    cell = nn.Sequential(linear(4, 4, rng), nn.Tanh()).double()
    watch = study.watch(cell, mg.optim.SGD(cell.parameters(), lr=0.1))
    with watch:
        outputs, h = [], mg.Tensor(rng.normal((3, 4), dtype=np.float64) * 5)
        for _ in range(3):
            h = cell(h)
            outputs.append(h.data)
        h.sum().backward()
        watch.record()
    row = rows_of(watch, "1")[0]
    assert row["calls"] == 3
    assert np.allclose([row["mean"], row["std"]], [np.mean(outputs), np.std(outputs)])
    assert np.isclose(row["saturated"], (np.abs(outputs) > 0.98).mean())


def test_functions_in_a_forward_and_residual_sums_are_layers():
    class Block(nn.Module):
        def __init__(self, rng):
            self.up, self.down, self.drop = linear(6, 8, rng), linear(8, 6, rng), nn.Dropout(0.0)

        def forward(self, x):
            return x + self.drop(self.down(self.drop(F.relu(self.up(x)))))

    rng = mg.Generator(0)
    net = nn.Sequential(Block(rng), Block(rng), nn.Flatten()).double()
    watch = train(net, 1, rng)
    names = [row["layer"] for row in watch.rows]
    assert names == [f"{i}{part}" for i in (0, 1) for part in (".up", ":relu", ".down", "")]
    assert all(row["grad_std"] > 0 for row in watch.rows)
    assert rows_of(watch, "0:relu")[0]["dead"] is not None


@pytest.mark.parametrize("optimizers", [1, 2])
def test_training_is_the_same_bit_for_bit_with_watch(optimizers):
    def weights(watched):
        rng = mg.Generator(3)
        net = nn.Sequential(linear(6, 32, rng), nn.Dropout(0.2, rng=rng), nn.GELU()).float()
        net = nn.Sequential(net, linear(32, 4, rng))
        parts = [net.parameters()] if optimizers == 1 else [part.parameters() for part in net]
        adams = [mg.optim.Adam(params, lr=1e-2) for params in parts]
        with study.watch(net, adams, every=2) if watched else nullcontext():
            for _ in range(7):
                y = net(mg.Tensor(rng.normal((32, 6))))
                loss = mg.mean(mg.square(y - 1)) + mg.mean(mg.square(y * y))
                for adam in adams:
                    adam.zero_grad()
                loss.backward()
                for adam in adams:
                    adam.step()
        return [p.data.copy() for p in net.parameters()], rng.state

    (one, state), (other, other_state) = weights(False), weights(True)
    assert state == other_state
    assert all(np.array_equal(a, b) for a, b in zip(one, other))


# ------------------------------------------------------------------------------ the steps


def test_the_first_step_and_every_fiftieth_are_watched():
    rng = mg.Generator(0)
    watch = train(small_net(rng), 101, rng, every=50)
    assert sorted({row["step"] for row in watch.rows}) == [1, 50, 100]
    assert trace_observer.get() is None


def test_record_ends_a_step_where_there_is_no_optimizer():
    rng = mg.Generator(0)
    net = small_net(rng)
    watch = study.watch(net, every=2)
    watch.record()
    for _ in range(4):
        before = net[0].weight.data.copy()
        net(mg.Tensor(rng.normal((8, 6), dtype=np.float64))).sum().backward()
        for p in net.parameters():
            p.data[...] -= 0.01 * p.grad.data
            p.node.version += 1
            p.grad = None
        watch.record()
        if watch.rows and watch.rows[-1]["step"] == watch.step - 1:
            change = net[0].weight.data - before
            row = rows_of(watch, "0")[-1]
            assert np.allclose(row["updates"]["weight"], change.std() / before.std())
    watch.close()
    assert {row["step"] for row in watch.rows} == {1, 2, 4}


def test_two_nets_are_watched_side_by_side():
    rng = mg.Generator(0)
    nets = [small_net(rng) for _ in range(2)]
    adams = [mg.optim.Adam(net.parameters()) for net in nets]
    with study.watch(nets[0], adams[0], 1) as one, study.watch(nets[1], adams[1], 1) as two:
        for _ in range(3):
            for net, adam in zip(nets, adams):
                x = mg.Tensor(rng.normal((8, 6), dtype=np.float64))
                adam.step(mg.grad(mg.square(net(x)).sum(), adam.params))
    assert trace_observer.get() is None
    for watch in (one, two):
        assert {row["step"] for row in watch.rows} == {1, 2, 3}
        assert all(row["calls"] == 1 and row["grad_std"] > 0 for row in watch.rows)


def test_a_gan_of_two_optimizers_is_watched_as_one():
    rng = mg.Generator(0)
    pair = nn.ModuleDict({"g": small_net(rng), "d": nn.Sequential(linear(2, 1, rng)).double()})
    adams = {name: mg.optim.Adam(net.parameters()) for name, net in pair.items()}
    with study.watch(pair, adams, 1) as watch:
        for _ in range(3):
            fake = pair["g"](mg.Tensor(rng.normal((8, 6), dtype=np.float64)))
            adams["d"].step(mg.grad(pair["d"](fake.detach()).sum(), adams["d"].params))
            adams["g"].step(mg.grad(pair["d"](fake).sum(), adams["g"].params))
    row = [row for row in watch.rows if row["step"] == 3 and row["layer"] == "d.0"]
    assert row[0]["calls"] == 2
    assert watch.warnings == []


def test_evaluation_recordings_and_changes_of_the_model_are_no_matter():
    rng = mg.Generator(0)
    net = small_net(rng)
    adam = mg.optim.Adam(net.parameters())
    x = mg.Tensor(rng.normal((8, 6), dtype=np.float64))
    with study.watch(net, adam, 1) as watch:
        for i in range(4):
            with mg.no_grad(), nn.evaluation(net):
                net(x)
            with nn.evaluation(net):
                net(x)  # as for a picture of gradients
            if i == 2:
                net.append(nn.ReLU())
            with study.record() if i == 1 else mg.enable_grad():
                net(x).sum().backward()
                adam.step()
    assert {row["calls"] for row in watch.rows if row["step"] != 2} == {1}
    assert {row["calls"] for row in watch.rows if row["step"] == 2} == {0}  # it was recorded
    assert rows_of(watch, "5")[0]["step"] == 4  # the first that began with that layer


def test_an_error_in_a_watched_step_leaves_no_observer():
    net = small_net(mg.Generator(0))
    adam = mg.optim.Adam(net.parameters())
    with pytest.raises(KeyboardInterrupt), study.watch(net, adam):
        raise KeyboardInterrupt
    assert trace_observer.get() is None
    assert not adam.after_step


def test_what_cannot_be_watched_raises():
    net = small_net(mg.Generator(0))
    with pytest.raises(TypeError, match="needs a module, got list"):
        study.watch([net])
    with pytest.raises(ValueError, match="whole number of at least 1"):
        study.watch(net, every=0)
    with pytest.raises(TypeError, match="got Tensor"):
        study.watch(net, net.parameters())


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_units_of_any_shape(shape):
    rng = mg.Generator(0)
    net = nn.Sequential(nn.Identity(), nn.PReLU(), nn.ReLU(), nn.Identity())
    with study.watch(net) as watch:
        net(mg.Tensor(rng.normal(shape) - 9)).sum().backward()
        watch.record()
    (row,) = rows_of(watch, "2")
    assert row["dead"] == (0.0 if 0 in shape else row["dead"]) or row["dead"] is None
    scalar = nn.Sequential(nn.ReLU())
    with study.watch(scalar) as watch:
        scalar(mg.tensor(2.0, requires_grad=True)).backward()
        watch.record()
    assert (watch.rows[0]["mean"], watch.rows[0]["dead"]) == (2.0, None)


def test_a_watch_in_which_no_step_has_ended_warns():
    net = nn.Sequential(nn.ReLU())
    says = "give it the optimizer, or call its record"
    with pytest.warns(UserWarning, match=says), study.watch(net) as watch:
        net(mg.tensor(2.0, requires_grad=True)).backward()
    assert not watch.rows
    with pytest.raises(TypeError, match="needs optimizers of"):
        study.watch(net, 3)


def test_units_of_images_and_of_sequences_are_channels():
    rng = mg.Generator(0)
    for net, shape in (
        (nn.Sequential(nn.Conv1d(2, 3, 1, rng=rng), nn.ReLU()), (4, 2, 7)),
        (nn.Sequential(nn.Conv2d(2, 3, 1, rng=rng), nn.ReLU()), (4, 2, 7, 5)),
        (nn.Sequential(linear(2, 3, rng), nn.ReLU()), (4, 7, 2)),
        (nn.Sequential(linear(2, 3, rng), nn.ReLU()), (4, 7, 5, 2)),
    ):
        net[0].bias.data[...] = [-100, 100, 100]
        with study.watch(net) as watch:
            net(mg.Tensor(rng.normal(shape))).sum().backward()
            watch.record()
        assert rows_of(watch, "1")[0]["dead"] == pytest.approx(1 / 3)
