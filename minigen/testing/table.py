"""The table of `python -m minigen gradcheck`: the worst errors of every op over random calls."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minigen.backend.devices import to_device
from minigen.testing.case import Call
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices
from minigen.testing.closeness import (
    FLOAT32,
    FLOAT64,
    FORWARD,
    GRADIENT,
    SECOND_ORDER,
    as_numpy,
    relative_error,
)
from minigen.testing.memory import LAYOUTS, in_layout
from minigen.testing.properties import has_derivative
from minigen.testing.pullback import gradient_function, slope_error, vjp

# Columns and their limits of relative error: values, gradients and second derivatives (float64
# against differences, float32 against float64), other memory layouts, and fast kernels against
# reference kernels. "grad 64" has the error of differences in it, hence its wider limit.
LIMITS = {
    "value 64": FORWARD[FLOAT64],
    "value 32": FORWARD[FLOAT32],
    "grad 64": 1e-10,
    "grad 32": GRADIENT[FLOAT32],
    "2nd 64": SECOND_ORDER[FLOAT64],
    "2nd 32": SECOND_ORDER[FLOAT32],
    "layouts": GRADIENT[FLOAT64],
    "kernels": GRADIENT[FLOAT64],
    "kern 32": GRADIENT[FLOAT32],
}


@dataclass
class Row:
    """The worst errors of one op over a number of calls."""

    name: str
    cases: int = 0
    errors: dict[str, float] = field(default_factory=dict)

    def add(self, column: str, error: float) -> None:
        self.errors[column] = max(self.errors.get(column, 0.0), error)

    @property
    def wrong(self) -> list[str]:
        """The columns whose limit is exceeded."""
        return [c for c, error in self.errors.items() if not error <= LIMITS[c]]

    def __str__(self) -> str:
        cells = [f"{self.errors[c]:9.0e}" if c in self.errors else f"{'-':>9}" for c in LIMITS]
        return f"{self.name:<30}{self.cases:>6}{''.join(cells)}  {'WRONG' if self.wrong else 'ok'}"


HEADER = f"{'op':<30}{'cases':>6}{''.join(f'{c:>9}' for c in LIMITS)}"


def rows(cases: int, device: str = "cpu", names: list[str] | None = None) -> Iterator[Row]:
    """A row for each op, over that number of random calls on the device."""
    names = list(CASES) if names is None else names
    with _reference_results(cases, names) as references:
        for name in names:
            row = Row(name)
            with np.errstate(all="ignore"):
                for seed in range(cases):
                    _measure(row, draw_call(name, Choices(seed)), seed, device)
                    for i, y in enumerate(_results(name, seed, device)):
                        column = "kern 32" if y.dtype == FLOAT32 else "kernels"
                        row.add(column, relative_error(y, references[f"{name} {seed} {i}"]))
            yield row


def _measure(row, call: Call, seed, device):
    """Add the errors of one call to its row."""
    row.cases += 1
    on = lambda arrays: [to_device(x, device) for x in arrays]
    rng, xs, small = np.random.default_rng(seed), list(call.arrays), call.in_float32()
    wide = [x.astype(FLOAT64) for x in small]
    for column, arrays, values in (("value 64", xs, xs), ("value 32", small, wide)):
        for y, want in zip(call(*on(arrays)), call.reference(*values)):
            row.add(column, relative_error(y, want.astype(as_numpy(y).dtype)))
    if call.case.raw or not has_derivative(call):
        return
    outputs = [as_numpy(y) for y in call(*xs)]
    gs = [rng.standard_normal(y.shape) for y in outputs]
    us = [rng.uniform(-1, 1, x.shape) for x in xs]
    first = _numpy(vjp(call, on(xs), on(gs)))
    row.add("grad 64", slope_error(call, xs, gs, us, first))
    if not call.case.sets_dtype:
        _add_float32(row, "grad 32", call, small, gs, on)
    strided = [in_layout(x, LAYOUTS[(seed + i) % len(LAYOUTS)]) for i, x in enumerate(xs)]
    plain = [np.array(x, order="C") for x in strided]
    for g, want in zip(vjp(call, strided, gs), vjp(call, plain, gs)):
        row.add("layouts", relative_error(g, want))

    vjp_of_call, inputs = gradient_function(call, len(xs)), [*xs, *gs]
    vs = [rng.uniform(-1, 1, x.shape) for x in inputs]
    second = _numpy(vjp(vjp_of_call, on(inputs), on(us)))
    row.add("2nd 64", slope_error(vjp_of_call, inputs, us, vs, second))
    if not call.case.sets_dtype:
        _add_float32(row, "2nd 32", vjp_of_call, _single([*small, *gs]), us, on)


def _add_float32(row, column, f, small, gs, on):
    """Add the errors of gradients in float32 against float64, at the same float32 values."""
    wide = [x.astype(FLOAT64) for x in small]
    found = vjp(f, on(small), on(_single(gs)))
    wanted = vjp(f, wide, [g.astype(FLOAT64) for g in _single(gs)])
    for g, want in zip(found, wanted):
        row.add(column, relative_error(g, want.data.astype(FLOAT32)))


def _single(arrays):
    return [x.astype(FLOAT32) for x in arrays]


def _numpy(tensors):
    return [as_numpy(x) for x in tensors]


# ------------------------------------ the same calls in a process on the reference kernels


def _results(name, seed, device="cpu"):
    """Outputs and gradients of a random call, in float64 and in float32."""
    call, found = draw_call(name, Choices(seed)), []
    with np.errstate(all="ignore"):
        for xs in (list(call.arrays), call.in_float32()):
            xs = [to_device(x, device) for x in xs]
            outputs = call(*xs)
            found += map(as_numpy, outputs)
            if not call.case.raw:
                rng = np.random.default_rng(seed)
                gs = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
                found += _numpy(vjp(call, xs, [to_device(g, device) for g in gs]))
    return found


def write_results(path: str, cases: int, names: list[str]) -> None:
    """Write the outputs and gradients that this process computes to a file."""
    found = {}
    for name in names:
        for seed in range(cases):
            for i, y in enumerate(_results(name, seed)):
                found[f"{name} {seed} {i}"] = y
    np.savez(path, **found)


@contextmanager
def _reference_results(cases: int, names: list[str]) -> Iterator[Mapping[str, np.ndarray]]:
    """The outputs and gradients of a process that runs the reference kernels."""
    code = "import sys; from minigen.testing.table import write_results as write; "
    code += "write(sys.argv[1], int(sys.argv[2]), sys.argv[3:])"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "results.npz")
        command = [sys.executable, "-c", code, path, str(cases), *names]
        subprocess.run(command, check=True, env={**os.environ, "MINIGEN_KERNELS": "reference"})
        with np.load(path) as results:
            yield results
