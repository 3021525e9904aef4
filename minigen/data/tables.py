"""Tables as arrays: CSV files, a row an example; numbers as they are, texts as one-hot vectors.

The text is read twice, first to find out what each column holds and then to fill the arrays; so
the memory that is needed is that of the text and of the arrays.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigen.data.csv_files import CSVRows
from minigen.data.splitting import held_out
from minigen.data.table_columns import Column, Survey, cell_values
from minigen.data.text_files import text
from minigen.errors import DatasetError
from minigen.random import Generator

MAX_ARRAY_BYTES = 2**29

Splits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Table(NamedTuple):
    """x float64 (N, F), NaN where a number is missing; y (N,), float64 numbers or int64 classes.

    `columns` are those of x, `target` is that of y; their categories are kept, so that
    `read_table(path, like=table)` reads further rows as these. y is None if a file read like
    another table lacks the target.
    """

    x: np.ndarray
    y: np.ndarray | None
    columns: tuple[Column, ...]
    target: Column

    @property
    def features(self) -> list[str]:
        """The names of the columns of x."""
        return [name for column in self.columns for name in column.features]

    def split(self, test_fraction: float = 0.2, seed: int = 0) -> Splits:
        """train_x, train_y, test_x, test_y: random rows; of classes, a part of each is held out."""
        labels = self.y if self.target.categories else np.zeros(len(self.y), np.int64)
        train, test = held_out(labels, test_fraction, Generator(seed))
        if not len(test):
            raise DatasetError(
                f"the column {self.target.name!r} has no class of two rows or more, so that none "
                "can be held out for the test; take more rows"
            )
        return self.x[train], self.y[train], self.x[test], self.y[test]


class Standardizer(NamedTuple):
    """The mean and standard deviation of each column, to be taken of the training part alone."""

    mean: np.ndarray
    scale: np.ndarray  # 0 for a constant column

    @classmethod
    def fit(cls, x: np.ndarray) -> "Standardizer":
        """From x (N, F) or (N,); missing values, NaN, are left out."""
        there = ~np.isnan(x)
        n = np.maximum(there.sum(0), 1)
        largest = np.abs(np.where(there, x, 0)).max(0)  # squares of x itself could overflow
        z = np.where(there, x, 0) / np.where(largest == 0, 1, largest)
        mean = z.sum(0) / n
        scale = np.sqrt((np.where(there, z - mean, 0) ** 2).sum(0) / n)
        constant = np.where(there, x, -np.inf).max(0) <= np.where(there, x, np.inf).min(0)
        return cls(mean * largest, np.where(constant, 0, scale) * largest)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(x - mean) / scale as float32; 0 for missing values and constant columns."""
        z = (x - self.mean) / np.where(self.scale == 0, np.inf, self.scale)
        return np.nan_to_num(z, nan=0.0).astype(np.float32)

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """The values, float64, whose standardized values are z."""
        return np.asarray(z, np.float64) * self.scale + self.mean


def read_table(
    path: str | os.PathLike,
    target: str | None = None,
    *,
    drop: str | Sequence[str] = (),
    categorical: str | Sequence[str] = (),
    missing: str = "refuse",
    task: str | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    like: Table | None = None,
    max_bytes: int = 2**28,
) -> Table:
    """A CSV file as a Table; `target` is the column to predict, by default the last.

    Fields are separated by comma, semicolon or tab. The first row has the names unless a number is
    in it; without names, columns are called 1, 2, ... A column of texts, or one that `categorical`
    names, becomes one-hot. missing="fill": a missing number is NaN, a missing text is a category.
    A target of texts or of at most 20 whole numbers is of classes unless task is "regression";
    task="classification" makes any. like: a table with the columns to read. Raises DatasetError.
    """
    options = {"drop": drop, "categorical": categorical, "missing": missing, "task": task}
    options |= {"header": header, "delimiter": delimiter, "like": like}
    return parse_table(text(path, max_bytes), target, name=os.path.expanduser(path), **options)


