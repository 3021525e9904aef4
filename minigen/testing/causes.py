"""Why a derivative is wrong: known mistakes are made on the right one until the two agree."""

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np

from minigen.autodiff.graph import Output
from minigen.tensors import Tensor
from minigen.testing.numerical import numerical_jvp
from minigen.testing.pullback import check_gradient, tracked

FACTOR = "a constant factor"
SIGN = "a sign"
BROADCAST = "a missing sum over a broadcast axis"
TRANSPOSED = "transposed"
SWAPPED = "arguments swapped"
ZERO = "all zero"
KINK = "only at ties or kinks"
DTYPE = "dtype lost"
HIGHER = "second order only"
UNSAVED = "reads what it does not save"
MOVED = "moved along an axis"
ALIASED = "writes into or keeps an array"
VALUES = "wrong values"

NEAR = 1e-9  # how close two derivatives are that are the same but for the error of differences
SINGLE = 1e-6  # and two that are the same in float32
ENTRIES = 40  # of an argument, that are looked at
POINTS = 3  # at which a mistake must explain the difference, so that it is no coincidence


def cause_of(call: Any, i: int, order: int, rng: np.random.Generator) -> tuple[str, str]:
    """The cause, one of those above, and what tells it, for the rule of argument i of a call."""
    if order > 1:
        return HIGHER, "the lower orders are right; detached, or computed outside ops"
    gs = call.cotangents(rng)
    try:
        found = _pulled(call, i, gs)
    except (TypeError, AttributeError) as failure:
        return UNSAVED, f"{type(failure).__name__}: {failure}"
    except Exception as failure:
        return VALUES, f"the rule raises {type(failure).__name__}: {failure}"
    x = call.args[i]
    if found.shape != x.shape:
        return _of_shapes(found.shape, x.shape)
    if found.dtype != x.dtype:
        return DTYPE, f"the rule returns {found.dtype} for an argument of {x.dtype}"
    probe = _Probe(call, i, rng)
    if probe.agrees(probe.got, probe.want):
        return HIGHER, "right as it is, but another when the graph of the gradient is recorded"
    if _right_nearby(call, i, rng):
        return KINK, "the rule is right at points nearby"
    wide = call.broadcast()
    if wide is not None and wide.args[i].shape != x.shape:
        probe = _Probe(wide, i, rng)
        if probe.agrees(probe.got, probe.want):
            return BROADCAST, f"right where no argument is broadcast, but {x.shape} is"
    probes = [_Probe((wide or call).near(rng, 0.05), i, rng) for _ in range(POINTS)]
    for cause, detail, pair in _mistakes(probes[0]):
        if all(p.agrees(*pair(p)) for p in probes):
            return cause, detail
    return VALUES, probes[0].worst()


def _pulled(call, i, gs):
    """What the rule for argument i returns, as it is."""
    outputs = call.of(i)(tracked(call.args[i]))
    node = next(y.node for y in outputs if y.requires_grad)
    node = node.parents[0] if type(node) is Output else node
    wanted = [parent is not None for parent in node.parents]
    g = gs[0] if node.num_outputs is None else tuple(gs)
    part = node.op.cotangents(g, node, wanted, Tensor, False)[i]
    return np.zeros_like(call.args[i]) if part is None else np.asarray(part)


def _of_shapes(got, want):
    detail = f"the rule returns shape {got} for an argument of shape {want}"
    if len(got) >= len(want) and got != want:
        try:
            if np.broadcast_shapes(got, want) == got:
                return BROADCAST, detail
        except ValueError:
            pass
    return (TRANSPOSED if sorted(got) == sorted(want) else VALUES), detail


def _right_nearby(call, i, rng):
    right = 0
    for _ in range(5):
        moved = call.near(rng, 0.0, 0.05)
        try:
            check_gradient(moved.of(i), [moved.args[i]], rng, limit=NEAR, traced=False)
            right += 1
        except Exception:  # a rule may fail in any way
            pass
    return right >= 3


