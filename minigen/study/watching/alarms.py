"""When a layer has died, explodes, gets no gradient or stands still: the sentence that says so.

The limits are set so that no example warns, and that the planted faults do of
tests/test_study_watch_warnings.py and benchmarks/broken_nets. Two watched steps in a row must agree
where one may be a chance. Gradients are compared within a network: see `Facts.network`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minigen.study.watching.rows import Facts

DEAD_SHARE = 0.95  # of the units of a layer
LEAST_EVIDENCE = 64  # zeros that a layer must give before it is called dead: 2 ** -64 is no chance
LEAST_SAMPLES = 32  # values of each unit, likewise, where some units are alive
LARGEST_STD = 1e4  # of activations: those of a net in which nothing grows are about 1
LARGEST_GROWTH = 1e4  # of the cotangents from the last layer to an earlier one
SMALLEST_GROWTH = 1e-6  # to an earlier layer from the one with the largest; the examples: 1e-4
LARGEST_RATIO = 0.3  # of update to weight, in three watched steps; those of the examples: 0.1
REPLACED = 1.0  # a ratio at which a step replaces the weight, which is enough in one step ...
LEAST_STD = 0.01  # ... if the weight was not about to grow from almost 0


@dataclass(frozen=True)
class Warned:
    """A sentence about a layer, and the names of others of which it is true too."""

    step: int
    layer: str
    cause: str
    warning: str
    others: list[str] = field(default_factory=list)


class Alarms:
    """Looks at each watched step; `said` has the pairs (layer, cause) of which it has warned."""

    def __init__(self):
        self.said: set[tuple[str, str]] = set()
        self._streaks: dict[tuple[str, str], int] = {}  # watched steps in a row

    def look(self, step: int, layers: Sequence[Facts]) -> list[Warned]:
        """The new warnings after a step: one for each cause, which names its first layer."""
        gradients: dict[str, list[float]] = {}  # of each network: their deviations
        for facts in layers:
            if facts.row["grad_std"]:
                gradients.setdefault(facts.network, []).append(facts.row["grad_std"])
        found: dict[tuple[str, str], tuple[int, str]] = {}
        for facts in layers:
            for cause, least, text in _alarms(facts, gradients.get(facts.network, [0.0])):
                found.setdefault((facts.row["layer"], cause), (least, text))
        self._streaks = {key: self._streaks.get(key, 0) + 1 for key in found}
        new: dict[str, list[tuple[str, str]]] = {}  # of each cause: layers and texts
        for (layer, cause), (least, text) in found.items():
            if self._streaks[layer, cause] >= least and (layer, cause) not in self.said:
                self.said.add((layer, cause))
                new.setdefault(cause, []).append((layer, text))
        warned = []
        for cause, ((layer, text), *rest) in new.items():
            others = [name for name, _ in rest]
            also = f" (and {len(others)} more, the last of them {others[-1]})" if others else ""
            text = f"step {step}: layer {layer}{also} {text}"
            warned.append(Warned(step, layer, cause, text, others))
        return warned


def _alarms(facts: Facts, gradients: Sequence[float]) -> Iterator[tuple[str, int, str]]:
    """(cause, watched steps in a row that it takes, text) of all that is wrong with a layer.

    gradients: the deviations of the cotangents of the layers of its network, the last one last.
    """
    row, last, largest = facts.row, gradients[-1], max(gradients)
    yield from _dead(row, facts)
    yield from _explodes(row, facts, last)
    if row["grad_std"] and row["grad_std"] < SMALLEST_GROWTH * largest:
        yield (
            "vanishes",
            2,
            f"gets a vanishing gradient: its standard deviation {row['grad_std']:.2g} is "
            f"{row['grad_std'] / largest:.0e} of the largest in the network; use relu in place of "
            "sigmoid or tanh, nn.init.kaiming_normal_, normalization, or residual connections",
        )
    if facts.is_trained and facts.still and not facts.moved:
        names = " and ".join(facts.still)
        reason = next(filter(None, facts.still.values()), "") or (
            "its gradient or its update is 0: look for a dead layer behind it, or for a learning "
            "rate whose steps are lost to rounding"
        )
        yield "stands still", 2, f"stands still: the step changed no value of {names}; {reason}"


def _dead(row: Mapping[str, Any], facts: Facts) -> Iterator[tuple[str, int, str]]:
    remedy = (
        "lower the learning rate, check for large negative biases and inputs that are not "
        "scaled, or use nn.LeakyReLU"
    )
    if row["dead"] == 1.0:
        watched_steps = 1 if facts.samples * facts.units >= LEAST_EVIDENCE else LEAST_EVIDENCE
        yield (
            "has died",
            watched_steps,
            f"has died: all of its {facts.units} units are 0 for the whole batch, and no gradient "
            f"goes through it; {remedy}",
        )
    elif row["dead"] is not None and row["dead"] >= DEAD_SHARE and facts.samples >= LEAST_SAMPLES:
        share = f"{100 * row['dead']:.0f} % of its {facts.units} units"
        yield "is dying", 2, f"is dying: {share} are 0 for the whole batch; {remedy}"


def _explodes(row: Mapping[str, Any], facts: Facts, last: float) -> Iterator[tuple[str, int, str]]:
    scale = (
        "scale the inputs to a standard deviation of about 1, use nn.init.kaiming_normal_ or "
        "normalization"
    )
    slower = "lower the learning rate, or clip gradients by optim.clip_grad_norm"
    if facts.nonfinite:
        names = ", ".join(facts.nonfinite)
        text = f"has NaN or infinite values: {names}; repeat the step under mg.detect_anomaly(), "
        yield "explodes", 1, f"{text}which names the op that makes them; {slower}"
        return
    if row["std"] and row["std"] > LARGEST_STD:
        text = f"explodes: its activations have a standard deviation of {row['std']:.2g}; {scale}"
        yield "explodes", 1, text
    elif last and row["grad_std"] and row["grad_std"] > LARGEST_GROWTH * last:
        growth = f"{row['grad_std'] / last:.2g} times that of the last layer of its network"
        text = f"explodes: the standard deviation of its gradient is {growth}; {scale}"
        yield "explodes", 2, text
    for name, std in facts.matrices.items():
        ratio = row["updates"][name]
        if ratio is not None and ratio > LARGEST_RATIO:
            watched_steps = 1 if ratio > REPLACED and std > LEAST_STD else 3
            change = f"a step changes {name} by {ratio:.2g} times its standard deviation"
            yield "explodes", watched_steps, f"explodes: {change}; {slower}"
