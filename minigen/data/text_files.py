"""Text files, and the vocabulary that maps characters to integer ids."""

import os
import reprlib
from pathlib import Path

import numpy as np

from minigen.backend.arrays import Array
from minigen.backend.devices import to_numpy
from minigen.errors import DatasetError, DTypeError

OTHER_FORMATS = (  # first bytes, what they begin, and what to do
    (b"\x1f\x8b", "a gzip file", "unpack it first"),
    (b"PK\x03\x04", "a spreadsheet or an archive", "save it as CSV, or unpack it first"),
    (b"\xff\xfe", "UTF-16", "convert the file to UTF-8 first"),
    (b"\xfe\xff", "UTF-16", "convert the file to UTF-8 first"),
    (b"%PDF", "a PDF", "export its text first"),
)
CODE_POINTS = "utf-32-le"  # four bytes a character, so that text is an array of integers


def text(path: str | os.PathLike | None = None, max_bytes: int = 2**28) -> str:
    """The text of a UTF-8 file; by default the language reference that comes with Python.

    Raises DatasetError for a file that is missing, empty, longer than max_bytes or not UTF-8.
    """
    if path is None:
        return _language_reference()
    path = Path(os.path.expanduser(path))
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            raise OSError("a folder or a device")
        size = path.stat().st_size
        if size > max_bytes:
            raise OSError(f"{size} bytes, more than max_bytes={max_bytes}")
        with path.open("rb") as file:
            content = file.read(size)
    except OSError as error:
        raise DatasetError(f"{path}: expected a text file, got {error}; check the path") from error
    try:
        decoded = content.decode("utf-8").lstrip("\ufeff")  # byte order marks
    except UnicodeDecodeError as error:
        byte = content[error.start]
        got = f"byte 0x{byte:02x} at byte position {error.start} ({error.reason})"
        remedy = "convert the file to UTF-8 first"
        for head, kind, advice in OTHER_FORMATS:
            if content.startswith(head):
                got, remedy = kind, advice
        raise DatasetError(f"{path}: expected UTF-8 text, got {got}; {remedy}") from error
    if not decoded:
        raise DatasetError(f"{path}: expected text, got an empty file; name another one")
    return decoded


def _language_reference() -> str:
    """The topics of Python's `help`, in sorted order; about 500,000 characters."""
    try:
        from pydoc_data.topics import topics  # large; minimal installations lack it
    except ImportError as error:
        raise DatasetError(
            f"this Python lacks its language reference ({error}); name a text file: text(path)"
        ) from error
    return "\n\n".join(topics[name] for name in sorted(topics))


def text_pairs(path: str | os.PathLike) -> tuple[list[str], list[str]]:
    """The two columns of a UTF-8 file whose lines are pairs of texts, separated by a tab.

    Raises DatasetError as `text` does, and for a line that is not a pair of two nonempty texts.
    """
    # str.splitlines would also end a line at a form feed, U+0085, U+2028 and others within a text.
    content = text(path).replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    lines = [line.split("\t") for line in content.split("\n")]
    for i, line in enumerate(lines):
        if len(line) != 2 or not all(line):
            raise DatasetError(
                f"{path}: expected two texts with a tab between, got {len(line)} on line {i + 1}: "
                f"{reprlib.repr(line)}; put one pair on each line"
            )
    first, second = zip(*lines)
    return list(first), list(second)


class Vocabulary:
    """The distinct characters of a text, sorted; the id of a character is its index in them.

    Vocabulary(vocabulary.characters) builds an equal vocabulary. Raises DatasetError for an empty
    text.
    """

    def __init__(self, text: str):
        if not text:
            raise DatasetError("a vocabulary needs a text with at least one character, got none")
        self._codes = np.unique(_codes(text))
        self.characters = _string(self._codes)

    def __len__(self) -> int:
        return len(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"

    def encode(self, text: str) -> np.ndarray:
        """The ids of the characters, int64 (T,). DatasetError for one not in the vocabulary."""
        codes = _codes(text)
        ids = np.searchsorted(self._codes, codes).clip(max=len(self) - 1)
        unknown = np.flatnonzero(self._codes[ids] != codes)
        if len(unknown):
            position = int(unknown[0])
            raise DatasetError(
                f"character {text[position]!r} at position {position} is not among the {len(self)} "
                "of the vocabulary; build the vocabulary from a text that has it, or replace it"
            )
        return ids.astype(np.int64, copy=False)

    def decode(self, ids: Array) -> str:
        """The text of integer ids (T,). IndexError for an id outside [0, len(self))."""
        ids = np.atleast_1d(to_numpy(ids))
        if ids.size and (ids.ndim > 1 or ids.dtype.kind not in "iu"):
            raise DTypeError(f"decode takes integers (T,), got {ids.dtype} of shape {ids.shape}")
        wrong = np.flatnonzero((ids < 0) | (ids >= len(self)))
        if len(wrong):
            raise IndexError(
                f"id {ids[wrong[0]]} at position {wrong[0]} is not in [0, {len(self)}), "
                "the range of the vocabulary"
            )
        return _string(self._codes[ids.astype(np.int64)])


def _codes(text: str) -> np.ndarray:
    """The code points of the characters, uint32 (T,)."""
    if not isinstance(text, str):
        raise DTypeError(f"a vocabulary takes a text, a str, got {type(text).__name__}")
    return np.frombuffer(text.encode(CODE_POINTS, "surrogatepass"), "<u4")


def _string(codes: np.ndarray) -> str:
    return codes.astype("<u4").tobytes().decode(CODE_POINTS, "surrogatepass")
