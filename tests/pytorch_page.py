"""The page for PyTorch's users: `python tests/pytorch_page.py` writes minigen/PYTORCH.md.

test_pytorch_names.py compares the page with what is printed here, from the tables of names.
"""

from pathlib import Path

import minigen as mg
from minigen.autodiff.left_out import HINTS, MINIGEN, TENSOR
from minigen.autodiff.names import CALLS, KEYWORDS, OTHER_KEYWORDS, TRAPS
from minigen.ops import parts, synonyms
from minigen.synonyms import Synonyms

PAGE = Path(mg.__file__).parent / "PYTORCH.md"
HEAD = """# Coming from PyTorch

Tensors speak NumPy, layers and optimizers speak PyTorch. PyTorch's names of tensors and functions
exist where they mean the same; what means something else raises an error with the expression to
write. `import minigen as torch`, `import minigen.nn as nn` and `import minigen.nn.functional as F`
are a start: of five models written for PyTorch, 3 to 5 % of the lines had to change, imports apart
([benchmarks/ports](../benchmarks/ports.py)). `python tests/pytorch_page.py` writes this page.

What changes in nearly every program:

| PyTorch | here |
|---|---|
| `x.size()`, `x.size(0)` | `x.shape`, `x.shape[0]`; `x.size` is NumPy's, the number of values |
| `torch.cuda.is_available()` | `mg.cuda_is_available()`; a device is a string, such as `"cuda:0"` |
| `x.add_(y)`, `x[mask] = 0` | `x = x + y`, `x = x.masked_fill(mask, 0)` |
| `torch.save(state, path)` | `mg.save(path, state)`: a safetensors file |
| `values, indices = x.max(dim=1)` | `x.max(1)`, `x.argmax(1)` |
| `x.transpose(0, 1)` of a matrix | `x.T`; two axes are exchanged in tensors of three dims or more |

## What differs without an error

| typed | in PyTorch | here | write |
|---|---|---|---|
"""


def code(text: str) -> str:
    """text as code in a table."""
    return "`" + text.replace("|", "\\|") + "`"


def grouped(hints: dict[str, str]) -> list[str]:
    """Rows of a table: the names with one hint together."""
    names: dict[str, list[str]] = {}
    for name, hint in sorted(hints.items()):
        names.setdefault(hint, []).append(f"`{name}`")
    return [f"| {', '.join(group)} | {hint} |" for hint, group in names.items()]


def wrapped(names: list[str]) -> str:
    """Names as code, in lines."""
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > 96:
            lines.append("")
        lines[-1] += f"`{name}` "
    return "\n".join(line.rstrip() for line in lines)


def page() -> str:
    """The text of the page."""
    text = HEAD
    for typed, theirs, ours, write in TRAPS:
        text += f"| {code(typed)} | {theirs} | {ours} | {code(write)} |\n"
    methods = sorted(name for name in vars(Synonyms) if not name.startswith("_"))
    modules = {parts.__name__, synonyms.__name__, "minigen.creation", "minigen.draws"}
    functions = sorted(
        name for name in dir(mg) if getattr(getattr(mg, name), "__module__", "") in modules
    )
    text += f"\n## Names that mean the same\n\nMethods of tensors:\n\n{wrapped(methods)}\n"
    text += f"\nFunctions, beside the ops and these methods:\n\n{wrapped(functions)}\n"
    text += "\nKeywords, for every op that has the argument:\n\n| PyTorch | here |\n|---|---|\n"
    text += "\n".join(f"| `{k}=` | {', '.join(map(code, v))} |" for k, v in KEYWORDS.items())
    text += "\n\n## Calls that raise, and what to write\n\n| call | write |\n|---|---|\n"
    text += "\n".join(f"| {code(name)} | {hint} |" for name, hint in CALLS.items())
    text += "\n" + "\n".join(f"| `{name}=` | {hint} |" for name, hint in OTHER_KEYWORDS.items())
    rooms = {"Tensors and functions": TENSOR, "`torch.`": MINIGEN}
    rooms |= {f"`{name}`": HINTS[name] for name in HINTS if name not in ("Tensor", "minigen")}
    text += "\n\n## Names that are left out\n"
    for title, hints in rooms.items():
        rows = "\n".join(grouped(hints))
        text += f"\n### {title}\n\n| name | write |\n|---|---|\n{rows}\n"
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
