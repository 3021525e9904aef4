"""Recordings in a folder or a zip of sound files, named {label}_{speaker}_{index}.wav.

The layout of the Free Spoken Digit Dataset. WAV needs nothing; FLAC, OGG and MP3 need soundfile,
which the extra `sound` installs.
"""

import io
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigen.data.spectrograms import RATE
from minigen.data.wav_files import parse_wav
from minigen.errors import DatasetError

NAME = re.compile(r"(?P<label>[^_]+)_(?P<voice>.+)_[^_]+", re.DOTALL)
OTHERS = ".flac", ".ogg", ".mp3"  # which soundfile reads
LARGEST_FILE = 2**28  # bytes of a recording, of a zip's after expansion
LARGEST_ALL = 2**32  # bytes of all recordings


class Recordings(NamedTuple):
    """Sounds float32 (samples,), of RATE; labels int64 (n,), indices of names; voices (n,)."""

    sounds: list[np.ndarray]
    labels: np.ndarray
    voices: np.ndarray
    names: tuple[str, ...]


def read_recordings(path: str | os.PathLike) -> Recordings:
    """The recordings of a folder or a zip, in the order of their names, at RATE samples a second.

    Nothing of a zip is unpacked to the disk. DatasetError if there are none, or for a damaged one.
    """
    path = Path(path).expanduser()
    found, total = [], 0
    for name, content in _files(path):
        total += len(content)
        if total > LARGEST_ALL:
            raise DatasetError(f"{path}: expected at most {LARGEST_ALL} bytes of recordings")
        match = NAME.fullmatch(Path(name).stem)
        if match is None:
            raise DatasetError(
                f"{path}: expected files named label_speaker_index.wav, got {name!r}; rename it"
            )
        found.append((name, match, at_rate(*_parsed(content, f"{path}: {name}"))))
    if not found:
        raise DatasetError(f"{path}: expected WAV files, or a zip of them; found none")
    found.sort(key=lambda each: Path(each[0]).name)
    names = tuple(sorted({match["label"] for _, match, _ in found}))
    labels = [names.index(match["label"]) for _, match, _ in found]
    voices = np.array([match["voice"] for _, match, _ in found])
    return Recordings([x for *_, x in found], np.array(labels, np.int64), voices, names)


def at_rate(x: np.ndarray, rate: int) -> np.ndarray:
    """Samples (n,) of another rate as float32 of RATE, by their Fourier coefficients."""
    n = max(1, round(len(x) * RATE / rate))
    if rate == RATE or len(x) == 0:
        return x
    return (np.fft.irfft(np.fft.rfft(x)[: n // 2 + 1], n) * (n / len(x))).astype(np.float32)


def held_out(voices: Sequence[str]) -> np.ndarray:
    """bool (n,): the recordings for test, of every fifth voice; of one voice, every fifth."""
    every = sorted(set(voices))
    if len(every) == 1:
        return np.arange(len(voices)) % 5 == 0
    return np.isin(voices, every[::5])


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    endings = (".wav", *OTHERS)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in endings and file.is_file():
                if file.stat().st_size > LARGEST_FILE:
                    raise DatasetError(f"{file}: expected at most {LARGEST_FILE} bytes")
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.filename.lower().endswith(endings) or "__MACOSX" in entry.filename:
                    continue
                with archive.open(entry) as file:  # checks lengths and CRC; bounded, as it may lie
                    content = file.read(LARGEST_FILE + 1)
                if len(content) > LARGEST_FILE:
                    raise DatasetError(
                        f"{path}: expected at most {LARGEST_FILE} bytes in {entry.filename!r}"
                    )
                yield entry.filename, content
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise DatasetError(f"{path}: expected a folder or a zip of WAV files: {error}") from None
    except Exception as error:  # zlib.error, lzma.LZMAError and others that it lets through
        if isinstance(error, DatasetError | MemoryError):
            raise
        raise DatasetError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _parsed(content: bytes, name: str) -> tuple[np.ndarray, int]:
    if not name.lower().endswith(OTHERS):
        return parse_wav(content, name)
    try:
        import soundfile
    except ImportError:
        raise DatasetError(
            f"{name}: expected a WAV file; for others, pip install 'minigen[sound]'"
        ) from None
    try:
        x, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DatasetError(f"{name}: {error}") from None
    return x.mean(1), rate
