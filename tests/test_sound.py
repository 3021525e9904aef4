"""Spectrograms and back, WAV files, recordings in folders and zips, tones made at once."""

import io
import struct
import wave
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.data import sound
from minigen.errors import DatasetError, ShapeError
from minigen.training import sound_data


def noise(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, shape).astype(dtype)


def wav(code, bits, data, channels=1, rate=8_000, extensible=False, more=b""):
    form = struct.pack("<HHIIHH", code, channels, rate, 0, 0, bits)
    if extensible:
        form = struct.pack("<HHIIHH", 0xFFFE, channels, rate, 0, 0, bits)
        form += struct.pack("<HHIH", 22, bits, 0, code) + bytes(14)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + more
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


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
@given(st.integers(0, 700), st.sampled_from([(64, 16), (64, 32), (256, 80)]), st.booleans())
def test_istft_is_the_inverse_of_stft(length, windows, is_wide):
    x = noise(2, length, dtype=np.float64 if is_wide else np.float32)
    inside = (length // windows[1]) * windows[1]  # beyond the last frame's centre half a window
    y = sound.istft(sound.stft(x, *windows), *windows)
    assert y.shape == (2, inside) and y.dtype == x.dtype
    assert np.allclose(y, x[:, :inside], rtol=0, atol=1e-12 if is_wide else 1e-5)


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


@pytest.mark.parametrize("is_extensible", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 24, 32, "f4", "f8"])
def test_wav_files_of_every_kind_are_read(bits, is_extensible):
    x = np.round(noise(40, 2) * 100) / 128  # which each format has exactly
    if isinstance(bits, str):
        code, width, data = 3, 8 * int(bits[1]), x.astype("<" + bits).tobytes()
    else:
        code, width = 1, bits
        whole = np.round(x * 2 ** (bits - 1)).astype("<i4")
        raw = (whole + 128 if bits == 8 else whole).astype("<i4").view(np.uint8).reshape(-1, 4)
        data = raw[:, : bits // 8].tobytes()
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    content = wav(code, width, data, channels=2, rate=11_025, extensible=is_extensible, more=odd)
    got, rate = sound.parse_wav(content, "x.wav")
    assert rate == 11_025 and got.dtype == np.float32
    assert np.allclose(got, x.mean(1), rtol=0, atol=1e-7)


def test_what_is_written_other_programs_read(tmp_path):
    x = noise(100, dtype=np.float32)
    sound.write_wav(tmp_path / "x.wav", x)
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8_000, 1, 2)
    got, _ = sound.parse_wav((tmp_path / "x.wav").read_bytes(), "x.wav")
    assert np.abs(got - x).max() < 1e-4
    with pytest.raises(ValueError, match="finite"):
        sound.write_wav(tmp_path / "y.wav", np.array([np.nan]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        wav(1, 16, b"ab")[:-1],  # cut
        wav(1, 12, b"ab"),
        wav(1, 16, b"abc"),
        wav(2, 16, b"ab"),
        wav(1, 16, b"", channels=0),
        wav(1, 16, b"", rate=0),
        wav(3, 32, np.array([np.nan], "<f4").tobytes()),
        wav(1, 16, b"ab").replace(b"fmt ", b"abcd"),
    ],
)
def test_damaged_wav_files_are_refused_by_name(content):
    with pytest.raises(DatasetError, match=r"^x\.wav: "):
        sound.parse_wav(content, "x.wav")


def test_recordings_of_folders_and_zips_are_the_same(tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for i in range(12):
        x = noise(200 + i, dtype=np.float32, seed=i)
        sound.write_wav(folder / f"{'ab'[i % 2]}_v{i // 2}_0.wav", x)
    with zipfile.ZipFile(tmp_path / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir(), reverse=True):
            archive.write(path, f"in/{path.name}")
    one, two = sound.read_recordings(folder), sound.read_recordings(tmp_path / "some.zip")
    assert one.names == two.names == ("a", "b")
    assert all(np.array_equal(x, y) for x, y in zip(one.sounds, two.sounds, strict=True))
    assert np.array_equal(one.labels, two.labels) and np.array_equal(one.voices, two.voices)
    train_x, train_y, test_x, test_y, names = sound_data(str(folder))
    assert (len(train_x), len(test_x), names) == (8, 4, ("a", "b"))
    assert sorted(train_y) == [0] * 4 + [1] * 4 and sorted(test_y) == [0, 0, 1, 1]


def test_zips_that_are_damaged_or_have_no_recordings_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a_b_0.wav", wav(1, 16, bytes(4_000)))
    whole = bytearray(buffer.getvalue())
    whole[45] ^= 255
    for content in (b"", b"no zip", bytes(whole), buffer.getvalue()[:-30]):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"x\.zip"):
            sound.read_recordings(path)
    with pytest.raises(DatasetError, match="found none"):
        sound.read_recordings(empty(tmp_path))


def empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def test_another_rate_keeps_the_pitch():
    t = np.arange(44_100) / 44_100
    x = sound.at_rate(np.sin(2 * np.pi * 440 * t).astype(np.float32), 44_100)
    assert len(x) == sound.RATE
    expected = np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)
    assert np.abs(x - expected)[100:-100].max() < 1e-3


def test_tones_are_the_same_for_a_seed_and_balanced():
    x, y = sound.tones(61, 3)
    again, _ = sound.tones(61, 3)
    others, _ = sound.tones(61, 4)
    assert all(np.array_equal(a, b) for a, b in zip(x, again, strict=True))
    assert not np.array_equal(x[0][:100], others[0][:100])
    assert np.ptp(np.bincount(y)) <= 1 and len(np.bincount(y)) == len(sound.INSTRUMENTS)
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
