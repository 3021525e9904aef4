"""Compiled kernels on the disk: Numba's cache, with a hash in each file and a file for each call.

Numba trusts its files and stops the program where one cannot be read or written. Here what is
damaged, or does not fit on the disk, costs a warning and the time to compile. Numba's index of a
kernel's files is left out: two processes that wrote it at once could mix up its entries.
"""

import hashlib
import os
from pathlib import Path

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

TRAILER = 32 + 32  # bytes: the stamp of the sources, and SHA-256 over all before it


class KernelCache(FunctionCache):
    """The compiled forms of a function, made from sources of that stamp; problems go to warn."""

    def __init__(self, function, stamp, warn):
        super().__init__(function)
        self.warn = warn
        stamp = hashlib.sha256(f"{stamp} {numba.__version__}".encode()).digest()
        base = self._impl.filename_base
        self._cache_file = _CheckedFiles(self._cache_path, base, stamp)

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except OSError:  # to write is tried next, and says what is wrong
            return None
        except Exception:  # whatever a damaged file makes of itself
            self.warn(f"a file in {self._cache_path} is damaged and is written anew")
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.warn(f"{self._cache_path} cannot be written ({os.strerror(error.errno or 0)})")


class _CheckedFiles(IndexDataCacheFile):
    """Files NAME.nbc, named by the key: what Numba writes, the stamp, a hash."""

    def save(self, key, data):
        self._save_data(self._name(key), data)

    def load(self, key):
        name = self._name(key)
        try:
            with open(self._data_path(name), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
        if not is_whole(content):
            raise ValueError(f"{name}: the hash is wrong")
        return self._load_data(name) if content[-TRAILER:-32] == self._source_stamp else None

    def _dump(self, obj):
        content = super()._dump(obj) + self._source_stamp
        return content + hashlib.sha256(content).digest()

    def _name(self, key):
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return os.path.splitext(self._index_name)[0] + f".{digest}.nbc"


def is_whole(content: bytes) -> bool:
    """Whether a file's content ends in the hash of what stands before."""
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


def damaged(folder: str) -> list[Path]:
    """The files of kernels in folder that are not as they were written."""
    return [path for path in kernel_files(folder) if not is_whole(path.read_bytes())]


def kernel_files(folder: str) -> list[Path]:
    """The files of compiled kernels in folder."""
    return sorted(Path(folder).glob(f"*.{'[0-9a-f]' * 16}.nbc"))
