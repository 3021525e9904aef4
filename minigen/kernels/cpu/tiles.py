"""Convolution as a product whose left factor is never laid out: tables say where it lies.

    c[m] += sum over r of a[rows[m] + steps[r]] * b[r]

What lies at place r under window m of an image is image[rows[m] + steps[r]]: from the corner of
the window on to the place. So no columns are made. And a tile of c, six rows of up to four
vectors, stays in registers while r runs: each number of a is then used for four vectors, each
vector of b for six rows, and 24 sums are on their way at a time. No loop of Numba's gets that
far by itself, so `_tile` writes LLVM's instructions. It takes 0.7 of the time that BLAS takes
for the same product of columns, which would have to be made as well.
"""

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigen.kernels.cpu.compiling import compiled

ROWS = 6  # of a tile
RUN = 512  # steps in one go: of so many rows, a panel of b stays in the second cache

_features = binding.get_host_cpu_features()
VECTOR = next((n for name, n in (("avx512f", 64), ("avx2", 32)) if _features.get(name)), 16)
WIDEST = 2 if _features.get("sse2") and VECTOR < 64 else 4  # vectors: six times, they fit registers

# Indices are unsigned in loops that matter: of a signed one Numba asks whether it is negative,
# which keeps LLVM from making vectors of it.
U = np.uint64
_index = ir.IntType(64)


def _address(context, builder, signature, args, i, index):
    """Where the element of array argument i with that index lies, in C order."""
    array = context.make_array(signature.args[i])(context, builder, args[i])
    return builder.gep(array.data, [index])


@intrinsic(prefer_literal=True)
def _tile(typing, count, a, rows, m, steps, r, run, b, at, c, to, width):
    """c[to + q * width + l] += sum over i of a[rows[m + q] + steps[r + i]] * b[at + i * n + l].

    q is below ROWS, i below run, and l below n, the lanes of `count` vectors.
    """
    signature = types.void(count, a, rows, m, steps, r, run, b, at, c, to, width)
    count, contract = count.literal_value, ("contract",)

    def generate(context, builder, signature, args):
        address = lambda i, index: _address(context, builder, signature, args, i, index)
        item = lambda first, index: builder.load(builder.gep(first, [index]))
        _, _, _, m, _, r, run, _, at, _, to, width = args
        number = context.get_value_type(a.dtype)
        lanes = VECTOR // context.get_abi_sizeof(number)
        vector, lane_numbers = (ir.VectorType(t, lanes) for t in (number, ir.IntType(32)))
        nothing, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, None)

        def everywhere(value):
            """A vector of nothing but value: its lane 0 in all lanes."""
            one = builder.insert_element(nothing, value, ir.IntType(32)(0))
            return builder.shuffle_vector(one, nothing, ir.Constant(lane_numbers, None))

        def vectors(first, row, width):
            """Pointers to the vectors of a row, side by side."""
            starts = [builder.add(builder.mul(row, width), _index(v * lanes)) for v in range(count)]
            return [builder.bitcast(builder.gep(first, [s]), vector.as_pointer()) for s in starts]

        row, step, b_row, c_row = address(2, m), address(4, r), address(7, at), address(9, to)
        a_rows = [address(1, item(row, _index(q))) for q in range(ROWS)]
        sums = [[cgutils.alloca_once_value(builder, zeros) for _ in range(count)] for _ in a_rows]
        with cgutils.for_range(builder, run) as loop:
            places = vectors(b_row, loop.index, _index(count * lanes))
            right, here = [builder.load(p, align=1) for p in places], item(step, loop.index)
            for a_row, totals in zip(a_rows, sums):
                left = everywhere(item(a_row, here))
                for x, total in zip(right, totals):
                    product = builder.fmul(left, x, flags=contract)
                    builder.store(builder.fadd(product, builder.load(total), flags=contract), total)
        for q, totals in enumerate(sums):
            for p, total in zip(vectors(c_row, _index(q), width), totals):
                new = builder.fadd(builder.load(p, align=1), builder.load(total))
                builder.store(new, p, align=1)
        return context.get_dummy_value()

    return signature, generate


