"""Downloading a file from the first mirror whose bytes have the expected size and SHA-256."""

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

CHUNK_BYTES = 1 << 16  # the most that one read returns


class MirrorFailed(Exception):
    """One mirror failed; `download` goes on to the next."""


def download(
    urls: Sequence[str],
    path: str | os.PathLike,
    *,
    size: int,
    sha256: str,
    timeout: float = 10.0,
    deadline: float = 600.0,
) -> None:
    """Download to `path` from the first of `urls` that serves this size and SHA-256.

    The bytes go to a temporary file beside `path`, are checked, and the file is then renamed: so
    `path` is either complete or unchanged. A mirror has `timeout` seconds for each answer and
    `deadline` seconds for the whole file. Raises DatasetError, with the failure of each mirror.
    """
    path = Path(os.path.expanduser(path))
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            print(f"minigen: fetching {url}", file=sys.stderr)
            try:
                _write(_verified(url, size, sha256, timeout, deadline), temporary)
            except MirrorFailed as error:
                failures.append(f"{url}: {error}")
            else:
                temporary.replace(path)
                return
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be written ({error}); choose another directory, "
            "or let the environment variable MINIGEN_DATA name one"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    raise DatasetError(f"{path.name}: no mirror delivered it\n  " + "\n  ".join(failures))


def _write(chunks: Iterator[bytes], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)
        file.flush()
        os.fsync(file.fileno())  # the rename must not reach the disk before the bytes


def _verified(url: str, size: int, sha256: str, timeout: float, deadline: float) -> Iterator[bytes]:
    """The chunks of the file at url; MirrorFailed at the end if size or SHA-256 is wrong.

    A file that is too long fails as soon as it exceeds the size.
    """
    digest, received = hashlib.sha256(), 0
    for chunk in _chunks(url, timeout, deadline):
        received += len(chunk)
        if received > size:
            raise MirrorFailed(f"expected {size} bytes, got more")
        digest.update(chunk)
        yield chunk
    if received < size:
        raise MirrorFailed(f"expected {size} bytes, got {received}")
    if digest.hexdigest() != sha256:
        raise MirrorFailed(f"expected SHA-256 {sha256}, got {digest.hexdigest()}")


def _chunks(url: str, timeout: float, deadline: float) -> Iterator[bytes]:
    """The body of the server's response in chunks; any network error becomes MirrorFailed."""
    end = time.monotonic() + deadline
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            # read(n) would wait until n bytes are there, so that a server that sends a byte now
            # and then could pass the deadline unnoticed; read1(n) returns what has arrived.
            while chunk := response.read1(CHUNK_BYTES):
                yield chunk
                if time.monotonic() > end:
                    raise MirrorFailed(f"not done within {deadline} seconds")
    except urllib.error.HTTPError as error:
        error.close()
        raise MirrorFailed(f"{error}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MirrorFailed(f"{type(error).__name__}: {error}") from error
