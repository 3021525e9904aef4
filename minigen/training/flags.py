"""The flags of every example, the images that --data names, and errors without a traceback."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minigen import data
from minigen.errors import BackendUnavailable, CheckpointError, DatasetError

IMAGE_DATA = "glyphs (no files needed), mnist, fashion_mnist or a folder with IDX files"
MIN_TEST_IMAGES = 50  # the largest number that a figure shows
USER_ERRORS = (  # whose causes are the user's files, flags, memory, disk or permissions
    *(BackendUnavailable, CheckpointError, DatasetError, FloatingPointError),
    *(MemoryError, OSError),
)


def argument_parser(
    doc: str, *, out: str, epochs: int | str, data: str = "glyphs", data_help: str = IMAGE_DATA
) -> argparse.ArgumentParser:
    """A parser with the flags of every example, to which an example adds its own.

    out, epochs and data are the defaults of these flags, and data_help is the help of --data. If
    epochs is a string, it describes the default in words, and args.epochs is None by default.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=_DefaultsInHelp)
    add = parser.add_argument
    add("--data", default=data, help=data_help)
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--seed", type=_seed, default=0, help="of everything random")
    words = f"; default {epochs}" if isinstance(epochs, str) else ""
    default_epochs = None if words else epochs
    add("--epochs", type=positive_int, default=default_epochs, help=f"passes over the data{words}")
    add("--out", type=Path, default=Path(out), help="folder for results")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    add("--max-seconds", type=nonnegative_float, default=math.inf, help="save and stop then")
    return parser


class _DefaultsInHelp(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description and adds the default to the help of each flag."""

    def _get_help_string(self, action: argparse.Action) -> str:
        has_default = action.default not in (None, False, math.inf, argparse.SUPPRESS)
        return f"{action.help}; default %(default)s" if has_default else action.help


def positive_int(text: str) -> int:
    """A flag's text as an integer >= 1, for argparse's `type`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def nonnegative_float(text: str) -> float:
    """A flag's text as a number >= 0, for argparse's `type`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text}")
    return value


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^64 - 1, got {text}")
    return int(text)


def run_example(main: Callable[[], None]) -> None:
    """Call main; end with one sentence instead of a traceback for errors that a user can fix."""
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except USER_ERRORS as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None


def image_data(name: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    """(train_x, train_y, test_x, test_y) of --data: images uint8 (N, 28, 28), labels int64 (N,)."""
    if name == "glyphs":
        images, labels = data.glyphs(12_000, seed)
        return images[:10_000], labels[:10_000], images[10_000:], labels[10_000:]
    if name in ("mnist", "fashion_mnist"):
        return data.mnist() if name == "mnist" else data.fashion_mnist()
    train_x, train_y, test_x, test_y = data.mnist(name, download=False)
    if len(test_x) < MIN_TEST_IMAGES or test_y.max() > train_y.max():
        raise DatasetError(
            f"{name}: the examples need {MIN_TEST_IMAGES} test images or more, of classes that the "
            f"training images have; got {len(test_x)} of class 0 to {test_y.max()}, where those of "
            f"the training images are 0 to {train_y.max()}"
        )
    return train_x, train_y, test_x, test_y
