"""Sounds, read by a recogniser that examples/speech.py has trained: of files, or generated.

Generated ones are judged from their samples, as written: the spectrogram is computed again.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigen.backend.devices import resolve_device
from minigen.creation import tensor
from minigen.data import sound
from minigen.errors import CheckpointError
from minigen.gradients import no_grad
from minigen.nn import Module
from minigen.ops import softmax
from minigen.training import checkpoint
from minigen.training.results import SavedRun
from minigen.training.sound_sets import HALF, PEAK, QUIET, padded_spectrograms, spectrograms

PART = 100  # sounds that are read together
SOFT, GAP, MARGIN = 0.02, 0.25, 0.05  # of the peak; seconds; within a word, stops last up to 0.15 s


def load_recogniser(path: Path, data: str, classes: int, device: str) -> Module:
    """The recogniser that examples/speech.py saved at path.

    CheckpointError if it was trained on other data than --data, or has other classes.
    """
    judge = SavedRun(path, device)
    found = [judge.config.get(name, "") for name in ("example", "data")]
    if found != ["speech", data] or judge.model.classes != classes:
        raise CheckpointError(
            f"{path} is of {' on '.join(found)}, not of speech on {data}: train one by `python "
            f"examples/speech.py --data {data} --out DIR` for --judge DIR/{checkpoint.NAME}"
        )
    return judge.model


@no_grad()
def logits_of_sounds(judge: Module, sounds: Sequence[np.ndarray], device: str) -> np.ndarray:
    """The logits (N, classes) of a recogniser, in its mode, of sounds (samples,)."""
    parts = [padded_spectrograms(sounds[i : i + PART]) for i in range(0, len(sounds), PART)]
    return np.concatenate([judge(tensor(x).to(device), n).numpy() for x, n in parts])


def read_sounds(judge: Module, sounds: Sequence[np.ndarray], device: str) -> np.ndarray:
    """The classes (N,) that the recogniser reads from sounds (samples,)."""
    return logits_of_sounds(judge, sounds, device).argmax(1)


def transcribe(path: Path, files: Sequence[Path], device: str | None = None) -> None:
    """Print what the run of examples/speech.py at path reads from each file, of any sample rate.

    The three most probable classes, in a line for each of its `spoken_parts`. CheckpointError for
    another example's run, DatasetError for what is no sound; then nothing is printed.
    """
    run = SavedRun(path, resolve_device(device))
    if run.config.get("example") != "speech":
        raise CheckpointError(
            f"{path} is a run of {run.config.get('example')}, which reads no sounds: name that of "
            "examples/speech.py by --out"
        )
    parts = [(file, *part) for file in files for part in spoken_parts(sound.read_recording(file))]
    logits = logits_of_sounds(run.model, [x for *_, x in parts], run.device)
    names = run.kept["names"].split("\n")
    for (file, start, _), row in zip(parts, softmax(logits.astype(np.float64), 1)):
        first = [f"{names[i]} ({100 * row[i]:.1f} %)" for i in np.argsort(-row)[:3]]
        print(f"{file}, {start / sound.RATE:.2f} s: {', '.join(first)}")


def spoken_parts(x: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The parts of a recording (samples,) between silences of GAP seconds, each with its start.

    Silence is below SOFT of the peak; parts keep MARGIN seconds of it on both sides.
    """
    audible = np.flatnonzero(np.abs(x) > SOFT * np.abs(x).max())
    if not len(audible):
        return [(0, x)]
    breaks = np.flatnonzero(np.diff(audible) > GAP * sound.RATE)
    margin = int(MARGIN * sound.RATE)
    starts = np.maximum(audible[[0, *(breaks + 1)]] - margin, 0)
    ends = audible[[*breaks, -1]] + 1 + margin
    return [(int(start), x[start:end]) for start, end in zip(starts, ends)]


def report_sounds(
    judge: Module,
    sounds: Sequence[np.ndarray],
    labels: np.ndarray,
    train_x: Sequence[np.ndarray],
    test_x: Sequence[np.ndarray],
    test_y: np.ndarray,
    names: Sequence[str],
    device: str,
) -> dict[str, float]:
    """Print how generated sounds of the classes `labels` compare with real ones; some measures.

    What the recogniser reads, the level, the share of silence, and the distance in dB to the
    nearest sound of the training set (a copy has almost none), each beside that of test sounds.
    """
    found = {}
    for words, x, y in (("generated", sounds, labels), ("real", test_x, test_y)):
        right = read_sounds(judge, x, device) == y
        shares = [100 * right[y == i].mean() for i in range(len(names)) if (y == i).any()]
        print(f"{words} sounds, read right: {100 * right.mean():.1f} %; by class: ", end="")
        print("  ".join(f"{name} {share:.0f}" for name, share in zip(names, shares)))
        scaled = [each * (PEAK / max(np.abs(each).max(), 1e-4)) for each in x]
        power = np.mean([10 * np.log10(np.mean(each**2) + 1e-9) for each in scaled])
        silence = 100 * np.mean([np.mean(np.abs(each) < PEAK * QUIET) for each in scaled])
        near = nearest(spectrograms(x), spectrograms(train_x))
        print(
            f"  level {power:.1f} dB at a peak of {PEAK}, samples in silence {silence:.1f} %, "
            f"to the nearest sound of training {near.mean():.2f} dB, {near.min():.2f} at least"
        )
        found[words] = 100 * float(right.mean())
        found[f"{words}, classes of 80 %"] = float(np.sum(np.array(shares) >= 80))
    return found


def nearest(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The root mean square difference in dB of each spectrogram (N, ...) to the nearest other."""
    x, others = (a.reshape(len(a), -1).astype(np.float64) for a in (x, others))
    squares = (x**2).sum(1)[:, None] - 2 * x @ others.T + (others**2).sum(1)
    return 10 * HALF * np.sqrt(np.maximum(squares.min(1), 0) / x.shape[1])
