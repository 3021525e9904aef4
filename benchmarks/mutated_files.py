"""Reads damaged files with every reader: each must be refused, or read as what its bytes say.

    python benchmarks/mutated_files.py [--count 1000000] [--only idx ...] [--seed 0]

Small files are damaged in the ways of damages.py. A reader must do one of three things. "refused":
it raises its own error, which names the path, what it expected and what it got. "harmless": the
result is that of the whole file. "as written", for formats without a checksum (plain IDX, text,
tables, JPEG, another program's tensors): the result is that of an independent reader. Anything
else is wrong. Reading may take 64 MB of memory, by a limit of the process. Prints a table. Exit
code 1 if anything is wrong. Linux only.
"""

import argparse
import gzip
import io
import random
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from damages import bombs, damaged, idx_bytes
from independent_readers import (
    read_idx_bytes,
    read_pairs_bytes,
    read_picture_bytes,
    read_table_bytes,
    read_tensors_bytes,
    read_text_bytes,
    read_wav_bytes,
)
from PIL import Image
from safetensors.numpy import save as encode
from sound_files import wav_files, zip_files

import minigen as mg
from minigen import data
from minigen.data import sound
from minigen.data.mnist_files import NAMES
from minigen.errors import CheckpointError, DatasetError
from minigen.training import checkpoint

MEMORY = 64 * 2**20  # bytes that reading may take


def same(a: Any, b: Any) -> bool:
    """Whether two results are equal in every bit."""
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


# ----------------------------------------------------------------------------- the readers


class Reader:
    """A function that reads a file, undamaged files for it, and the error that it may raise.

    independent: for formats without a checksum, a function from the bytes to the right result.
    """

    def __init__(self, read, wholes, error, independent=None, bombs=()):
        self.read, self.error, self.independent = read, error, independent
        self.wholes, self.bombs = wholes, bombs


def arrays(path: Path) -> dict[str, np.ndarray]:
    return {name: tensor.data for name, tensor in mg.load(path).items()}


PICTURES = {"png": "png/a/file.png", "jpeg": "jpeg/a/file.jpg"}


def picture_files(folder: Path, x: np.ndarray) -> tuple[list[bytes], list[bytes]]:
    """PNG and JPEG files in several modes; another picture, all black, is put beside each path."""
    for path in PICTURES.values():
        (folder / path).parent.mkdir(parents=True)
        Image.new("L", (7, 9)).save(folder / path, "PNG")
        (folder / path).rename((folder / path).with_name("other.png"))
    grey, exif = Image.fromarray(x), Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    images = [grey, grey.quantize(4), Image.fromarray(x.astype(np.uint16) * 257)]
    images += [Image.merge("RGBA", [grey] * 4)]
    wide = grey.resize((40, 30))
    options = [{}, {"progressive": True}, {"exif": exif}]
    return [encoded(image, "PNG") for image in images], [
        encoded(wide.convert(mode), "JPEG", **each)
        for mode, each in zip(("L", "RGB", "L"), options)
    ]


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pictures(path: Path) -> list[np.ndarray]:
    """The picture in a folder that also has a black one."""
    train_x, _, test_x, _, _ = data.image_folder(path.parents[1], (9, 7))
    return [x for x in (*train_x, *test_x) if x.any()]


