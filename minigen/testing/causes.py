"""The likely cause of a wrong derivative: which common mistake turns the right one into it.

The right gradient is computed by differences. Each mistake of a list (a factor, a sign, transposed,
arguments swapped, ...) is applied to it; one that gives the rule's gradient at several points is
the cause. `diagnosis` calls this for the first op that is wrong.
"""

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

NEAR = 1e-9  # relative error below which two gradients count as equal in float64
SINGLE = 1e-6  # the same in float32
MAX_ENTRIES = 40  # compared of one gradient
POINTS = 3  # at which a mistake must explain the gradient, so that it is no coincidence


def cause_of(call: Any, i: int, order: int, rng: np.random.Generator) -> tuple[str, str]:
    """The cause, one of the constants above, and a detail, for the rule of argument i of a call."""
    if order > 1:
        return HIGHER, "the lower orders are right; detached, or computed outside ops"
    gs = call.cotangents(rng)
    try:
        found = _rule_result(call, i, gs)
    except (TypeError, AttributeError) as failure:
        return UNSAVED, f"{type(failure).__name__}: {failure}"
    except Exception as failure:
        return VALUES, f"the rule raises {type(failure).__name__}: {failure}"
    x = call.args[i]
    if found.shape != x.shape:
        return _cause_of_shape(found.shape, x.shape)
    if found.dtype != x.dtype:
        return DTYPE, f"the rule returns {found.dtype} for an argument of {x.dtype}"
    probe = _Probe(call, i, rng)
    if probe.agrees(probe.got, probe.want):
        return (
            HIGHER,
            "right in a plain backward pass, wrong when the graph of the gradient is recorded",
        )
    if _right_nearby(call, i, rng):
        return KINK, "the rule is right at nearby points"
    wide = call.broadcast()
    if wide is not None and wide.args[i].shape != x.shape:
        probe = _Probe(wide, i, rng)
        if probe.agrees(probe.got, probe.want):
            return BROADCAST, f"right where no argument is broadcast, but {x.shape} is"
    probes = [_Probe((wide or call).near(rng, 0.05), i, rng) for _ in range(POINTS)]
    for cause, detail, compared in _mistakes(probes[0]):
        if all(p.agrees(*compared(p)) for p in probes):
            return cause, detail
    return VALUES, probes[0].worst()


def _rule_result(call, i, gs):
    """The array that the rule for argument i returns, unchecked."""
    outputs = call.as_function_of(i)(tracked(call.args[i]))
    node = next(y.node for y in outputs if y.requires_grad)
    node = node.parents[0] if type(node) is Output else node
    wanted = [parent is not None for parent in node.parents]
    g = gs[0] if node.num_outputs is None else tuple(gs)
    part = node.op.cotangents(g, node, wanted, Tensor, False)[i]
    return np.zeros_like(call.args[i]) if part is None else np.asarray(part)


def _cause_of_shape(got, want):
    """The cause and detail where the rule returns a wrong shape."""
    detail = f"the rule returns shape {got} for an argument of shape {want}"
    if len(got) >= len(want) and got != want:
        try:
            if np.broadcast_shapes(got, want) == got:
                return BROADCAST, detail
        except ValueError:
            pass
    return (TRANSPOSED if sorted(got) == sorted(want) else VALUES), detail


def _right_nearby(call, i, rng):
    """Whether the rule is right at 3 of 5 points near that of the call, or more."""
    right = 0
    for _ in range(5):
        moved = call.near(rng, 0.0, 0.05)
        try:
            check_gradient(moved.as_function_of(i), [moved.args[i]], rng, limit=NEAR, traced=False)
            right += 1
        except Exception:  # a rule may fail in any way
            pass
    return right >= 3


