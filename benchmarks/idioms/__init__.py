"""PyTorch idioms as text, one a line in `*.txt`, and what running one in an engine gives.

The names in them (torch, nn, F, optim and data) are bound to one engine or the other.
"""

import ast
import copy
import re
import tempfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

FILES = ("tensors", "functions", "layers", "optim", "data", "autograd")
# What Python says by itself, without a word of what to write.
PLAIN = re.compile(
    r"(has no attribute '\w+'|unexpected keyword argument '\w+'|not callable|not subscriptable"
    r"|positional arguments? but \d+ (was|were) given|too many values to unpack.*|not iterable"
    r"|missing \d+ required [^;]*|name '\w+' is not defined|cannot be interpreted as an integer)$"
)


def idioms(name: str) -> list[str]:
    """The snippets of one file."""
    lines = (Path(__file__).parent / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def variables(engine: SimpleNamespace) -> dict[str, Any]:
    """The names that snippets use: the engine's, and tensors of fixed values."""
    rng = np.random.default_rng(0)
    torch, nn = engine.torch, engine.nn

    def normal(*shape):
        return torch.tensor(rng.standard_normal(shape).astype(np.float32))

    def filled(module):
        values = np.random.default_rng(1)
        for _, p in module.named_parameters():
            array = values.uniform(-0.5, 0.5, tuple(p.shape)).astype(np.float32)
            p.data[...] = engine.raw(array)
        return module

    def step(optimizer, scheduler=None):
        for _ in range(3):
            optimizer.zero_grad()
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            sum((p * p).sum() for p in parameters).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        return parameters[0].detach()

    names = {name: normal(3, 4) for name in ("x", "y")}
    names["p"] = torch.tensor(np.abs(rng.standard_normal((3, 4))).astype(np.float32) + 0.5)
    names |= {"v": normal(4), "w": normal(3), "m": normal(4, 5), "b3": normal(2, 3, 4)}
    names |= {"c3": normal(2, 4, 5), "img": normal(2, 3, 8, 8), "q": normal(2, 2, 5, 4)}
    names |= {"logits": normal(6, 5), "t": torch.tensor(np.array([0, 1, 2, 3, 4, 0]))}
    names |= {"n": torch.tensor(rng.integers(0, 10, (3, 4))), "i": torch.tensor([2, 0, 1])}
    names |= {"j": torch.tensor([[0, 3], [1, 1], [2, 0]]), "device": "cpu"}
    names["mask"] = torch.tensor(rng.random((3, 4)) < 0.5)
    leaves = rng.uniform(0.5, 2.0, (2, 3)).astype(np.float32)
    names |= {k: torch.tensor(row, requires_grad=True) for k, row in zip(("k", "k2"), leaves)}
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))
    path = Path(tempfile.gettempdir()) / f"{engine.name}_idioms.bin"
    names |= {"net": filled(net), "W": filled, "step": step, "path": str(path), "np": np}
    return names | vars(engine) | {"copy": copy, "OrderedDict": OrderedDict}


def run(code: str, engine: SimpleNamespace) -> Any:
    """The value of a snippet, its last expression, as NumPy arrays, numbers and tuples."""
    names = variables(engine)
    *first, last = ast.parse(code).body
    exec(compile(ast.Module(first, []), "idiom", "exec"), names)
    if isinstance(last, ast.Expr):
        return plain(eval(compile(ast.Expression(last.value), "idiom", "eval"), names))
    exec(compile(ast.Module([last], []), "idiom", "exec"), names)
    return plain(names.get("r"))


def plain(value: Any) -> Any:
    """value with arrays in place of tensors, tuples of lists, names of dtypes."""
    if hasattr(value, "detach") and hasattr(value, "shape"):
        return np.array(value.detach().numpy())
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    if isinstance(value, bool | int | float | str | None | np.ndarray | np.number):
        return value
    return re.sub(r"^torch\.", "", str(value)) if "dtype" in type(value).__name__.lower() else ""


def same(a: Any, b: Any) -> bool:
    """Whether two plain values have the same shapes, and values to 1e-4 (NaN equals NaN)."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.number) or isinstance(b, np.ndarray | np.number):
        if isinstance(a, str | tuple | None) or isinstance(b, str | tuple | None):
            return False
        return np.shape(a) == np.shape(b) and np.allclose(a, b, 1e-4, 1e-5, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, 1e-4, 1e-5, equal_nan=True))
    return a == b


def dtypes(value: Any) -> Any:
    """The dtypes of the arrays in a plain value."""
    if isinstance(value, tuple):
        return tuple(map(dtypes, value))
    return str(value.dtype) if isinstance(value, np.ndarray) else None


def has_hint(error: Exception) -> bool:
    """Whether the message says more than Python does by itself."""
    return PLAIN.search(str(error).splitlines()[0] if str(error) else "not callable") is None


def stored(value: Any) -> Any:
    """A plain value as JSON can hold it: to five digits, 0 for what is not finite."""
    if isinstance(value, tuple | dict):
        return [stored(part) for part in (value.values() if isinstance(value, dict) else value)]
    if isinstance(value, np.ndarray | np.number | float):
        array = np.asarray(value)
        return {
            "shape": list(array.shape),
            "values": np.nan_to_num(array, posinf=0, neginf=0)
            .astype(float)
            .round(5)
            .ravel()
            .tolist(),
        }
    return value


def agree(a: Any, b: Any) -> bool:
    """Whether two stored values agree to 1e-4."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(agree, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a["shape"] == b["shape"] and np.allclose(a["values"], b["values"], 1e-4, 1e-4)
    return a == b
