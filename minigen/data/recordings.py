"""Recordings in a folder or a zip of sound files: {label}_{speaker}_{index}.wav, or label/*.wav.

The first is the layout of the Free Spoken Digit Dataset. WAV needs nothing; FLAC, Ogg and MP3 need
soundfile, which the extra `sound` installs.
"""

import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from minigen.data.spectrograms import RATE
from minigen.data.wav_files import parse_wav
from minigen.errors import DatasetError

NAME = re.compile(r"(?P<label>[^_]+)_(?P<voice>.+)_[^_]+", re.DOTALL)
SPEECH_COMMANDS = re.compile(r"(?P<voice>.+)_nohash_[^_]+", re.DOTALL)  # Warden 2018
OTHERS = ".flac", ".ogg", ".mp3"  # which soundfile reads
LARGEST_FILE = 2**28  # bytes of a recording
LARGEST_ALL = 2**32  # bytes of all recordings
# Speech in a zip takes half of its bytes, and one that is mostly silent a tenth; a decompression
# bomb of zeros takes a thousandth.
EXPANSION, SMALL_ZIP = 50, 2**22
LONGEST = 600  # seconds of a recording
EDGE = 0.02  # seconds of silence around a sound while its rate is changed


class Recordings(NamedTuple):
    """Sounds float32 (samples,), of RATE; labels int64 (n,), indices of names; voices (n,)."""

    sounds: list[np.ndarray]
    labels: np.ndarray
    voices: np.ndarray
    names: tuple[str, ...]


def read_recordings(path: str | os.PathLike) -> Recordings:
    """The recordings of a folder or a zip, in the order of their names, at RATE samples a second.

    If not all files are named label_speaker_index.wav, their folders are the labels, and each is of
    a voice of its own; those of Speech Commands name their speakers. Hidden files are left out.
    Nothing of a zip is unpacked to the disk, and it may expand to 50 times its size. DatasetError
    if there are no recordings, or for a damaged one.
    """
    path = Path(path).expanduser()
    found, total = [], 0
    for name, content in _files(path):
        total += len(content)
        if total > LARGEST_ALL:
            raise _error(path, f"at most {LARGEST_ALL} bytes of recordings", "more", "take fewer")
        x, rate = _parsed(content, f"{path}: {name}")
        if len(x) > LONGEST * rate:
            got = f"{len(x) / rate:.0f} s"
            raise _error(f"{path}: {name}", f"at most {LONGEST} s of sound", got, "cut it")
        found.append((PurePosixPath(name), at_rate(x, rate)))
    if not found:
        raise _error(path, "WAV files, or a zip of them", "none; found none", "check the path")
    found.sort(key=lambda each: (each[0].name, each[0]))
    texts, voices = zip(*_labels_and_voices(path, [name for name, _ in found]))
    names = tuple(sorted(set(texts)))
    index = {name: i for i, name in enumerate(names)}
    labels = np.array([index[text] for text in texts], np.int64)
    return Recordings([x for _, x in found], labels, np.array(voices), names)


