"""The properties of the test suite over many more calls and programs, without Hypothesis.

    python benchmarks/properties.py [--seeds 100] [--programs 20000] [--start 0]

Each seed draws one call of every op for every property, a tenth of what a run of the tests draws.
Each program is compared with its oracle in float64, and its float32 gradient with its float64 one.
Prints the number of cases, the worst errors and every failure. Exit code 1 if there are failures.
"""

import argparse
import time
from collections import Counter

import numpy as np

from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY
from minigen.testing import graph_properties, ownership, properties
from minigen.testing.cases import CASES, DIFFERENTIABLE, draw_call
from minigen.testing.choices import Choices
from minigen.testing.graph_draws import draw_program
from minigen.testing.memory import LAYOUTS

BROADCASTING = [name for name in DIFFERENTIABLE if REGISTRY[name].domain or name == "where"]
OF_EVERY_OP = (
    properties.gradient_equals_numerical_derivative,
    properties.float32_gradient_equals_float64,
    properties.dot_products_agree,
    properties.vjp_is_linear,
    ownership.gradient_owns_its_memory,
    ownership.inputs_are_not_written,
    ownership.memory_is_left_alone,
    properties.higher_orders_equal_numerical_derivative,
    properties.hessian_is_symmetric,
    properties.rules_read_only_saved_values,
)


def in_any_layout(call, rng):
    properties.layout_makes_no_difference(call, rng, rng.permutation(LAYOUTS)[:3].tolist())


def properties_of(name):
    """The properties that an op must have."""
    yield lambda call, rng: properties.forward_equals_reference(call)
    if name not in DIFFERENTIABLE:
        return
    yield from (*OF_EVERY_OP, in_any_layout)
    if name in BROADCASTING and len(REGISTRY[name].signature.arrays) > 1:
        yield properties.broadcasting_sums_the_gradient
    if CASES[name].returns_tuple:
        yield properties.each_output_alone
    if isinstance(REGISTRY[name], Fused):
        yield properties.fused_equals_its_definition


def check_ops(seeds):
    """The number of cases, and the failures, of all properties of all ops."""
    cases, failures = 0, []
    for seed in seeds:
        for name in CASES:
            for i, check in enumerate(properties_of(name)):
                rng = np.random.default_rng([seed, i])
                call = draw_call(name, Choices(int(rng.integers(2**63))))
                cases += 1
                try:
                    check(call, rng)
                except Exception as error:  # any exception is a failure of the property
                    what = getattr(check, "__name__", "a property")
                    failures.append(f"{what}, seed {seed}: {call}\n    {error}")
                    print(failures[-1], flush=True)
    return cases, failures


def check_programs(seeds):
    """(failures, worst error in float64, in float32, counts of discarded programs by reason)."""
    failures, worst, worst32, rejected = [], 0.0, 0.0, Counter()
    for seed in seeds:
        program = draw_program(Choices(seed), rejected)
        try:
            rng = np.random.default_rng(seed)
            worst = max(worst, graph_properties.equals_the_oracle(program, rng))
            worst32 = max(worst32, graph_properties.float32_stays_close(program))
        except Exception as error:
            failures.append(f"program, seed {seed}: {error}")
            print(failures[-1], flush=True)
    return failures, worst, worst32, rejected


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=100, help="default 100")
    parser.add_argument("--programs", type=int, default=20_000, help="default 20000")
    parser.add_argument("--start", type=int, default=0, help="first seed; default 0")
    args = parser.parse_args()
    started = time.perf_counter()
    with np.errstate(all="ignore"):
        cases, failures = check_ops(range(args.start, args.start + args.seeds))
        print(f"{cases:,} calls of {len(CASES)} ops, {len(failures)} failures, ", end="")
        print(f"{time.perf_counter() - started:.0f} s")
        found, worst, worst32, rejected = check_programs(
            range(args.start, args.start + args.programs)
        )
    print(
        f"{args.programs:,} programs, {len(found)} failures; worst error {worst:.1e} in float64, "
    )
    print(f"{worst32:.1e} in float32; discarded: {dict(rejected)}; ", end="")
    print(f"{time.perf_counter() - started:.0f} s in all")
    raise SystemExit(bool(failures or found))


if __name__ == "__main__":
    main()
