"""The rows of a CSV text: delimiter and header are found, a damaged row is named by its line."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from minigen.errors import DatasetError

LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f]")  # characters that a text file does not have
# Each is longer than what it must match, so that the time is linear in the length of a cell.
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
DELIMITERS = "\t;,"  # the first that fits: with ";" a comma may stand in numbers, as in 1,5
MAX_COLUMNS = 2**14
SAMPLE = 50  # lines from which the delimiter is found out
BLOCK = 1000  # rows
DIGITS = re.compile(r"[0-9.eE+-]*")


class CSVRows:
    """The rows of a CSV text by column; `name` is what errors call it.

    delimiter and header (whether the first row has the names of the columns): None to find out.
    Columns without a name, such as the row numbers that pandas writes, are left out.
    """

    def __init__(
        self,
        content: str,
        name: str | os.PathLike,
        delimiter: str | None = None,
        header: bool | None = None,
    ):
        self.content, self.name = content, name
        if found := CONTROL.search(content):
            line = content.count("\n", 0, found.start()) + 1
            raise self.error("text", repr(found[0]), "correct this line", line)
        self.delimiter = delimiter or self._delimiter()
        self._check_decimals()
        _, first = next(self._raw(), (1, []))
        if len(first) > MAX_COLUMNS:
            raise self.error(f"at most {MAX_COLUMNS} columns", len(first), "take fewer", 1)
        if header is None:
            header = any(first) and not any(self.number(cell) is not None for cell in first)
        self.header, self.width = header, len(first)
        names = first if header else [str(i + 1) for i in range(len(first))]
        self.used = [i for i, each in enumerate(names) if each and each != "Unnamed: 0"]
        self.names = [names[i] for i in self.used]
        if twice := [each for i, each in enumerate(self.names) if each in self.names[:i]]:
            raise self.error("a name for each column", f"{twice[0]!r} twice", "rename one", 1)

    def error(
        self, expected: object, got: object, remedy: str, line: int | None = None
    ) -> DatasetError:
        """A DatasetError that names the file, and the line if there is one."""
        where = "" if line is None else f", line {line}"
        return DatasetError(f"{self.name}{where}: expected {expected}, got {got}; {remedy}")

    def _check_decimals(self) -> None:
        """Refuse a file with 1,5 and 2.5: one of the two marks would separate thousands."""
        if self.delimiter == ",":
            return
        end = rf"[\r\n{re.escape(self.delimiter)}]"
        patterns = (rf'{end} *"?([+-]?\d+{mark}\d+)"? *(?={end}|\Z)' for mark in (",", r"\."))
        found = [re.search(pattern, self.content) for pattern in patterns]
        if all(found):
            comma, point = (each[1] for each in found)
            line = self.content.count("\n", 0, max(each.start(1) for each in found)) + 1
            expected = "one decimal mark in all numbers, comma or point"
            got = f"{comma} and {point}"
            raise self.error(expected, got, "write numbers without marks of thousands", line)

    def number(self, cell: str) -> float | None:
        """The number that a cell holds, None if it holds none."""
        if len(cell) <= 64 and NUMBER.fullmatch(cell):
            return float(cell)
        if self.delimiter != "," and len(cell) <= 64 and DECIMAL_COMMA.fullmatch(cell):
            return float(cell.replace(",", "."))
        return None

    def numbers(self, cells: Sequence[str]) -> np.ndarray | None:
        """The numbers in these cells, None unless all hold one, finite and with a decimal point.

        A tenth of the time of `number` for each.
        """
        if not DIGITS.fullmatch("".join(cells)) or max(map(len, cells)) > 64:
            return None
        try:
            found = np.array(cells, np.float64)
        except ValueError:
            return None
        return found if np.isfinite(found).all() else None

    def blocks(self) -> Iterator[tuple[list[int], list[tuple[str, ...]]]]:
        """The rows in blocks: the number of the first line of each, and the cells by column."""
        rows = iter(self)
        while block := list(islice(rows, BLOCK)):
            lines, cells = zip(*block)
            yield list(lines), list(zip(*cells))

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """(number of its first line, cells of the columns in `names`) of each row."""
        rows = self._raw()
        if self.header:
            next(rows, None)
        for line, row in rows:
            if len(row) != self.width:
                got = f"{len(row)} on this one"
                raise self.error(
                    f"{self.width} fields, as in the first row", got, "correct it", line
                )
            yield line, [row[i] for i in self.used]

    def _raw(self) -> Iterator[tuple[int, list[str]]]:
        """(number of its first line, cells) of each row that is not blank."""
        reader = csv.reader(
            (found[0] for found in LINE.finditer(self.content)),
            delimiter=self.delimiter,
            skipinitialspace=True,
            strict=True,
        )
        line = 1
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells) or len(cells) > 1:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise self.error("fields in whole quotes", error, "correct this line", line) from error

    def _delimiter(self) -> str:
        """The first delimiter that divides all of the first lines into equally many fields."""
        lines = [found[0] for found in islice(LINE.finditer(self.content), SAMPLE)]
        widths = {}
        for delimiter in DELIMITERS:
            rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            try:
                widths[delimiter] = [len(row) for row in rows if row]
            except csv.Error:
                continue
        fits = [d for d, found in widths.items() if min(found, default=0) > 1]
        even = [d for d in fits if len(set(widths[d][:-1] or widths[d])) == 1]
        return next(iter(even or fits), ",")
