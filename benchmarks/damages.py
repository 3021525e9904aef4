"""Random damage to files: flipped bits, lost ends, swapped blocks, other numbers in headers."""

import gzip
import random
import struct

NUMBERS = (0, 1, 2, 3, 7, 28, 127, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1)
PIECES = (  # inserted: beginnings of other formats, and characters that parsers react to
    b"\x80\x04K\x01.",
    b"PK\x03\x04",
    b"<html>",
    b"\x1f\x8b\x08",
    b"{",
    b"[" * 99,
    b"\n",
    b"\t",
)


def flip_bits(x: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        x[rng.randrange(len(x))] ^= 1 << rng.randrange(8)


def set_byte(x: bytearray, rng: random.Random) -> None:
    x[rng.randrange(len(x))] = rng.randrange(256)


def truncate(x: bytearray, rng: random.Random) -> None:
    del x[rng.randrange(len(x)) :]


def delete(x: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(x))
    del x[start : start + rng.choice((1, 2, 8, rng.randrange(1, 200)))]


def insert(x: bytearray, rng: random.Random) -> None:
    piece = rng.choice((*PIECES, rng.randbytes(rng.randrange(1, 20)), bytes(rng.randrange(1, 99))))
    start = rng.choice((0, len(x), rng.randrange(len(x))))
    x[start:start] = piece


def overwrite(x: bytearray, rng: random.Random) -> None:
    start, size = rng.randrange(len(x)), rng.randrange(1, 64)
    piece = rng.choice((bytes(size), b"\xff" * size, b" " * size, rng.randbytes(size)))
    x[start : start + size] = piece[: len(x) - start]


def swap_blocks(x: bytearray, rng: random.Random) -> None:
    size = rng.randrange(1, max(2, min(64, len(x) // 2)))
    a, b = sorted(rng.randrange(max(1, len(x) - size)) for _ in range(2))
    if b - a >= size:
        x[a : a + size], x[b : b + size] = x[b : b + size], x[a : a + size]


def copy_block(x: bytearray, rng: random.Random) -> None:
    size, start = rng.randrange(1, 64), rng.randrange(len(x))
    target = rng.randrange(len(x))
    x[target:target] = x[start : start + size]


def edit_binary_number(x: bytearray, rng: random.Random) -> None:
    """Replace a binary number of four or eight bytes in the header."""
    layout, start = rng.choice((">I", "<I", "<Q")), rng.choice((0, 4, 8, 12, len(x) - 8))
    size = struct.calcsize(layout)
    if 0 <= start <= len(x) - size:
        number = rng.choice((*NUMBERS, rng.getrandbits(8 * size))) % 2 ** (8 * size)
        x[start : start + size] = struct.pack(layout, number)


def edit_written_number(x: bytearray, rng: random.Random) -> None:
    """Replace a decimal number by another, in half of the cases padded to the same length."""
    starts = [i for i, c in enumerate(x) if 48 <= c < 58 and (i == 0 or not 48 <= x[i - 1] < 58)]
    if starts:
        start = end = rng.choice(starts)
        while end < len(x) and 48 <= x[end] < 58:
            end += 1
        number = str(rng.choice((*NUMBERS, -1, rng.randrange(10 ** (end - start)), 10**30)))
        x[start:end] = (number.rjust(end - start) if rng.random() < 0.5 else number).encode()


def bombs() -> list[bytes]:
    """Gzip bombs: 32 kB that unpack to an IDX header, right or wrong, and 32 MB of zeros."""
    heads = [struct.pack(">4I", 0x803, n, 28, 28) for n in (2, 1000, 42_000, 2**24, 2**32 - 1)]
    return [gzip.compress(head + bytes(2**25), mtime=0) for head in heads]


DAMAGES = (
    *(flip_bits, set_byte, truncate, delete, insert, overwrite, swap_blocks, copy_block),
    *(edit_binary_number, edit_written_number),
)


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """The file with one to four damages; never equal to the whole file."""
    x = bytearray(whole)
    while x == whole:
        for _ in range(rng.choice((1, 1, 2, 4))):
            if x:
                rng.choice(DAMAGES)(x, rng)
    return bytes(x)


def idx_bytes(x) -> bytes:
    """An array of bytes as an IDX file."""
    return struct.pack(f">{1 + x.ndim}I", 0x800 | x.ndim, *x.shape) + x.tobytes()
