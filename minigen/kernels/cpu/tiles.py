"""The heart of products and convolutions: a tile of sums that stays in registers.

    c[m] = start[m] + sum over r of a[rows[m] + steps[r]] * b[r]

A tile of c is six rows of up to four vectors. While r runs, each number of a is used for four
vectors, each vector of b for six rows, and 24 sums are on their way at a time. No loop of
Numba's gets that far by itself, so `put_tile` writes LLVM's instructions.

Tables say where the numbers of a lie. So a need not be laid out as a matrix: what lies at place
r under window m of an image is image[rows[m] + steps[r]], from the corner of the window on to
the place, and a convolution makes no columns. b lies in panels, each as wide as a tile: see
`packing.py`. (Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.)
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
# Of a tile, in vectors. The six rows of the widest, and their factors, fit the registers.
WIDTHS = (2, 1) if _features.get("sse2") and VECTOR < 64 else (4, 2, 1)
WIDEST = WIDTHS[0]

# Indices are unsigned in loops that matter: of a signed one Numba asks whether it is negative,
# which keeps LLVM from making vectors of it.
U = np.uint64
_index = ir.IntType(64)


def address_of(context, builder, signature, args, i, index):
    """Where the element of array argument i with that index lies, in C order."""
    array = context.make_array(signature.args[i])(context, builder, args[i])
    return builder.gep(array.data, [index])


def prefetch(builder, pointer, to_write):
    """Ask for the line of memory at a pointer."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(ask, [builder.bitcast(pointer, byte), number(int(to_write)), number(3), number(1)])


@intrinsic
def put_tile(
    typing, vectors, a, rows, m, steps, r, run, ahead, b, at, start, apart, end, width, high, spare
):
    """end[q * width + l] = start[q * apart + l] + the sum over i of
    a[rows[m + q] + steps[r + i]] * b[at + i * n + l].

    q is below ROWS, i below run, and l below n, the lanes of so many vectors, one of WIDTHS. start
    and end are addresses: as arrays, each choice of them would be a tile of its own to compile.
    Rows from `high` on are written to the address `spare`. The rows of the next tile, if they are
    `ahead` of these and side by side, are fetched while this one is made; 0 if not.
    """
    kinds = a, rows, m, steps, r, run, ahead, b, at, start, apart, end, width, high, spare
    signature, contract = types.void(vectors, *kinds), ("contract",)

    def generate(context, builder, signature, args):
        address = lambda i, index: address_of(context, builder, signature, args, i, index)
        item = lambda first, index: builder.load(builder.gep(first, [index]))
        vectors, _, _, m, _, r, run, ahead, _, at, start, apart, end, width, high, spare = args
        number = context.get_value_type(a.dtype)
        lanes = VECTOR // context.get_abi_sizeof(number)
        vector, lane_numbers = (ir.VectorType(t, lanes) for t in (number, ir.IntType(32)))
        nothing, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, None)

        def everywhere(value):
            """A vector of nothing but value: its lane 0 in all lanes."""
            one = builder.insert_element(nothing, value, ir.IntType(32)(0))
            return builder.shuffle_vector(one, nothing, ir.Constant(lane_numbers, None))

        def side_by_side(row, count):
            """Pointers to so many vectors."""
            starts = (builder.gep(row, [_index(v * lanes)]) for v in range(count))
            return [builder.bitcast(start, vector.as_pointer()) for start in starts]

        def row_of_tile(first, q, width, count):
            """The vectors of row q; those of the spare row for one that the tile has too many."""
            row = builder.gep(first, [builder.mul(_index(q), width)])
            there = builder.icmp_signed("<", _index(q), high)
            return side_by_side(builder.select(there, row, surplus), count)

        row, step, b_row = address(2, m), address(4, r), address(8, at)
        pointers = (builder.inttoptr(x, number.as_pointer()) for x in (start, end, spare))
        first, last, surplus = pointers
        a_rows = [address(1, item(row, _index(q))) for q in range(ROWS)]
        next_tile = builder.gep(a_rows[0], [ahead])

        def tile(count):
            """A tile of so many vectors."""
            new_sums = lambda: [cgutils.alloca_once_value(builder, zeros) for _ in range(count)]
            sums = [new_sums() for _ in a_rows]
            for q in range(ROWS):  # what will be written is fetched while the sums are made
                for p in row_of_tile(last, q, width, count):
                    prefetch(builder, p, True)
            with cgutils.for_range(builder, run) as loop:
                behind = builder.mul(loop.index, _index(ROWS))
                prefetch(builder, builder.gep(next_tile, [behind]), False)
                place = builder.gep(b_row, [builder.mul(loop.index, _index(count * lanes))])
                right = [builder.load(p, align=1) for p in side_by_side(place, count)]
                here = item(step, loop.index)
                for a_row, totals in zip(a_rows, sums):
                    left = everywhere(item(a_row, here))
                    for x, total in zip(right, totals):
                        product = builder.fmul(left, x, flags=contract)
                        value = builder.fadd(product, builder.load(total), flags=contract)
                        builder.store(value, total)
            for q, totals in enumerate(sums):
                starts = row_of_tile(first, q, apart, count)
                for old, new, total in zip(starts, row_of_tile(last, q, width, count), totals):
                    value = builder.fadd(builder.load(old, align=1), builder.load(total))
                    builder.store(value, new, align=1)

        for count in WIDTHS:
            with builder.if_then(builder.icmp_signed("==", vectors, _index(count))):
                tile(count)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def place_of(typing, x, i):
    """The address of the element of x with that index, in C order; x.ctypes compiles for 0.2 s."""

    def generate(context, builder, signature, args):
        return builder.ptrtoint(address_of(context, builder, signature, args, 0, args[1]), _index)

    return types.int64(x, types.int64), generate


@compiled
def add_product(a, rows, steps, b, at, c, width, left, count, level):
    """c[m, j] += sum over r of a[rows[m] + steps[r]] * b[r, j] for so many j from left on.

    rows are a whole number of tiles; c is flat, and the rows of c of that width; b begins there
    and lies in panels, each as wide as a tile, the r of one beside each other. With level, the
    address of a row, the sums begin there and not at what is in c; it is 0 if not.
    """
    lanes, end = VECTOR // b.itemsize, left + count
    while left < end:
        vectors = panel_of((end - left) // lanes)
        for r in range(0, max(len(steps), 1), RUN):
            run, here = min(RUN, len(steps) - r), at + r * vectors * lanes
            for m in range(0, len(rows), ROWS):
                to = place_of(c, m * width + left)
                start, apart = to, width
                if level and r == 0:
                    start, apart = level + left * b.itemsize, 0
                put_tile(
                    *(vectors, a, rows, m, steps, r, run, 0, b, here),
                    *(start, apart, to, width, ROWS, to),
                )
        left += vectors * lanes
        at += len(steps) * vectors * lanes


@compiled
def panel_of(vectors):
    """How many vectors wide the next panel is where so many are left."""
    return 4 if vectors >= 4 and WIDEST == 4 else 2 if vectors >= 2 else 1


@compiled
def aligned(count, like):
    """Zeros that begin with a line of the cache: a vector in two lines takes twice as long."""
    lanes = VECTOR // like.itemsize
    space = np.zeros(count + lanes, like.dtype)
    first = -(place_of(space, 0) // like.itemsize) % lanes
    return space[first : first + count]
