"""What the examples on text share: their data, windows of it, the loss over it, a sample.

A model here has loss(ids, targets) and generate(ids, length, ...), as GPT and CharLSTM do.
"""

from typing import Any

import numpy as np

from minigen import data
from minigen.backend.arrays import Array
from minigen.backend.devices import to_device
from minigen.errors import DatasetError
from minigen.gradients import no_grad
from minigen.random import Generator

TEXT_DATA = "reference (Python's language reference, no files needed) or a text file"
TRAINING_SHARE = 0.9  # of the characters, the first; the rest is to test on


def text_data(name: str, context: int) -> tuple[data.Vocabulary, np.ndarray, np.ndarray]:
    """The vocabulary of --data, and its ids (T,) to train on and to test on."""
    content = data.text(None if name == "reference" else name)
    vocabulary = data.Vocabulary(content)
    ids = vocabulary.encode(content)
    train, test = np.split(ids, [int(TRAINING_SHARE * len(ids))])
    if len(test) <= context:
        raise DatasetError(f"{name}: {len(ids)} characters; take a longer text, 10 contexts")
    return vocabulary, train, test


def windows(
    ids: np.ndarray, starts: np.ndarray, context: int, device: str = "cpu"
) -> tuple[Array, Array]:
    """The ids from each start, (B, context), and those that follow each of them."""
    rows = to_device(ids[starts[:, None] + np.arange(context + 1)], device)
    return rows[:, :-1], rows[:, 1:]


@no_grad()
def text_loss(model: Any, ids: np.ndarray, context: int, device: str = "cpu") -> float:
    """The mean loss over the windows of ids side by side, in nats a character."""
    training, total = model.training, 0.0
    starts = np.arange(0, len(ids) - context, context)
    model.eval()
    for some in data.DataLoader(starts, batch_size=50):
        total += model.loss(*windows(ids, some, context, device)).item() * len(some)
    model.train(training)
    return total / len(starts)


def sample_text(
    model: Any,
    vocabulary: data.Vocabulary,
    length: int,
    rng: Generator,
    device: str = "cpu",
    temperature: float = 0.8,
) -> str:
    """What the model writes after a line break."""
    first = vocabulary.encode("\n" if "\n" in vocabulary.characters else vocabulary.characters[0])
    start = to_device(first[None], device)  # (1, 1)
    ids = model.generate(start, length, temperature=temperature, rng=rng)
    return vocabulary.decode(ids[0]).strip("\n")
