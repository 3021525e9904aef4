"""Synthetic IDX files."""

import gzip
import struct

import numpy as np

from minigen.data.mnist_files import NAMES


def idx_bytes(array):
    """The bytes of the IDX file of a uint8 array."""
    header = struct.pack(f">{1 + array.ndim}I", 0x800 | array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_set(folder, train=6, test=4, suffix="", classes=10):
    """Write four small files with the names of MNIST's; returns their arrays in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = []
    for n in (train, test):
        arrays.append(np.arange(n * 28 * 28).reshape(n, 28, 28) % 251)
        arrays.append(np.arange(n) * 7 % classes)
    for name, array in zip(NAMES, arrays):
        content = idx_bytes(array)
        (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)
    return arrays
