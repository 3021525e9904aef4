"""PyTorch idioms run in PyTorch and in minigen: how many give the same, or say what to write.

`python benchmarks/pytorch_idioms.py` runs the snippets of `idioms/*.txt`, in which torch is PyTorch
or minigen, and prints a table; `--list` prints each that differs or raises. `--write` stores what
PyTorch gives for those that agree in tests/fixtures, where a test holds minigen to it.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parent))
import idioms
import numpy as np

OUTCOMES = ("same result", "raises with a hint", "raises without a hint", "differs silently")
FIXTURE = Path(__file__).parent.parent / "tests" / "fixtures" / "pytorch_idioms.json"
DATA = ("DataLoader", "Dataset", "TensorDataset", "ConcatDataset", "Subset", "random_split")


def engine_of_pytorch() -> SimpleNamespace:
    torch = import_module("torch")
    data = import_module("torch.utils.data")
    names = {name: getattr(data, name) for name in DATA}
    nn, F = torch.nn, import_module("torch.nn.functional")
    return SimpleNamespace(
        name="torch", torch=torch, nn=nn, F=F, optim=torch.optim, raw=torch.tensor, **names
    )


def engine_of_minigen() -> SimpleNamespace:
    mg = import_module("minigen")
    data = import_module("minigen.data")
    names = {name: getattr(data, name, None) for name in DATA}
    try:
        F = import_module("minigen.nn.functional")
    except ImportError:  # an older commit
        F = mg.ops
    return SimpleNamespace(
        name="minigen", torch=mg, nn=mg.nn, F=F, optim=mg.optim, raw=lambda x: x, **names
    )


def outcome(code: str, pytorch: SimpleNamespace, minigen: SimpleNamespace) -> tuple[str, str, str]:
    """(outcome, what minigen gave or said, note on dtypes) of one snippet."""
    try:
        want = idioms.run(code, pytorch)
    except Exception as error:
        want = error
    try:
        got = idioms.run(code, minigen)
    except Exception as error:
        if isinstance(want, Exception):
            return OUTCOMES[0], f"both raise: {error}", ""
        says = f"{type(error).__name__}: {error}"
        return OUTCOMES[1 if idioms.has_hint(error) else 2], says, ""
    if isinstance(want, Exception) or not idioms.same(got, want):
        return OUTCOMES[3], f"{got!r} instead of {want!r}", ""
    types = idioms.dtypes(got), idioms.dtypes(want)
    return OUTCOMES[0], "", "" if types[0] == types[1] else f"{types[0]} instead of {types[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print what differs or raises")
    parser.add_argument("--write", action="store_true", help="store a sample for the tests")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    engines = engine_of_pytorch(), engine_of_minigen()
    total, rows, sample = Counter(), [], {}
    for name in idioms.FILES:
        counts = Counter()
        for number, code in enumerate(idioms.idioms(name)):
            result, says, note = outcome(code, *engines)
            counts[result] += 1
            if args.list and (says or note):
                print(f"{result:22} {code}\n{'':22} {(says or note)[:300]}")
            if args.write and result == OUTCOMES[0] and not says and number % 5 == 0:
                value = idioms.stored(idioms.run(code, engines[0]))
                if len(json.dumps(value)) < 2000:
                    sample[code] = value
        total += counts
        rows.append((name, counts))
    print(f"\n| idioms | {' | '.join(OUTCOMES)} | all |\n|---|{'---|' * 5}")
    for name, counts in [*rows, ("all", total)]:
        figures = [counts[key] for key in OUTCOMES]
        print(f"| {name} | {' | '.join(map(str, figures))} | {sum(figures)} |")
    print(f"\n{total[OUTCOMES[0]] / total.total():.1%} with PyTorch's result")
    if args.write:
        FIXTURE.write_text(json.dumps(sample, separators=(",", ":")).replace(',"', ',\n"') + "\n")


if __name__ == "__main__":
    main()
