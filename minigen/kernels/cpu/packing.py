"""Packing: blocks of a product's factors are copied into the order in which a tile reads them.

See Goto and van de Geijn (2008), as in `tiles.py`. Without packing, a tile would read b in rows
far from each other in memory, each in a page of its own, and most loads would miss the cache of
page addresses (TLB). Packed blocks are contiguous, and of a size that the caches hold.
"""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from minigen.kernels.cpu.compiling import U, compiled
from minigen.kernels.cpu.tiles import (
    TILE_ROWS,
    TILE_WIDTHS,
    VECTOR_BYTES,
    element_pointer,
    panel_width,
    pointer_to,
    prefetch,
)

PREFETCH_ROWS = 6  # rows that are fetched ahead: the processor does not foresee short rows
CACHE_LINE = 64  # bytes
# Elements between packed tiles of rows. Without it, tiles would begin at multiples of a power of
# two, and so all in one set of the cache, where they would displace each other.
GAP = 16


class Strided(NamedTuple):
    """A matrix in memory: the pointer to its first element, and strides in elements."""

    pointer: int
    row_stride: int
    column_stride: int


@compiled
def strided(x):
    """(pointer, stride of each axis in elements) of x, in a fifth of the time that Python takes.

    For a matrix, the fields of `Strided`. A plain tuple: to return a NamedTuple to Python, and to
    pass it on to a kernel, takes a microsecond more.
    """
    pointer, size, strides = pointer_to(x, 0), x.itemsize, x.strides
    if x.ndim == 2:
        return pointer, strides[0] // size, strides[1] // size
    return pointer, strides[0] // size, strides[1] // size, strides[2] // size, strides[3] // size


@compiled(inline="always")
def submatrix(x, i, j, size):
    """The Strided matrix x[i:, j:], with elements of `size` bytes."""
    offset = i * x.row_stride + j * x.column_stride
    return Strided(x.pointer + offset * size, x.row_stride, x.column_stride)


@intrinsic
def array_at(typing, pointer, like):
    """The memory from a pointer on as a one-dimensional array with the dtype of `like`.

    Its length is not known and set to 2**40. Kernels that take pointers and strides are compiled
    once for each dtype, not again for each memory layout. Their callers keep the arrays alive.
    """
    flat = types.Array(like.dtype, 1, "C")

    def generate(context, builder, signature, args):
        element = context.get_data_type(like.dtype)
        array = context.make_array(flat)(context, builder)
        size = context.get_abi_sizeof(element)
        data = builder.inttoptr(args[0], element.as_pointer())
        shape, strides = ([ir.IntType(64)(n)] for n in (2**40, size))
        fields = {"data": data, "shape": shape, "strides": strides, "meminfo": None}
        populate_array(array, itemsize=ir.IntType(64)(size), **fields)
        return array._getvalue()

    return flat(pointer, like), generate


@intrinsic
def copy_values(typing, x, x_start, y, y_start, count):
    """y[y_start + i] = x[x_start + i] for i < count; for few values in a third of a loop's time."""
    signature = types.void(x, x_start, y, y_start, count)

    def generate(context, builder, signature, args):
        pointers = (
            element_pointer(context, builder, signature, args, i, args[i + 1]) for i in (2, 0)
        )
        size = context.get_abi_sizeof(context.get_value_type(x.dtype))
        cgutils.raw_memcpy(builder, *pointers, args[4], size, align=size)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _prefetch_for_reading(typing, x, i):
    """Fetch the cache line of x[i], which will be read."""

    def generate(context, builder, signature, args):
        prefetch(builder, element_pointer(context, builder, signature, args, 0, args[1]), False)
        return context.get_dummy_value()

    return types.void(x, i), generate


