"""Shared by the examples on text: data, windows of it, the test loss, and samples.

The model of these functions has loss(ids, targets) and generate(ids, length, ...), as GPT and
CharLSTM have.
"""

from typing import Any

import numpy as np

from minigen import console, data
from minigen.backend.arrays import Array
from minigen.backend.devices import to_device
from minigen.errors import DatasetError
from minigen.gradients import no_grad
from minigen.nn import evaluation
from minigen.random import Generator
from minigen.training.results import Results

TEXT_DATA = "reference (Python's language reference, no files needed) or a text file"
TRAINING_FRACTION = 0.9  # of the characters, from the first on; the rest is the test set


def text_data(name: str, context: int) -> tuple[data.Vocabulary, np.ndarray, np.ndarray]:
    """The vocabulary of --data, and the ids (T,) of its training part and of its test part."""
    content = data.text(None if name == "reference" else name)
    vocabulary = data.Vocabulary(content)
    ids = vocabulary.encode(content)
    train, test = np.split(ids, [int(TRAINING_FRACTION * len(ids))])
    if len(test) <= context:
        raise DatasetError(f"{name}: {len(ids)} characters; take a longer text, 10 contexts")
    return vocabulary, train, test


def windows(
    ids: np.ndarray, starts: np.ndarray, context: int, device: str = "cpu"
) -> tuple[Array, Array]:
    """The windows (B, context) of ids (T,) at starts (B,), and their targets, the next ids."""
    rows = to_device(ids[starts[:, None] + np.arange(context + 1)], device)  # (B, context + 1)
    return rows[:, :-1], rows[:, 1:]


@no_grad()
def text_loss(model: Any, ids: np.ndarray, context: int, device: str = "cpu") -> float:
    """The mean loss over consecutive windows of ids, in nats a character, without dropout."""
    total = 0.0
    starts = np.arange(0, len(ids) - context, context)
    with evaluation(model):
        for batch in data.DataLoader(starts, batch_size=50):
            total += model.loss(*windows(ids, batch, context, device)).item() * len(batch)
    return total / len(starts)


def sample_text(
    model: Any,
    vocabulary: data.Vocabulary,
    length: int,
    rng: Generator,
    device: str = "cpu",
    temperature: float = 0.8,
) -> str:
    """A text of `length` characters, sampled from the model after a line break."""
    first = vocabulary.encode("\n" if "\n" in vocabulary.characters else vocabulary.characters[0])
    start = to_device(first[None], device)  # (1, 1)
    ids = model.generate(start, length, temperature=temperature, rng=rng)
    return vocabulary.decode(ids[0]).strip("\n")


def draw_text(run: Results, length: int) -> None:
    """Write sample.txt in the run's folder, a text by its model, and print it."""
    vocabulary = data.Vocabulary(run.kept["vocabulary"])
    rng = run.generator(int(run.config["seed"]))
    sample = sample_text(run.model, vocabulary, length, rng, run.device)
    run.path("sample.txt").write_text(sample + "\n", encoding="utf-8")
    console.say(f"\n{sample}\n")
