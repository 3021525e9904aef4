"""Which planted faults (wrong derivatives, see minigen/testing/faults) the checks reject.

    python benchmarks/mutants.py [--only TEXT] [--every N] [--json FILE]

For each fault, one at a time: whether the properties of the test suite reject it on random calls
of the op; whether three weaker checks, as other engines have them, reject it; and whether
gradcheck, run on a model that contains the op, names the op, the argument and the cause.
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

# Seeds of the random calls of an op
CALLS = range(25)  # for the properties, about as many as the tests draw
CALLS_TO_COMPARE = range(100)  # to see whether a fault changes any gradient
CALLS_IN_MODEL = range(40)  # to find one for which gradcheck of a model fails


def rejects(check, fault: PlantedFault) -> bool:
    """Whether check(call, rng) fails for a random call of the op."""
    # At a tie a complex step follows one branch, while central differences see both.
    if fault.at and check is check_call:
        check = lambda call, rng: gradcheck(call, call.arrays, order=1)
    for seed in CALLS:
        call, rng = random_call(fault, seed), np.random.default_rng(seed)
        try:
            check(call, rng)
        except Exception:  # a wrong rule may fail in any way
            return True
    return False


def gradients(fault):
    """The gradients of first and second order of many calls: a list for each, or an error."""
    found = []
    for seed in CALLS_TO_COMPARE:
        call, rng = random_call(fault, seed), np.random.default_rng(seed)
        gs = [rng.standard_normal(np.shape(y)) for y in call(*call.arrays)]
        us = [rng.standard_normal(x.shape) for x in call.arrays]
        vjp_of_call = gradient_function(call, len(us))
        try:
            first = vjp(call, call.arrays, gs)
            found.append([x.data for x in (*first, *vjp(vjp_of_call, [*call.arrays, *gs], us))])
        except Exception as error:
            found.append(str(error))
    return found


def changes_nothing(fault, right) -> bool:
    """Whether all gradients with the fault equal the right ones: then it is not a fault."""
    pairs = zip(gradients(fault), right)
    same = lambda a, b: a == b if str in (type(a), type(b)) else all(map(close, a, b))
    return all(same(a, b) for a, b in pairs)


def close(a, b):
    return relative_error(a, b) < 1e-13


def random_call(fault, seed):
    """A random call of the public op of a fault; at its own arguments if it has any."""
    call = draw_call(fault.public_op, Choices(seed))
    if fault.at:
        call = Call(fault.public_op, call.case, fault.at, {})
    return call


# ------------------------------------------------------------------------ weaker checks


def compare(call, rng, cotangent, arguments, limit):
    """Compare the gradient for each of those arguments along one random direction."""
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
    """A check under a cotangent of ones, as of `f(x).sum()`."""
    compare(call, rng, np.ones, range, 1e-6)


def first_argument(call, rng):
    """A check of the first argument only."""
    compare(call, rng, rng.standard_normal, lambda count: range(1), 1e-6)


def single_entry(call, rng):
    """A check of one entry of each gradient, with a tolerance of 1e-2."""
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


CHECKS = {
    "the property suite": check_call,
    "a cotangent of ones": with_ones,
    "the first argument alone": first_argument,
    "one entry, at 1e-2": single_entry,
}


# ------------------------------------------------------------------- gradcheck on a model


class Model(nn.Module):
    """An op between dense layers: before each of its arguments, and after its outputs."""

    def __init__(self, call: Call, with_layers_before: bool):
        rng = mg.Generator(0)
        self.call, self.with_layers_before = call, with_layers_before
        self.before = nn.ModuleList([nn.Linear(1, 1, rng=rng) for _ in call.arrays])
        self.after = nn.Linear(1, 1, rng=rng)

    def forward(self, *xs):
        if self.with_layers_before:  # they add little, so that arguments stay in the op's domain
            one = mg.ones((1, 1), dtype=np.float64)
            xs = [x + 0.01 * layer(one).sum() for x, layer in zip(xs, self.before)]
        outputs = [y for y in self.call(*xs) if y.dtype.kind == "f"]
        return [mg.tanh(self.after.weight.sum() * y) for y in outputs]


def diagnosed(fault: PlantedFault) -> tuple[bool, bool, bool]:
    """Whether gradcheck of a model rejects the fault, names op and argument, and the cause."""
    for seed in CALLS_IN_MODEL:
        call = random_call(fault, seed)
        try:
            gradcheck(Model(call, with_layers_before=not fault.at), call.arrays)
        except ValueError:  # the layers have moved an argument out of the op's domain
            continue
        except GradcheckError as error:
            found = error.fault
            located = found is not None and (found.op, found.argument.split("[")[0]) == (
                REGISTRY[fault.op].name,
                fault.argument_name,
            )
            return True, located, located and found.cause == fault.cause
    return False, False, False


# --------------------------------------------------------------------------- the table


def percentage(rows, key):
    return f"{100 * sum(row[key] for row in rows) / max(len(rows), 1):.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", help="faults whose name contains this text")
    parser.add_argument("--every", type=int, default=1, help="every N-th fault only")
    parser.add_argument("--json", help="write every row to this file")
    args = parser.parse_args()
    rows, equivalent = [], []
    with np.errstate(all="ignore"):
        for fault in [f for f in catalogue() if args.only in str(f)][:: args.every]:
            row = {"fault": str(fault), "cause": fault.cause}
            right = gradients(fault)
            with planted(fault):
                if fault.cause != causes.ALIASED and changes_nothing(fault, right):
                    equivalent.append(str(fault))
                    continue
                started = time.perf_counter()
                for name, check in CHECKS.items():
                    row[name] = rejects(check, fault)
                    if check is check_call:
                        row["seconds"] = time.perf_counter() - started
                row["gradcheck"], row["located"], row["explained"] = diagnosed(fault)
            rows.append(row)
            for key in ("the property suite", "gradcheck", "located", "explained"):
                if not row[key]:
                    print(f"{fault} ({fault.cause}): {key}: no", flush=True)
                    break
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    seconds = sum(row["seconds"] for row in rows)
    calls = len(CALLS_TO_COMPARE)
    print(f"\n{len(equivalent)} change no gradient of {calls} calls, and are left out:")
    print("; ".join(equivalent) or "none")
    print(f"\n{len(rows)} planted faults; {seconds:.0f} s for the property suite to reject them\n")
    print(f"{'rejected by':<28}{'all':>9}{'order 1':>9}{'order 2':>9}")
    second = [row for row in rows if row["cause"] == causes.HIGHER]
    first = [row for row in rows if row["cause"] != causes.HIGHER]
    for name in [*CHECKS, "gradcheck"]:
        print(
            f"{name:<28}"
            + "".join(f"{percentage(part, name):>9}" for part in (rows, first, second))
        )
    print(f"\ngradcheck of a model names op and argument: {percentage(rows, 'located')}, ", end="")
    print(f"and the cause: {percentage(rows, 'explained')}")
    for cause in sorted({row["cause"] for row in rows}):
        part = [row for row in rows if row["cause"] == cause]
        located, explained = percentage(part, "located"), percentage(part, "explained")
        print(f"  {cause:<40}{len(part):>5}{located:>9}{explained:>9}")


if __name__ == "__main__":
    main()