def table(path: Path) -> list:
    found = data.read_table(path, header=True, delimiter=",")
    return [found.x, found.y, found.features, tuple(found.target)]


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name, with undamaged files that are also written to the folder."""
    rng = np.random.default_rng(0)
    path = folder / "whole"
    images, labels = rng.integers(0, 256, (3, 28, 28), np.uint8), np.arange(9, dtype=np.uint8)
    plain = [idx_bytes(images[:, :5, :6]), idx_bytes(images[:0]), idx_bytes(images)]
    packed = [gzip.compress(each, mtime=0) for each in plain]
    named = io.BytesIO()
    with gzip.GzipFile("images", "wb", fileobj=named, mtime=1) as file:
        file.write(plain[0])
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3), "n": labels}
    state = {"step": 12, "rng": [0, 2**64 - 1], "model": tensors, "sums": {"loss": [1.5, 3]}}
    weights, states, foreign = [], [], []
    for part in (tensors, {"w": tensors["w"]}):
        mg.save(path, part, {"by": "a test"})
        weights.append(path.read_bytes())
        checkpoint.save_state(path, {**state, "model": part})
        states.append(path.read_bytes())
        foreign.append(encode(part, {"format": "pt"}))
    for name, x in zip(NAMES, (images, labels[:3], images[:2], labels[:2])):
        (folder / name).write_bytes(idx_bytes(x))
    pngs, jpegs = picture_files(folder, images[0, :9, :7])
    marked = b"\xef\xbb\xbf" + b"to be, or not to be\n" * 20
    texts = ["naïve\r\n日本 🙂\n".encode() * 3, marked]
    pairs = [b"one\tun\ntwo, 2\tdeux\nthirty-three\t33\n" * 4]
    split = lambda path: [list(column) for column in data.text_pairs(path)]
    digits = lambda path: list(data.mnist(folder, download=False))
    wavs = wav_files(rng)
    zipped, zip_bombs = zip_files(wavs)
    people = b'age,city,fit\n31,Rome,1.7\n42,"Paris, Texas",1.8\n25,Rome,1.65\n6e1,Oslo,.75\n'
    return {
        "png": Reader(pictures, pngs, DatasetError),
        "jpeg": Reader(pictures, jpegs, DatasetError, read_picture_bytes),
        "table": Reader(table, [people], DatasetError, read_table_bytes),
        "wav": Reader(
            lambda path: list(sound.read_wav(path, mono=False)), wavs, DatasetError, read_wav_bytes
        ),
        "zip": Reader(
            lambda path: list(sound.read_recordings(path)), zipped, DatasetError, bombs=zip_bombs
        ),
        "idx": Reader(lambda path: data.read_idx(path, 3), plain, DatasetError, read_idx_bytes),
        "idx.gz": Reader(
            lambda path: data.read_idx(path, 3),
            [*packed, named.getvalue()],
            DatasetError,
            bombs=bombs(),
        ),
        "mnist": Reader(digits, [idx_bytes(labels[:3])], DatasetError, mnist_with_labels(images)),
        "text": Reader(data.text, texts, DatasetError, read_text_bytes),
        "text_pairs": Reader(split, pairs, DatasetError, read_pairs_bytes),
        "weights": Reader(arrays, weights, CheckpointError),
        "state": Reader(checkpoint.load_state, states, CheckpointError),
        "others' weights": Reader(arrays, foreign, CheckpointError, read_tensors_bytes),
    }


def mnist_with_labels(images: np.ndarray):
    """The independent reader of `mnist`, whose training labels are the damaged file."""
    labels = np.arange(2)
    return lambda content: [images, read_idx_bytes(content).astype(np.int64), images[:2], labels]


def judge(reader: Reader, path: Path, content: bytes, whole: Any) -> str:
    """The result for a damaged file: "refused", "harmless", "as written", or what is wrong."""
    path.write_bytes(content)
    try:
        found = reader.read(path)
    except reader.error as error:
        message = str(error)
        complete = str(path) in message and "expected" in message and "got" in message
        return "refused" if complete else f"refused without path, expected and got: {message}"
    except BaseException as error:  # also MemoryError, and a panic of safetensors' Rust code
        return f"{type(error).__name__}: {error}"
    if same(found, whole):
        return "harmless"
    try:
        if reader.independent and same(found, reader.independent(content)):
            return "as written"
    except (ValueError, KeyError, TypeError, struct.error) as error:
        return f"read, though an independent reader refuses it: {error}"
    return "read as something else"


def memory(key: str) -> int:
    """Bytes in use by this process: VmSize, VmRSS, or VmHWM, the peak of VmRSS."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def check(name: str, reader: Reader, path: Path, count: int, seed: str) -> Counter:
    """Read `count` damaged files. Returns how many had each result; all wrong ones are "wrong"."""
    rng, answers, wholes = random.Random(seed), Counter(), []
    for content in reader.wholes:
        path.write_bytes(content)
        wholes.append(reader.read(path))
    for number in range(count):
        i = rng.randrange(len(wholes))
        content = damaged(reader.wholes[i], rng)
        if reader.bombs and rng.random() < 0.005:
            content = rng.choice(reader.bombs)
            content = damaged(content, rng) if rng.random() < 0.5 else content
        answer = judge(reader, path, content, wholes[i])
        if answer not in ("refused", "harmless", "as written"):
            print(f"{name}, file {number} of seed {seed!r}: {answer[:300]}", flush=True)
            answer = "wrong"
        answers[answer] += 1
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="in all; default 1,000,000")
    parser.add_argument("--only", nargs="+", metavar="READER", help="these readers")
    parser.add_argument("--seed", default="0", help="of the random damages; default 0")
    args = parser.parse_args()
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        found = readers(Path(folder))
        chosen = args.only or list(found)
        if unknown := [name for name in chosen if name not in found]:
            parser.error(f"argument --only: {unknown[0]!r} is none of {', '.join(found)}")
        wrong = 0
        print(f"{'reader':<16}{'files':>9}{'refused':>9}{'harmless':>9}{'as written':>14}", end="")
        print(f"{'wrong':>7}{'peak, MB':>10}{'seconds':>9}", flush=True)
        for i, name in enumerate(chosen):
            count, started = (args.count + i) // len(chosen), time.monotonic()
            path = Path(folder) / {"mnist": NAMES[1], **PICTURES}.get(name, "file")
            check(name, found[name], path, min(count, 100), "warm")  # memory of first use
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, the peak
            before = memory("VmRSS")
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + MEMORY, hard))
            answers = check(name, found[name], path, count, f"{args.seed} {name}")
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            wrong += answers["wrong"]
            print(f"{name:<16}{count:>9}{answers['refused']:>9}{answers['harmless']:>9}", end="")
            print(f"{answers['as written']:>14}{answers['wrong']:>7}", end="")
            peak, seconds = (memory("VmHWM") - before) / 2**20, time.monotonic() - started
            print(f"{peak:>10.1f}{seconds:>9.0f}", flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
