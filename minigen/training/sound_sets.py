"""The sounds that --data names, for the examples on sound."""

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


class SoundSplits(NamedTuple):
    """Sounds float32 (samples,) of sound.RATE, labels int64 (n,), and the names of the classes."""

    train_x: list[np.ndarray]
    train_y: np.ndarray
    test_x: list[np.ndarray]
    test_y: np.ndarray
    names: tuple[str, ...]


def sound_data(name: str, seed: int = 0) -> SoundSplits:
    """The sounds of --data; those for test are of every fifth voice, which training never hears.

    DatasetError for what is no such data, or has no class with sounds for training and test.
    """
    if name == "tones":
        x, y = sound.tones(2_400, seed)
        return SoundSplits(x[:2_000], y[:2_000], x[2_000:], y[2_000:], sound.INSTRUMENTS)
    path = tensor_files.home_path(name)
    if name == "spoken_digits" and not path.exists():
        path = default_directory() / "spoken_digits" / "recordings.zip"
    if not path.exists():
        raise DatasetError(f"--data {name}: expected {SOUND_DATA}; got nothing at {path}")
    found = sound.read_recordings(path)
    test = sound.held_out(found.voices)
    if not set(found.labels[test]) <= set(found.labels[~test]) or not test.any():
        raise DatasetError(f"{path}: expected recordings of each class by voices for training")
    part = lambda rows: ([found.sounds[i] for i in np.flatnonzero(rows)], found.labels[rows])
    return SoundSplits(*part(~test), *part(test), found.names)
