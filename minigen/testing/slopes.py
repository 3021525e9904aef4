"""A gradient compared with differences along directions.

For outputs y = f(x) with Jacobian J, a cotangent g and a direction u: rules compute the gradient
J^T g, differences compute J u, and <J^T g, u> = <g, J u> must hold: one number for all entries.
An entry of a direction has the scale of its value. Entries whose parts of the sum are of unlike
size get directions of their own, so that large ones do not hide the small.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from minigen.testing.numerical import EPSILON, as_vector, measured_jvp, one_step, quick_jvp

BITS = 8  # of an entry of a direction, so that x + h u has no rounding for most steps h
SPAN = 2.0**13  # parts of the sum of one direction are unlike by this factor at most
LONG = 20  # below 2**-LONG the steps are relative to |x|
ROUNDINGS = 64  # of a sum of unlike terms
MEASURED = 1e-4  # relative error of a difference, above which it can confirm no rule
UNLIKE = 1e-6  # parts that are smaller by this factor than like entries need no confirmation
FLAT = 1e-9  # a slope below this part of the outputs' size is lost in their rounding
KINK_STEPS = 2.0**-20, 2.0**-24


@dataclass(frozen=True)
class Comparison:
    """<gradient, u> against differences. size: of the largest part of either sum.

    error is that of the differences, and floor the rounding that a rule may have as well. confirms:
    whether a wrong gradient would differ; it would not if the floor is as large as the numbers.
    """

    got: float
    want: float
    size: float
    error: float = 0.0
    floor: float = 0.0
    confirms: bool = True

    def agrees(self, limit: float) -> bool:
        """Whether both numbers are equal within limit and their errors."""
        gap = abs(self.got - self.want)
        return gap == 0 or gap <= limit * self.size + self.error + self.floor

    @property
    def measured(self) -> bool:
        """Whether differences are accurate enough to confirm a rule."""
        return self.error <= MEASURED * self.size

    def __str__(self) -> str:
        gap = abs(self.got - self.want) / self.size if self.size else np.inf
        return (
            f"{self.got!r} by its rules, {self.want!r} by differences "
            f"(relative error {gap:.3g}, of the differences {self.error / (self.size or 1):.1g})"
        )


def draw_directions(inputs: Sequence, rng: np.random.Generator) -> list[np.ndarray]:
    """For each input a direction of random signs, whose entries have the `scales` of its values."""
    return [scales(x) * _signs(x.shape, rng) for x in inputs]


def scales(x: np.ndarray) -> np.ndarray:
    """Powers of two by which steps from x are measured: next to 1, or to |x| if that is larger.

    Below 2**-LONG the scale falls with |x|, since all steps of the table would be too large.
    """
    size = np.where(np.isfinite(x), np.abs(x), 1.0)
    near = np.where(size > 0, np.minimum(size * 2.0**LONG, 1.0), 1.0)
    return 2.0 ** np.ceil(np.log2(np.maximum(size, near)))


def _signs(shape, rng):
    """Random numbers in (-1, -1/2] and [1/2, 1) that have few bits."""
    whole = rng.integers(2 ** (BITS - 1), 2**BITS, shape) / 2.0**BITS
    return whole * np.where(rng.random(shape) < 0.5, -1.0, 1.0)


@dataclass(frozen=True)
class Part:
    """A direction in entries that are compared together.

    zero: gradient * u is 0 in all of them; largest: it is larger than in other parts. top: the
    largest gradient * u of entries of like size; overall: that of all entries.
    """

    us: list
    zero: bool
    largest: bool
    top: float
    overall: float


def split(inputs: Sequence, gradients: Sequence, us: Sequence) -> Iterator[Part]:
    """The entries in parts that are alike in gradient * u."""
    sizes = [np.nan_to_num(np.abs(g * u)) for g, u in zip(gradients, us)]
    tops = [_tops_of_like_size(x, s) for x, s in zip(inputs, sizes)]
    top = max((float(s.max(initial=0)) for s in sizes), default=0.0)
    if top == 0:
        yield Part(list(us), False, True, 0.0, 0.0)
        return
    with np.errstate(all="ignore"):
        ranks = [_rank(top / s, SPAN) for s in sizes]
        # Entries of other size have a rounding of their own, if their largest is far from the top.
        groups = [np.minimum(_rank(top / t, SPAN**2), 9) / 10 for t in tops]
        ranks = [np.where(s == 0, np.inf, r + k) for s, r, k in zip(sizes, ranks, groups)]
    for k, rank in enumerate(np.unique(np.concatenate([r.reshape(-1) for r in ranks]))):
        part = [np.where(r == rank, u, 0.0) for r, u in zip(ranks, us)]
        most = max(t.max(initial=0, where=r == rank) for t, r in zip(tops, ranks))
        yield Part(part, bool(np.isinf(rank)), k == 0, float(most), top)


def _rank(ratio, span):
    return np.log2(ratio) // np.log2(span)


def _tops_of_like_size(x, sizes):
    """For each entry the largest of the sizes whose x is within a factor of about a million."""
    with np.errstate(all="ignore"):
        group = np.where((x == 0) | ~np.isfinite(x), 0, (np.log2(np.abs(x)) + 10) // 20)
    tops = np.zeros(x.shape)
    for k in np.unique(group):
        tops[group == k] = sizes[group == k].max(initial=0)
    return tops


def compare(
    f: Callable, inputs: Sequence, gs: Sequence, part: Part, gradients: Sequence, limit: float
) -> Comparison:
    """<gradients, u> against differences, by few steps if they agree, else by the best steps."""
    us, flat, g = part.us, as_vector(f(*inputs)), as_vector(tuple(gs))
    with np.errstate(all="ignore"):
        if part.zero and not (g * one_step(f, inputs, us, flat))[g != 0].any():
            return Comparison(0.0, 0.0, 0.0)
        found = _compared(g, quick_jvp(f, inputs, us, flat)[0], us, gradients)
        if found.agrees(limit):
            return found
        for sided in (None, 1, -1):  # first central differences, then to one side only
            if sided:  # at the end of the domain
                us = [sided * np.abs(u) for u in us]
            readings = measured_jvp(f, inputs, us, one_sided=bool(sided))
            for k, (slopes, errors, noise) in enumerate(readings):
                top = part.top if slopes[g != 0].any() else part.overall
                floor = ROUNDINGS * EPSILON * top + 8 * float(np.abs(g * noise)[g != 0].sum())
                error = float(np.abs(g * errors)[g != 0].sum())
                found = _compared(g, slopes, us, gradients, error, floor)
                if k > 0:  # the changes of some outputs may be rounded away
                    found = replace(found, confirms=floor <= found.size)
                if found.agrees(limit) and np.isfinite(error):
                    return found
            if np.isfinite(error):
                break
    return found


def _compared(g, slopes, us, gradients, *errors):
    parts = (g * slopes)[g != 0]
    sums = [(part * u).reshape(-1) for part, u in zip(gradients, us)]
    size = max(np.abs(part).max(initial=0) for part in (parts, *sums))
    return Comparison(float(sum(s.sum() for s in sums)), float(parts.sum()), float(size), *errors)


def kink(f: Callable, inputs: Sequence, gs: Sequence, us: Sequence) -> str:
    """A sentence, if the slopes of f on both sides of the inputs differ; else ""."""
    flat, g = as_vector(f(*inputs)), as_vector(tuple(gs))

    def slope(h):
        try:
            change = as_vector(f(*[x + h * u for x, u in zip(inputs, us)])) - flat
            return float((g * change)[g != 0].sum()) / h
        except Exception:  # outside the domain of f
            return np.nan

    with np.errstate(all="ignore"):
        (a, b), (above, below) = ((slope(h), slope(-h)) for h in KINK_STEPS)
    jump = above - below
    if abs(jump) > 1e-3 * max(abs(above), abs(below)) and abs(jump - (a - b)) < 0.1 * abs(jump):
        return f"; the function has a kink here, with slopes {below:.6g} and {above:.6g}"
    return ""
