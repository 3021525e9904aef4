"""WAV files of each dialect, zips of them, and zips that expand without bound, for tests."""

import io
import struct
import zipfile

import numpy as np


def wav_files(rng: np.random.Generator) -> list[bytes]:
    """WAV files of each dialect: integers, float, channels, extensible, odd chunks, streamed."""
    x, found = rng.uniform(-0.9, 0.9, (30, 2)), []
    guid = bytes.fromhex("000000001000800000aa00389b71")
    for bits, code, dtype in (
        *((8, 1, "u1"), (16, 1, "<i2"), (24, 1, ""), (32, 1, "<i4")),
        *((32, 3, "<f4"), (64, 3, "<f8")),
    ):
        whole = np.round(x * 2 ** (bits - 1)).astype("<i8") + (128 if bits == 8 else 0)
        raw = whole.view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
        raw = x.astype(dtype).tobytes() if code == 3 else raw
        form = struct.pack("<HHIIHH", code, 2, 16_000, 0, 0, bits)
        if bits in (24, 64):
            form = struct.pack("<HHIIHHHHIH", 0xFFFE, 2, 16_000, 0, 0, bits, 22, bits, 3, code)
            form += guid
        body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"LIST\3\0\0\0abc\0data"
        size = 2**32 - 1 if bits == 32 else len(raw)
        body += struct.pack("<I", size) + raw
        found.append(b"RIFF" + struct.pack("<I", len(body)) + body)
    return found


def zip_files(wavs: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Zips of recordings, stored and deflated, and bombs: 32 MB of zeros in 32 kB, and 200 files.

    The files of the second bomb are all the same bytes of the zip (Fifield 2019).
    """
    found = []
    zero = struct.pack(
        "<4sI8sIHHIIHH4sI", b"RIFF", 0, b"WAVEfmt ", 16, 1, 1, 8_000, 0, 0, 8, b"data", 0
    )
    bomb = [("a_b_0.wav", zero + bytes(2**25))]
    for method, files in (
        (zipfile.ZIP_STORED, [("0_ann_0.wav", wavs[1]), ("1_bo_0.wav", wavs[4])]),
        (zipfile.ZIP_DEFLATED, [("in/0_ann_0.wav", wavs[2]), ("in/read.txt", b"text" * 9)]),
        (zipfile.ZIP_DEFLATED, bomb),
    ):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in files:
                archive.writestr(zipfile.ZipInfo(name), content, method)
        found.append(file.getvalue())
    bomb = found.pop()
    start, end = bomb.index(b"PK\1\2"), bomb.index(b"PK\5\6")
    entry = bomb[start:end]
    counts = struct.pack("<HHII", 200, 200, 200 * len(entry), start)
    overlapped = bomb[:start] + 200 * entry + bomb[end : end + 8] + counts + b"\0\0"
    return found, [bomb, overlapped]
