"""Which wrong derivatives the checks find: every fault of minigen.testing.faults, one at a time.

    python benchmarks/mutants.py [--only TEXT] [--every N] [--json FILE]

For each fault: whether the properties of the test suite reject it on the calls that one run
draws; whether three weak checkers, as other engines ship them, would have; and whether gradcheck,
run on a model that holds the op, names the op, the argument and the cause.
"""

import argparse
import json
import time

import numpy as np

import minigen as mg
from minigen import nn
from minigen.autodiff.primitives import REGISTRY
from minigen.testing import GradcheckError, causes, gradcheck, numerical_jvp
from minigen.testing.case import Call
from minigen.testing.cases import draw_call
from minigen.testing.choices import Choices
from minigen.testing.closeness import relative_error
from minigen.testing.faults import PlantedFault, catalogue, planted
from minigen.testing.properties import check_call
from minigen.testing.pullback import as_tuple, gradient_function, vjp

CALLS = range(25)  # of each op, as many as the tests draw for these properties
EQUIVALENCE = range(100)
POINTS = range(40)  # in which to look for a call where the fault changes a gradient


def rejects(check, fault: PlantedFault) -> bool:
    """Whether check(call, rng) fails for one of a few calls of the fault's op."""
    if fault.at and check is check_call:  # its references take one branch; a tie is for differences
        check = lambda call, rng: gradcheck(call, call.arrays, order=1)
    for seed in CALLS:
        call, rng = drawn(fault, seed), np.random.default_rng(seed)
        try:
            check(call, rng)
        except Exception:  # a wrong rule may fail in any way
            return True
    return False


def gradients(fault):
    """Those of first and second order, of many calls: one list for each call."""
    found = []
    for seed in EQUIVALENCE:
        call, rng = drawn(fault, seed), np.random.default_rng(seed)
        gs = [rng.standard_normal(np.shape(y)) for y in call(*call.arrays)]
        us = [rng.standard_normal(x.shape) for x in call.arrays]
        pulled = gradient_function(call, len(us))
        try:
            first = vjp(call, call.arrays, gs)
            found.append([x.data for x in (*first, *vjp(pulled, [*call.arrays, *gs], us))])
        except Exception as error:
            found.append(str(error))
    return found


def changes_nothing(fault, right) -> bool:
    """Whether no gradient is another with the fault: then it is none."""
    pairs = zip(gradients(fault), right)
    same = lambda a, b: a == b if str in (type(a), type(b)) else all(map(close, a, b))
    return all(same(a, b) for a, b in pairs)


def close(a, b):
    return relative_error(a, b) < 1e-13


def drawn(fault, seed):
    """A call of the fault's op, at its point if it has one."""
    call = draw_call(fault.op, Choices(seed))
    if fault.at:
        call = Call(fault.op, call.case, fault.at, {})
    return call


# ------------------------------------------------------------------------ weak checkers


def compare(call, rng, cotangent, arguments, limit):
    gs = [cotangent(np.shape(y)) for y in call(*call.arrays)]
    found = vjp(call, call.arrays, gs)
    for i in arguments(len(found)):
        u = rng.uniform(-1, 1, call.arrays[i].shape)
        us = [u if j == i else np.zeros(x.shape) for j, x in enumerate(call.arrays)]
        want = sum(
            (g * s).sum() for g, s in zip(gs, as_tuple(numerical_jvp(call, call.arrays, us)))
        )
        assert abs((found[i].data * u).sum() - want) <= limit * max(1, abs(want))


def with_ones(call, rng):
    compare(call, rng, np.ones, range, 1e-6)


def first_argument(call, rng):
    compare(call, rng, rng.standard_normal, lambda count: range(1), 1e-6)


def single_entry(call, rng):
    gs = [rng.standard_normal(np.shape(y)) for y in call(*call.arrays)]
    for i, g in enumerate(vjp(call, call.arrays, gs)):
        if g.size == 0:
            continue
        u = np.zeros(g.shape)
        u.flat[rng.integers(g.size)] = 1.0
        us = [u if j == i else np.zeros(x.shape) for j, x in enumerate(call.arrays)]
        want = sum(
            (g * s).sum() for g, s in zip(gs, as_tuple(numerical_jvp(call, call.arrays, us)))
        )
        assert abs((g.data * u).sum() - want) <= 1e-2 * max(1, abs(want))


