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