@intrinsic
def _copy_rows(typing, x, x_start, x_stride, rows, y, y_start, vectors):
    """y[y_start + r * n + j] = x[x_start + r * x_stride + j] for r < rows and j < n.

    n is the number of lanes of `vectors` vectors, one of TILE_WIDTHS. A loop for rows of any length
    would call memcpy for each. With one loop for each width, LLVM knows the length of a row and
    copies it with a few instructions.
    """
    signature = types.void(x, x_start, x_stride, rows, y, y_start, vectors)

    def generate(context, builder, signature, args):
        _, x_start, x_stride, rows, _, y_start, vectors = args
        pointer = lambda i, index: element_pointer(context, builder, signature, args, i, index)
        number = lambda n: ir.IntType(64)(n)
        size = context.get_abi_sizeof(context.get_value_type(x.dtype))

        def copy(count):
            row_length = count * VECTOR_BYTES // size
            with cgutils.for_range(builder, rows) as loop:
                row = builder.add(x_start, builder.mul(loop.index, x_stride))
                distance = builder.mul(number(PREFETCH_ROWS), x_stride)
                later_row = pointer(0, builder.add(row, distance))
                for j in range(0, row_length, CACHE_LINE // size):
                    prefetch(builder, builder.gep(later_row, [number(j)]), False)
                target = builder.add(y_start, builder.mul(loop.index, number(row_length)))
                pointers = pointer(4, target), pointer(0, row)
                cgutils.raw_memcpy(builder, *pointers, number(row_length), size, align=size)

        for count in TILE_WIDTHS:
            with builder.if_then(builder.icmp_signed("==", vectors, number(count))):
                copy(count)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _transpose_block(typing, x, x_start, x_stride, y, y_start, y_stride):
    """y[y_start + j * y_stride + i] = x[x_start + i * x_stride + j], i and j < lanes of a vector.

    The plain way would load and store each number by itself. Here rows are loaded and stored as
    vectors: interleaving the first half of the rows with the second half, log2(lanes) times,
    transposes the block.
    """
    signature = types.void(x, x_start, x_stride, y, y_start, y_stride)

    def generate(context, builder, signature, args):
        _, x_start, x_stride, _, y_start, y_stride = args
        number = context.get_value_type(x.dtype)
        lanes = VECTOR_BYTES // context.get_abi_sizeof(number)
        vector_pointer = ir.VectorType(number, lanes).as_pointer()

        def row(i, array, start, stride):
            index = builder.add(start, builder.mul(ir.IntType(64)(i), stride))
            pointer = element_pointer(context, builder, signature, args, array, index)
            return builder.bitcast(pointer, vector_pointer)

        def interleaved(a, b, begin):
            order = [i // 2 + i % 2 * lanes + begin for i in range(lanes)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), order)
            return builder.shuffle_vector(a, b, mask)

        rows = [builder.load(row(i, 0, x_start, x_stride), align=1) for i in range(lanes)]
        for _ in range(lanes.bit_length() - 1):
            pairs = zip(rows, rows[lanes // 2 :])
            rows = [interleaved(a, b, begin) for a, b in pairs for begin in (0, lanes // 2)]
        for i in range(lanes):
            builder.store(rows[i], row(i, 3, y_start, y_stride), align=1)
        return context.get_dummy_value()

    return signature, generate


@compiled(inline="always")
def transpose(x, x_start, x_stride, rows, columns, y, y_start, y_stride):
    """y[y_start + j * y_stride + i] = x[x_start + i * x_stride + j] for i < rows, j < columns."""
    lanes = VECTOR_BYTES // x.itemsize
    vectorized = columns // lanes * lanes
    for i in range(0, rows // lanes * lanes, lanes):
        for j in range(0, vectorized, lanes):
            from_index, to_index = x_start + i * x_stride + j, y_start + j * y_stride + i
            _transpose_block(x, from_index, x_stride, y, to_index, y_stride)
        for j in range(vectorized, columns):
            for k in range(i, i + lanes):
                y[U(y_start + j * y_stride + k)] = x[U(x_start + k * x_stride + j)]
    for i in range(rows // lanes * lanes, rows):
        for j in range(columns):
            y[U(y_start + j * y_stride + i)] = x[U(x_start + i * x_stride + j)]


@compiled(inline="always")
def pack_panels(b, depth, columns, out, start):
    """Pack the Strided matrix b (depth, columns) into panels, from out[start] on.

    A panel is `panel_width` vectors wide and holds its depth rows one after the other. Columns
    beyond the last, up to a whole vector, are zeros.
    """
    values, zero = array_at(b.pointer, out), out.dtype.type(0)
    lanes, j = VECTOR_BYTES // out.itemsize, 0
    row_stride, column_stride = b.row_stride, b.column_stride
    padded = -(-columns // lanes) * lanes
    while j < padded:
        width = panel_width((padded - j) // lanes) * lanes
        first, inside = j * column_stride, min(width, columns - j)
        packed_rows = 0  # by one of the faster ways
        if column_stride == 1 and inside == width:
            _copy_rows(values, first, row_stride, depth, out, start, width // lanes)
            packed_rows = depth
        elif row_stride == 1 and inside == width:
            packed_rows = depth // lanes * lanes
            for i in range(0, width, lanes):
                for k in range(0, packed_rows, lanes):
                    from_index, to_index = first + i * column_stride + k, start + k * width + i
                    _transpose_block(values, from_index, column_stride, out, to_index, width)
        for k in range(U(packed_rows), U(depth)):
            from_index, to_index = U(first) + k * U(row_stride), U(start) + k * U(width)
            for i in range(U(width)):
                value = values[from_index + i * U(column_stride)] if i < U(inside) else zero
                out[to_index + i] = value
        j += width
        start += depth * width


@compiled(inline="always")
def pack_rows(a, rows, depth, out):
    """Pack the Strided matrix a (rows, depth) into tiles of TILE_ROWS rows.

    A tile holds its columns, TILE_ROWS values each, one after the other; GAP values follow it.
    """
    values, row_stride, column_stride = array_at(a.pointer, out), a.row_stride, a.column_stride
    tile_stride, packed_rows = depth * TILE_ROWS + GAP, 0  # packed by the faster way
    if row_stride == 1:
        packed_rows = rows // TILE_ROWS * TILE_ROWS
        for k in range(depth):
            column, to_index = k * column_stride, k * TILE_ROWS
            for m in range(0, rows, CACHE_LINE // out.itemsize):
                _prefetch_for_reading(values, column + PREFETCH_ROWS * column_stride + m)
            for m in range(0, packed_rows, TILE_ROWS):
                copy_values(values, column + m, out, to_index, TILE_ROWS)
                to_index += tile_stride
    for m in range(packed_rows, rows):
        from_index = U(m * row_stride)
        to_index = U(m // TILE_ROWS * tile_stride + m % TILE_ROWS)
        for k in range(U(depth)):
            out[to_index + k * U(TILE_ROWS)] = values[from_index + k * U(column_stride)]
