"""MNIST (LeCun, Cortes, Burges 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigen.data.download import download as fetch
from minigen.data.idx_files import file_error, read_idx
from minigen.errors import DatasetError

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CLASSES = 10
FASHION_CLASSES = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)

Splits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Source(NamedTuple):
    """The mirrors and checksums of a data set: four gzipped IDX files, in the order of NAMES."""

    title: str
    folder: str
    mirrors: tuple[str, ...]
    files: tuple[tuple[int, str], ...]  # size in bytes and SHA-256 of each .gz
    first_labels: tuple[int, ...]  # of the training set; they distinguish the data sets


MNIST = Source(
    title="MNIST",
    folder="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files=(
        (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    first_labels=(5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
)
FASHION = Source(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    files=(
        (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    first_labels=(9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
)


def mnist(directory: str | os.PathLike | None = None, download: bool = True) -> Splits:
    """Handwritten digits: train_x, train_y, test_x, test_y; images uint8 (N, 28, 28), labels int64.

    Reads the four IDX files, plain or .gz, from `directory/mnist` or from the directory itself;
    missing files are downloaded to `directory/mnist`. The default directory is the one that the
    environment variable MINIGEN_DATA names, else the user's cache. Raises DatasetError.
    """
    return load(MNIST, directory, download)


def fashion_mnist(directory: str | os.PathLike | None = None, download: bool = True) -> Splits:
    """Articles of clothing, with the arguments and results of `mnist`; folder `fashion-mnist`."""
    return load(FASHION, directory, download)


def load(source: Source, directory: str | os.PathLike | None, download: bool) -> Splits:
    """The four arrays of a source, read from the directory or downloaded from the mirrors."""
    directory = default_directory() if directory is None else Path(os.path.expanduser(directory))
    folder = directory / source.folder
    for candidate in (folder, directory):
        if all(_find(candidate, name) for name in NAMES):
            folder = candidate
            break
    else:
        _fetch_missing(source, folder, download)
    train_x, train_y, test_x, test_y = (_find(folder, name) for name in NAMES)
    splits = (*_read_split(train_x, train_y), *_read_split(test_x, test_y))
    for other in {MNIST, FASHION} - {source}:  # both come in files of the same names
        if tuple(splits[1][:10]) == other.first_labels:
            raise file_error(train_y, f"labels of {source.title}", f"those of {other.title}")
    return splits


def has_idx_files(directory: str | os.PathLike) -> bool:
    """Whether a directory, or its subfolder mnist, has one of the four IDX files."""
    root = Path(os.path.expanduser(directory))
    return any(_find(folder, name) for folder in (root, root / MNIST.folder) for name in NAMES)


def default_directory() -> Path:
    """The directory that MINIGEN_DATA names, else `minigen` in the user's cache."""
    named = os.environ.get("MINIGEN_DATA")
    if named:
        return Path(os.path.expanduser(named))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minigen"


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if os.path.isfile(path)), None)


def _fetch_missing(source: Source, folder: Path, download: bool) -> None:
    """Download those of the four files that the folder lacks."""
    missing = [i for i, name in enumerate(NAMES) if not _find(folder, name)]
    try:
        if not download:
            raise DatasetError("download=False forbids to fetch them")
        for i in missing:
            name = f"{NAMES[i]}.gz"
            size, sha256 = source.files[i]
            urls = [mirror + name for mirror in source.mirrors]
            fetch(urls, folder / name, size=size, sha256=sha256)
    except DatasetError as error:
        raise DatasetError(
            f"{source.title} is not complete in {folder}: expected "
            f"{', '.join(NAMES)} (each plain or .gz), and {error}\n"
            f"Put these files into {folder}, name a directory that has them in MINIGEN_DATA, or "
            "run again online with download=True. minigen.data.glyphs (in the examples: "
            "--data glyphs) needs no network."
        ) from error


def _read_split(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and their labels (N,), checked against each other."""
    images = read_idx(images_path, 3)
    if images.shape[1:] != (28, 28) or not len(images):
        raise file_error(images_path, "images of shape (N, 28, 28)", f"{images.shape}")
    labels = read_idx(labels_path, 1)
    if len(labels) != len(images):
        expected = f"{len(images)} labels, one for each image of {images_path.name}"
        raise file_error(labels_path, expected, len(labels))
    wrong = np.flatnonzero(labels >= CLASSES)
    if len(wrong):
        got = f"{labels[wrong[0]]} at position {wrong[0]}"
        raise file_error(labels_path, f"labels in [0, {CLASSES})", got)
    return images, labels.astype(np.int64)
