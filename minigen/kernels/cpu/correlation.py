"""Sums over the places of filters, of images that are laid with their borders: see `tiles.py`."""

import numpy as np

from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.packing import copy_values, transpose
from minigen.kernels.cpu.tiles import ROWS, VECTOR, U, add_product, aligned, panel_of, place_of


@compiled
def _move(x, start, x_step, y, to, y_step, count):
    """y[to + i * y_step] = x[start + i * x_step] for i < count."""
    x_start, x_apart, y_start, y_apart = U(start), U(x_step), U(to), U(y_step)
    for i in range(U(count)):
        y[y_start + i * y_apart] = x[x_start + i * x_apart]


@compiled
def _turn(x, start, table, apart, count, y, to, width):
    """y[to + m * width + j] = x[start + table[m] + j * apart] for all m, and j < count.

    Eight j at a time: these are eight lines of the cache, and a loop without a loop.
    """
    for j in range(0, count - 7, 8):
        for m in range(len(table)):
            _move(x, start + table[m] + j * apart, apart, y, to + m * width + j, 1, 8)
    for j in range(count // 8 * 8, count):
        for m in range(len(table)):
            y[U(to + m * width + j)] = x[U(start + table[m] + j * apart)]


@compiled
def _lay_images(x, n, count, plan, u, rows, planes):
    """Images n and on with their borders: what so many rows of results from u on see of them.

    x (N, G, C, H, W); planes (images, G, C, high, wide), flat, are 0 where no image will ever lie.
    """
    flat = x.reshape(-1)
    _, groups, channels, high, across = x.shape
    begin = min(max(-plan.left, 0), plan.wide)
    end = max(min(plan.wide, across - plan.left), begin)
    top, last = plan.top + u * plan.down, plan.high - (plan.rows - rows) * plan.down
    for k in range(count * groups * channels):
        line = ((n * groups * channels + k) * high + top) * across + plan.left + begin
        for t in range(last):
            row = (k * plan.high + t) * plan.wide + begin
            if 0 <= top + t < high:
                copy_values(flat, line + t * across, planes, row, end - begin)
            else:
                planes[row : row + end - begin] = 0


@compiled
def lay_filters(w, taps, apart, filters, phases, width):
    """b for `correlate`, of groups w (G, values), where w[g, taps[k] + f * apart] is filter f's."""
    depth, lanes, flat = len(taps), VECTOR // w.itemsize, w.reshape(-1)
    b = aligned(len(w) * depth * width, w)
    for g in range(len(w)):
        for _, _, first, last in phases:
            at, left = (g * depth + first) * width, 0
            while left < width:
                wide = panel_of((width - left) // lanes) * lanes
                start, count = g * w.shape[1] + left * apart, min(wide, filters - left)
                _turn(flat, start, taps[first:last], apart, count, b, at, wide)
                at += (last - first) * wide
                left += wide
    return b


@compiled
def _put(c, start, width, y, image, u, rows, phase, plan):
    """y[image + f, top + (u + t) * down, left + v * right] = c[start + (t, v) * width + f]."""
    filters, high, across = y.shape[2:]
    flat, (top, left), (down, right) = y.reshape(-1), phase[:2], plan.apart
    rows, count = min(rows, (high - top - 1) // down + 1 - u), (across - left - 1) // right + 1
    to, plane = (image * high + top + u * down) * across + left, high * across
    if down * right == 1:
        transpose(c, start, width, rows * count, filters, flat, to, plane)
        return
    for f in range(filters):
        for t in range(rows):
            here = start + t * plan.columns * width + f
            _move(c, here, width, flat, to + f * plane + t * down * across, right, count)


@compiled
def correlate(x, b, bias, piece, plan, phases, places, steps, y):
    """y[n, g, f] = bias[g, f] + sum over k of w[g, f, k] times place k under each window of x.

    x (N, G, C, H, W), b = lay_filters(w), bias (G, F padded to whole vectors), y (N, G, F, OH, OW).
    """
    groups, channels = x.shape[1:3]
    filters, depth, width = y.shape[2], len(steps), bias.shape[1]
    first_image, last_image, first_row, last_row = piece
    plane = channels * plan.high * plan.wide
    planes = np.zeros(plan.images * groups * plane, x.dtype)
    level, c = bias.reshape(-1), np.empty(len(places) * width, x.dtype)
    for n in range(first_image, last_image, plan.images):
        count = min(plan.images, last_image - n)
        for u in range(first_row, last_row, plan.rows):
            rows = min(plan.rows, last_row - u)
            _lay_images(x, n, count, plan, u, rows, planes)
            each = rows * plan.columns
            tiles = -(-count * each // ROWS) * ROWS
            for g in range(groups):
                a = planes[g * plane :]
                for phase in phases:
                    first, last = phase[2:]
                    at, start = (g * depth + first) * width, place_of(level, g * width)
                    rows_of_a, steps_of_a = places[:tiles], steps[first:last]
                    add_product(a, rows_of_a, steps_of_a, b, at, c, width, 0, width, start)
                    for i in range(count):
                        image = ((n + i) * groups + g) * filters
                        _put(c, i * each * width, width, y, image, u, rows, phase, plan)


@compiled
def correlate_weight(x, gy, piece, plan, places, steps, gw):
    """gw[g, k, f] += sum over windows of gy[n, g, f, window] times place k under it.

    x (N, G, C, H, W), gy (N, G, F, windows), gw (G, K padded to tiles, F padded to vectors).
    """
    groups, channels = x.shape[1:3]
    filters, windows = gy.shape[2:]
    first_image, last_image, first_filter, last_filter = piece
    depth, width = gw.shape[1:]
    plane = channels * plan.high * plan.wide
    planes = np.zeros(plan.images * groups * plane, x.dtype)
    g_flat, gw_flat = gy.reshape(-1), gw.reshape(-1)
    wide, lanes = min(width, last_filter) - first_filter, VECTOR // x.itemsize
    b = aligned(len(places) * wide, x)
    for n in range(first_image, last_image, plan.images):
        count = min(plan.images, last_image - n)
        for u in range(0, windows // plan.columns, plan.rows):
            rows = min(plan.rows, windows // plan.columns - u)
            _lay_images(x, n, count, plan, u, rows, planes)
            each = rows * plan.columns
            for g in range(groups):
                to, left = 0, first_filter
                while left < first_filter + wide:
                    panel = panel_of((first_filter + wide - left) // lanes) * lanes
                    for i in range(n, n + count):
                        start = ((i * groups + g) * filters + left) * windows + u * plan.columns
                        some = min(panel, filters - left)
                        transpose(g_flat, start, windows, some, each, b, to, panel)
                        to += each * panel
                    left += panel
                a, c = planes[g * plane :], gw_flat[g * depth * width :]
                seen = places[: count * each]
                add_product(a, steps, seen, b, 0, c, width, first_filter, wide, 0)


@compiled
def put_weight(total, gw):
    """gw[g, f, k] = total[g, k, f]."""
    (_, depth, width), (groups, filters, k) = total.shape, gw.shape
    x, y = total.reshape(-1), gw.reshape(-1)
    for g in range(groups):
        _turn(x, g * depth * width, np.arange(filters), width, k, y, g * filters * k, k)
