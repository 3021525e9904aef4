"""The micro-kernel of products and convolutions: a tile of sums that stays in registers.

It is the inner kernel of Goto and van de Geijn, Anatomy of High-Performance Matrix
Multiplication, ACM TOMS 34 (2008). `reference_tile` is the plain triple loop that it computes:

    c[i, j] = start[i, j] + sum over k of a[row_offsets[i] + k_offsets[k]] * b[k, j]

The plain loop loads two numbers and a sum for one multiplication. A tile is TILE_ROWS rows of up
to four vectors, so each number of a that is loaded is used for four vectors, each vector of b for
six rows, and 24 sums are independent of each other. Numba's compiler does not find such a tile
in the plain loop, so `compute_tile` emits LLVM's instructions itself.

a is read through two tables of offsets, so it need not be a matrix in memory: element k of the
window m of an image is image[row_offsets[m] + k_offsets[k]], and a convolution copies no columns
(no im2col). b is packed into panels, each as wide as a tile: see `packing.py`.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigen.kernels.cpu.compiling import compiled

TILE_ROWS = 6  # m_r of the paper: with four vectors, 24 of the 32 registers of AVX-512 are sums
K_BLOCK = 512  # k_c of the paper: a panel of b with K_BLOCK rows stays in the second-level cache

_features = binding.get_host_cpu_features()
VECTOR_BYTES = next((n for name, n in (("avx512f", 64), ("avx2", 32)) if _features.get(name)), 16)
# Widths of a tile in vectors (n_r of the paper). The sums of the widest tile, its vectors of b and
# a value of a fit the registers: 32 of AVX-512 and of ARM, 16 of AVX2 and SSE2.
TILE_WIDTHS = (2, 1) if _features.get("sse2") and VECTOR_BYTES < 64 else (4, 2, 1)
WIDEST = TILE_WIDTHS[0]

_index = ir.IntType(64)


class TileOfA(NamedTuple):
    """Rows of a for one tile, as pointers: element (i, k) is values[row_offsets[i] + k_offsets[k]].

    next_tile: the offset, in elements, of the next tile from this one. TILE_ROWS * depth values
    are prefetched from there. It is 0, for no such prefetch, if the next tile is not contiguous.
    """

    values: int
    row_offsets: int  # to 64-bit integers, TILE_ROWS of them
    k_offsets: int  # to 64-bit integers
    next_tile: int


class TileOfC(NamedTuple):
    """Pointers and row strides, in elements, of a tile's initial sums and of its results.

    Row `rows` and those after it are beyond the edge of c: they are computed, but written to
    scratch_row.
    """

    start: int
    start_stride: int
    end: int
    end_stride: int
    rows: int
    scratch_row: int


class GatheredMatrix(NamedTuple):
    """A matrix whose element (m, k) is values[row_offsets[m] + k_offsets[k]]."""

    values: np.ndarray
    row_offsets: np.ndarray  # int64; a multiple of TILE_ROWS of them
    k_offsets: np.ndarray  # int64


class Panels(NamedTuple):
    """A matrix that `packing.pack_panels` has packed: its panels begin at values[start]."""

    values: np.ndarray
    start: int


class Columns(NamedTuple):
    """Columns first, ..., first + count - 1 of a matrix in C order with rows of row_length."""

    values: np.ndarray
    row_length: int
    first: int
    count: int


def reference_tile(
    start: np.ndarray,
    values: np.ndarray,
    row_offsets: np.ndarray,
    k_offsets: np.ndarray,
    b: np.ndarray,
) -> np.ndarray:
    """What `compute_tile` computes, as a plain triple loop: start (I, J), b (K, J) -> c (I, J)."""
    c = np.empty_like(start)
    for i in range(len(row_offsets)):
        for j in range(b.shape[1]):
            total = start.dtype.type(0)
            for k in range(len(k_offsets)):
                total += values[row_offsets[i] + k_offsets[k]] * b[k, j]
            c[i, j] = start[i, j] + total
    return c


def element_pointer(context, builder, signature, args, i, index):
    """LLVM's pointer to the element with a flat index of array argument i, which is in C order."""
    array = context.make_array(signature.args[i])(context, builder, args[i])
    return builder.gep(array.data, [index])


