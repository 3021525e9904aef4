"""The sounds that --data names, for the examples on sound."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigen import tensor_files
from minigen.data import sound
from minigen.data.mnist_files import default_directory
from minigen.errors import DatasetError

SOUND_DATA = (
    "tones (no files needed), spoken_digits (a zip in the folder that MINIGEN_DATA names), or a "
    "folder or zip of label_speaker_index.wav"
)


FRAMES, BANDS, HOP = 64, 40, 80  # 0.64 s, in which 98 % of the spoken digits end
LONGEST = 128  # frames of a sound that is read: one long file would fill the memory for all
FLOOR = 1e-4  # of log_mel: 68 dB below the loudest band of a spoken digit
MIDDLE, HALF = -0.6, 3.4  # log_mel from -4 to 2.8, the 99.9th percentile of spoken digits
PEAK, QUIET = 0.7, 0.005  # of a sound that is written; beside that peak silence, -46 dB


class SoundSplits(NamedTuple):
    """Sounds float32 (samples,) of sound.RATE, labels int64 (n,), and the names of the classes."""

    train_x: list[np.ndarray]
    train_y: np.ndarray
    test_x: list[np.ndarray]
    test_y: np.ndarray
    names: tuple[str, ...]


def sound_data(name: str, seed: int = 0) -> SoundSplits:
    """The sounds of --data; those for test are of every fifth voice, which training never hears.

    The voices of tones are the makers of its instruments. DatasetError for what is no
    such data, or has no class with sounds for training and test.
    """
    if name == "tones":
        x, y, makers = sound.tones(2_400, seed)
        return _splits(x, y, sound.held_out(makers), sound.INSTRUMENTS)
    path = tensor_files.home_path(name)
    if name == "spoken_digits" and not path.exists():
        path = default_directory() / "spoken_digits" / "recordings.zip"
    if not path.exists():
        raise DatasetError(f"--data {name}: expected {SOUND_DATA}; got nothing at {path}")
    found = sound.read_recordings(path)
    test = sound.held_out(found.voices)
    if not set(found.labels[test]) <= set(found.labels[~test]) or not test.any():
        raise DatasetError(f"{path}: expected recordings of each class by voices for training")
    return _splits(found.sounds, found.labels, test, found.names)


def _splits(
    x: list[np.ndarray], y: np.ndarray, test: np.ndarray, names: tuple[str, ...]
) -> SoundSplits:
    part = lambda rows: ([x[i] for i in np.flatnonzero(rows)], y[rows])
    return SoundSplits(*part(~test), *part(test), names)


def spectrograms(sounds: Sequence[np.ndarray], frames: int = FRAMES) -> np.ndarray:
    """float32 (N, frames, BANDS), about in [-1, 1], of sounds (samples,) of any loudness.

    `log_mel` of each sound at a peak of 1; a longer one is cut, and silence follows a shorter one.
    """
    silence = np.float32((np.log10(FLOOR) - MIDDLE) / HALF)
    x = np.full((len(sounds), frames, BANDS), silence, np.float32)
    for row, each in zip(x, sounds):
        scaled = np.asarray(each, np.float32) / max(np.abs(each).max(initial=0), 1e-4)
        mel = sound.log_mel(scaled, BANDS, hop=HOP, floor=FLOOR)[:frames]
        row[: len(mel)] = (mel - MIDDLE) / HALF
    return x


def padded_spectrograms(sounds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`spectrograms` of the frames of the longest sound, and the frames of each, int64 (N,).

    Sounds are cut to LONGEST frames.
    """
    lengths = np.array([min(1 + len(each) // HOP, LONGEST) for each in sounds], np.int64)
    return spectrograms(sounds, lengths.max(initial=1)), lengths


def played(x: np.ndarray) -> list[np.ndarray]:
    """Sounds of `spectrograms` (N, frames, BANDS), at a peak of PEAK, without silence at the end.

    The phases are those of Griffin and Lim.
    """
    mel = np.maximum(x * np.float32(HALF) + np.float32(MIDDLE), np.float32(np.log10(FLOOR)))
    sounds = []
    for row in mel:  # one at a time: in less memory, and each the same whatever the others are
        y = sound.griffin_lim(sound.from_log_mel(row, floor=FLOOR), hop=HOP)
        y *= PEAK / max(np.abs(y).max(), 1e-4)
        audible = np.flatnonzero(np.abs(y) > PEAK * QUIET)
        sounds.append(y[: audible[-1] + 1] if len(audible) else y)
    return sounds