def read_recording(path: str | os.PathLike) -> np.ndarray:
    """The samples float32 (n,), at RATE, of one sound file of any name, sample rate and channels.

    DatasetError if it is no such file, or has no samples.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DatasetError(f"{path}: expected a sound file, got nothing there; check its path")
    if path.stat().st_size > LARGEST_FILE:
        raise DatasetError(f"{path}: expected at most {LARGEST_FILE} bytes")
    x = at_rate(*_parsed(path.read_bytes(), str(path)))
    if not len(x):
        raise DatasetError(f"{path}: expected samples, got none; record it again")
    return x


def at_rate(x: np.ndarray, rate: int) -> np.ndarray:
    """Samples (n,) of another rate as float32 (round(n * RATE / rate),) of RATE.

    By Fourier coefficients, of which those beyond half of the lower rate are left out: tones there
    are below -85 dB, and tones of up to 3.9 kHz are exact to -75 dB (test_sound.py).
    """
    if rate == RATE or len(x) == 0:
        return np.asarray(x, np.float32)
    divisor = math.gcd(rate, RATE)
    up, down = RATE // divisor, rate // divisor
    edge = down * math.ceil(EDGE * rate / down)  # the end does not ring in the beginning
    blocks = math.ceil((len(x) + 2 * edge) / down)  # so that the rates' ratio is exact
    z = np.fft.rfft(np.pad(x, (edge, blocks * down - edge - len(x))))
    n = blocks * up
    z = z[: n // 2 + 1]
    if up < down and n % 2 == 0:
        z[-1] = 0  # half of RATE, whose phase is lost
    y = np.fft.irfft(z, n)[edge // down * up :][: max(1, round(len(x) * RATE / rate))]
    return (y * (up / down)).astype(np.float32)


def held_out(voices: Sequence[str]) -> np.ndarray:
    """bool (n,): the recordings for test, of every fifth voice; of one voice, every fifth."""
    every = sorted(set(voices))
    if len(every) == 1:
        return np.arange(len(voices)) % 5 == 0
    return np.isin(voices, every[::5])


def _labels_and_voices(path: Path, names: Sequence[PurePosixPath]) -> list[tuple[str, str]]:
    matches = [NAME.fullmatch(name.stem) for name in names]
    spoken = [SPEECH_COMMANDS.fullmatch(name.stem) for name in names]
    if all(matches) and not any(spoken):
        return [(match["label"], match["voice"]) for match in matches]
    if loose := [str(name) for name in names if name.parent.name == ""]:
        expected = "files named label_speaker_index.wav, or a folder for each label"
        raise _error(path, expected, repr(loose[0]), "rename it")
    voices = [match["voice"] if match else str(name) for match, name in zip(spoken, names)]
    return [(name.parent.name, voice) for name, voice in zip(names, voices)]


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name of each sound file, with / between folders, and its bytes."""
    try:
        if not path.is_dir():
            yield from _files_of_zip(path)
            return
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path)
            if _is_sound(name.as_posix()) and file.is_file():
                if (size := file.stat().st_size) > LARGEST_FILE:
                    raise _error(file, f"at most {LARGEST_FILE} bytes", str(size), "cut it")
                yield name.as_posix(), file.read_bytes()
    except OSError as error:
        got = error.strerror or str(error)
        raise _error(path, "a folder or a zip of WAV files", got, "check the path") from None


def _files_of_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    limit = EXPANSION * path.stat().st_size + SMALL_ZIP
    try:
        with zipfile.ZipFile(path) as archive:
            _check_number(len(archive.infolist()), path)
            for entry in archive.infolist():
                _check_entry(entry, path)
                with archive.open(entry) as file:  # compares both headers of all files
                    if not _is_sound(entry.filename):
                        continue
                    # The sizes may lie, so that what is read is bounded; the CRC is checked.
                    content = file.read(min(limit, LARGEST_FILE) + 1)
                limit -= len(content)
                if limit < 0 or len(content) > LARGEST_FILE:
                    got = f"{entry.filename!r}, with more"
                    expected = f"a zip that expands to at most {EXPANSION} times its size"
                    raise _error(path, expected, got, "unpack it, and name the folder")
                yield entry.filename, content
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, DatasetError):
            raise
        got = f"a damaged file: {error}"
        raise _error(path, "a folder or a zip of WAV files", got, "copy it again") from None


def _check_number(n: int, path: Path) -> None:
    """A damaged length in the directory of a zip can hide the entries after it from zipfile."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 2**16 - 22))
        _, end = file.read().rsplit(b"PK\5\6", 1)
    number = int.from_bytes(end[6:8], "little")
    if number not in (n % 2**16, 2**16 - 1):  # the last: it is in another record
        got = f"{n} files in its directory"
        raise _error(path, f"a zip of {number} files", got, "copy it again")


def _check_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    if entry.flag_bits & 1:
        got = f"{entry.filename!r}, encrypted"
    elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        got = f"{entry.filename!r}, of method {entry.compress_type}"
    else:
        return
    remedy = "unpack it, and name the folder"
    raise _error(path, "files that are stored or deflated", got, remedy)


def _is_sound(name: str) -> bool:
    """Whether the file is one of sound; hidden ones, and what macOS adds to a zip, are none."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
    return name.lower().endswith((".wav", *OTHERS)) and not hidden


def _parsed(content: bytes, name: str) -> tuple[np.ndarray, int]:
    if not name.lower().endswith(OTHERS):
        return parse_wav(content, name)
    try:
        import soundfile
    except ImportError:
        remedy = "pip install 'minigen[sound]', or save it as WAV"
        raise _error(name, "a WAV file", "another format", remedy) from None
    try:
        rate = soundfile.info(io.BytesIO(content)).samplerate
        x, _ = soundfile.read(
            io.BytesIO(content), LONGEST * rate + 1, dtype="float32", always_2d=True
        )
    except soundfile.LibsndfileError as error:
        raise _error(name, "a sound file", f"a damaged one: {error}", "save it as WAV") from None
    return x.mean(1), rate


def _error(path: Path | str, expected: str, got: str, remedy: str) -> DatasetError:
    return DatasetError(f"{path}: expected {expected}, got {got}; {remedy}")
