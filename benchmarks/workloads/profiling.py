"""The time of a step of minigen by op, forward and backward, and of what runs between the ops."""

import time
from collections import defaultdict
from statistics import median

from minigen import optim
from minigen.autodiff.trace import Observer, observed

FORWARD, BACKWARD, WARM_UP = 1, 2, 3
Row = tuple[str, int, float, float]  # name, calls, seconds forward, seconds backward


class StepProfile(Observer):
    """Adds all time that passes to a row: an op, the optimizer, "between ops" or "leaves".

    "between ops" has the modules, the graph, checks and random numbers. The time of the backward
    walk is added to the op that it has just passed; for the first op that includes zero_grad and
    the sorting of the graph. "leaves" is the time after the last op, for the copies of gradients.
    """

    def __init__(self):
        super().__init__()
        self.start()

    def start(self) -> None:
        """Begin a step."""
        self.rows = defaultdict(lambda: [0, 0.0, 0.0])
        self.last = time.perf_counter()

    def add(self, name: str, column: int) -> None:
        """Add the time since the last call to a row."""
        now = time.perf_counter()
        row = self.rows[name]
        row[0] += column == FORWARD
        row[column] += now - self.last
        self.last = now

    def watched(self, op):
        def run(*args, **static):
            self.add("between ops", FORWARD)
            result = op.forward(*args, **static)
            self.add(op.name, FORWARD)
            return result

        return run

    def pulled(self, node, g, cotangents):
        self.add(node.op.name, BACKWARD)

    def site(self):
        return ""  # unused, and finding the line takes longer than a small op

    def timed_step(self, step):
        """The method `step` of an optimizer, followed by adding its time to a row."""

        def run(*args):
            self.add("leaves", BACKWARD)
            step(*args)
            self.add("optimizer", FORWARD)

        return run


def profile(step, repeats: int) -> list[Row]:
    """The rows of a step, medians over repeats. Replaces `step` of the optimizer classes."""
    watch, steps = StepProfile(), []
    for optimizer in (optim.SGD, optim.Adam):
        optimizer.step = watch.timed_step(optimizer.step)
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
