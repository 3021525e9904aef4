"""Fetching a file from the first mirror that delivers exactly the bytes it should."""

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from minigen.errors import DatasetError

PIECE = 1 << 16  # bytes read at a time


class MirrorFailed(Exception):
    """One mirror did not deliver; another may."""


def download(
    urls: Sequence[str],
    path: str | os.PathLike,
    *,
    size: int,
    sha256: str,
    timeout: float = 10.0,
    deadline: float = 600.0,
) -> None:
    """Put the file of that size and SHA-256 at path, from the first of the urls that has it.

    The path gets the whole, checked file or nothing. A mirror has `timeout` seconds for each
    answer and `deadline` for all. Raises DatasetError with what went wrong at each mirror.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            print(f"minigen: fetching {url}", file=sys.stderr)
            try:
                _save(_checked(url, size, sha256, timeout, deadline), part)
            except MirrorFailed as error:
                failures.append(f"{url}: {error}")
            else:
                part.replace(path)
                return
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be written ({error}); choose another directory, "
            "or let the environment variable MINIGEN_DATA name one"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    raise DatasetError(f"{path.name}: no mirror delivered it\n  " + "\n  ".join(failures))


def _save(pieces: Iterator[bytes], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())  # the rename must not reach the disk before the bytes


def _checked(url: str, size: int, sha256: str, timeout: float, deadline: float) -> Iterator[bytes]:
    """The pieces of a file on the web; MirrorFailed once they are not what they should be."""
    digest, received = hashlib.sha256(), 0
    for piece in _pieces(url, timeout, deadline):
        received += len(piece)
        if received > size:
            raise MirrorFailed(f"expected {size} bytes, got more")
        digest.update(piece)
        yield piece
    if received < size:
        raise MirrorFailed(f"expected {size} bytes, got {received}")
    if digest.hexdigest() != sha256:
        raise MirrorFailed(f"expected SHA-256 {sha256}, got {digest.hexdigest()}")


def _pieces(url: str, timeout: float, deadline: float) -> Iterator[bytes]:
    """What a server sends, piece by piece; whatever goes wrong on the way is MirrorFailed."""
    end = time.monotonic() + deadline
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            while piece := response.read1(PIECE):  # read() would wait on for a server that drips
                yield piece
                if time.monotonic() > end:
                    raise MirrorFailed(f"not done within {deadline} seconds")
    except urllib.error.HTTPError as error:
        error.close()
        raise MirrorFailed(f"{error}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MirrorFailed(f"{type(error).__name__}: {error}") from error
