"""The same training on 1, 2, 3 and 4 ranks, beside one process: how far parameters drift apart.

    python benchmarks/same_steps.py [--steps 50] [--ranks 1 2 3 4] [--only GPT ...]

Models of rank_models.py in float64, 50 steps on odd batches, with two data sets: the last batch of
an epoch is uneven, or has fewer rows than three ranks. Prints the largest difference of any
parameter, running statistic or generator's state, over max(1, the largest value); and whether two
runs on three ranks are equal bit for bit. Exit code 1 if a difference is over 1e-10.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from rank_models import EXAMPLES, MODELS, all_trained

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from mpi_runs import run_ranks

LIMIT = 1e-10


def drift(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference of all values but the last, the counter of draws, which is exact."""
    if got[-1] != want[-1]:
        return np.inf
    scale = max(1.0, float(np.abs(want[:-1]).max()))
    return float(np.abs(got - want)[:-1].max() / scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--only", nargs="+", default=list(MODELS), choices=list(MODELS))
    args = parser.parse_args()
    settings = {"names": args.only, "steps": args.steps, "examples": list(EXAMPLES.values())}
    want = all_trained(**settings)
    runs = {n: on_ranks(n, settings) for n in args.ranks}
    again = on_ranks(3, settings) if 3 in runs else None
    heads = [f"{n} ranks" for n in runs]
    print(f"| model | last batch | {' | '.join(heads)} | two runs on 3 ranks |")
    print("|---|---|" + "---|" * (len(runs) + 1))
    worst = 0.0
    for name in args.only:
        for label, n in EXAMPLES.items():
            key = f"{name}, {n}"
            drifts = [drift(run[key], want[key]) for run in runs.values()]
            worst = max(worst, *drifts)
            same = "" if again is None else "equal" if equal(again, runs[3], key) else "DIFFER"
            worst = np.inf if same == "DIFFER" else worst
            cells = " | ".join(f"{d:.1e}" for d in drifts)
            print(f"| {name} | {label} | {cells} | {same} |", flush=True)
    print(f"largest difference: {worst:.1e}")
    sys.exit(worst > LIMIT)


def on_ranks(n: int, settings: dict) -> dict:
    """What rank 0 of n has trained; every rank must have the same bits."""
    results = run_ranks("rank_models:all_trained", n, settings, timeout=1200).results
    for result in results:
        assert all(equal(result, results[0], key) for key in results[0]), "ranks differ"
    return results[0]


def equal(a: dict, b: dict, key: str) -> bool:
    return a[key].tobytes() == b[key].tobytes()


if __name__ == "__main__":
    main()
