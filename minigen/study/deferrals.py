"""Products that other threads compute during a backward walk, and how long the walk waits for them.

The caller's time in the rules of `linear` ends when the product for the weight's gradient is
queued. A sum of gradients, or the end of the walk, waits for what is left of the product then.
"""

import time
from collections.abc import Callable, Sequence

from minigen.nn.flops import forward_flops
from minigen.parallel.deferred import deferring
from minigen.study.steps import Ref, Step, Value


class Deferrals(deferring):
    """As `deferring`; divides each wait among the steps that deferred, by their FLOPs.

    running: the calls of rules that are running, each with its step, the innermost last.
    """

    def __init__(self, steps: Sequence[Step], values: Sequence[Value], running: Sequence):
        self.steps, self.values, self.running = steps, values, running
        self.waiting: list[Step] = []

    def add(self, finish: Callable[[], None]) -> None:
        super().add(finish)
        self.waiting.append(self.running[-1].step)

    def finish(self) -> None:
        start = time.perf_counter()
        super().finish()
        seconds = time.perf_counter() - start
        shares = [self._work(step) for step in self.waiting]
        for step, share in zip(self.waiting, shares):
            step.seconds += seconds * share / sum(shares)
        self.waiting.clear()

    def _work(self, step: Step) -> int:
        """The FLOPs of the product that a step deferred: as many as its forward has."""
        if step.call is None:  # the forward ran before the recording
            return 1
        call = self.steps[step.call]
        args = [self.values[x.number] if isinstance(x, Ref) else x for x in call.args]
        results = [self.values[i] for i in call.outputs]
        return max(forward_flops(call.op, args, results, call.static), 1)
