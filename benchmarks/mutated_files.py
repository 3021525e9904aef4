"""Reads damaged files with every reader: each must be refused in words, or read as it stands.

    python benchmarks/mutated_files.py [--count 1000000] [--only idx ...] [--seed 0]

Small whole files are damaged in the ways of damages.py. A reader may refuse one with its own error,
which names the path, what it expected and what it got; or give what the whole file gives; or, for
formats without a checksum (plain IDX, text, another program's tensors), what the bytes say to an
independent reader. Anything else is wrong. Reading may not take 64 MB of memory: no more address
space is granted. Prints a table; exit code 1 if anything is wrong. For Linux.
"""

import argparse
import gzip
import io
import json
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
from safetensors.numpy import save as encode

import minigen as mg
from minigen import data
from minigen.data.mnist_files import NAMES
from minigen.errors import CheckpointError, DatasetError
from minigen.training import checkpoint

ROOM = 64 * 2**20  # bytes of memory that reading may take
# --------------------------------------------- what the bytes say, to an independent reader


def idx_says(content: bytes) -> np.ndarray:
    ndim = content[3]
    shape = struct.unpack(f">{ndim}I", content[4 : 4 + 4 * ndim])
    return np.frombuffer(content[4 + 4 * ndim :], np.uint8).reshape(shape)


def text_says(content: bytes) -> str:
    return content.decode().removeprefix("\ufeff")


def pairs_say(content: bytes) -> list[list[str]]:
    pairs = [line.split("\t") for line in text_says(content).splitlines()]
    return [list(side) for side in zip(*pairs)]


def tensors_say(content: bytes) -> dict[str, np.ndarray]:
    kinds = {"F32": "<f4", "F64": "<f8", "U8": "u1", "I8": "i1", "BOOL": "?"}
    kinds |= {f"{k}{n}": f"<{k.lower()}{n // 8}" for k in "UI" for n in (16, 32, 64)}
    start = 8 + int.from_bytes(content[:8], "little")
    header, found = json.loads(content[8:start]), {}
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = np.frombuffer(content[start + begin : start + end], kinds[entry["dtype"]])
        found[name] = raw.reshape(entry["shape"])
    return found


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        kinds = a.dtype, a.shape
        return kinds == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


# ----------------------------------------------------------------------------- the readers


class Reader:
    """A reader, whole files for it, and what it may raise.

    says: what the bytes say, for formats that have no checksum.
    """

    def __init__(self, read, wholes, error, says=None, bombs=()):
        self.read, self.error, self.says = read, error, says
        self.wholes, self.bombs = wholes, bombs


def arrays(path: Path) -> dict[str, np.ndarray]:
    return {name: tensor.data for name, tensor in mg.load(path).items()}


def readers(folder: Path) -> dict[str, Reader]:
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
    marked = b"\xef\xbb\xbf" + b"to be, or not to be\n" * 20
    texts = ["naïve\r\n日本 🙂\n".encode() * 3, marked]
    pairs = [b"one\tun\ntwo, 2\tdeux\nthirty-three\t33\n" * 4]
    split = lambda path: [list(side) for side in data.text_pairs(path)]
    digits = lambda path: list(data.mnist(folder, download=False))
    return {
        "idx": Reader(lambda path: data.read_idx(path, 3), plain, DatasetError, idx_says),
        "idx.gz": Reader(
            lambda path: data.read_idx(path, 3),
            [*packed, named.getvalue()],
            DatasetError,
            bombs=bombs(),
        ),
        "mnist": Reader(digits, [idx_bytes(labels[:3])], DatasetError, labels_say(images)),
        "text": Reader(data.text, texts, DatasetError, text_says),
        "text_pairs": Reader(split, pairs, DatasetError, pairs_say),
        "weights": Reader(arrays, weights, CheckpointError),
        "state": Reader(checkpoint.load_state, states, CheckpointError),
        "others' weights": Reader(arrays, foreign, CheckpointError, tensors_say),
    }


def labels_say(images: np.ndarray):
    labels = np.arange(2)
    return lambda content: [images, idx_says(content).astype(np.int64), images[:2], labels]


def judge(reader: Reader, path: Path, content: bytes, whole: Any) -> str:
    """What the reader makes of a damaged file: refused, harmless, as it stands, or what is wrong.

    Only a refusal is quick; whatever is read is compared.
    """
    path.write_bytes(content)
    try:
        found = reader.read(path)
    except reader.error as error:
        said = str(error)
        words = str(path) in said and "expected" in said and "got" in said
        return "refused" if words else f"refused without path, expected and got: {said}"
    except BaseException as error:  # a MemoryError, or Rust's panic, is a finding as well
        return f"{type(error).__name__}: {error}"
    if same(found, whole):
        return "harmless"
    try:
        if reader.says and same(found, reader.says(content)):
            return "as it stands"
    except (ValueError, KeyError, TypeError, struct.error) as error:
        return f"read, though an independent reader refuses it: {error}"
    return "read as something else"


def memory(key: str) -> int:
    """Bytes in use by this process: VmSize, VmRSS, or VmHWM, the peak of VmRSS."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def check(name: str, reader: Reader, path: Path, count: int, seed: str) -> Counter:
    """Read `count` damaged files; how often each answer came."""
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
        if answer not in ("refused", "harmless", "as it stands"):
            print(f"{name}, file {number} of seed {seed!r}: {answer[:300]}", flush=True)
            answer = "wrong"
        answers[answer] += 1
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="in all; default 1,000,000")
    parser.add_argument("--only", nargs="+", metavar="READER", help="these readers")
    parser.add_argument("--seed", default="0", help="of the damages; default 0")
    args = parser.parse_args()
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        found = readers(Path(folder))
        chosen = args.only or list(found)
        if unknown := [name for name in chosen if name not in found]:
            parser.error(f"argument --only: there is {', '.join(found)}, not {unknown[0]!r}")
        wrong = 0
        print(
            f"{'reader':<16}{'files':>9}{'refused':>9}{'harmless':>9}{'as it stands':>14}", end=""
        )
        print(f"{'wrong':>7}{'peak, MB':>10}{'seconds':>9}", flush=True)
        for i, name in enumerate(chosen):
            count, started = (args.count + i) // len(chosen), time.monotonic()
            path = Path(folder) / (NAMES[1] if name == "mnist" else "file")
            check(name, found[name], path, min(count, 100), "warm")  # what is taken once only
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before = memory("VmRSS")
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + ROOM, hard))
            answers = check(name, found[name], path, count, f"{args.seed} {name}")
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            wrong += answers["wrong"]
            print(f"{name:<16}{count:>9}{answers['refused']:>9}{answers['harmless']:>9}", end="")
            print(f"{answers['as it stands']:>14}{answers['wrong']:>7}", end="")
            peak, seconds = (memory("VmHWM") - before) / 2**20, time.monotonic() - started
            print(f"{peak:>10.1f}{seconds:>9.0f}", flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
