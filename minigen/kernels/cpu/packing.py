"""How the operands of a product are laid out for `tiles.py`, piece by piece, into caches."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.tiles import ROWS, VECTOR, WIDTHS, U, address_of, panel_of, prefetch

AHEAD = 6  # rows that are fetched before they are laid: the system does not foresee short ones
LINE = 64  # bytes that memory is read in
GAP = 16  # values between tiles of rows: at a power of two, all would be in one set of the cache


@intrinsic
def memory_at(typing, address, like):
    """The memory from an address on as one axis without an end, with the dtype of array like.

    Kernels that are given addresses and distances are compiled once for each dtype, not again for
    each memory layout. Who calls them keeps the arrays alive.
    """
    flat = types.Array(like.dtype, 1, "C")

    def generate(context, builder, signature, args):
        kind, whole = context.get_data_type(like.dtype), context.make_array(flat)(context, builder)
        size = context.get_abi_sizeof(kind)
        data = builder.inttoptr(args[0], kind.as_pointer())
        shape, strides = ([ir.IntType(64)(n)] for n in (2**40, size))
        fields = {"data": data, "shape": shape, "strides": strides, "meminfo": None}
        populate_array(whole, itemsize=ir.IntType(64)(size), **fields)
        return whole._getvalue()

    return flat(address, like), generate


@intrinsic
def copy_values(typing, x, start, y, to, count):
    """y[to + i] = x[start + i] for i < count; for a few values in a third of a loop's time."""
    signature = types.void(x, start, y, to, count)

    def generate(context, builder, signature, args):
        ends = (address_of(context, builder, signature, args, i, args[i + 1]) for i in (2, 0))
        size = context.get_abi_sizeof(context.get_value_type(x.dtype))
        cgutils.raw_memcpy(builder, *ends, args[4], size, align=size)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _fetch(typing, x, start):
    """Ask for the line of memory at x[start], to be read."""

    def generate(context, builder, signature, args):
        prefetch(builder, address_of(context, builder, signature, args, 0, args[1]), False)
        return context.get_dummy_value()

    return types.void(x, start), generate


@intrinsic
def _copy_rows(typing, x, start, apart, rows, y, to, vectors):
    """y[to + r * n + j] = x[start + r * apart + j] for r < rows and j < n.

    n is the lanes of vectors, one of WIDTHS: each is a loop over rows of a known length.
    """
    signature = types.void(x, start, apart, rows, y, to, vectors)

    def generate(context, builder, signature, args):
        _, start, apart, rows, _, to, vectors = args
        address = lambda i, index: address_of(context, builder, signature, args, i, index)
        number = lambda n: ir.IntType(64)(n)
        size = context.get_abi_sizeof(context.get_value_type(x.dtype))

        def copy(count):
            bytes_of_row = count * VECTOR
            with cgutils.for_range(builder, rows) as loop:
                row = builder.add(start, builder.mul(loop.index, apart))
                ahead = address(0, builder.add(row, builder.mul(number(AHEAD), apart)))
                for j in range(0, bytes_of_row // size, LINE // size):
                    prefetch(builder, builder.gep(ahead, [number(j)]), False)
                place = builder.add(to, builder.mul(loop.index, number(bytes_of_row // size)))
                ends = address(4, place), address(0, row)
                cgutils.raw_memcpy(builder, *ends, number(bytes_of_row // size), size, align=size)

        for count in WIDTHS:
            with builder.if_then(builder.icmp_signed("==", vectors, number(count))):
                copy(count)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _turn_block(typing, x, start, apart, y, to, width):
    """y[to + j * width + i] = x[start + i * apart + j], i and j below the lanes of a vector.

    Zipping the first half of the rows with the second half turns a block when it is done as
    often as the number of rows can be halved.
    """
    signature = types.void(x, start, apart, y, to, width)

    def generate(context, builder, signature, args):
        _, start, apart, _, to, width = args
        number = context.get_value_type(x.dtype)
        lanes = VECTOR // context.get_abi_sizeof(number)
        pointer = ir.VectorType(number, lanes).as_pointer()

        def row(i, first, index, apart):
            place = builder.add(index, builder.mul(ir.IntType(64)(i), apart))
            place = address_of(context, builder, signature, args, first, place)
            return builder.bitcast(place, pointer)

        def zipped(a, b, begin):
            order = [i // 2 + i % 2 * lanes + begin for i in range(lanes)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), order)
            return builder.shuffle_vector(a, b, mask)

        rows = [builder.load(row(i, 0, start, apart), align=1) for i in range(lanes)]
        for _ in range(lanes.bit_length() - 1):
            pairs = zip(rows, rows[lanes // 2 :])
            rows = [zipped(a, b, begin) for a, b in pairs for begin in (0, lanes // 2)]
        for i in range(lanes):
            builder.store(rows[i], row(i, 3, to, width), align=1)
        return context.get_dummy_value()

    return signature, generate


@compiled(inline="always")
def transpose(x, start, apart, rows, columns, y, to, width):
    """y[to + j * width + i] = x[start + i * apart + j] for i < rows, j < columns, by blocks."""
    lanes = VECTOR // x.itemsize
    whole = columns // lanes * lanes
    for i in range(0, rows // lanes * lanes, lanes):
        for j in range(0, whole, lanes):
            _turn_block(x, start + i * apart + j, apart, y, to + j * width + i, width)
        for j in range(whole, columns):
            for k in range(i, i + lanes):
                y[U(to + j * width + k)] = x[U(start + k * apart + j)]
    for i in range(rows // lanes * lanes, rows):
        for j in range(columns):
            y[U(to + j * width + i)] = x[U(start + i * apart + j)]


@compiled(inline="always")
def pack_panels(b, first, down, along, run, count, out, at):
    """out[at:] = panels of b[first + r * down + j * along], r < run, j < count; zeros beyond."""
    lanes, left, zero = VECTOR // b.itemsize, 0, b.dtype.type(0)
    whole = -(-count // lanes) * lanes
    while left < whole:
        wide = panel_of((whole - left) // lanes) * lanes
        here, some = first + left * along, min(wide, count - left)
        done = 0  # rows that were laid in a faster way
        if along == 1 and some == wide:
            _copy_rows(b, here, down, run, out, at, wide // lanes)
            done = run
        elif down == 1 and some == wide:
            done = run // lanes * lanes
            for j in range(0, wide, lanes):
                for r in range(0, done, lanes):
                    _turn_block(b, here + j * along + r, along, out, at + r * wide + j, wide)
        for r in range(U(done), U(run)):
            source, to = U(here) + r * U(down), U(at) + r * U(wide)
            for j in range(U(wide)):
                out[to + j] = b[source + j * U(along)] if j < U(some) else zero
        left += wide
        at += run * wide


@compiled(inline="always")
def pack_rows(a, first, down, along, count, run, out):
    """out = a[first + m * down + r * along] in tiles of ROWS: tile after tile, in it r after r."""
    apart, done = run * ROWS + GAP, 0  # rows that were laid in a faster way
    if down == 1:
        done = count // ROWS * ROWS
        for r in range(run):
            source, to = first + r * along, r * ROWS
            for m in range(0, count, LINE // a.itemsize):
                _fetch(a, source + AHEAD * along + m)
            for m in range(0, done, ROWS):
                copy_values(a, source + m, out, to, ROWS)
                to += apart
    for m in range(done, count):
        source, to = U(first + m * down), U(m // ROWS * apart + m % ROWS)
        for r in range(U(run)):
            out[to + r * U(ROWS)] = a[source + r * U(along)]
