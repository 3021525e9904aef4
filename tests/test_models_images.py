"""The CNN, and the predictions and scores of classifiers."""

import numpy as np
import pytest
from test_image_layers import FIXTURES, check

import minigen as mg
from minigen.models import CNN
from minigen.training import classification


def trained(model, steps, loss_of, lr=3e-3):
    """The losses of `steps` steps of Adam on the loss `loss_of()`."""
    optimizer = mg.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_cnn_overfits_one_batch():
    rng = mg.Generator(0)
    model = CNN(5, side=8, widths=(4, 8), hidden=16, rng=rng)
    x, label = mg.Tensor(rng.normal((16, 1, 8, 8))), rng.integers(0, 5, 16)
    losses = trained(model, 150, lambda: model.loss(x, label))
    assert abs(losses[0] - np.log(5)) < 0.2  # the initial prediction is about uniform
    assert losses[-1] < 0.02
    assert np.array_equal(model(x).numpy().argmax(1), label)


def test_the_cnn_equals_pytorchs_layers():
    saved = {k: v.data for k, v in mg.load(FIXTURES / "cnn.safetensors").items()}
    check(CNN(3, channels=2, side=8, widths=(3, 4), hidden=5), saved)


def test_the_shapes_of_the_cnn():
    model = CNN(36, rng=mg.Generator(0))
    x = mg.zeros((2, 1, 28, 28))
    assert model.features(x).shape == (2, 128)
    assert model(x).shape == (2, 36)
    assert CNN(3, channels=2, side=30, hidden=7)(mg.zeros((1, 2, 30, 30))).shape == (1, 3)
    with pytest.raises(mg.errors.ShapeError):
        model(mg.zeros((2, 1, 32, 32)))


def test_predict_in_batches_equals_one_call_and_builds_no_graph():
    model = CNN(3, side=4, widths=(2, 2), hidden=4, rng=mg.Generator(0), dtype=np.float64)
    images = mg.Generator(1).normal((7, 1, 4, 4), dtype=np.float64)
    calls = []

    def read(x):
        calls.append(model(mg.Tensor(x)))
        return calls[-1]

    found = classification.predict(read, images, batch_size=3)
    assert [len(y) for y in calls] == [3, 3, 1]
    assert not any(y.requires_grad for y in calls)
    assert np.abs(found - model(mg.Tensor(images)).data).max() < 1e-12


def test_the_score_is_the_loss_and_the_accuracy():
    logits = np.log(np.array([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1], [0.25, 0.75]]))
    labels = np.array([0, 1, 1, 1])
    found = classification.score(logits, labels)
    assert found["accuracy"] == 75
    assert found["test_loss"] == pytest.approx(-np.log([0.5, 0.8, 0.1, 0.75]).mean())
    with pytest.raises(mg.errors.ShapeError, match="4 images, labels of 3"):
        classification.score(logits, labels[:3])
