"""What the page shows, as one JSON: steps, values, pictures, source text, modules and memory."""

import hashlib
import json
import linecache
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigen.backend.devices import to_numpy
from minigen.study.page_memory import bytes_alive, last_steps, lifetimes_of
from minigen.study.page_notes import Cuts, norms_of
from minigen.study.page_steps import has_derivative, texts_of, untracked
from minigen.study.pictures import Layout, layout_of, picture_of
from minigen.study.steps import Pass, Step, Value

MAX_LINES = 700  # of a file that is shown as a whole; of a longer one, what surrounds the steps
AROUND = 60  # lines
# The numbers of cells of a picture that are tried, until the page is small enough.
LIMITS = (4_000, 2_500, 1_600, 1_000, 640, 400, 256, 160, 100, 64, 36, 16, 4, 0)
BASE64 = 4 / 3  # characters for a byte
RECORD = 220  # characters of a picture's record without its cells, at most


def page_data(run: Any, max_bytes: int) -> str:
    """The JSON of a page, of at most about max_bytes where smaller pictures can make it so."""
    texts = Texts()
    data: dict[str, Any] = {"kept": any(v.array is not None for v in run.values)}
    data["modules"] = run._recorder.user_modules.classes
    data["files"] = source_files(run.steps, run.passes)
    numbers = {file: i for i, file in enumerate(files_of(run.steps, run.passes))}
    cuts = Cuts(run.steps, run.values)
    steps = [_step(step, numbers, texts) for step in run.steps]
    data["steps"] = [step | cuts.marks.get(i, {}) for i, step in enumerate(steps)]
    data["cuts"] = cuts.records
    data["passes"] = [_pass(p, numbers) for p in run.passes]
    data["norms"] = norms_of(run.values, run.passes)
    lifetimes = lifetimes_of(run)
    data["memory"] = bytes_alive(lifetimes)
    until = last_steps(lifetimes)
    pictures = Pictures(run.values)
    data["values"] = [
        _value(v, pictures.numbers.get(v.number), until.get(v.number)) for v in run.values
    ]
    data["texts"] = texts.list
    rest = len(as_json(data))
    data["pictures"] = pictures.records(max_bytes - rest)
    return as_json(data)


def as_json(data: Any) -> str:
    """JSON that may stand inside of a script element: no <, > or & in it, and ASCII alone.

    NaN and infinities, which JSON lacks, are the strings "NaN", "Infinity" and "-Infinity".
    """
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a NaN or an infinity
        text = json.dumps(with_names_of_numbers(data), separators=(",", ":"), allow_nan=False)
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})


def with_names_of_numbers(data: Any) -> Any:
    """A nest of lists and dicts in which NaN and infinities are strings."""
    if isinstance(data, dict):
        return {key: with_names_of_numbers(x) for key, x in data.items()}
    if isinstance(data, list | tuple):
        return [with_names_of_numbers(x) for x in data]
    if isinstance(data, float) and not np.isfinite(data):
        return "NaN" if data != data else "Infinity" if data > 0 else "-Infinity"
    return data


