"""Pictures in folders, one folder for each class: PNG and JPEG files as arrays of one size.

A file may be damaged or hostile: its size and the number of its pixels are compared with limits
before it is decoded, and the sum of all arrays before the first file is opened.
"""

import os
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigen.data.splitting import held_out
from minigen.errors import DatasetError
from minigen.random import Generator

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
OTHER_PICTURES = (  # are refused by name, since leaving them out would not be noticed
    *(".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif", ".svg", ".ppm", ".pgm"),
    *(".jp2", ".jxl", ".ico", ".tga", ".psd", ".npy", ".npz"),
)
TRAINING, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
THREADS = min(os.cpu_count() or 1, 2)  # working memory is proportional to it
MAX_FILE_BYTES = 2**27  # larger than any photograph of max_pixels
# A photograph has 5 to 20 pixels a byte; a decompression bomb of zeros has thousands.
PIXELS_PER_BYTE, SMALL_PICTURE = 100, 2**24

# train_x, train_y, test_x, test_y, and the names of the classes
NamedSplits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]


class Listing(NamedTuple):
    """The pictures below a folder, the class of each, and the names of the classes."""

    paths: list[Path]
    labels: list[int]
    names: tuple[str, ...]


def image_folder(
    directory: str | os.PathLike,
    size: tuple[int, int] = (28, 28),
    *,
    colour: bool = False,
    test_fraction: float = 0.2,
    seed: int = 0,
    max_pixels: int = 2**26,
    max_bytes: int = 2**30,
) -> NamedSplits:
    """PNG and JPEG files below a folder: train_x, train_y, test_x, test_y, and the class names.

    Each subfolder is a class, with all pictures below it; names are sorted. Without subfolders
    there are no names, and labels are 0. Images are uint8 (N, *size), with colour (N, *size, 3),
    stretched to height and width `size`; transparent pixels are white. `test_fraction` of each
    class is held out, at random by `seed`, unless the subfolders are called train and test (or
    val). Hidden files and files that are no pictures are left out. Raises DatasetError.
    """
    height, width = size
    if min(height, width) < 1:
        raise ValueError(f"image_folder: size must be (height, width), at least 1, got {size}")
    root = Path(os.path.expanduser(directory))
    if not root.is_dir():
        raise _error(root, "a folder of pictures", "no folder", "check the path")
    train, test = _listings(root)
    shape = (height, width, 3) if colour else (height, width)
    n = len(train.paths) + (len(test.paths) if test else 0)
    if n * height * width * (3 if colour else 1) > max_bytes:
        got = f"{n} pictures of {height} x {width}"
        raise _error(root, f"at most max_bytes={max_bytes}", got, "take fewer, or a smaller size")
    labels = np.array(train.labels, np.int64)
    rng = Generator(seed)
    if test is None:
        train_rows, test_rows = held_out(labels, test_fraction, rng)
        test = _rows(train, test_rows)
    else:
        train_rows = rng.permutation(len(labels))
        test = _rows(test, rng.permutation(len(test.paths)))
    if not test.paths:
        expected = "a class of at least two pictures, since some are held out for the test"
        raise _error(root, expected, f"{n} in {max(len(train.names), 1)} classes", "add pictures")
    train = _rows(train, train_rows)
    images = _decoded([*train.paths, *test.paths], shape, max_pixels)
    split = len(train.paths)
    y, test_y = np.array(train.labels, np.int64), np.array(test.labels, np.int64)
    return images[:split], y, images[split:], test_y, train.names


def _error(path: Path, expected: object, got: object, remedy: str) -> DatasetError:
    return DatasetError(f"{path}: expected {expected}, got {got}; {remedy}")


def _rows(listing: Listing, rows: np.ndarray) -> Listing:
    paths, labels = ([values[i] for i in rows] for values in listing[:2])
    return listing._replace(paths=paths, labels=labels)


# ------------------------------------------------------------------------------ which files


def _listings(root: Path) -> tuple[Listing, Listing | None]:
    """The pictures for training and for the test; None for the test if it is to be drawn."""
    folders = {path.name.lower(): path for path in _entries(root) if path.is_dir()}
    train = next((folders[name] for name in TRAINING if name in folders), None)
    if train is None or not folders.keys() <= {*TRAINING, *TEST}:
        return _classes(root), None
    test = next((folders[name] for name in TEST if name in folders), None)
    if test is None:
        return _classes(train), None
    first, second = _classes(train), _classes(test)
    if unknown := sorted(set(second.names) - set(first.names)):
        raise _error(test, f"the classes of {train}", unknown[0], "give both the same subfolders")
    if bool(second.names) != bool(first.names):
        raise _error(test, f"subfolders as {train} has", "none", "give both the same subfolders")
    numbers = [first.names.index(name) for name in second.names] or [0]
    return first, second._replace(labels=[numbers[i] for i in second.labels])


