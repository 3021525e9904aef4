"""Spectrograms and back, other rates, tones made at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.data import sound
from minigen.errors import ShapeError


def noise(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, shape).astype(dtype)


def test_stft_is_the_fourier_transform_of_windows():
    x = noise(500)
    z = sound.stft(x, 64, 16)
    padded = np.pad(x, 32)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    k, i = np.arange(33)[:, None], np.arange(64)
    for frame in (0, 7, 31):
        piece = padded[frame * 16 : frame * 16 + 64] * hann
        expected = (np.exp(-2j * np.pi * k * i / 64) * piece).sum(1)
        assert np.allclose(z[frame], expected, rtol=0, atol=1e-12)
    assert z.shape == (1 + 500 // 16, 33)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 700), st.sampled_from([(64, 16), (64, 32), (64, 23), (256, 80)]), st.data())
def test_istft_is_the_inverse_of_stft(length, windows, more):
    is_wide, tolerance = more.draw(st.sampled_from([(True, 1e-12), (False, 2e-6)]))
    x = noise(2, length, dtype=np.float64 if is_wide else np.float32)
    z = sound.stft(x, *windows)
    y = sound.istft(z, *windows)
    inside = (length // windows[1]) * windows[1]  # the centre of the last frame
    assert y.shape == (2, inside) and y.dtype == x.dtype
    assert np.allclose(y, x[:, :inside], rtol=0, atol=tolerance)
    if windows[1] <= windows[0] // 3:  # there, windows are not small at the end
        assert np.allclose(sound.istft(z, *windows, length), x, rtol=0, atol=20 * tolerance)
    assert sound.istft(z, *windows, length + 999).shape == (2, length + 999)


def test_rounds_of_griffin_and_lim_come_nearer_to_the_magnitude():
    magnitude = np.abs(sound.stft(sound.tones(1, 1)[0][0], 256, 80))

    def distance(rounds):
        x = sound.griffin_lim(magnitude, rounds=rounds)
        return np.linalg.norm(np.abs(sound.stft(x, 256, 80)) - magnitude)

    assert distance(32) < 0.5 * distance(2) < 0.5 * np.linalg.norm(magnitude)


def test_a_pure_tone_is_in_its_mel_band_and_comes_back_through_griffin_and_lim():
    t = np.arange(8_000) / sound.RATE
    x = 0.5 * np.sin(2 * np.pi * 1_000 * t)
    mel = sound.log_mel(x)
    assert mel.shape == (101, 40)
    back = sound.griffin_lim(sound.from_log_mel(mel))
    assert np.abs(sound.log_mel(back)[5:-5] - mel[5:-5]).mean() < 0.3
    spectrum = np.abs(np.fft.rfft(back[1_000:7_000]))
    assert abs(spectrum.argmax() * sound.RATE / 6_000 - 1_000) < 40
    assert np.array_equal(back, sound.griffin_lim(sound.from_log_mel(mel)))


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100, 48_000])
def test_another_rate_keeps_tones_that_it_can_hold_and_leaves_out_others(rate):
    t = np.arange(rate) / rate
    inside = slice(400, -400)  # beyond a twentieth of a second from an abrupt end
    for hz in (50, 440, 3_900):
        x = sound.at_rate(np.sin(2 * np.pi * hz * t), rate)
        expected = np.sin(2 * np.pi * hz * np.arange(sound.RATE) / sound.RATE)
        assert x.dtype == np.float32 and len(x) == sound.RATE
        assert np.abs(x - expected)[inside].max() < 10 ** (-75 / 20)
    for hz in (4_100, 5_300):
        x = sound.at_rate(np.sin(2 * np.pi * hz * t), rate)
        assert np.sqrt(np.square(x[inside]).mean()) < 10 ** (-85 / 20)


def test_short_sounds_and_any_rate_have_their_length():
    for rate in (4_000, 11_025, 44_101, 768_000):
        for n in (0, 1, 2, 999):
            x = sound.at_rate(noise(n, dtype=np.float32), rate)
            assert x.dtype == np.float32
            assert len(x) == (max(1, round(n * sound.RATE / rate)) if n else 0)


def test_tones_are_the_same_for_a_seed_and_balanced():
    x, y, makers = sound.tones(61, 3)
    again, *_ = sound.tones(61, 3)
    others, *_ = sound.tones(61, 4)
    assert all(np.array_equal(a, b) for a, b in zip(x, again, strict=True))
    assert not np.array_equal(x[0][:100], others[0][:100])
    assert np.ptp(np.bincount(y)) <= 1 and len(np.bincount(y)) == len(sound.INSTRUMENTS)
    assert len(set(makers)) == 11  # of 61 notes of six instruments
    assert all(0.2 < np.abs(s).max() <= 1 and s.dtype == np.float32 for s in x)


def test_wrong_shapes_and_windows_are_refused():
    with pytest.raises(ValueError, match="hop"):
        sound.stft(noise(100), 64, 33)
    with pytest.raises(ShapeError, match="frames"):
        sound.istft(np.zeros((3, 4), complex), 64, 16)
    with pytest.raises(ShapeError, match="real"):
        sound.stft(np.zeros(10, complex))
    with pytest.raises(ValueError, match="tones"):
        sound.tones(-1)
