"""WAV files; recordings in folders and zips."""

import io
import struct
import wave
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.data import sound
from minigen.errors import DatasetError
from minigen.training import sound_data


def noise(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, shape).astype(dtype)


def wav(code, bits, data, channels=1, rate=8_000, extensible=False, more=b""):
    form = struct.pack("<HHIIHH", code, channels, rate, 0, 0, bits)
    if extensible:
        form = struct.pack("<HHIIHH", 0xFFFE, channels, rate, 0, 0, bits)
        form += (
            struct.pack("<HHIH", 22, bits, 0, code) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        )
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + more
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


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


@settings(deadline=None, max_examples=22)
@given(st.integers(0, 50), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_wav_files_of_pythons_own_writer_are_read(n, channels, width, seed):
    x = np.random.default_rng(seed).integers(0, 256, n * channels * width, np.uint8)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, width, 22_050, n, "NONE", ""))
        writer.writeframes(x.tobytes())
    got, rate = sound.parse_wav(file.getvalue(), "x.wav", mono=False)
    whole = x.view(("u1", "<i2", "", "<i4")[width - 1]).reshape(n, channels).astype(np.float64)
    expected = (whole - 128) / 128 if width == 1 else whole / 2 ** (8 * width - 1)
    assert rate == 22_050 and got.shape == (n, channels)
    assert np.allclose(got, expected, rtol=0, atol=1e-7)


def test_streamed_files_go_on_to_their_end_but_empty_and_cut_ones_do_not(tmp_path):
    data, more = np.array([1, 2, 3], "<i2").tobytes(), b"LIST\4\0\0\0abcd"
    whole = wav(1, 16, data)
    for of_file, of_data, count in [
        (b"\xff" * 4, b"\xff" * 4, 3),
        (b"\0" * 4, b"\0" * 4, 3),
        (whole[4:8], b"\xff" * 4, 3),
        (whole[4:8], b"\0" * 4, 0),
    ]:
        content = whole[:4] + of_file + whole[8:40] + of_data + data
        assert len(sound.parse_wav(content, "x.wav")[0]) == count
    empty = wav(1, 16, b"")
    empty = empty[:4] + bytes([36 + len(more)]) + empty[5:] + more
    assert len(sound.parse_wav(empty, "x.wav")[0]) == 0
    assert len(sound.parse_wav(whole + more, "x.wav")[0]) == 3
    path = tmp_path / "x.wav"
    path.write_bytes(whole[:40] + b"\7\0\0\0" + data)
    with pytest.raises(DatasetError, match=r"7 bytes.*got 6"):
        sound.read_wav(path)
    with pytest.raises(DatasetError, match="check the path"):
        sound.read_wav(tmp_path / "none.wav")


@pytest.mark.parametrize(
    "start, what", [(b"RF64", "RF64"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3\3", "MP3")]
)
def test_other_formats_are_refused_with_their_names(start, what):
    with pytest.raises(DatasetError, match=f"got {what}.*save it"):
        sound.parse_wav(start + bytes(99), "x.wav")


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
        wav(3, 64, np.array([1e300], "<f8").tobytes()),
        wav(3, 32, np.full(2, 3e38, "<f4").tobytes(), channels=2),
        wav(1, 16, b"", rate=1),
        wav(1, 16, b"ab", extensible=True).replace(b"\x9b\x71", b"\x9b\x72"),
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


def zip_of(path, content, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a_b_0.wav", content, **options)
    return path


def test_a_zip_whose_directory_hides_a_file_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a_b_0.wav", "c_d_0.wav"):
            archive.writestr(name, wav(1, 16, b"ab"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 32] = 100  # the length of a comment
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="expected a zip of 2 files, got 1 files"):
        sound.read_recordings(path)


def test_zips_that_expand_without_bound_or_are_encrypted_are_refused(tmp_path):
    bomb = zip_of(tmp_path / "bomb.zip", wav(1, 16, bytes(2**24)))
    with pytest.raises(DatasetError, match=r"bomb\.zip.*50 times"):
        sound.read_recordings(bomb)
    other = zip_of(tmp_path / "x.zip", wav(1, 16, b"ab"), compress_type=zipfile.ZIP_LZMA)
    with pytest.raises(DatasetError, match=r"method 14; unpack it"):
        sound.read_recordings(other)
    content = bytearray(zip_of(tmp_path / "y.zip", wav(1, 16, b"ab")).read_bytes())
    for header in (b"PK\3\4", b"PK\1\2"):
        content[content.index(header) + (6 if header[2] == 3 else 8)] |= 1
    (tmp_path / "y.zip").write_bytes(content)
    with pytest.raises(DatasetError, match="encrypted"):
        sound.read_recordings(tmp_path / "y.zip")
    with pytest.raises(DatasetError, match=r"none\.zip"):
        sound.read_recordings(tmp_path / "none.zip")


@pytest.mark.parametrize(
    "names, voices",
    [
        (["yes/1.wav", "no/2.wav", "in/yes/3.wav"], {"yes/1.wav", "no/2.wav", "in/yes/3.wav"}),
        (["yes/a1_nohash_0.wav", "no/a1_nohash_1.wav", "yes/b2_nohash_0.WAV"], {"a1", "b2"}),
        (["one/no_a_0.wav", "two/yes_b_0.wav", "two/yes_c_x_1.wav"], {"a", "b", "c_x"}),
    ],
)
def test_labels_are_in_names_or_are_those_of_folders(tmp_path, names, voices):
    for i, name in enumerate([*names, ".hidden/x_y_0.wav", "yes/._1.wav", "notes.txt"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        sound.write_wav(path, np.full(i + 1, 0.5))
    found = sound.read_recordings(tmp_path)
    assert found.names == ("no", "yes") and set(found.voices) == voices
    lengths = {len(x): found.names[i] for x, i in zip(found.sounds, found.labels, strict=True)}
    assert lengths == {
        1: "no" if "no_a" in names[0] else "yes",
        2: "yes" if "yes" in names[1] else "no",
        3: "yes",
    }
    sound.write_wav(tmp_path / "loose.wav", np.zeros(1))
    with pytest.raises(DatasetError, match=r"'loose\.wav'; rename it"):
        sound.read_recordings(tmp_path)
