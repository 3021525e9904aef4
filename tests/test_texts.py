"""The helpers of the examples on text: the split, the windows, the loss, the sample."""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DatasetError
from minigen.models import GPT, CharLSTM
from minigen.training.texts import sample_text, text_data, text_loss, windows

MODELS = {
    "gpt": lambda size: GPT(size, 8, 1, 2, 8, dropout=0.5, rng=mg.Generator(0)),
    "lstm": lambda size: CharLSTM(size, 4, 8, 2, dropout=0.5, rng=mg.Generator(0)),
}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "text").write_text("To be, or not to be.\n" * 20)
    return str(tmp_path / "text")


def test_the_first_nine_tenths_are_the_training_set(path):
    vocabulary, train, test = text_data(path, 8)
    assert len(train) == 378 and len(test) == 42
    assert vocabulary.decode(np.concatenate([train, test])) == "To be, or not to be.\n" * 20


def test_a_text_too_short_for_the_context_is_refused(path):
    with pytest.raises(DatasetError, match="420 characters; take a longer text, 10 contexts"):
        text_data(path, 42)


def test_targets_are_the_windows_shifted_by_one():
    ids, targets = windows(np.arange(20) * 10, np.array([3, 0]), 4)
    assert ids.tolist() == [[30, 40, 50, 60], [0, 10, 20, 30]]
    assert targets.tolist() == [[40, 50, 60, 70], [10, 20, 30, 40]]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_loss_of_a_text_is_the_mean_over_its_windows_without_dropout(make, path):
    vocabulary, train, _ = text_data(path, 8)
    model = make(len(vocabulary))
    found = text_loss(model, train, 8)
    assert model.training
    model.eval()
    ids, targets = train[:376].reshape(47, 8), train[1:377].reshape(47, 8)
    assert found == pytest.approx(model.loss(ids, targets).item(), rel=1e-5)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_generator_determines_the_sample(make, path):
    vocabulary, _, _ = text_data(path, 8)
    model = make(len(vocabulary))
    one, two, other = (sample_text(model, vocabulary, 30, mg.Generator(s)) for s in (1, 1, 2))
    assert one == two != other
    assert set(one) <= set(vocabulary.characters) and 0 < len(one) <= 30
