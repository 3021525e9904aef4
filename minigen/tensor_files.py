"""Tensors in files: the safetensors format, with a checksum, written atomically.

A file has named arrays and text, but no code, so reading one executes nothing. It is written under
a temporary name, flushed to the disk and renamed, so a crash leaves the old file or the new one.
The file that it replaces is kept as NAME.previous.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minigen.autodiff.signatures import with_any_keyword
from minigen.backend.arrays import Array
from minigen.backend.devices import to_numpy
from minigen.backend.dtypes import as_array
from minigen.errors import CheckpointError
from minigen.tensors import Tensor

FORMAT = 2
HALVES = ("BF16", "F16")  # floats of 16 bits, which are read as float32
READABLE = (*HALVES, "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
# A file was written by minigen, and so has a checksum, if its metadata has one of these keys or its
# header ends with TAIL. TAIL is white space to a JSON reader; with a flipped bit in TAIL the header
# is no valid JSON. So no single flipped bit makes a file pass as one of another program.
KEYS = {"minigen", "sha256"}
OTHER_FORMATS = (  # first bytes in lower case, which no header of 100 MB or less has; what to do
    (b"\x93numpy", "an array of NumPy", "write it with mg.save(new, {name: np.load(path)})"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself: git lfs pull"),
    (b"\x89hdf", "an HDF5 file, as Keras writes", "convert it where it was written"),
    (b"gguf", "a GGUF file, as llama.cpp reads", "name the safetensors file that it was made of"),
    (b"<!doctype", "a web page", "the download has failed: fetch it again"),
    (b"<html", "a web page", "the download has failed: fetch it again"),
)
TAIL = b"\n" * 8


def save(
    path: str | os.PathLike,
    tensors: Mapping[str, Tensor | Array],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors, and metadata text, as a safetensors file.

    CheckpointError if it cannot be written.
    """
    if isinstance(path, Mapping):
        raise TypeError("save(path, tensors): the path comes first, PyTorch's has it second")
    if not isinstance(tensors, Mapping):
        raise TypeError(
            "save(path, tensors): tensors is a dict of arrays by name, as model.state_dict() is, "
            f"not {type(tensors).__name__}"
        )
    for name, x in tensors.items():
        if isinstance(x[0] if isinstance(x, list) and x else x, Mapping | str):
            raise TypeError(
                f"save: {name!r} is no array; minigen.training.checkpoint.save_state(path, state) "
                "writes nested dicts, such as the state of an optimizer"
            )
    # safetensors writes the memory of an array as it is, so a transposed array must be copied to C
    # order first; otherwise it would be read back with its values in the wrong order.
    arrays = {
        str(name): np.asarray(to_numpy(x.data if isinstance(x, Tensor) else as_array(x)), order="C")
        for name, x in tensors.items()
    }
    if len(arrays) < len(tensors):
        raise ValueError(f"{path}: two tensors have one name as text, as 1 and '1'; rename one")
    if "__metadata__" in arrays:
        raise ValueError(f"{path}: a tensor cannot be called '__metadata__', the name of the text")
    if not isinstance(metadata, Mapping | None):
        raise TypeError(f"save: metadata is a dict of texts by name, not {type(metadata).__name__}")
    text = {str(key): str(value) for key, value in (metadata or {}).items()}
    if reserved := KEYS & text.keys():
        raise ValueError(f"{path}: metadata {reserved.pop()!r} is written by minigen; rename yours")
    try:
        json.dumps([*arrays, text], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: a name or a text cannot be written as UTF-8: {error}") from None
    text = {"minigen": str(FORMAT), "format": "np", **text}
    text["sha256"] = _digest(arrays, text)
    replace_file(home_path(path), _encoded(arrays, text), keep_previous=True)


@with_any_keyword
def load(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of a safetensors file; CheckpointError if it is damaged. `~` is the home folder.

    A file that minigen wrote has a SHA-256 of its contents, which is checked. Of a file of another
    program only the structure is checked; its bfloat16 and float16 become float32, exactly.
    """
    return {name: Tensor(array) for name, array in read(path)[0].items()}


def home_path(path: str | os.PathLike) -> Path:
    """path, in which ~ is the home folder."""
    return Path(os.path.expanduser(path))


def _encoded(arrays: Mapping[str, np.ndarray], text: Mapping[str, str]) -> bytes:
    """The bytes of the file: equal contents have equal bytes, unlike with safetensors' own header.

    File format: 8 bytes with the header's length, the header in JSON, the arrays.
    """
    from safetensors.numpy import save as encode

    data = memoryview(encode(arrays))
    start = 8 + int.from_bytes(data[:8], "little")
    header = {"__metadata__": text, **json.loads(bytes(data[8:start]))}
    packed = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    packed += b" " * (-len(packed) % 8) + TAIL  # so that the arrays begin at a multiple of 8
    return b"".join([len(packed).to_bytes(8, "little"), packed, data[start:]])


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata text of a file, verified; CheckpointError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    path = home_path(path)
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
            raise OSError("a folder or a device")
        _refuse_others(path)
        with safe_open(path, framework="np") as file:  # checks all sizes against the file's size
            text = file.metadata() or {}
            dtypes = {k: file.get_slice(k).get_dtype() for k in file.keys()}  # noqa: SIM118
            for name, dtype in dtypes.items():
                if dtype not in READABLE:
                    raise CheckpointError(
                        f"{path}: expected dtypes that minigen has, got {dtype} for tensor "
                        f"{name!r}; convert it in the program that wrote it"
                    )
            plain = [name for name, dtype in dtypes.items() if dtype not in HALVES]
            arrays = {name: file.get_tensor(name) for name in plain}
        with path.open("rb") as file:
            start = int.from_bytes(file.read(8), "little") + 8
            file.seek(start - len(TAIL))
            has_tail = file.read(len(TAIL)) == TAIL
            if len(plain) < len(dtypes):
                arrays |= _halves(file, start)
                arrays = {name: arrays[name] for name in dtypes}
    except FileNotFoundError:
        raise refusal(path, "a safetensors file", "no such file") from None
    except CheckpointError:
        raise
    except (
        SafetensorError,
        AttributeError,
        ArithmeticError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        raise refusal(path, "a whole safetensors file", error) from None
    if has_tail or KEYS & text.keys():
        version, digest = text.get("minigen", ""), text.get("sha256")
        if version.isdecimal() and version != str(FORMAT):
            newer = len(version) > len(str(FORMAT)) or version > str(FORMAT)
            remedy = "update minigen" if newer else "read it with the release that wrote it"
            raise CheckpointError(f"{path}: expected format {FORMAT}, got {version}; {remedy}")
        found = _digest(arrays, text)
        if digest != found or not version:
            raise refusal(path, f"data of SHA-256 {digest}", f"{found}: it is damaged")
    return arrays, text


def _halves(file: BinaryIO, start: int) -> dict[str, np.ndarray]:
    """The tensors of 16-bit floats, as float32; the data of the file begins at byte start."""
    file.seek(8)
    header, arrays = json.loads(file.read(start - 8)), {}
    for name, entry in header.items():
        if entry.get("dtype") in HALVES:
            first, end = entry["data_offsets"]
            file.seek(start + first)
            bits = np.frombuffer(file.read(end - first), "<u2").reshape(entry["shape"])
            if entry["dtype"] == "BF16":  # the upper half of a float32
                arrays[name] = (bits.astype(np.uint32) << 16).view(np.float32)
            else:
                arrays[name] = bits.view("<f2").astype(np.float32)
    return arrays


def _refuse_others(path: Path) -> None:
    """CheckpointError for a file of another known format.

    To read one of torch.save or pickle would execute its code.
    """
    with path.open("rb") as file:
        start = file.read(100)
    head = start[:4]
    found = [each[1:] for each in OTHER_FORMATS if start.lower().startswith(each[0])]
    if head == b"PK\x03\x04" and b".npy" in start:
        found = [("an npz archive of NumPy", "write it with mg.save(new, np.load(path))")]
    for kind, remedy in found:
        raise CheckpointError(f"{path}: expected a safetensors file, got {kind}; {remedy}")
    # A header of 640 bytes begins like a pickle, too: its length, 8 bytes, and then "{".
    is_pickle = head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and start[8:9] != b"{"
    if head == b"PK\x03\x04" or is_pickle:
        raise CheckpointError(
            f"{path}: expected a whole safetensors file, got a pickle, as torch.save writes; "
            "reading it would run its code. Convert it where you trust it: `safetensors.torch."
            "save_file(torch.load(path, weights_only=True), 'weights.safetensors')`"
        )


def refusal(path: Path, expected: str, got: object) -> CheckpointError:
    """The error for a damaged file; it names NAME.previous, if there is one, as the remedy."""
    real = Path(os.path.realpath(path))
    previous = real.with_name(f"{real.name}.previous")
    remedy = f"take {previous}, the save before" if previous.is_file() else "name a whole copy"
    return CheckpointError(f"{path}: expected {expected}, got {got}; {remedy}")


def _digest(arrays: Mapping[str, np.ndarray], text: Mapping[str, str]) -> str:
    """SHA-256 of the text, and of names, dtypes, shapes and values of the arrays."""
    described = {name: (x.dtype.str, x.shape) for name, x in arrays.items()}
    covered = {key: value for key, value in text.items() if key != "sha256"}
    hasher = hashlib.sha256(json.dumps([covered, described], sort_keys=True).encode())
    for name in sorted(arrays):
        hasher.update(np.ascontiguousarray(arrays[name]).data if arrays[name].size else b"")
    return hasher.hexdigest()


def replace_file(path: Path, data: bytes, keep_previous: bool = False) -> None:
    """Write data to path atomically: at every moment path is the old file or the new one.

    With keep_previous the old file is kept as NAME.previous. CheckpointError if data cannot be
    written.
    """
    path = Path(os.path.realpath(path))  # a link stays, and the file that it names is replaced
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(new, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                shutil.copymode(path, new)
            if keep_previous and path.exists():
                _keep(path)
            os.replace(new, path)
        except BaseException:  # KeyboardInterrupt too
            with suppress(OSError):
                new.unlink()
            raise
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written: {error}; what was there before is unchanged: "
            "make room, or name another folder"
        ) from error
    try:
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"{path} is written, but may not outlast a power failure: {error}; check the disk"
        ) from error


def _keep(path: Path) -> None:
    """Link the file at path as NAME.previous, replacing an older one of that name."""
    previous = path.with_name(f"{path.name}.previous")
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError:  # not every file system has links
        shutil.copyfile(path, previous)


def _sync_folder(folder: Path) -> None:
    """Flush the entries of the folder to the disk, where the operating system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network folders cannot
            raise
    finally:
        os.close(handle)
