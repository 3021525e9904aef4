"""PyTorch idioms run in PyTorch and in minigen: how many give the same, or say what to write.

`python benchmarks/pytorch_idioms.py` runs the snippets of `idioms/*.txt`, in which torch is PyTorch
or minigen, and prints a table; `--list` prints each that differs or raises. `--write` stores what
PyTorch gives for those that agree in tests/fixtures, where a test holds minigen to it. `--sweep`
calls every name that both have with 22 lists of arguments (some minutes), and prints those that
give another result without an error.
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


ARGUMENTS = (
    *("", "0", "1", "2", "-1", "0, 1", "1, 0", "1, True", "y", "y, 2", "mask", "2.0", "0.5, 1"),
    *("(3, 4)", "2, 2", "dim=0", "dim=1, keepdim=True", "[0, 1]", "i", "0, i", "1, j", "None"),
)
# Names of functions whose results are random, or that PyTorch keeps for its own use.
UNCOMPARED = ("bernoulli", "dropout", "empty", "rand", "multinomial", "normal", "load", "save")
UNCOMPARED += ("binary_cross_entropy_with_logits", "kl_div", "data", "device", "manual_seed")


def swept(pytorch: SimpleNamespace, minigen: SimpleNamespace) -> dict[str, str]:
    """A call for each name that both have, and that gives another result without an error."""
    pairs = (
        ("{x}.{name}({args})", ("x", "n", "mask"), pytorch.torch.Tensor, minigen.torch.Tensor),
        ("torch.{name}({x}, {args})", ("x", "n"), pytorch.torch, minigen.torch),
        ("F.{name}({x}, {args})", ("x", "img", "logits"), pytorch.F, minigen.F),
    )
    found = {}
    for form, values, theirs, ours in pairs:
        names = sorted(set(dir(theirs)) & set(dir(ours)))
        for name in names:
            if name.startswith(("_", *UNCOMPARED)) or not callable(getattr(ours, name)):
                continue
            for x, args in ((x, args) for x in values for args in ARGUMENTS):
                code = form.format(x=x, name=name, args=args)
                if outcome(code, pytorch, minigen)[0] == OUTCOMES[3]:
                    try:  # what PyTorch refuses may work here
                        idioms.run(code, pytorch)
                    except Exception:
                        continue
                    found.setdefault(form.partition("(")[0].format(x="x", name=name), code)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print what differs or raises")
    parser.add_argument("--write", action="store_true", help="store a sample for the tests")
    parser.add_argument("--sweep", action="store_true", help="call every name that both have")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    engines = engine_of_pytorch(), engine_of_minigen()
    if args.sweep:
        for name, code in swept(*engines).items():
            print(f"{name:20} differs silently, as in {code}")
        return
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
