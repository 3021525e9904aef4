"""Reading the IDX files of MNIST and its relatives, plain or gzipped, trusting none of them.

Format (LeCun, Cortes, Burges 1998), big-endian: two zero bytes, the type (8: unsigned byte), the
number of axes; then each axis's length in 32 bits; then the bytes, the last axis fastest.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_LIMIT = 1032  # no deflate stream expands further: 258 bytes from 2 bits (zlib's own FAQ)
PIECE = 1 << 20  # bytes read at a time
REMEDY = (
    "to fetch it again, delete it and call mnist or fashion_mnist of minigen.data "
    "with download=True, or put a good copy there"
)


def read_idx(path: str | Path, ndim: int, max_bytes: int = 2**28) -> np.ndarray:
    """The uint8 array of ndim axes in an IDX file (3: images, 1: labels), plain or gzipped.

    Magic, axes and the exact length are checked, and nothing is allocated that the header, the
    file's size and max_bytes do not allow. Raises DatasetError.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.peek(2)[:2] != GZIP_MAGIC:  # what a file is, not how it is called
                return _read(file, path, ndim, max_bytes, available=size)
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _read(unzipped, path, ndim, max_bytes, available=size * DEFLATE_LIMIT)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, "a whole gzip stream and nothing after it", f"{error}") from error
    except OSError as error:
        raise damaged(path, "a readable IDX file", f"{error}") from error


def _read(file: BinaryIO, path: Path, ndim: int, max_bytes: int, available: int) -> np.ndarray:
    """The array in an open IDX file; available bounds the bytes that can still come."""
    length = 4 + 4 * ndim
    header = _read_up_to(file, bytearray(length))
    expected, got = 0x800 | ndim, int.from_bytes(header[:4], "big")
    if len(header) >= 4 and got != expected:
        raise damaged(
            path, f"magic 0x{expected:08x}, unsigned bytes in {ndim} axes", f"0x{got:08x}"
        )
    if len(header) < length:
        raise damaged(path, f"a header of {length} bytes", f"{len(header)}")
    shape = struct.unpack(f">{ndim}I", header[4:])
    count = math.prod(shape)
    if count > max_bytes:
        raise damaged(path, f"at most {max_bytes} bytes (max_bytes)", f"a header for {shape}")
    if count > available:
        raise damaged(path, f"{count} bytes for {shape}", f"a file too short to hold them{size}")
    data = _read_up_to(file, np.empty(count, np.uint8))
    if len(data) < count:
        raise damaged(path, f"{count} bytes for {shape}", f"{len(data)}")
    if file.read(1):  # for gzip this also reads and checks the checksum at the end
        raise damaged(path, f"{count} bytes for {shape}", "more bytes after them")
    return data.reshape(shape)
