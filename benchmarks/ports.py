"""Five models written for PyTorch, and what minigen needs changed in them.

Each is a pair of files in `ports/`: NAME_pytorch.py, written as one writes it, and NAME_minigen.py.
Both train a few steps from the same weights on the same data. The table has the lines of the first
(without blank lines, comments and docstrings), those that had to change, imports apart, and the
largest difference between the losses.
"""

import argparse
import contextlib
import difflib
import io
import sys
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent / "ports"
ENGINES = ("pytorch", "minigen")
NAMES = ("nanogpt", "dcgan", "vae", "gru", "mnist")


def code_lines(path: Path) -> list[str]:
    """The lines of code of a file."""
    lines = path.read_text().splitlines()[1:]  # without its docstring
    stripped = [line.strip() for line in lines]
    return [line for line in stripped if line and not line.startswith("#")]


def changed(name: str) -> tuple[int, int, int]:
    """(lines of code, imports that differ, other lines that differ) of a pair of files."""
    pytorch, minigen = (code_lines(FOLDER / f"{name}_{engine}.py") for engine in ENGINES)
    imports = other = 0
    for tag, i, j, k, m in difflib.SequenceMatcher(None, pytorch, minigen, False).get_opcodes():
        if tag != "equal":
            lines = pytorch[i:j] if j - i >= m - k else minigen[k:m]
            of_imports = sum(line.startswith(("import ", "from ")) for line in lines)
            imports, other = imports + of_imports, other + len(lines) - of_imports
    return len(pytorch), imports, other


def losses(name: str) -> tuple[list[float], list[float]]:
    """The losses of both, from PyTorch's first weights."""
    sys.path.insert(0, str(FOLDER))
    pytorch, minigen = (import_module(f"{name}_{engine}") for engine in ENGINES)
    with contextlib.redirect_stdout(io.StringIO()):
        model, twin = pytorch.make(), minigen.make()
        weights = {key: value.detach().numpy() for key, value in model.state_dict().items()}
        twin.load_state_dict(weights)
        return pytorch.train(model), minigen.train(twin)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(
        "| port | lines | imports changed | others changed | share | largest difference of losses |"
    )
    print("|---|---|---|---|---|---|")
    for name in NAMES:
        lines, imports, other = changed(name)
        got, want = losses(name)
        gap = max(abs(a - b) / max(1, abs(b)) for a, b in zip(got, want, strict=True))
        print(f"| {name} | {lines} | {imports} | {other} | {other / lines:.1%} | {gap:.1e} |")


if __name__ == "__main__":
    main()
