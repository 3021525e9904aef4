"""How long a training step takes on many ranks, computed from measured times; pure functions.

A message of n bytes takes alpha + n / B seconds: alpha is the latency, B the bandwidth (Hockney
1994, "The Communication Challenge for MPP"). A sum of n bytes over p ranks then takes, if adding
costs nothing (Thakur, Rabenseifner and Gropp 2005, "Optimization of Collective Communication
Operations in MPICH"),

    ring                  2 (p - 1) alpha + 2 (p - 1) / p * n / B
    recursive doubling    log2(p) (alpha + n / B)                  a tree; fewest messages
    halving and doubling  2 log2(p) alpha + 2 (p - 1) / p * n / B  Rabenseifner's

The trees need a power of two; for other p the surplus ranks first add their arrays to those of
neighbours and get the sum at the end, two more messages. Machines with several ranks sum inside a
machine first, then between machines.

What a reduction takes of the rank's core is time that no overlap hides (the overhead o of LogP,
Culler et al. 1993); the link works while the rank computes. The link carries one bucket at a time.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Network(NamedTuple):
    """latency: seconds a message; bandwidth: bytes a second."""

    latency: float
    bandwidth: float


# Seconds that a sum of that many bytes over that many ranks keeps the link busy.
Algorithm = Callable[[float, int, Network], float]


def ring(size: float, ranks: int, network: Network) -> float:
    steps = 2 * (ranks - 1)
    return steps * (network.latency + size / ranks / network.bandwidth)


def recursive_doubling(size: float, ranks: int, network: Network) -> float:
    messages = _halvings(ranks) + 2 * _surplus(ranks)
    return messages * (network.latency + size / network.bandwidth)


def halving_doubling(size: float, ranks: int, network: Network) -> float:
    power = 2 ** _halvings(ranks)
    whole_arrays = 2 * (power - 1) / power + 2 * _surplus(ranks)
    messages = 2 * (_halvings(ranks) + _surplus(ranks))
    return messages * network.latency + whole_arrays * size / network.bandwidth


def cheapest(size: float, ranks: int, network: Network) -> float:
    """The best of the three for this size, as MPI and NCCL choose it."""
    algorithms = (ring, recursive_doubling, halving_doubling)
    return min(algorithm(size, ranks, network) for algorithm in algorithms)


def in_machines(per_machine: int, inside: Network, algorithm: Algorithm = cheapest) -> Algorithm:
    """Ranks in machines of `per_machine`: a ring inside each, then `algorithm` between machines.

    The ring's first half leaves each rank with its part of the sum in the machine; these parts are
    summed between machines through the machine's one link, and the second half spreads the sums.
    """

    def cost(size: float, ranks: int, network: Network) -> float:
        if ranks <= per_machine:
            return ring(size, ranks, inside)
        machines = math.ceil(ranks / per_machine)
        return ring(size, per_machine, inside) + algorithm(size, machines, network)

    return cost


def _halvings(ranks: int) -> int:
    return ranks.bit_length() - 1


def _surplus(ranks: int) -> int:
    return int(ranks != 2 ** _halvings(ranks))


# ------------------------------------------------------------------------------- a rank's work


class Work(NamedTuple):
    """What one rank measures of a step without other ranks, in seconds.

    forward: all before the walk back; ready: after that, until each bucket is complete, in the
    order of the walk; backward: the whole walk; update: the optimizer's step. sizes: bytes.
    """

    forward: float
    ready: tuple[float, ...]
    backward: float
    update: float
    sizes: tuple[int, ...]

    @property
    def seconds(self) -> float:
        return self.forward + self.backward + self.update

    def times(self, factor: float) -> "Work":
        """The same work on a core that takes `factor` times as long."""
        ready = tuple(factor * x for x in self.ready)
        rest = factor * self.forward, ready, factor * self.backward, factor * self.update
        return Work(*rest, self.sizes)

    def in_buckets(self, nbytes: int) -> "Work":
        """The same work with buckets joined until each has nbytes, as in `distributed.buckets`."""
        ready, sizes, size = [], [], 0
        for i, (time, more) in enumerate(zip(self.ready, self.sizes)):
            size += more
            if size >= nbytes or i == len(self.sizes) - 1:
                ready.append(time)
                sizes.append(size)
                size = 0
        return self._replace(ready=tuple(ready), sizes=tuple(sizes))


class Line(NamedTuple):
    """seconds = fixed + each * x."""

    fixed: float
    each: float

    def at(self, x: float) -> float:
        return self.fixed + self.each * x


def fitted(xs: Sequence[float], seconds: Sequence[float]) -> Line:
    """The line of the least squares of relative errors, with neither part below 0."""
    weights = [1 / max(t, 1e-12) ** 2 for t in seconds]
    total = sum(weights)
    x_mean = sum(w * x for w, x in zip(weights, xs)) / total
    t_mean = sum(w * t for w, t in zip(weights, seconds)) / total
    squares = sum(w * (x - x_mean) ** 2 for w, x in zip(weights, xs))
    products = sum(w * (x - x_mean) * (t - t_mean) for w, x, t in zip(weights, xs, seconds))
    slope = max(products / squares, 0.0) if squares else 0.0
    if t_mean - slope * x_mean >= 0:
        return Line(t_mean - slope * x_mean, slope)
    through_zero = sum(w * x * t for w, x, t in zip(weights, xs, seconds))
    return Line(0.0, through_zero / sum(w * x * x for w, x in zip(weights, xs)))


def work_by_rows(measured: dict[int, Work]) -> Callable[[float], Work]:
    """The work of a rank for any number of rows, fitted to that of some numbers of rows."""
    works = list(measured.values())

    def line(time: Callable[[Work], float]) -> Line:
        return fitted(list(measured), [time(work) for work in works])

    forward, backward = line(lambda w: w.forward), line(lambda w: w.backward)
    update = line(lambda w: w.update)
    parts = range(len(works[0].ready))
    # Shares of the walk, not times: so that no bucket is ready after its end, or before another.
    shares = [statistics.median(w.ready[i] / w.backward for w in works) for i in parts]

    def at(rows: float) -> Work:
        ready = tuple(share * backward.at(rows) for share in shares)
        rest = backward.at(rows), update.at(rows), works[0].sizes
        return Work(forward.at(rows), ready, *rest)

    return at


# ------------------------------------------------------------------------------------- a step


class Reduction(NamedTuple):
    """Seconds of one bucket: on the rank's core before it is sent, on the link, on the core after.

    A rank that waits for the link computes nothing, but leaves its core free.
    """

    before: float = 0.0
    link: float = 0.0
    after: float = 0.0


class Step(NamedTuple):
    """seconds: the whole step; communication: all of its reductions; exposed: what they add."""

    seconds: float
    communication: float
    exposed: float

    @property
    def hidden(self) -> float:
        """The share of the reductions that takes no time, because the rank computes meanwhile."""
        return 1 - self.exposed / self.communication if self.communication else 1.0


def step(work: Work, reductions: Sequence[Reduction], overlap: bool = True) -> Step:
    """The timeline of one step. With overlap a bucket is sent as soon as it is complete."""
    communication = sum(r.before + r.link + r.after for r in reductions)
    if not overlap:
        return Step(work.seconds + communication, communication, communication)
    delay, link_free, arrivals = 0.0, 0.0, []
    for ready, reduction in zip(work.ready, reductions, strict=True):
        delay += reduction.before  # the walk goes on after it
        link_free = max(link_free, work.forward + ready + delay) + reduction.link
        arrivals.append(link_free)
    clock = work.forward + work.backward + delay
    for arrival, reduction in zip(arrivals, reductions):
        clock = max(clock, arrival) + reduction.after
    seconds = clock + work.update
    return Step(seconds, communication, seconds - work.seconds)


def on_network(
    work: Work, ranks: int, network: Network, algorithm: Algorithm = cheapest
) -> list[Reduction]:
    """The reductions of a step's buckets that a network card makes, without the rank's core."""
    return [Reduction(link=algorithm(size, ranks, network)) for size in work.sizes]


def local_steps(work: Work, reductions: Sequence[Reduction], every: int) -> Step:
    """The mean of `every` steps, of which the last sums all weights, without overlap."""
    communication = sum(r.before + r.link + r.after for r in reductions) / every
    return Step(work.seconds + communication, communication, communication)


def on_shared_cores(work: Work, ranks: int, cores: int, slowdown: float = 1.0) -> Work:
    """The work of a rank where `ranks` run on `cores` at the same time.

    Beyond one rank a core they take turns. slowdown: the time of a step while all cores are busy,
    divided by that while the others rest: caches and memory are shared, and so is the clock.
    """
    return work.times(slowdown * max(1.0, ranks / cores))


# -------------------------------------------------------------------------- the slowest of ranks


def median_of_slowest(samples: Sequence[float], ranks: int) -> float:
    """The median of the slowest of ranks that each draw from samples, divided by that of one.

    All of n draws are below x with the probability F(x)^n, so it is the quantile 0.5^(1/n) of one.
    """
    return float(np.quantile(samples, 0.5 ** (1 / ranks)) / np.median(samples))


def slowdown_by_spread(spread: float, ranks: int, every: int = 1) -> float:
    """The factor by which the slowest of ranks is slower than the mean rank.

    spread: standard deviation of a rank's step divided by its mean; steps vary independently, so
    over `every` steps their mean varies less. The expected maximum of normal draws: Blom 1958.
    """
    if ranks == 1:
        return 1.0
    quantile = statistics.NormalDist().inv_cdf((ranks - 0.375) / (ranks + 0.25))
    return 1 + spread * quantile / math.sqrt(every)
