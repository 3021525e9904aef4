"""Reading the IDX files of MNIST and similar data sets, plain or gzipped.

The format, big-endian: two zero bytes, the element type (8: unsigned byte), the number of axes;
then the length of each axis in 32 bits; then the bytes in row-major order. A file may be damaged
or hostile: each field is checked before memory is allocated.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minigen.errors import DatasetError

GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_LIMIT = 1032  # zlib's documentation: no deflate stream expands by more than 1032 to 1
# A gzip file may expand to IMAGE_RATIO times its size, or to SMALL_OUTPUT bytes if that is more.
# MNIST's images expand 5 times; a decompression bomb expands by nearly DEFLATE_LIMIT.
IMAGE_RATIO = 100
SMALL_OUTPUT = 1 << 26
CHUNK_BYTES = 1 << 20  # read at a time


def read_idx(path: str | os.PathLike, ndim: int, max_bytes: int = 2**28) -> np.ndarray:
    """The uint8 array of ndim axes in an IDX file (3: images, 1: labels), plain or gzipped.

    Checks the magic number, the header and the exact length. Before it allocates the array it
    compares the announced size with max_bytes and with what a file of this size can contain.
    Raises DatasetError.
    """
    path = Path(os.path.expanduser(path))
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.peek(2)[:2] != GZIP_MAGIC:  # the content decides, not the name
                return _read(file, path, ndim, max_bytes, possible=size)
            possible = min(size * DEFLATE_LIMIT, max(size * IMAGE_RATIO, SMALL_OUTPUT))
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _read(unzipped, path, ndim, max_bytes, possible)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise file_error(path, "one whole gzip stream and nothing after it", error) from error
    except OSError as error:
        raise file_error(path, "a readable IDX file", error) from error


def file_error(path: Path, expected: object, got: object) -> DatasetError:
    """A DatasetError that names the file, what was expected and found, and how to replace it."""
    return DatasetError(
        f"{path}: expected {expected}, got {got}; to fetch it again, delete it and call mnist "
        "or fashion_mnist of minigen.data with download=True, or put a good copy there"
    )


def _read(file: BinaryIO, path: Path, ndim: int, max_bytes: int, possible: int) -> np.ndarray:
    """The array in an open IDX file that can contain at most `possible` bytes of elements."""
    header = bytearray(4 + 4 * ndim)
    filled = _fill(file, header)
    magic, expected = header[:4].hex(), f"{0x800 | ndim:08x}"
    if filled >= 4 and magic != expected:
        raise file_error(path, f"magic 0x{expected} (unsigned bytes, {ndim} axes)", f"0x{magic}")
    if filled < len(header):
        raise file_error(path, f"a header of {len(header)} bytes", f"{filled} bytes in all")
    shape = struct.unpack(f">{ndim}I", header[4:])
    nbytes = math.prod(shape)
    announced = f"{nbytes} bytes for the announced shape {shape}"
    if math.prod(n or 1 for n in shape) > max_bytes:  # also with an axis of 0
        raise file_error(path, f"at most max_bytes={max_bytes}", announced)
    if nbytes > possible:
        raise file_error(path, announced, f"a file that should hold {possible} at most")
    data = np.empty(nbytes, np.uint8)
    filled = _fill(file, data)
    if filled < nbytes:
        raise file_error(path, announced, f"{filled}: the file is truncated")
    if file.read(1):  # reading at the end also makes gzip verify its checksum
        raise file_error(path, announced, "more bytes after them")
    return data.reshape(shape)


def _fill(file: BinaryIO, buffer: bytearray | np.ndarray) -> int:
    """Read until the buffer is full or the file ends; returns the number of bytes read."""
    view, filled = memoryview(buffer), 0
    while filled < len(view):
        got = file.readinto(view[filled : filled + CHUNK_BYTES])
        if not got:
            break
        filled += got
    return filled