class _Probe:
    """Entries of the rule's gradient (`got`) and of the right one (`want`) at one point.

    `whole` is all of the rule's gradient. Both gradients are for the same random cotangent.
    """

    def __init__(self, call: Any, i: int, rng: np.random.Generator):
        self.call, self.i, self.gs = call, i, call.cotangents(rng)
        self.whole = _rule_result(call, i, self.gs)
        size = self.whole.size
        self.indices = rng.choice(
            size, min(size, MAX_ENTRIES), replace=False
        )  # into the flat array
        self.got, self.want = self.entries(self.whole), self.numerical(call.args, i)

    def entries(self, gradient: np.ndarray) -> np.ndarray:
        """The compared entries of a gradient."""
        return gradient.reshape(-1)[self.indices]

    def numerical(self, args: list, i: int) -> np.ndarray:
        """The compared entries of the gradient for argument i at args, by differences."""

        def loss(x):
            outputs = self.call(*args[:i], x, *args[i + 1 :])
            return np.asarray(sum((g * y.data).sum() for g, y in zip(self.gs, outputs)))

        found = np.zeros(len(self.indices))
        for k, index in enumerate(self.indices):
            u = np.zeros(args[i].shape)
            u.flat[index] = 1.0
            found[k] = numerical_jvp(loss, [args[i]], [u])
        return found

    def agrees(self, a: np.ndarray, b: np.ndarray, limit: float = NEAR) -> bool:
        """Whether two gradients are equal within limit, relative to the right one."""
        scale = max(np.abs(x).max(initial=0) for x in (self.want, self.got))
        return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) <= limit * scale)

    def worst(self) -> str:
        """A sentence on the entry with the largest error."""
        gap = np.abs(self.got - self.want)
        k, wrong = int(np.argmax(gap)), int((gap > NEAR * np.abs(self.want).max()).sum())
        index = tuple(int(n) for n in np.unravel_index(self.indices[k], self.whole.shape))
        return (
            f"{wrong} of {len(gap)} entries; at index {index} the rule gives "
            f"{self.got[k]:.6g}, differences {self.want[k]:.6g}"
        )


def _mistakes(first: _Probe) -> Iterator[tuple[str, str, Callable]]:
    """(cause, detail, compared) of each mistake; compared(probe) is a pair of gradients.

    A mistake explains the rule's gradient if p.agrees(*compared(p)) is true for every probe p.
    """
    x = first.whole
    yield ZERO, "the argument is detached, or its cotangent is lost", lambda p: (p.got, 0 * p.got)
    yield DTYPE, "right to the digits of float32 only", lambda p: (p.got, p.want, SINGLE)
    norm = float((first.want**2).sum())
    factor = float((first.got * first.want).sum()) / norm if norm else 0.0
    sign = abs(factor + 1) < NEAR
    yield SIGN if sign else FACTOR, f"{factor:.6g}", lambda p: (p.got, factor * p.want)
    for axes in permutations(range(x.ndim)) if 2 <= x.ndim <= 4 else ():
        if axes != tuple(range(x.ndim)) and x.transpose(axes).shape == x.shape:
            undone = lambda p, axes=axes: (p.entries(p.whole.transpose(axes)), p.want)
            yield TRANSPOSED, f"right with its axes in the order {axes}", undone
    for axis in range(x.ndim):
        undone = lambda p, axis=axis: (p.entries(np.flip(p.whole, axis)), p.want)
        yield MOVED, f"reversed along axis {axis}", undone
        for step in (1, -1):
            undone = lambda p, axis=axis, step=step: (
                p.entries(np.roll(p.whole, -step, axis)),
                p.want,
            )
            yield MOVED, f"shifted by {step} along axis {axis}", undone
    yield from _mistakes_with_others(first)


def _mistakes_with_others(first):
    """Mistakes that confuse argument i with another one, j, or transpose j."""
    i, args, name = first.i, first.call.args, first.call.name
    for j in first.call.tracked:
        y = args[j]
        if j == i:
            continue
        if y.shape == args[i].shape:
            yield (
                *(SWAPPED, f"this is the gradient for {name(j)!r}"),
                lambda p, j=j: (p.got, p.numerical(p.call.args, j)),
            )
            yield (
                *(SWAPPED, f"right if {name(j)!r} were replaced by {name(i)!r}"),
                lambda p, j=j: (p.got, p.numerical(_with(p.call.args, {j: p.call.args[i]}), i)),
            )
            yield (
                *(SWAPPED, f"right if {name(i)!r} and {name(j)!r} were exchanged"),
                lambda p, j=j: (
                    p.got,
                    p.numerical(_with(p.call.args, {i: p.call.args[j], j: p.call.args[i]}), i),
                ),
            )
        if y.ndim >= 2 and y.shape[-1] == y.shape[-2]:
            yield (
                *(TRANSPOSED, f"right if {name(j)!r} were transposed"),
                lambda p, j=j: (
                    p.got,
                    p.numerical(_with(p.call.args, {j: p.call.args[j].swapaxes(-1, -2)}), i),
                ),
            )


def _with(args, others):
    """args with those whose index is a key of others replaced."""
    return [others.get(k, x) for k, x in enumerate(args)]
