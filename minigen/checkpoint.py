"""Files of tensors and of training states: safetensors, checked by hash, never half-written.

A file holds named arrays and text: no code, so reading one executes nothing. It is written
beside its final name, flushed to the disk and moved into place, so a crash leaves the old file
or the new one; the file before stays as NAME.previous.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigen.backend import Array, as_array, is_cupy, to_numpy
from minigen.errors import CheckpointError, DTypeError
from minigen.tensors import Tensor

FORMAT = 1
ARRAY = "$array"  # marks the place of an array in the JSON of a state


def save(
    path: str | os.PathLike,
    tensors: Mapping[str, Tensor | Array],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors, and text to go with them, as a safetensors file."""
    from safetensors.numpy import save as encode

    # the library writes the memory as it lies, so a transposed array would come back scrambled
    arrays = {
        str(name): np.asarray(to_numpy(x.data if isinstance(x, Tensor) else as_array(x)), order="C")
        for name, x in tensors.items()
    }
    text = {str(key): str(value) for key, value in (metadata or {}).items()}
    text |= {"format": "np", "minigen": str(FORMAT), "sha256": _digest(arrays)}
    replace_file(Path(path), encode(arrays, text))


def load(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of a safetensors file, ours or another's; CheckpointError if it is damaged."""
    return {name: Tensor(array) for name, array in _read(Path(path))[0].items()}


def save_state(path: str | os.PathLike, state: Any) -> None:
    """Write a nest of dicts, lists, numbers, strings and arrays."""
    arrays: dict[str, Array] = {}
    skeleton = _taken_out(state, "", arrays)
    save(path, arrays, {"state": json.dumps(skeleton)})


def load_state(path: str | os.PathLike) -> Any:
    """What save_state wrote: tuples as lists, tensors as raw arrays."""
    arrays, text = _read(Path(path))
    if "state" not in text:
        raise CheckpointError(f"{path}: a file of tensors, but not a state of a training run")
    try:
        return _put_back(json.loads(text["state"]), arrays)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: its description is damaged: {error}") from None


def _taken_out(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    if isinstance(value, Tensor | np.ndarray) or is_cupy(value):
        if name in arrays:
            raise ValueError(f"two arrays of the state are called {name!r}")
        arrays[name] = value
        return {ARRAY: name}
    if isinstance(value, Mapping):
        return {str(k): _taken_out(v, f"{name}.{k}".strip("."), arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_taken_out(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} of the state is a {type(value).__name__}, which cannot be saved")


def _put_back(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return arrays[value[ARRAY]]
        return {key: _put_back(part, arrays) for key, part in value.items()}
    return [_put_back(part, arrays) for part in value] if isinstance(value, list) else value


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and text of a file, verified."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            text = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from None
    for name, array in arrays.items():
        try:
            as_array(array)
        except DTypeError as error:
            raise CheckpointError(f"{path}: tensor {name!r}: {error}") from None
    version = text.get("minigen")
    if version is not None:
        if version != str(FORMAT):
            raise CheckpointError(
                f"{path}: format {version}, this release reads {FORMAT}; update minigen"
            )
        if text.get("sha256") != _digest(arrays):
            raise CheckpointError(f"{path}: the data does not match its SHA-256: it is damaged")
    return arrays, text


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and values."""
    hasher = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        hasher.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        hasher.update(np.ascontiguousarray(array).data if array.size else b"")
    return hasher.hexdigest()


def replace_file(path: Path, data: bytes) -> None:
    """Put data at path so that at every moment a whole file stands there; CheckpointError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new, previous = (path.with_name(f"{path.name}.{end}") for end in ("new", "previous"))
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            previous.unlink(missing_ok=True)
            os.link(path, previous)
        os.replace(new, path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written: {error}; what was there before is unchanged"
        ) from error
    finally:  # also where Ctrl-C came in between
        new.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # the new name, too, must reach the disk
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
