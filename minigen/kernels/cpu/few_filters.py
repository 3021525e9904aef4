"""Convolution with fewer filters than fill a vector: the lanes are places of images instead."""

import numpy as np

from minigen.kernels.cpu.compiling import CONTRACT, compiled


def bordered(x, plan):
    """What plan says is seen of images x (N, G, C, H, W), zero outside: (N, G, values)."""
    seen = np.zeros((*x.shape[:3], plan.high, plan.wide), x.dtype)
    ends = zip((plan.top, plan.left), (plan.high, plan.wide), x.shape[3:])
    cuts = [(max(-a, 0), max(a, 0), max(min(a + n, m) - max(a, 0), 0)) for a, n, m in ends]
    there = (slice(to, to + n) for to, _, n in cuts)
    here = (slice(start, start + n) for _, start, n in cuts)
    seen[..., *there] = x[..., *here]
    return seen.reshape(*x.shape[:2], -1)


@compiled(fastmath=CONTRACT)
def correlate_few(x, w, taps, apart, bias, plan, phases, steps, y):
    """y[n, g, f] = bias[g, f] + sum over k of w[g, taps[k] + f * apart] times what steps[k] sees.

    x (N, G, values), with its borders. Results that are next to each other see values that are:
    so all results of an image are a stretch of x, times a number, for each k. Between its rows
    are some that see the end of one row and the next; they do not go into y (N, G, F, OH, OW).
    """
    filters, high, _ = y.shape[2:]
    down, right = plan.apart
    sums = np.empty((plan.rows - 1) * plan.wide + plan.columns, x.dtype)
    for n in range(len(x)):
        for g in range(x.shape[1]):
            for top, left, first, last in phases:
                for f in range(filters):
                    sums[:] = bias[g, f]
                    for k in range(first, last):
                        factor = w[g, taps[k] + f * apart]
                        _add_multiple(factor, x[n, g, steps[k] : steps[k] + len(sums)], sums)
                    for t in range((high - top - 1) // down + 1):
                        row, line = y[n, g, f, top + t * down, left::right], sums[t * plan.wide :]
                        for v in range(len(row)):
                            row[v] = line[v]


@compiled(fastmath=CONTRACT)
def _add_multiple(factor, x, y):
    for i in range(len(y)):
        y[i] += factor * x[i]
