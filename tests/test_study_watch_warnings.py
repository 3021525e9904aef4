"""`study.watch` warns of planted faults: layers that have died, explode or stand still."""

import numpy as np
import pytest
from watched_nets import linear, rows_of, small_net, train

import minigen as mg
from minigen import nn, study


def warnings_of(watch, cause):
    return [warned for warned in watch.warned if warned.cause == cause]


def test_a_dead_layer_is_named_with_step_number_and_remedy(capsys):
    rng = mg.Generator(0)
    net = small_net(rng)
    net[2].bias.data[...] = -100
    optimizer = mg.optim.Adam(net.parameters(), lr=1e-3)
    with study.watch(net, optimizer, every=1) as watch:
        for _ in range(4):
            net(mg.Tensor(rng.normal((32, 6), dtype=np.float64))).sum().backward()
            optimizer.step()
    (text,) = [warned.warning for warned in warnings_of(watch, "has died")]
    assert text.startswith("step 1: layer 3 has died: all of its 8 units are 0")
    assert "LeakyReLU" in text
    assert capsys.readouterr().out.count(text) == 1  # said once


def test_a_few_examples_make_no_layer_dead():
    rng = mg.Generator(0)
    net = nn.Sequential(linear(6, 4, rng), nn.ReLU())
    net[0].bias.data[...] = -100
    watch = train(net, 3, rng, loss_of=lambda net, x: net(x[:1]).sum())
    assert rows_of(watch, "1")[0]["dead"] == 1
    assert not warnings_of(watch, "has died")


def deep(rng, scale, activation):
    layers = []
    for _ in range(14):
        layer = linear(24, 24, rng)
        layer.weight.data *= scale
        layers += [layer, activation()]
    return nn.Sequential(*layers, linear(24, 1, rng))


def test_a_net_that_explodes_is_named():
    rng = mg.Generator(0)
    watch = train(deep(rng, 12, nn.ReLU), 1, rng, size=24)
    (warned,) = warnings_of(watch, "explodes")
    assert "layer 12 (and 16 more, the last of them 28) explodes: its" in warned.warning
    assert "kaiming" in warned.warning
    assert "activations have a standard deviation of" in warned.warning


def test_values_that_are_not_finite_are_named():
    rng = mg.Generator(0)
    net = small_net(rng, nn.LeakyReLU)
    net[2].weight.data[0, 0] = np.inf
    watch = train(net, 1, rng)
    (warned,) = warnings_of(watch, "explodes")
    assert "has NaN or infinite values: " in warned.warning
    assert "mg.detect_anomaly()" in warned.warning
    assert all(x is None or np.isfinite(x) for row in watch.rows for x in (row["mean"], row["std"]))


def test_a_learning_rate_that_replaces_the_weights_is_named():
    rng = mg.Generator(0)
    net = small_net(rng, nn.Tanh)
    watch = train(net, 3, rng, mg.optim.Adam(net.parameters(), lr=5.0))
    assert any("a step changes weight by" in warned.warning for warned in watch.warned)


def test_a_vanishing_gradient_is_named():
    rng = mg.Generator(0)
    watch = train(deep(rng, 0.5, nn.Sigmoid), 2, rng, size=24)
    (warned,) = warnings_of(watch, "vanishes")
    assert warned.layer == "0"
    assert "relu in place of" in warned.warning
    assert not warnings_of(watch, "explodes")


@pytest.mark.parametrize("fault", ["detached", "no_grad", "rate", "optimizer"])
def test_a_layer_that_stands_still_is_named_with_the_reason(fault):
    rng = mg.Generator(0)
    net = small_net(rng)
    params = [*net[2].parameters(), *net[4].parameters()]
    groups = [{"params": net[0].parameters(), "lr": 0.0 if fault == "rate" else 0.1}]
    optimizer = mg.optim.SGD([*groups, {"params": params}] if fault != "optimizer" else params, 0.1)

    def loss_of(net, x):
        with mg.no_grad() if fault == "no_grad" else mg.enable_grad():
            x = net[1](net[0](x))
        x = x.detach() if fault == "detached" else x
        return net[4](net[3](net[2](x))).sum()

    watch = train(net, 3, rng, optimizer, loss_of=loss_of)
    (warned,) = warnings_of(watch, "stands still")
    assert (warned.step, warned.layer) == (2, "0")
    word = {"rate": "learning rate is 0", "optimizer": "no optimizer"}.get(fault, "detach()")
    assert word in warned.warning


def test_nothing_is_said_of_layers_that_are_frozen_not_called_or_not_yet_stepped():
    rng = mg.Generator(0)
    net = small_net(rng)
    net[0].requires_grad_(False)
    net.append(linear(2, 2, rng).double())
    optimizer = mg.optim.SGD(net.parameters(), lr=1e-3)
    part = nn.Sequential(*list(net)[:5])
    watch = train(net, 3, rng, optimizer, loss_of=lambda net, x: part(x).sum())
    assert watch.warnings == []
    with study.watch(net) as by_hand:  # gradients are accumulated, and no step is made
        for _ in range(3):
            part(mg.Tensor(rng.normal((32, 6), dtype=np.float64))).sum().backward()
            by_hand.record()
    assert by_hand.warnings == []
    assert len(by_hand.rows) > 0


def test_gradients_are_compared_within_a_network():
    rng = mg.Generator(0)
    pair = nn.ModuleDict({"a": small_net(rng), "pair": nn.ModuleDict({"b": small_net(rng)})})
    loss_of = lambda net, x: net["a"](x).sum() * 1e-9 + net["pair"]["b"](x).sum()
    watch = train(pair, 3, rng, loss_of=loss_of)
    assert watch.warnings == []
    assert {row["layer"].rpartition(".")[0] for row in watch.rows} == {"a", "pair.b"}
