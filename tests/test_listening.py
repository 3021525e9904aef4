"""The recogniser of sounds, and what it says about generated ones."""

import numpy as np
import pytest

import minigen as mg
from minigen.data.sound import tones
from minigen.errors import CheckpointError, ShapeError
from minigen.models import SpeechCNN
from minigen.testing import gradcheck
from minigen.training import played, spectrograms
from minigen.training.listening import load_recogniser, nearest, report_sounds


def test_a_sound_comes_back_from_its_spectrogram():
    sounds, *_ = tones(12)
    x = spectrograms(sounds)
    assert x.shape == (12, 64, 40) and x.dtype == np.float32 and np.abs(x).max() < 1.3
    back = played(x)
    rms = 34 * np.sqrt(np.square(spectrograms(back) - x).mean((1, 2)))  # dB
    assert np.median(rms) < 6
    assert all(abs(np.abs(y).max() - 0.7) < 1e-4 for y in back)
    alone = played(x[3:4])[0]
    assert np.array_equal(alone, back[3])


def test_spectrograms_are_of_any_loudness_and_length():
    sound = tones(1)[0][0]
    one, quiet, silence, long = spectrograms([sound, sound / 50, sound[:0], np.tile(sound, 3)])
    assert np.allclose(one, quiet, atol=1e-4)
    assert np.ptp(silence) < 1e-5
    assert np.array_equal(one[:20], long[:20])


def test_the_recogniser_is_differentiable_and_names_wrong_shapes():
    model = SpeechCNN(3, 8, 8, (2, 3), rng=mg.Generator(0), dtype=np.float64)
    model.eval()
    x = mg.tensor(np.random.default_rng(0).normal(size=(2, 8, 8)))
    assert model(x).shape == (2, 3)
    gradcheck(lambda x: model(x).sum(), [x])
    with pytest.raises(ShapeError, match=r"SpeechCNN: x must be \(B, 8, 8\)"):
        model(x[:, :7])
    with pytest.raises(ValueError, match="at least 2\\^3"):
        SpeechCNN(3, 8, 7)


def test_generated_sounds_are_compared_with_real_ones(capsys):
    sounds, labels, _ = tones(24)

    class Knows(mg.nn.Module):
        """Reads the class of a sound that it has seen before."""

        def __call__(self, x):
            all_x = spectrograms(sounds)
            near = [np.abs(all_x - each).sum((1, 2)).argmin() for each in x.numpy()]
            return mg.tensor(np.eye(6)[labels[near]])

    wrong = (labels[:12] + (np.arange(12) == 0)) % 6
    found = report_sounds(
        *(Knows(), sounds[:12], wrong, sounds[12:], sounds[12:], labels[12:]),
        *("abcdef", "cpu"),
    )
    assert found["real"] == 100 and found["generated"] == pytest.approx(100 * 11 / 12)
    printed = capsys.readouterr().out
    assert "0.00 at least" in printed and "generated sounds, read right: 91.7 %" in printed


def test_the_nearest_sound_is_measured_in_decibels():
    x = np.zeros((2, 4, 4))
    assert np.allclose(nearest(x + 0.1, np.stack([x[0] + 0.3, x[0] - 5])), 34 * 0.2)


def test_a_recogniser_of_nothing_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        load_recogniser(tmp_path / "missing", "tones", 6, "cpu")
