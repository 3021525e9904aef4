"""Shared by the classifiers of images: logits of a test set, their score, and two figures."""

from collections.abc import Callable, Sequence

import numpy as np

from minigen import figures, ops
from minigen.errors import ShapeError
from minigen.gradients import no_grad
from minigen.tensors import Tensor
from minigen.training.run import Run

CAPTION = 9  # characters that fit below an image


@no_grad()
def predict(
    model: Callable[[np.ndarray], Tensor], images: np.ndarray, batch_size: int = 250
) -> np.ndarray:
    """The model's output for all images, without a graph; in batches, to bound the memory."""
    starts = range(0, len(images), batch_size)
    return np.concatenate([model(images[i : i + batch_size]).numpy() for i in starts])


def score(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean cross-entropy in nats and accuracy in per cent of logits (N, classes), labels (N,)."""
    if len(logits) != len(labels):
        raise ShapeError(f"score: logits are of {len(logits)} images, labels of {len(labels)}")
    accuracy = 100 * float((logits.argmax(1) == labels).mean())
    return {"test_loss": float(ops.cross_entropy(logits, labels)), "accuracy": accuracy}


def draw(
    run: Run,
    logits: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    shown: int = 50,
) -> None:
    """Draw predictions.png and curves.png in the run's folder.

    predictions.png shows the first images with the predicted classes, wrong ones in red;
    curves.png shows loss and accuracy by epoch, on the training set and on the test set.
    """
    predicted = logits[:shown].argmax(1)
    wrong = predicted != labels[:shown]
    short = [name if len(name) <= CAPTION else f"{name[: CAPTION - 1]}…" for name in names]
    wide = max(map(len, short)) > 2  # then the right name stands on a second line
    join = ",\nis " if wide else ", is "
    captions = [
        f"{short[p]}{join}{short[y]}" if w else short[p]
        for p, y, w in zip(predicted, labels, wrong)
    ]
    figures.captioned_images(run.out / "predictions.png", images[:shown] / 255, captions, 10, wrong)
    figures.curves(
        run.out / "curves.png",
        [
            {"train": run.series("loss"), "test": run.series("test_loss")},
            {"train": run.series("train_accuracy"), "test": run.series("accuracy")},
        ],
        ylabels=["cross-entropy, nats", "accuracy, %"],
    )