CHECKERS = {
    "the property suite": check_call,
    "a cotangent of ones": with_ones,
    "the first argument alone": first_argument,
    "one entry, at 1e-2": single_entry,
}


# ------------------------------------------------------------------- gradcheck on a model


class Model(nn.Module):
    """An op between dense layers: its arguments are moved by some, others read its outputs."""

    def __init__(self, call: Call, moved: bool):
        rng = mg.Generator(0)
        self.call, self.moved = call, moved
        self.before = nn.ModuleList([nn.Linear(1, 1, rng=rng) for _ in call.arrays])
        self.after = nn.Linear(1, 1, rng=rng)

    def forward(self, *xs):
        if self.moved:  # a little, for the op may be at home only where its call was drawn
            one = mg.ones((1, 1), dtype=np.float64)
            xs = [x + 0.01 * layer(one).sum() for x, layer in zip(xs, self.before)]
        outputs = [y for y in self.call(*xs) if y.dtype.kind == "f"]
        return [mg.tanh(self.after.weight.sum() * y) for y in outputs]


def diagnosed(fault: PlantedFault) -> tuple[bool, bool, bool]:
    """Whether gradcheck of a model rejects the fault; names op and argument; and the cause."""
    for seed in POINTS:
        call = drawn(fault, seed)
        try:
            gradcheck(Model(call, moved=not fault.at), call.arrays)
        except GradcheckError as error:
            found = error.fault
            place = found is not None and (found.op, found.argument.split("[")[0]) == (
                REGISTRY[fault.core].name,
                fault.argument_name,
            )
            return True, place, place and found.cause == fault.cause
    return False, False, False


# --------------------------------------------------------------------------- the table


def share(rows, key):
    return f"{100 * sum(row[key] for row in rows) / max(len(rows), 1):.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    parser.add_argument("--every", type=int, default=1, help="each N-th fault only")
    parser.add_argument("--json", help="write every row to this file")
    args = parser.parse_args()
    rows, nothing = [], []
    with np.errstate(all="ignore"):
        for fault in [f for f in catalogue() if args.only in str(f)][:: args.every]:
            row = {"fault": str(fault), "cause": fault.cause}
            right = gradients(fault)
            with planted(fault):
                if fault.cause != causes.ALIASED and changes_nothing(fault, right):
                    nothing.append(str(fault))
                    continue
                started = time.perf_counter()
                for name, check in CHECKERS.items():
                    row[name] = rejects(check, fault)
                    if check is check_call:
                        row["seconds"] = time.perf_counter() - started
                row["gradcheck"], row["place"], row["named"] = diagnosed(fault)
            rows.append(row)
            for key in ("the property suite", "gradcheck", "place", "named"):
                if not row[key]:
                    print(f"{fault} ({fault.cause}): {key}: no", flush=True)
                    break
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    seconds = sum(row["seconds"] for row in rows)
    print(f"\n{len(nothing)} change no gradient of {len(EQUIVALENCE)} calls, and are left out:")
    print("; ".join(nothing) or "none")
    print(f"\n{len(rows)} planted faults; {seconds:.0f} s for the property suite to reject them\n")
    print(f"{'rejected by':<28}{'all':>9}{'order 1':>9}{'order 2':>9}")
    second = [row for row in rows if row["cause"] == causes.HIGHER]
    first = [row for row in rows if row["cause"] != causes.HIGHER]
    for name in [*CHECKERS, "gradcheck"]:
        print(f"{name:<28}" + "".join(f"{share(part, name):>9}" for part in (rows, first, second)))
    print(f"\ngradcheck of a model names op and argument: {share(rows, 'place')}, ", end="")
    print(f"and the cause: {share(rows, 'named')}")
    for cause in sorted({row["cause"] for row in rows}):
        part = [row for row in rows if row["cause"] == cause]
        print(f"  {cause:<40}{len(part):>5}{share(part, 'place'):>9}{share(part, 'named'):>9}")


if __name__ == "__main__":
    main()
