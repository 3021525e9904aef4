"""Generated images, judged by a classifier that examples/cnn.py has trained on the same data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigen import tensor_files
from minigen.creation import tensor
from minigen.errors import CheckpointError
from minigen.models import CNN
from minigen.training import checkpoint
from minigen.training.classification import predict
from minigen.training.metrics import frechet_distance, near_copies, precision_recall
from minigen.training.results import SavedRun


def load_judge(path: Path, data: str, classes: int, device: str) -> CNN | None:
    """The classifier that examples/cnn.py saved at path; None, with a message, if there is none.

    CheckpointError if it was trained on other data than --data, or has other classes.
    """
    train = f"train one by `python examples/cnn.py --data {data} --out DIR` for --judge "
    train += f"DIR/{checkpoint.NAME}"
    if not tensor_files.home_path(path).exists():
        print(f"no judge at {path}: {train}, also later, with --resume")
        return None
    judge = SavedRun(path, device)
    found = [judge.config.get(name, "") for name in ("example", "data")]
    if found != ["cnn", data] or len(judge.model.head.bias) != classes:
        raise CheckpointError(f"{path} is of {' on '.join(found)}, not of cnn on {data}: {train}")
    return judge.model


def report_samples(
    judge: CNN,
    samples: np.ndarray,
    train_x: np.ndarray,
    test_x: np.ndarray,
    names: Sequence[str],
    device: str,
    labels: np.ndarray | None = None,
) -> dict[str, float]:
    """Print how generated images compare with test images; returns the measures.

    samples (N, 28, 28) are in [0, 1], train_x and test_x uint8; names are those of the judge's
    classes, and labels (N,) the classes that were asked for. Each measure stands beside that of as
    many training images, the best that a generator can hope for; of near copies beside that of test
    images.
    """
    as_tensor = lambda x: tensor(x.astype(np.float32), device=device)
    features = lambda images: predict(lambda x: judge.features(as_tensor(x[:, None])), images)
    real = train_x[: len(test_x)] / 255
    fake, train, test = map(features, (samples, real, test_x / 255))  # (N, hidden) each
    classes = predict(lambda x: judge.head(as_tensor(x)), fake).argmax(1)
    percent = 100 * np.bincount(classes, minlength=len(names)) / len(samples)
    print(f"per cent of {len(samples)} samples in each class, {percent.min():.2f} at least:")
    cells = [f"{name} {value:4.1f}" for name, value in zip(names, percent)]
    print("\n".join("  ".join(cells[i : i + 12]) for i in range(0, len(cells), 12)))
    found, floor = {}, {}
    for result, x in ((found, fake), (floor, train)):
        result["Frechet distance to test images"] = frechet_distance(x, test)
        shares = precision_recall(x, test)
        result["precision, %"], result["recall, %"] = (100 * share for share in shares)
    for result, images in ((found, samples), (floor, test_x / 255)):
        result["near copies of training images, %"] = 100 * near_copies(images, train_x / 255)
    for key, value in found.items():
        of = "test" if key.startswith("near") else "training"
        print(f"{key}: {value:.1f}; that of {of} images: {floor[key]:.1f}")
    if labels is not None:
        found["class asked for, %"] = 100 * float((classes == labels).mean())
        print(f"of the class that was asked for: {found['class asked for, %']:.1f} %")
    return {**found, "smallest class, %": float(percent.min())}