def _classes(root: Path) -> Listing:
    """The pictures of the subfolders, a class each, or those of a folder without subfolders."""
    entries = _entries(root)
    folders = [path for path in entries if path.is_dir()]
    loose = [path for path in entries if _is_picture(path)]
    if not folders:
        if not loose:
            expected = f"pictures ({', '.join(SUFFIXES)}), or subfolders of them, one for a class"
            raise _error(root, expected, "none", "check the path")
        return Listing(loose, [0] * len(loose), ())
    if loose:
        expected = "only subfolders, one for each class"
        raise _error(root, expected, f"{loose[0].name} beside them", "move it into its class")
    paths, labels = [], []
    for label, folder in enumerate(folders):
        found = _below(folder, (root.resolve(),))
        if not found:
            expected = f"pictures ({', '.join(SUFFIXES)}) of the class"
            raise _error(folder, expected, "none", "add some, or remove the folder")
        paths += found
        labels += [label] * len(found)
    # A name that is no Unicode could not be printed.
    names = tuple(os.fsencode(path.name).decode("utf-8", "replace") for path in folders)
    return Listing(paths, labels, names)


def _below(folder: Path, parents: tuple[Path, ...]) -> list[Path]:
    """The pictures in a folder and its subfolders, sorted; links are followed, but not in circles.

    `parents` are the folders above it, without links.
    """
    resolved, found = folder.resolve(), []
    if resolved in parents:
        return []
    for path in _entries(folder):
        if path.is_dir():
            found += _below(path, (*parents, resolved))
        elif _is_picture(path):
            found.append(path)
    return found


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name, without hidden files and those that macOS adds."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise _error(folder, "a readable folder", error, "check its permissions") from error
    return [folder / name for name in names if not name.startswith((".", "__MACOSX"))]


def _is_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in OTHER_PICTURES:
        raise _error(path, "PNG or JPEG", suffix, "convert the file, or remove it")
    return suffix in SUFFIXES


# ------------------------------------------------------------------------------ their pixels


def _decoded(paths: list[Path], shape: tuple[int, ...], max_pixels: int) -> np.ndarray:
    """The pixels of all files, uint8 (N, *shape)."""
    images = np.empty((len(paths), *shape), np.uint8)
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")  # Pillow's, of what is checked or harmless here
        for i, pixels in enumerate(pool.map(lambda path: _read(path, shape, max_pixels), paths)):
            images[i] = pixels
    return images


def _read(path: Path, shape: tuple[int, ...], max_pixels: int) -> np.ndarray:
    """The pixels of one file, uint8 of that shape."""
    from PIL import Image

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end
            raise OSError("no regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise OSError(f"{status.st_size} bytes, more than {MAX_FILE_BYTES}")
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            n = image.width * image.height
            if n > max_pixels or n > max(SMALL_PICTURE, PIXELS_PER_BYTE * status.st_size):
                got = f"{image.width} x {image.height} pixels in {status.st_size} bytes"
                raise OSError(f"{got}, where max_pixels={max_pixels} and {PIXELS_PER_BYTE} a byte")
            if image.format == "PNG":
                image.verify()  # the checksums of all parts; the file must then be opened again
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            height, width = shape[:2]
            image.draft(None, (8 * width, 8 * height))  # a large JPEG is decoded at 1/2, 1/4, 1/8
            return np.asarray(
                _upright(image, len(shape) == 3).resize((width, height), Image.BILINEAR)
            )
    except Exception as error:  # Pillow's errors about damaged files have no common class
        got = f"{type(error).__name__}: {error}"
        raise _error(path, "a whole PNG or JPEG file", got, "replace or remove it") from error


def _upright(image: Any, colour: bool) -> Any:
    """The image as a camera held it, without transparency, in grey or in RGB."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would clip to 255
        image = Image.fromarray(((np.asarray(image, np.int32) + 128) // 257).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image.convert("RGB" if colour else "L")
