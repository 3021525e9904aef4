"""Readers that share no code with minigen: from the bytes of a file to what they say.

For formats without a checksum: what a damaged file is read as must be what its bytes say.
"""

import csv
import io
import json
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps


def read_idx_bytes(content: bytes) -> np.ndarray:
    ndim = content[3]
    shape = struct.unpack(f">{ndim}I", content[4 : 4 + 4 * ndim])
    return np.frombuffer(content[4 + 4 * ndim :], np.uint8).reshape(shape)


def read_text_bytes(content: bytes) -> str:
    return content.decode().removeprefix("\ufeff")


def read_pairs_bytes(content: bytes) -> list[list[str]]:
    pairs = [line.split("\t") for line in read_text_bytes(content).splitlines()]
    return [list(column) for column in zip(*pairs)]


def read_table_bytes(content: bytes) -> list:
    lines = io.StringIO(read_text_bytes(content), newline="")
    rows = [[x.strip() for x in row] for row in csv.reader(lines, skipinitialspace=True)]
    columns = [c for c in zip(*[row for row in rows if any(row) or len(row) > 1]) if c[0]]
    x, features = [], []
    for name, *cells in columns[:-1]:
        try:
            x.append(written_numbers(cells))
            features.append(name)
        except ValueError:
            for category in sorted(set(cells)):
                x.append([float(cell == category) for cell in cells])
                features.append(f"{name}={category}")
    try:
        y, classes = np.array(written_numbers(columns[-1][1:])), ()
    except ValueError:
        classes = tuple(sorted(set(columns[-1][1:])))
        y = np.array([classes.index(cell) for cell in columns[-1][1:]])
    return [np.array(x).T.copy(), y, features, (columns[-1][0], classes)]


def written_numbers(cells: list[str]) -> list[float]:
    if any(set(cell) - set("0123456789.eE+-") or len(cell) > 64 for cell in cells):
        raise ValueError("no number")
    return [float(cell) for cell in cells]


def read_picture_bytes(content: bytes) -> list[np.ndarray]:
    warnings.simplefilter("ignore", UserWarning)  # of Pillow, about damaged EXIF data
    image = Image.open(io.BytesIO(content))
    image.draft(None, (8 * 7, 8 * 9))  # a damaged header may say that it is larger
    image = ImageOps.exif_transpose(image)
    x = np.asarray(image.convert("RGB").convert("L").resize((7, 9), Image.BILINEAR))
    return [x] if x.any() else []


def read_wav_bytes(content: bytes) -> list:
    """Samples float32 (n, channels) and their rate; every sample is converted by itself."""
    number = lambda start, size: int.from_bytes(content[start : start + size], "little")
    chunks, at, whole = {}, 12, number(4, 4)
    _require(content[:4] + content[8:12] == b"RIFFWAVE")
    while at + 8 <= len(content) and "data" not in chunks:
        name, size = content[at : at + 4].decode("latin1"), number(at + 4, 4)
        at += 8
        last = len(content) - at
        is_streamed = size == 2**32 - 1 or (size == 0 and (whole == 2**32 - 1 or whole + 8 <= at))
        if name == "data" and "fmt " in chunks and is_streamed:
            start = chunks["fmt "][0]
            size = last - last % (number(start + 2, 2) * number(start + 14, 2) // 8)
        _require(size <= last)
        chunks.setdefault(name, (at, size))
        at += size + (size & 1)
    (form, length), (start, size) = chunks["fmt "], chunks["data"]
    _require(length >= 16 and form < start)
    code, channels, rate, bits = (number(form + a, b) for a, b in ((0, 2), (2, 2), (4, 4), (14, 2)))
    if code == 0xFFFE:
        code = number(form + 24, 2)
        _require(length >= 40)
        _require(content[form + 26 : form + 40].hex() == "000000001000800000aa00389b71")
    width = bits // 8
    _require((code, bits) in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
    _require(0 < channels <= 64 and 1_000 <= rate <= 768_000 and size % (width * channels) == 0)
    values = []
    for i in range(start, start + size, width):
        piece = content[i : i + width]
        if code == 3:
            values.append(struct.unpack("<f" if width == 4 else "<d", piece)[0])
        elif width == 1:
            values.append((piece[0] - 128) / 128)
        else:
            values.append(int.from_bytes(piece, "little", signed=True) / 2 ** (bits - 1))
    with np.errstate(over="ignore"):
        x = np.array(values).astype(np.float32).reshape(-1, channels)
    _require(np.isfinite(x).all())
    return [x, rate]


def _require(is_valid: bool) -> None:
    if not is_valid:
        raise ValueError("damaged")


def read_tensors_bytes(content: bytes) -> dict[str, np.ndarray]:
    dtypes = {"F32": "<f4", "F64": "<f8", "U8": "u1", "I8": "i1", "BOOL": "?"}
    dtypes |= {f"{k}{n}": f"<{k.lower()}{n // 8}" for k in "UI" for n in (16, 32, 64)}
    start = 8 + int.from_bytes(content[:8], "little")
    header, found = json.loads(content[8:start]), {}
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = np.frombuffer(content[start + begin : start + end], dtypes[entry["dtype"]])
        found[name] = raw.reshape(entry["shape"])
    return found