def parse_table(
    content: str,
    target: str | None = None,
    *,
    name: str = "the table",
    drop: str | Sequence[str] = (),
    categorical: str | Sequence[str] = (),
    missing: str = "refuse",
    task: str | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    like: Table | None = None,
) -> Table:
    """The Table of a CSV text, as `read_table` makes it; `name` is what errors call the text."""
    if missing not in ("refuse", "fill") or task not in (None, "regression", "classification"):
        raise ValueError(
            "read_table: missing must be 'refuse' or 'fill', task None, 'regression' or "
            f"'classification', got {missing=} {task=}"
        )
    drop, categorical = _names(drop), _names(categorical)
    rows, fill = CSVRows(content, name, delimiter, header), missing == "fill"
    if like is not None:
        return _filled(rows, like.columns, like.target, sum(1 for _ in rows), fill)
    names = [each for each in rows.names if each not in drop]
    if len(names) < 2:
        first = content.lstrip()[:60].partition("\n")[0]
        remedy = "separate fields by comma, semicolon or tab, or name the delimiter"
        remedy += f"; the first row is {first!r}"
        raise rows.error("two columns or more", f"{len(names)}", remedy)
    target = target or names[-1]
    for each in (target, *categorical, *drop):
        if each not in rows.names or (each == target and each in drop):
            listed = ", ".join(map(repr, names[:20]))
            raise rows.error(f"a column {each!r}", f"columns {listed}", "check the name")
    surveys, n = [Survey(each, each in categorical) for each in rows.names], 0
    for lines, columns in rows.blocks():
        n += len(lines)
        for survey, cells in zip(surveys, columns):
            survey.add(cells, lines, rows)
    if n < 2:
        raise rows.error("two rows or more below the names of the columns", n, "add rows")
    columns = [s.column(rows, fill) for s in surveys if s.name in names and s.name != target]
    goal = next(s for s in surveys if s.name == target).target(rows, n, task)
    return _filled(rows, tuple(columns), goal, n, fill)


def _names(names: str | Sequence[str]) -> Sequence[str]:
    """The names, also of a single one: a text is a sequence, too, of its letters."""
    return (names,) if isinstance(names, str) else names


def _filled(
    rows: CSVRows, columns: tuple[Column, ...], target: Column, n: int, fill: bool
) -> Table:
    """The n rows as arrays, by the columns of this or of another table."""
    offsets = np.cumsum([0, *(len(column.features) for column in columns)])
    if n * int(offsets[-1]) * 8 > MAX_ARRAY_BYTES:
        got = f"{n} rows of {offsets[-1]} numbers"
        raise rows.error(f"arrays of at most {MAX_ARRAY_BYTES} bytes", got, "take fewer rows")
    if absent := [column.name for column in columns if column.name not in rows.names]:
        raise rows.error(f"a column {absent[0]!r}", f"columns {rows.names[:20]}", "add it")
    indices = [rows.names.index(column.name) for column in columns]
    codes = [{each: i for i, each in enumerate(column.categories)} for column in columns]
    of_target = rows.names.index(target.name) if target.name in rows.names else None
    classes = {each: i for i, each in enumerate(target.categories)}
    x = np.zeros((n, int(offsets[-1])))
    y = None if of_target is None else np.empty(n, np.int64 if classes else np.float64)
    start = 0
    for lines, cells in rows.blocks():
        block = slice(start, start + len(lines))
        for index, code, offset, column in zip(indices, codes, offsets, columns):
            values = cell_values(rows, cells[index], code, column.name, lines, fill)
            if code:
                x[np.arange(start, block.stop), offset + values.astype(np.int64)] = 1
            else:
                x[block, offset] = values
        if y is not None:
            y[block] = cell_values(rows, cells[of_target], classes, target.name, lines, False)
        start = block.stop
    return Table(x, y, columns, target)
