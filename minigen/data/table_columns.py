"""The columns of a table: which hold numbers and which categories, and their cells as numbers."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigen.data.csv_files import CSVRows
from minigen.errors import DatasetError

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}  # in a column of numbers, in any case
MAX_CATEGORIES = 1000  # of a column
DECORATED = re.compile(  # 1,234 or 1.234,5 or 1 234,5 or 1'234.5 or 5 %
    r"[$€£]?\s?[+-]?(\d{1,3}([,.'\u2019 \u00a0\u202f]\d{3})+|\d+)([.,]\d+)?\s?[%$€£]?"
)
FEW = 20  # whole numbers: a target of fewer, with five rows each, is of classes


class Column(NamedTuple):
    """A column of the file: its name, and its categories in order, none if it holds numbers."""

    name: str
    categories: tuple[str, ...] = ()

    @property
    def features(self) -> list[str]:
        """The names of its columns in `Table.x`: one, or one for each category."""
        return [f"{self.name}={each}" for each in self.categories] or [self.name]


class Survey:
    """What the cells of a column are: numbers, texts or missing."""

    def __init__(self, name: str, categorical: bool):
        self.name, self.categorical = name, categorical
        self.numbers, self.texts = 0, 0
        self.values: dict[str, float | None] = {}  # the distinct cells, up to a limit
        self.first_text = (0, "")  # line and cell
        self.empty, self.missing = 0, 0  # lines of the first empty cell, and of the first "NA"

    def add(self, cells: Sequence[str], lines: Sequence[int], rows: CSVRows) -> None:
        """Count the cells of a block of rows."""
        numbers = rows.numbers(cells)
        if numbers is not None:
            self.numbers += len(cells)
            if len(self.values) <= MAX_CATEGORIES:
                self.values.update(zip(cells, numbers.tolist()))
            return
        for cell, line in zip(cells, lines):
            number = rows.number(cell)
            if len(self.values) <= MAX_CATEGORIES:
                self.values[cell] = number
            if number is not None:
                self.numbers += 1
            elif cell.lower() not in MISSING:
                self.texts += 1
                self.first_text = self.first_text if self.first_text[0] else (line, cell)
            elif cell:
                self.missing = self.missing or line
            else:
                self.empty = self.empty or line

    def column(self, rows: CSVRows, fill: bool) -> Column:
        """The column of what was counted. DatasetError for missing and for odd cells."""
        if not self.categorical and self.texts == 0 and self.numbers:
            lines = [line for line in (self.empty, self.missing) if line]
            if lines and not fill:
                raise self.refused(rows, min(lines))
            return Column(self.name)
        if not self.categorical and self.numbers > self.texts:
            line, cell = self.first_text
            raise rows.error(
                f"a number in the column {self.name!r}, as in {self.numbers} other rows",
                repr(cell[:40]),
                "correct it, or name the column in `categorical`",
                line,
            )
        if (self.empty and not fill) or not self.numbers + self.texts:
            raise self.refused(rows, self.empty or self.missing or None)
        distinct, cells = len(self.values), self.numbers + self.texts
        example = repr(next((x for x in self.values if x), "")[:40])
        if distinct > MAX_CATEGORIES or (distinct > FEW and distinct > cells / 2):
            limit = f"at most {MAX_CATEGORIES}, in two rows or more on average"
            expected = f"texts that repeat in the column {self.name!r} ({limit})"
            got = f"{min(distinct, MAX_CATEGORIES)} different ones or more, such as {example}"
            raise rows.error(expected, got, "name the column in `drop`")
        if not self.categorical and all(DECORATED.fullmatch(x[:64]) for x in self.values if x):
            expected = f"plain numbers, such as 1234.5, in the column {self.name!r}"
            raise rows.error(expected, example, "rewrite them, or name it in `categorical`")
        return Column(self.name, tuple(sorted(self.values)))

    def target(self, rows: CSVRows, n: int, task: str | None) -> Column:
        """The column to predict: with categories, if it is of classes."""
        absent = (self.empty, 0 if self.texts else self.missing)
        if line := min([line for line in absent if line], default=0):
            raise self.refused(rows, line, "remove the row")
        if len(self.values) < 2:
            got = f"{next(iter(self.values), '')[:40]!r} in all rows"
            raise rows.error(f"two values of the target {self.name!r} or more", got, "name another")
        numbers = [np.nan if x is None else x for x in self.values.values()]
        whole = all(np.isfinite(x) and x == int(x) for x in numbers)
        few = whole and len(self.values) <= min(FEW, n // 5)
        if task == "classification" or (task is None and few):
            self.categorical = True
        found = self.column(rows, fill=False)
        if task == "regression" and found.categories:
            got = repr(self.first_text[1][:40])
            raise rows.error(f"numbers in the target {self.name!r}", got, "name another")
        if found.categories and whole:  # in the order of the numbers
            if len(set(numbers)) < len(numbers):
                got = ", ".join(map(repr, list(self.values)[:20]))
                raise rows.error(f"one way to write each class of {self.name!r}", got, "choose one")
            return Column(self.name, tuple(sorted(self.values, key=float)))
        return found

    def refused(self, rows: CSVRows, line: int | None, remedy: str = "") -> DatasetError:
        """The error about a missing value."""
        remedy = remedy or "fill it in, remove the row, or take missing='fill'"
        return rows.error(f"a value in the column {self.name!r}", "none", remedy, line)


def cell_values(
    rows: CSVRows,
    cells: Sequence[str],
    codes: dict[str, int],
    name: str,
    lines: Sequence[int],
    fill: bool,
) -> np.ndarray:
    """The numbers of a block of cells, NaN where one is missing, or those of their categories."""
    numbers = None if codes else rows.numbers(cells)
    if numbers is not None:
        return numbers
    return np.array(
        [_cell_value(rows, x, codes, name, line, fill) for x, line in zip(cells, lines)]
    )


def _cell_value(
    rows: CSVRows, cell: str, codes: dict[str, int], name: str, line: int, fill: bool
) -> float:
    """The number of a cell, NaN if it is missing and may be; the number of its category."""
    if codes:
        if cell in codes:
            return codes[cell]
        expected = f"a category of the column {name!r}, such as {next(iter(codes))!r}"
        raise rows.error(expected, repr(cell[:40]), "correct it", line)
    number = rows.number(cell)
    if number is None and fill and cell.lower() in MISSING:
        return np.nan
    if number is None or abs(number) == np.inf:
        expected = f"a finite number in the column {name!r}"
        raise rows.error(expected, repr(cell[:40]), "correct it", line)
    return number
