"""The cache of compiled kernels on the disk: Numba's, with a hash in each file.

Numba trusts its cache files: one that is damaged or cannot be written raises an error in the middle
of a program. In this cache such a file costs a warning and the time to compile.
Numba also keeps an index file for each kernel, whose entries two processes that write it at the
same time could mix up. There is no index in this cache: each overload of a kernel has one file,
whose name contains a hash of the overload's key.
"""

import hashlib
import os
from pathlib import Path

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from minigen.kernels.cpu.notice import notice

HASH_BYTES = 32  # of SHA-256
TRAILER_BYTES = 2 * HASH_BYTES  # at the end of a file: the sources' hash, the hash of the content


class KernelCache(FunctionCache):
    """The compiled overloads of a function; warn(reason) is called where the cache fails."""

    def __init__(self, function, hash_of_sources, warn):
        super().__init__(function)
        self.warn = warn
        versions = f"{hash_of_sources} {numba.__version__}".encode()
        base = self._impl.filename_base
        stamp = hashlib.sha256(versions).digest()
        self._cache_file = _CheckedFiles(self._cache_path, base, stamp)

    def load_overload(self, sig, target_context):
        """The overload from its file; None if there is none that can be used."""
        overload = None
        try:
            overload = super().load_overload(sig, target_context)
        except OSError:  # save_overload will meet it again, and warns
            pass
        except Exception:  # a damaged file may raise any error
            self.warn(f"a file in {self._cache_path} is damaged and is written anew")
        if overload is None:
            notice.begin()  # Numba compiles it now, and then calls save_overload
        return overload

    def save_overload(self, sig, data):
        """Write the overload to its file, or warn."""
        notice.end()
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.warn(f"{self._cache_path} cannot be written ({os.strerror(error.errno or 0)})")


class _CheckedFiles(IndexDataCacheFile):
    """Files NAME.HASH_OF_KEY.nbc: what Numba writes, the hash of the sources, SHA-256 over both.

    Numba calls the hash of the sources the source stamp.
    """

    def save(self, key, data):
        """Write the file of a key."""
        self._save_data(self._name(key), data)

    def load(self, key):
        """The data of a key; None if it has no file, or one from other sources."""
        name = self._name(key)
        try:
            with open(self._data_path(name), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
        if not has_its_hash(content):
            raise ValueError(f"{name}: the hash is wrong")
        if content[-TRAILER_BYTES:-HASH_BYTES] != self._source_stamp:
            return None
        return self._load_data(name)

    def _dump(self, obj):
        """The content of the file of an overload."""
        content = super()._dump(obj) + self._source_stamp
        return content + hashlib.sha256(content).digest()

    def _name(self, key):
        """The name of the file of a key."""
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return os.path.splitext(self._index_name)[0] + f".{digest}.nbc"


def has_its_hash(content: bytes) -> bool:
    """Whether the last bytes of a file's content are the hash of the bytes before them."""
    return hashlib.sha256(content[:-HASH_BYTES]).digest() == content[-HASH_BYTES:]


def damaged(folder: str) -> list[Path]:
    """The files of kernels in a folder whose content has changed since they were written."""
    return [path for path in kernel_files(folder) if not has_its_hash(path.read_bytes())]


def kernel_files(folder: str) -> list[Path]:
    """The files of compiled kernels in a folder."""
    return sorted(Path(folder).glob(f"*.{'[0-9a-f]' * 16}.nbc"))
