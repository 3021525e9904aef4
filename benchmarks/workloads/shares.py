"""Where the time of minigen's step goes: forward and backward by op, and what is between them."""

import time
from collections import defaultdict
from statistics import median

from minigen import optim
from minigen.autodiff.trace import Observer, observed

FORWARD, BACKWARD, WARM_UP = 1, 2, 3
Row = tuple[str, int, float, float]  # a name, its calls, seconds forward and backward


class Shares(Observer):
    """Charges all time that passes to an op, the optimizer, or what lies between ops.

    Between them: the modules, the graph, checks, random numbers. The walk back is charged to the
    op that it has just passed, to the first one with what comes before (its plan, zero_grad),
    and to "leaves" with what comes after the last: the copies of gradients.
    """

    def __init__(self):
        super().__init__()
        self.start()

    def start(self) -> None:
        """Begin a step."""
        self.rows = defaultdict(lambda: [0, 0.0, 0.0])
        self.last = time.perf_counter()

    def charge(self, name: str, column: int) -> None:
        now = time.perf_counter()
        row = self.rows[name]
        row[0] += column == FORWARD
        row[column] += now - self.last
        self.last = now

    def watched(self, op):
        def run(*args, **static):
            self.charge("between ops", FORWARD)
            result = op.forward(*args, **static)
            self.charge(op.name, FORWARD)
            return result

        return run

    def pulled(self, node, g, cotangents):
        self.charge(node.op.name, BACKWARD)

    def site(self):
        return ""  # nobody reads it, and to find it takes longer than a small op

    def optimizing(self, step):
        """The method step of an optimizer, which is charged for its time."""

        def run(*args):
            self.charge("leaves", BACKWARD)
            step(*args)
            self.charge("optimizer", FORWARD)

        return run


def shares(step, repeats: int) -> list[Row]:
    """The rows of a step, medians over repeats; changes the optimizers of this process for good."""
    watch, steps = Shares(), []
    for kind in (optim.SGD, optim.Adam):
        kind.step = watch.optimizing(kind.step)
    for _ in range(WARM_UP):
        step()
    with observed(watch):
        for _ in range(repeats):
            watch.start()
            step()
            steps.append(watch.rows)
    found = []
    for name in steps[0]:
        calls, forward, backward = zip(*(rows[name] for rows in steps))
        found.append((name, calls[0], median(forward), median(backward)))
    return sorted(found, key=lambda row: -row[2] - row[3])
