"""What the classifiers of images share: logits of a test set, their score, and two figures."""

from collections.abc import Callable

import numpy as np

from minigen import figures, ops
from minigen.data import GLYPH_CLASSES
from minigen.errors import ShapeError
from minigen.gradients import no_grad
from minigen.tensors import Tensor
from minigen.training.run import Run


@no_grad()
def predict(
    model: Callable[[np.ndarray], Tensor], images: np.ndarray, batch_size: int = 250
) -> np.ndarray:
    """What model makes of all images, a batch at a time to bound the memory, without a graph."""
    starts = range(0, len(images), batch_size)
    return np.concatenate([model(images[i : i + batch_size]).numpy() for i in starts])


def score(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Test loss in nats and accuracy in per cent, of logits (N, classes) and labels (N,)."""
    if len(logits) != len(labels):
        raise ShapeError(f"score: logits are of {len(logits)} images, labels of {len(labels)}")
    right = (logits.argmax(1) == labels).mean()
    return {"test_loss": float(ops.cross_entropy(logits, labels)), "accuracy": 100 * float(right)}


def draw(
    run: Run, logits: np.ndarray, images: np.ndarray, labels: np.ndarray, shown: int = 50
) -> None:
    """predictions.png: the first images, the class read under each, in red where it is wrong;
    and curves.png: the run's loss and train_accuracy beside the score of the test set."""
    found = logits[:shown].argmax(1)
    wrong = found != labels[:shown]
    name = GLYPH_CLASSES.__getitem__
    captions = [
        f"{name(p)}, is {name(y)}" if w else name(p) for p, y, w in zip(found, labels, wrong)
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