def prefetch(builder, pointer, to_write):
    """Emit a prefetch of the cache line at a pointer."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    function_type = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    nearest_cache, data = number(3), number(1)
    byte_pointer = builder.bitcast(pointer, byte)
    builder.call(function, [byte_pointer, number(int(to_write)), nearest_cache, data])


@intrinsic
def compute_tile(typing, vectors, depth, a, b, c, like):
    """`reference_tile` for a TileOfA, a panel of b and a TileOfC.

    vectors: the width of the tile, one of TILE_WIDTHS; depth: the number of terms of each sum.
    b: pointer to depth rows of that width. like: an array with the dtype of all numbers.
    a and c are records of pointers. With arrays as arguments, Numba would compile the tile again
    for each combination of array types.
    """
    signature, contract = types.void(vectors, depth, a, b, c, like), ("contract",)

    def generate(context, builder, signature, args):
        vectors, depth, a, b, c, _ = args
        number = context.get_value_type(like.dtype)
        lanes = VECTOR_BYTES // context.get_abi_sizeof(number)
        vector, lane_numbers = (ir.VectorType(t, lanes) for t in (number, ir.IntType(32)))
        undefined, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, None)

        def pointer(record, field, to=number):
            return builder.inttoptr(builder.extract_value(record, field), to.as_pointer())

        def item(first, index):
            return builder.load(builder.gep(first, [index]))

        def broadcast(value):
            """A vector with value in all lanes."""
            one = builder.insert_element(undefined, value, ir.IntType(32)(0))
            return builder.shuffle_vector(one, undefined, ir.Constant(lane_numbers, None))

        def vectors_at(row, count):
            """Pointers to count vectors that follow each other from row on."""
            starts = (builder.gep(row, [_index(v * lanes)]) for v in range(count))
            return [builder.bitcast(start, vector.as_pointer()) for start in starts]

        def row_of_tile(first, i, stride, count):
            """Pointers to the vectors of row i; to the scratch row if i is beyond the edge."""
            row = builder.gep(first, [builder.mul(_index(i), stride)])
            inside = builder.icmp_signed("<", _index(i), rows)
            return vectors_at(builder.select(inside, row, scratch_row), count)

        a_values, row_offsets = pointer(a, 0), pointer(a, 1, _index)
        k_offsets, next_tile = pointer(a, 2, _index), builder.extract_value(a, 3)
        b_first = builder.inttoptr(b, number.as_pointer())
        c_start, start_stride, c_end, end_stride, rows, scratch_row = (
            pointer(c, i) if i in (0, 2, 5) else builder.extract_value(c, i) for i in range(6)
        )
        a_rows = [builder.gep(a_values, [item(row_offsets, _index(i))]) for i in range(TILE_ROWS)]
        next_rows = builder.gep(a_rows[0], [next_tile])

        def tile(count):
            """A tile that is count vectors wide."""
            new_sums = lambda: [cgutils.alloca_once_value(builder, zeros) for _ in range(count)]
            sums = [new_sums() for _ in a_rows]
            # The lines of c are fetched while the sums are computed: they are needed at the end.
            for i in range(TILE_ROWS):
                for p in row_of_tile(c_end, i, end_stride, count):
                    prefetch(builder, p, True)
            with cgutils.for_range(builder, depth) as loop:
                behind = builder.mul(loop.index, _index(TILE_ROWS))
                prefetch(builder, builder.gep(next_rows, [behind]), False)
                b_row = builder.gep(b_first, [builder.mul(loop.index, _index(count * lanes))])
                b_vectors = [builder.load(p, align=1) for p in vectors_at(b_row, count)]
                offset = item(k_offsets, loop.index)
                for a_row, row_sums in zip(a_rows, sums):
                    factor = broadcast(item(a_row, offset))
                    for x, total in zip(b_vectors, row_sums):
                        product = builder.fmul(factor, x, flags=contract)
                        value = builder.fadd(product, builder.load(total), flags=contract)
                        builder.store(value, total)
            for i, row_sums in enumerate(sums):
                starts = row_of_tile(c_start, i, start_stride, count)
                ends = row_of_tile(c_end, i, end_stride, count)
                for old, new, total in zip(starts, ends, row_sums):
                    value = builder.fadd(builder.load(old, align=1), builder.load(total))
                    builder.store(value, new, align=1)

        for count in TILE_WIDTHS:
            with builder.if_then(builder.icmp_signed("==", vectors, _index(count))):
                tile(count)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def pointer_to(typing, x, i):
    """The address of the element of x with flat index i, x in C order, as an integer.

    `x.ctypes` would give it, too, but takes 0.2 s to compile in each kernel.
    """

    def generate(context, builder, signature, args):
        pointer = element_pointer(context, builder, signature, args, 0, args[1])
        return builder.ptrtoint(pointer, _index)

    return types.int64(x, types.int64), generate


@compiled
def add_product(a, b, c, bias):
    """c[m, j] += sum over k of a[m, k] * b[k, j], for each row m and those Columns j of c.

    a: GatheredMatrix; b: Panels; c: Columns, a whole number of vectors. If bias, the pointer to
    a row as long as c's, is not 0, sums begin with bias[j] instead of c[m, j].
    """
    # Pointers before the loops: to take an array out of a record counts a reference each time.
    a_values, row_offsets = pointer_to(a.values, 0), pointer_to(a.row_offsets, 0)
    k_offsets, b_values, c_first = pointer_to(a.k_offsets, 0), b.values, pointer_to(c.values, 0)
    size, rows, depth = b_values.itemsize, len(a.row_offsets), len(a.k_offsets)
    row_length, lanes = c.row_length, VECTOR_BYTES // size
    j, end, panel = c.first, c.first + c.count, pointer_to(b_values, b.start)
    while j < end:
        vectors = panel_width((end - j) // lanes)
        row_bytes = vectors * VECTOR_BYTES
        for k in range(0, max(depth, 1), K_BLOCK):
            terms, b_rows = min(K_BLOCK, depth - k), panel + k * row_bytes
            for m in range(0, rows, TILE_ROWS):
                tile_of_a = TileOfA(a_values, row_offsets + 8 * m, k_offsets + 8 * k, 0)
                sums = c_first + (m * row_length + j) * size
                start, stride = sums, row_length
                if bias and k == 0:
                    start, stride = bias + j * size, 0
                tile_of_c = TileOfC(start, stride, sums, row_length, TILE_ROWS, sums)
                compute_tile(vectors, terms, tile_of_a, b_rows, tile_of_c, b_values)
        j += vectors * lanes
        panel += depth * row_bytes


@compiled
def panel_width(vectors):
    """The width, in vectors, of the next panel where `vectors` of them remain."""
    return 4 if vectors >= 4 and WIDEST == 4 else 2 if vectors >= 2 else 1


@compiled
def aligned_zeros(count, like):
    """count zeros, aligned to vectors: a vector across two cache lines takes twice as long."""
    lanes = VECTOR_BYTES // like.itemsize
    memory = np.zeros(count + lanes, like.dtype)
    first = -(pointer_to(memory, 0) // like.itemsize) % lanes
    return memory[first : first + count]