class _Probe:
    """The rule's gradient and the right one, at one point under one random cotangent."""

    def __init__(self, call: Any, i: int, rng: np.random.Generator):
        self.call, self.i, self.gs = call, i, call.cotangents(rng)
        self.whole = _pulled(call, i, self.gs)
        size = self.whole.size
        self.places = rng.choice(size, min(size, ENTRIES), replace=False)
        self.got, self.want = self.at(self.whole), self.truth(call.args, i)

    def at(self, gradient: np.ndarray) -> np.ndarray:
        """The entries that are looked at."""
        return gradient.reshape(-1)[self.places]

    def truth(self, args: list, i: int) -> np.ndarray:
        """These entries of the gradient for argument i, by differences."""

        def loss(x):
            outputs = self.call(*args[:i], x, *args[i + 1 :])
            return np.asarray(sum((g * y.data).sum() for g, y in zip(self.gs, outputs)))

        found = np.zeros(len(self.places))
        for k, place in enumerate(self.places):
            u = np.zeros(args[i].shape)
            u.flat[place] = 1.0
            found[k] = numerical_jvp(loss, [args[i]], [u])
        return found

    def agrees(self, a: np.ndarray, b: np.ndarray, limit: float = NEAR) -> bool:
        """Whether two gradients are the same, but for the error of differences."""
        scale = max(1.0, np.abs(self.want).max(initial=0))
        return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) <= limit * scale)

    def worst(self) -> str:
        """The entry that is furthest off, in words."""
        gap = np.abs(self.got - self.want)
        k = int(np.argmax(gap))
        index = tuple(int(n) for n in np.unravel_index(self.places[k], self.whole.shape))
        return (
            f"{int((gap > NEAR).sum())} of {len(gap)} entries; at index {index} the rule gives "
            f"{self.got[k]:.6g}, differences {self.want[k]:.6g}"
        )


def _mistakes(first: _Probe) -> Iterator[tuple[str, str, Callable]]:
    """(cause, detail, pair): made at every probe p, the mistake has pair(p) agree."""
    x = first.whole
    yield ZERO, "the argument is detached, or its cotangent is lost", lambda p: (p.got, 0 * p.got)
    yield DTYPE, "right to the digits of float32 only", lambda p: (p.got, p.want, SINGLE)
    norm = float((first.want**2).sum())
    factor = float((first.got * first.want).sum()) / norm if norm else 0.0
    sign = abs(factor + 1) < NEAR
    yield SIGN if sign else FACTOR, f"{factor:.6g}", lambda p: (p.got, factor * p.want)
    for axes in permutations(range(x.ndim)) if 2 <= x.ndim <= 4 else ():
        if axes != tuple(range(x.ndim)) and x.transpose(axes).shape == x.shape:
            undone = lambda p, axes=axes: (p.at(p.whole.transpose(axes)), p.want)
            yield TRANSPOSED, f"right with its axes in the order {axes}", undone
    for axis in range(x.ndim):
        undone = lambda p, axis=axis: (p.at(np.flip(p.whole, axis)), p.want)
        yield MOVED, f"reversed along axis {axis}", undone
        for step in (1, -1):
            undone = lambda p, axis=axis, step=step: (p.at(np.roll(p.whole, -step, axis)), p.want)
            yield MOVED, f"shifted by {step} along axis {axis}", undone
    yield from _mistakes_with_others(first)


def _mistakes_with_others(first):
    """Mistakes between argument i and another one, j."""
    i, args, name = first.i, first.call.args, first.call.name
    for j in first.call.tracked:
        y = args[j]
        if j == i:
            continue
        if y.shape == args[i].shape:
            yield (
                *(SWAPPED, f"this is the gradient for {name(j)!r}"),
                lambda p, j=j: (p.got, p.truth(p.call.args, j)),
            )
            yield (
                *(SWAPPED, f"right if it had {name(i)!r} in the place of {name(j)!r}"),
                lambda p, j=j: (p.got, p.truth(_with(p.call.args, {j: p.call.args[i]}), i)),
            )
            yield (
                *(SWAPPED, f"right at {name(i)!r} and {name(j)!r} exchanged"),
                lambda p, j=j: (
                    p.got,
                    p.truth(_with(p.call.args, {i: p.call.args[j], j: p.call.args[i]}), i),
                ),
            )
        if y.ndim >= 2 and y.shape[-1] == y.shape[-2]:
            yield (
                *(TRANSPOSED, f"right if {name(j)!r} were transposed"),
                lambda p, j=j: (
                    p.got,
                    p.truth(_with(p.call.args, {j: p.call.args[j].swapaxes(-1, -2)}), i),
                ),
            )


def _with(args, others):
    """args with others, by index, in their place."""
    return [others.get(k, x) for k, x in enumerate(args)]
