"""Reading the IDX files of MNIST and its relatives, plain or gzipped, trusting none of them.

The format, big-endian: two zero bytes, the element type (8: unsigned byte), the number of axes;
then the length of each axis in 32 bits; then the bytes, the last axis fastest.
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
DENSE = 100  # no set of images is packed as densely; a bomb is
HARMLESS = 1 << 26  # bytes that even a bomb may unfold to
PIECE = 1 << 20  # bytes read at a time


def read_idx(path: str | os.PathLike, ndim: int, max_bytes: int = 2**28) -> np.ndarray:
    """The uint8 array of ndim axes in an IDX file (3: images, 1: labels), plain or gzipped.

    Magic number, header and the exact length are checked, and no more memory is taken than the
    header announces, the file's size makes possible and max_bytes allows. Raises DatasetError.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.peek(2)[:2] != GZIP_MAGIC:  # what the file is, not how it is called
                return _read(file, path, ndim, max_bytes, possible=size)
            possible = min(size * DEFLATE_LIMIT, max(size * DENSE, HARMLESS))
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _read(unzipped, path, ndim, max_bytes, possible)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise refusal(path, "one whole gzip stream and nothing after it", error) from error
    except OSError as error:
        raise refusal(path, "a readable IDX file", error) from error


def refusal(path: Path, expected: object, got: object) -> DatasetError:
    """The error for a data file that is not what it should be, with the way to a good one."""
    return DatasetError(
        f"{path}: expected {expected}, got {got}; to fetch it again, delete it and call mnist "
        "or fashion_mnist of minigen.data with download=True, or put a good copy there"
    )


def _read(file: BinaryIO, path: Path, ndim: int, max_bytes: int, possible: int) -> np.ndarray:
    """The array in an opened IDX file, from which at most `possible` bytes can come."""
    header = bytearray(4 + 4 * ndim)
    filled = _fill(file, header)
    magic, expected = header[:4].hex(), f"{0x800 | ndim:08x}"
    if filled >= 4 and magic != expected:
        raise refusal(path, f"magic 0x{expected} (unsigned bytes, {ndim} axes)", f"0x{magic}")
    if filled < len(header):
        raise refusal(path, f"a header of {len(header)} bytes", f"{filled} bytes in all")
    shape = struct.unpack(f">{ndim}I", header[4:])
    count = math.prod(shape)
    announced = f"{count} bytes for the announced shape {shape}"
    if math.prod(n or 1 for n in shape) > max_bytes:  # an axis of 0 does not excuse the others
        raise refusal(path, f"at most max_bytes={max_bytes}", announced)
    if count > possible:
        raise refusal(path, announced, f"a file that should hold {possible} at most")
    data = np.empty(count, np.uint8)
    filled = _fill(file, data)
    if filled < count:
        raise refusal(path, announced, f"{filled}: the file is truncated")
    if file.read(1):  # looking for the end also makes gzip compare its checksum
        raise refusal(path, announced, "more bytes after them")
    return data.reshape(shape)


def _fill(file: BinaryIO, buffer: bytearray | np.ndarray) -> int:
    """Read into the buffer until it or the file ends; the number of bytes read."""
    view, filled = memoryview(buffer), 0
    while filled < len(view):
        got = file.readinto(view[filled : filled + PIECE])
        if not got:
            break
        filled += got
    return filled
