"""The state of a training run as one file: nested dicts and lists that contain arrays."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minigen import tensor_files
from minigen.backend.arrays import Array, is_cupy
from minigen.errors import CheckpointError
from minigen.tensors import Tensor

NAME, METRICS = "checkpoint.safetensors", "metrics.jsonl"  # in the folder of a run
ARRAY = "$array"  # in the JSON of a state, {ARRAY: name} stands for the array of that name


def save_state(path: str | os.PathLike, state: Any) -> None:
    """Write nested dicts, lists, numbers, strings and arrays to path.

    Raises CheckpointError if the file cannot be written, TypeError for values of other types.
    """
    arrays: dict[str, Array] = {}
    skeleton = without_arrays(state, "", arrays)
    tensor_files.save(path, arrays, {"state": json.dumps(skeleton)})


def load_state(path: str | os.PathLike) -> Any:
    """Read what save_state wrote; tuples come back as lists, tensors as raw arrays.

    Raises CheckpointError if the file is missing, damaged or not a state.
    """
    path = tensor_files.home_path(path)
    arrays, text = tensor_files.read(path)
    if not {"state", "sha256"} <= text.keys():
        raise tensor_files.refusal(
            path, "the state of a training run", "a file of tensors, but not a state"
        )
    try:
        return with_arrays(json.loads(text["state"]), arrays)
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise tensor_files.refusal(path, "a description of all its arrays", got) from None


def in_folder(path: str | os.PathLike) -> Path:
    """The checkpoint that path is, or that the folder path contains; ~ is the home folder."""
    path = tensor_files.home_path(path)
    is_file = path.is_file() or (path.suffix == Path(NAME).suffix and not path.is_dir())
    return path if is_file else path / NAME


def load_of(path: Path, example: str) -> dict[str, Any]:
    """The state of a run of an example; CheckpointError if it is not of that example."""
    state = load_state(path)
    refuse_another_example(path, state, example)
    return state


def refuse_another_example(path: Path, state: Any, example: str) -> None:
    """CheckpointError if the state, of the file path, is not of that example."""
    config = state.get("config") if isinstance(state, dict) else None
    found = config.get("example") if isinstance(config, dict) else None
    if found != example:
        raise CheckpointError(f"{path} is of {found}, not of {example}")


def reserve(folder: Path, nbytes: int) -> None:
    """CheckpointError if folder cannot hold a file of nbytes bytes, which is written for a try."""
    path = folder / f"{NAME}.try"
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
                os.posix_fallocate(file.fileno(), 0, nbytes)
    except OSError as error:
        reason = f"{folder} has no room for a checkpoint of {nbytes / 1e6:.1f} MB ({error})"
        raise CheckpointError(f"{reason}; make room, or name another --out") from None
    finally:
        with suppress(OSError):
            path.unlink()


def refuse_to_overwrite(folder: Path) -> None:
    """CheckpointError if the folder has a run already."""
    names = (NAME, f"{NAME}.previous", METRICS)
    if found := [name for name in names if (folder / name).exists()]:
        raise CheckpointError(
            f"{folder} has a run already ({found[0]}): --resume goes on with it, --sample draws "
            "from it, --overwrite replaces it; or name another folder with --out"
        )


def digest(contents: Sequence[np.ndarray | str]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of arrays and texts."""
    hasher = hashlib.sha256()
    for part in contents:
        hasher.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).data)
    return hasher.hexdigest()[:16]


def without_arrays(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """A copy of value with each array replaced by {ARRAY: name}, and added to `arrays` by name."""
    if isinstance(value, Tensor | np.ndarray) or is_cupy(value):
        if name in arrays:
            raise ValueError(f"two arrays of the state are called {name!r}")
        arrays[name] = value
        return {ARRAY: name}
    if isinstance(value, Mapping):
        return {
            str(k): without_arrays(v, f"{name}.{k}".strip("."), arrays) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_arrays(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} of the state is a {type(value).__name__}, which cannot be saved")


def with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `without_arrays`."""
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return arrays[value[ARRAY]]
        return {key: with_arrays(part, arrays) for key, part in value.items()}
    return [with_arrays(part, arrays) for part in value] if isinstance(value, list) else value