@compiled
def add_product(a, rows, steps, b, at, c, width, left, count):
    """c[m, j] += sum over r of a[rows[m] + steps[r]] * b[r, j] for so many j from left on.

    rows are a whole number of tiles; c is flat, and the rows of c of that width; b begins there
    and lies in panels, each as wide as a tile, the r of one beside each other.
    """
    lanes, end = VECTOR // b.itemsize, left + count
    while left < end:
        vectors = _panel((end - left) // lanes)
        for r in range(0, len(steps), RUN):
            run, here = min(RUN, len(steps) - r), at + r * vectors * lanes
            for m in range(0, len(rows), ROWS):
                to = m * width + left
                if vectors == 4:
                    _tile(4, a, rows, m, steps, r, run, b, here, c, to, width)
                elif vectors == 2:
                    _tile(2, a, rows, m, steps, r, run, b, here, c, to, width)
                else:
                    _tile(1, a, rows, m, steps, r, run, b, here, c, to, width)
        left += vectors * lanes
        at += len(steps) * vectors * lanes


@compiled
def _panel(vectors):
    """How many vectors wide the next panel is where so many are left."""
    return 4 if vectors >= 4 and WIDEST == 4 else 2 if vectors >= 2 else 1


# ---------------------------------------------------------------------------- moving values


@compiled
def _aligned(count, like):
    """Zeros that begin with a line of the cache: a vector in two lines takes twice as long."""
    lanes = VECTOR // like.itemsize
    space = np.zeros(count + lanes, like.dtype)
    first = -(space.ctypes.data // like.itemsize) % lanes
    return space[first : first + count]


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


@intrinsic
def _copy(typing, x, start, y, to, count):
    """_move with steps of 1; for the short rows of images in a third of its time."""
    signature = types.void(x, start, y, to, count)

    def generate(context, builder, signature, args):
        ends = (_address(context, builder, signature, args, i, args[i + 1]) for i in (2, 0))
        size = context.get_abi_sizeof(context.get_value_type(x.dtype))
        cgutils.raw_memcpy(builder, *ends, args[4], size, align=size)
        return context.get_dummy_value()

    return signature, generate


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
                _copy(flat, line + t * across, planes, row, end - begin)
            else:
                planes[row : row + end - begin] = 0


@compiled
def lay_filters(w, taps, apart, filters, phases, width):
    """b for `correlate`, of groups w (G, values), where w[g, taps[k] + f * apart] is filter f's."""
    depth, lanes, flat = len(taps), VECTOR // w.itemsize, w.reshape(-1)
    b = _aligned(len(w) * depth * width, w)
    for g in range(len(w)):
        for _, _, first, last in phases:
            at, left = (g * depth + first) * width, 0
            while left < width:
                wide = _panel((width - left) // lanes) * lanes
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
    for f in range(filters):
        to = ((image + f) * high + top + u * down) * across + left
        if down * right == 1:
            _move(c, start + f, width, flat, to, 1, rows * count)
        else:
            for t in range(rows):
                here = start + t * plan.columns * width + f
                _move(c, here, width, flat, to + t * down * across, right, count)


# ---------------------------------------------------------------------------- the products


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
                    for m in range(tiles):
                        _copy(level, g * width, c, m * width, width)
                    at = (g * depth + first) * width
                    add_product(a, places[:tiles], steps[first:last], b, at, c, width, 0, width)
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
    b, row = _aligned(len(places) * wide, x), np.arange(plan.rows * plan.columns)
    for n in range(first_image, last_image, plan.images):
        count = min(plan.images, last_image - n)
        for u in range(0, windows // plan.columns, plan.rows):
            rows = min(plan.rows, windows // plan.columns - u)
            _lay_images(x, n, count, plan, u, rows, planes)
            each = rows * plan.columns
            for g in range(groups):
                to, left = 0, first_filter
                while left < first_filter + wide:
                    panel = _panel((first_filter + wide - left) // lanes) * lanes
                    for i in range(n, n + count):
                        start = ((i * groups + g) * filters + left) * windows + u * plan.columns
                        some = min(panel, filters - left)
                        _turn(g_flat, start, row[:each], windows, some, b, to, panel)
                        to += each * panel
                    left += panel
                a, c = planes[g * plane :], gw_flat[g * depth * width :]
                add_product(a, steps, places[: count * each], b, 0, c, width, first_filter, wide)


@compiled
def put_weight(total, gw):
    """gw[g, f, k] = total[g, k, f]."""
    (_, depth, width), (groups, filters, k) = total.shape, gw.shape
    x, y = total.reshape(-1), gw.reshape(-1)
    for g in range(groups):
        _turn(x, g * depth * width, np.arange(filters), width, k, y, g * filters * k, k)
