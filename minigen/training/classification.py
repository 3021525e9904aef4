"""Shared by the classifiers of images: logits of a test set, their score, and two figures."""

from collections.abc import Callable

import numpy as np

from minigen import figures, ops
from minigen.data.splitting import ranks_in_class
from minigen.errors import ShapeError
from minigen.gradients import no_grad
from minigen.random import Generator
from minigen.tensors import Tensor
from minigen.training.metrics import mean_interval
from minigen.training.results import Results

KEPT = 50  # test images of a run that its figures show
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


def balanced(labels: np.ndarray, n: int, rng: Generator) -> np.ndarray:
    """n random rows of labels (N,), sorted by class; the class sizes differ by at most one."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # by class, at random within it
    ranks = ranks_in_class(labels[order])
    return order[np.sort(np.argsort(ranks, kind="stable")[:n])]  # the lowest ranks


def draw_classes(run: Results, logits: np.ndarray) -> None:
    """Draw predictions.png and curves.png in the run's folder.

    predictions.png shows the kept "images", of which the logits are, with the predicted classes;
    those that are not their "labels" are red. curves.png shows loss and accuracy by epoch, on the
    training set and on the test set.
    """
    images, labels = run.kept["images"], run.kept["labels"]
    predicted = logits.argmax(1)
    wrong = predicted != labels
    short = [
        name if len(name) <= CAPTION else f"{name[: CAPTION - 1]}…" for name in run.kept["names"]
    ]
    wide = max(map(len, short)) > 2  # then the right name stands on a second line
    join = ",\nis " if wide else ", is "
    captions = [
        f"{short[p]}{join}{short[y]}" if w else short[p]
        for p, y, w in zip(predicted, labels, wrong)
    ]
    figures.captioned_images(run.path("predictions.png"), images / 255, captions, 10, wrong)
    figures.curves(
        run.path("curves.png"),
        [
            {"train": run.series("loss"), "test": run.series("test_loss")},
            {"train": run.series("train_accuracy"), "test": run.series("accuracy")},
        ],
        ylabels=["cross-entropy, nats", "accuracy, %"],
    )


def report_arms(run: Results, arms: tuple[str, str]) -> None:
    """Print and draw the mean accuracy of two arms and of their difference, with 95 % intervals.

    The rows of the run's history are trials, each with a "budget" and the accuracies of both arms.
    No effect before all trials, --seeds for each budget, have ended.
    """
    rows_of: dict[int, list] = {}
    for row in run.history:
        rows_of.setdefault(int(row["budget"]), []).append(row)
    if not rows_of or {len(rows) for rows in rows_of.values()} != {int(run.config["seeds"])}:
        return
    panels = {}
    print(f"{'labels':>6}  {'without, %':^13}  {'with, %':^13}  {'difference':^13}")
    for budget, rows in rows_of.items():
        values = [np.array([row[arm] for row in rows]) for arm in arms]  # (seeds,) each
        intervals = map(mean_interval, (*values, values[1] - values[0]))
        cells = [f"{mean:{sign}6.2f} ± {half:4.2f}" for sign, (mean, half) in zip("  +", intervals)]
        print(f"{budget:>6}  " + "  ".join(cells))
        panels[f"{budget} labelled images: {cells[-1].strip()}"] = dict(zip(arms, values))
    print(f"± is the 95 % confidence interval of the mean over {len(rows)} seeds (Student's t)")
    figures.paired_points(run.path("accuracy.png"), panels, "test accuracy, %", mean_interval)
