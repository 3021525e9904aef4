"""The images that --data names, for the examples on images."""

from pathlib import Path

from minigen import data, tensor_files
from minigen.data.mnist_files import has_idx_files
from minigen.data.picture_files import NamedSplits
from minigen.errors import DatasetError
from minigen.training.flags import IMAGE_DATA


def image_data(name: str, seed: int = 0, min_classes: int = 0) -> NamedSplits:
    """(train_x, train_y, test_x, test_y, names) of --data.

    Images uint8 (N, 28, 28), labels int64 (N,), and the names of the classes, none for a folder of
    pictures without subfolders. Raises DatasetError if there are fewer than min_classes.
    """
    if name == "glyphs":
        images, labels = data.glyphs(12_000, seed)
        splits = images[:10_000], labels[:10_000], images[10_000:], labels[10_000:]
        return *splits, tuple(data.GLYPH_CLASSES)
    if name == "fashion_mnist":
        return *data.fashion_mnist(), data.FASHION_CLASSES
    if name == "mnist" or has_idx_files(name):
        splits = data.mnist() if name == "mnist" else data.mnist(name, download=False)
        train_y, test_y = splits[1], splits[3]
        if test_y.max() > train_y.max():
            raise DatasetError(
                f"{name}: expected test images of classes that the training images have, 0 to "
                f"{train_y.max()}, got class {test_y.max()}; name other IDX files"
            )
        return *splits, tuple(map(str, range(train_y.max() + 1)))
    path = tensor_files.home_path(name)
    if not path.is_dir():
        got = "a file" if path.exists() else "nothing of this name"
        raise DatasetError(f"--data {name}: expected {IMAGE_DATA}; got {got}. {_advice(path)}")
    print(f"reading the pictures in {path}", flush=True)  # minutes, if they are large or many
    splits = data.image_folder(path, seed=seed)
    train_x, _, test_x, _, names = splits
    if len(names) < min_classes:
        raise DatasetError(
            f"{name}: expected pictures in subfolders, one for each of at least {min_classes} "
            f"classes, got {len(names)} subfolders; name the folder that the subfolders are in"
        )
    found = f"{len(names)} classes, {len(train_x)} pictures for training, {len(test_x)} for test"
    print(f"{name}: {found}, as grey images of 28 x 28")
    return splits


def _advice(path: Path) -> str:
    """What to type instead of a path that is no folder of images."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return f"For a table: python examples/table.py --data {path}"
    if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz"):
        return "Unpack it, and name the folder"
    return "Name the folder that the pictures are in" if path.exists() else "Check the path"