class Texts:
    """Texts that occur often, such as those of rules: `number` of each in a list."""

    def __init__(self):
        self.list: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The index of the text in the list."""
        if text not in self._numbers:
            self._numbers[text] = len(self.list)
            self.list.append(text)
        return self._numbers[text]


class Pictures:
    """The pictures of values; equal arrays share one. numbers: of a value -> its picture."""

    def __init__(self, values: Sequence[Value]):
        self.numbers: dict[int, int] = {}
        self._arrays: list[np.ndarray] = []
        found: dict[Any, int] = {}
        of_object: dict[int, int] = {}  # id of an array, which the recording keeps alive
        for value in values:
            if value.array is None:
                continue
            if id(value.array) not in of_object:
                array = to_numpy(value.array)
                content = hashlib.blake2b(np.ascontiguousarray(array)).digest()
                key = array.shape, array.dtype.str, content
                if key not in found:
                    found[key] = len(self._arrays)
                    self._arrays.append(array)
                of_object[id(value.array)] = found[key]
            self.numbers[value.number] = of_object[id(value.array)]

    def records(self, max_characters: float) -> list[dict[str, Any]]:
        """The record of each picture, with so few cells that all of them fit."""
        shapes = [array.shape for array in self._arrays]
        layouts: list[Layout] = []
        for limit in LIMITS:
            layouts = [layout_of(shape, limit) for shape in shapes]
            characters = sum(BASE64 * layout.cells + RECORD for layout in layouts)
            if characters <= max_characters:
                break
        return [picture_of(array, layout) for array, layout in zip(self._arrays, layouts)]


def without_defaults(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what is None, False or empty; 0 and the shape () stay."""
    is_default = lambda x: x is None or x is False or (isinstance(x, str | tuple) and not x)
    return {name: x for name, x in record.items() if name == "shape" or not is_default(x)}


def _step(step: Step, files: dict[str, int], texts: Texts) -> dict[str, Any]:
    record = {
        "op": step.op,
        "back": step.kind == "backward",
        "in": step.inputs,
        "out": step.outputs,
        "saved": step.saved,
        "file": files.get(step.file),
        "line": step.line,
        "module": step.module,
        "class": step.module_class,
        "us": round(step.seconds * 1e6),
        "bytes": step.bytes,
        "call": step.call,
        "pass": step.backward_pass,
        "inside": step.inside,
        "recorded": step.recorded,
        "constant": not has_derivative(step),
        "untracked": tuple(untracked(step)) if step.kind == "forward" else (),
    }
    record |= {name: texts.number(text) for name, text in texts_of(step).items() if text}
    return without_defaults(record)


def _value(value: Value, picture: int | None, until: int | None) -> dict[str, Any]:
    record = {
        "role": value.role,
        "shape": value.shape,
        "dtype": str(value.dtype),
        "bytes": value.nbytes,
        "name": value.path or value.name,
        "step": value.step,
        "of": value.of,
        "terms": value.terms,
        "picture": picture,
        "until": until,
    }
    return without_defaults(record)


def _pass(of: Pass, files: dict[str, int]) -> dict[str, Any]:
    return {
        "first": of.first,
        "last": of.last,
        "file": files.get(of.file),
        "line": of.line,
        "create_graph": of.create_graph,
        "roots": of.roots,
        "gradients": list(of.gradients.items()),
    }


def files_of(steps: Iterable[Step], passes: Iterable[Pass]) -> list[str]:
    """The names of the files whose lines made steps, in the order of their first step."""
    names = [x.file for x in (*steps, *passes)]
    return list(dict.fromkeys(filter(None, names)))


def source_files(steps: Sequence[Step], passes: Sequence[Pass]) -> list[dict[str, Any]]:
    """The text of each file: as a whole, or of a long one the lines around those of steps."""
    records = []
    names = files_of(steps, passes)
    for file in names:
        lines = [line.rstrip("\n") for line in linecache.getlines(file)]
        lit = sorted({x.line for x in (*steps, *passes) if x.file == file})
        regions: list[list[int]] = []  # [first, last] line, from 1
        for line in lit if len(lines) > MAX_LINES else [1]:
            first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
            if len(lines) <= MAX_LINES:
                first, last = 1, len(lines)
            if regions and first <= regions[-1][1] + 1:
                regions[-1][1] = last
            else:
                regions.append([first, last])
        parts = [[first, lines[first - 1 : last]] for first, last in regions]
        records.append({"name": file_name(file, names), "path": file, "parts": parts})
    return records


def file_name(file: str, files: Sequence[str]) -> str:
    """The name of a file, with that of its folder where another file has the same name."""
    path = Path(file)
    others = [x for x in files if x != file and Path(x).name == path.name]
    return f"{path.parent.name}/{path.name}" if others else path.name
