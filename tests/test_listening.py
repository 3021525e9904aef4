"""The recogniser of sounds, and what it says about generated ones."""

import numpy as np
import pytest

import minigen as mg
from minigen.data.sound import read_recording, tones, write_wav
from minigen.errors import CheckpointError, DatasetError, ShapeError
from minigen.models import SpeechCNN
from minigen.testing import gradcheck
from minigen.training import padded_spectrograms, played, spectrograms
from minigen.training.checkpoint import save_state
from minigen.training.listening import (
    load_recogniser,
    logits_of_sounds,
    nearest,
    report_sounds,
    spoken_parts,
    transcribe,
)
from minigen.training.sound_sets import LONGEST


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
    model = SpeechCNN(3, 8, (2, 3), rng=mg.Generator(0), dtype=np.float64)
    model.eval()
    x, lengths = mg.tensor(np.random.default_rng(0).normal(size=(2, 7, 8))), np.array([7, 4])
    assert model(x).shape == (2, 3)
    gradcheck(lambda x: model(x, lengths).sum(), [x])
    with pytest.raises(ShapeError, match=r"SpeechCNN: x must be \(B, frames, 8\)"):
        model(x[:, :, :7])
    with pytest.raises(ValueError, match="length 8 of sequence 1 must be at least 1 and at most 7"):
        model(x, np.array([7, 8]))
    with pytest.raises(ValueError, match="multiple of 2\\^3"):
        SpeechCNN(3, 12)


@pytest.mark.parametrize("length", [1, 5, 8, 13, 24])
def test_padding_does_not_change_what_is_recognised(length):
    model = SpeechCNN(5, 16, (3, 4, 5), rng=mg.Generator(0), dtype=np.float64)
    rng = np.random.default_rng(0)
    model(mg.tensor(rng.normal(1, 2, (4, 24, 16))))  # statistics of batch norm
    model.eval()
    x = rng.normal(size=(3, 40, 16))
    lengths = np.array([length, 40, 17])
    alone = model(mg.tensor(x[:1, :length])).numpy()
    for frames in (length, length + 1, 32):
        padded = model(mg.tensor(x[:1, :frames]), lengths[:1]).numpy()
        assert np.allclose(padded, alone, rtol=0, atol=1e-14)
    assert np.allclose(model(mg.tensor(x), lengths).numpy()[:1], alone, rtol=0, atol=1e-14)
    x[0, length - 1] += 1
    assert not np.allclose(model(mg.tensor(x[:1, :length])).numpy(), alone, atol=1e-6)


def test_spectrograms_are_padded_to_the_longest_sound():
    sounds = tones(5)[0]
    x, lengths = padded_spectrograms(sounds)
    assert lengths.tolist() == [1 + len(each) // 80 for each in sounds]
    assert x.shape == (5, lengths.max(), 40)
    for each, row, n in zip(sounds, x, lengths):
        assert np.array_equal(row[:n], padded_spectrograms([each])[0][0])
        assert n == len(row) or np.ptp(row[n:]) == 0
    long = np.ones(80 * LONGEST)
    assert padded_spectrograms([long])[0].shape == (1, LONGEST, 40)


def test_a_recording_is_read_at_any_rate_and_of_two_channels(tmp_path):
    t = np.arange(4_800) / 24_000
    x = 0.5 * np.sin(2 * np.pi * 440 * t) * np.sin(np.pi * t / 0.2)
    write_wav(tmp_path / "one", x, 24_000)
    content = bytearray((tmp_path / "one").read_bytes())
    samples = np.frombuffer(bytes(content[44:]), "<i2").repeat(2).tobytes()  # left and right
    content[22:24] = (2).to_bytes(2, "little")
    content[40:44] = len(samples).to_bytes(4, "little")
    (tmp_path / "two").write_bytes(bytes(content[:44]) + samples)
    one, two = read_recording(tmp_path / "one"), read_recording(str(tmp_path / "two"))
    assert len(one) == 1_600 and np.allclose(one, x[::3], atol=2e-3)
    assert np.allclose(one, two, atol=1e-6)
    write_wav(tmp_path / "empty", x[:0])
    for name in ("none", "empty", "."):
        with pytest.raises(DatasetError, match="expected"):
            read_recording(tmp_path / name)


def test_a_recording_is_divided_at_its_silences():
    words = [x[: 8_000 // 5] for x in tones(3)[0]]
    pause, hum = np.zeros(4_000, np.float32), np.full(4_000, 1e-3, np.float32)
    parts = spoken_parts(np.concatenate([hum, words[0], pause, words[1], pause[:800], words[2]]))
    assert len(parts) == 2
    for (start, _), at in zip(parts, (4_000, 9_600)):
        assert abs(start + 400 - at) < 80 and start >= 0  # 10 ms
    assert abs(len(parts[0][1]) - 1_600 - 800) < 160
    for x in (pause, words[0]):
        [(start, whole)] = spoken_parts(x)
        assert start == 0 and np.array_equal(whole, x)


def test_transcribe_prints_the_most_probable_classes(tmp_path, capsys):
    model = SpeechCNN(4, rng=mg.Generator(0))
    state = {
        "config": {"example": "speech", "data": "tones"},
        "description": {"class": "SpeechCNN", "arguments": {"classes": 4}},
        "model": model.state_dict(),
        "history": [],
        "kept": {"names": "a\nb\nc\nd"},
    }
    save_state(tmp_path / "checkpoint.safetensors", state)
    sounds = tones(2)[0]
    files = [tmp_path / "0.wav", tmp_path / "1.wav"]
    for file, x in zip(files, sounds):
        write_wav(file, x)
    transcribe(tmp_path, files)
    lines = capsys.readouterr().out.splitlines()
    logits = logits_of_sounds(model.eval(), sounds, "cpu")
    for file, line, row in zip(files, lines, logits):
        assert line.startswith(f"{file}, 0.00 s: {'abcd'[row.argmax()]} (")
        assert line.count("%") == 3
    with pytest.raises(DatasetError, match=r"none\.wav"):
        transcribe(tmp_path, [files[0], tmp_path / "none.wav"])
    assert capsys.readouterr().out == ""
    state["config"]["example"] = "sound"
    save_state(tmp_path / "checkpoint.safetensors", state)
    with pytest.raises(CheckpointError, match="a run of sound, which reads no sounds"):
        transcribe(tmp_path, files)


def test_generated_sounds_are_compared_with_real_ones(capsys):
    sounds, labels, _ = tones(24)

    class Knows(mg.nn.Module):
        """Reads the class of a sound that it has seen before."""

        def __call__(self, x, lengths):
            all_x = spectrograms(sounds, x.shape[1])
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
