// Matrix products in tiles of TILE x TILE results, for the kernels of attention. The operands are
// staged in shared memory, TILE_K terms of the sums at a time, and each of the THREADS threads of a
// block sums EACH x EACH results in registers.

constexpr int TILE = 64;           // rows and columns of a tile of results
constexpr int GRID = 16;           // threads in a row, and in a column, of a tile
constexpr int EACH = TILE / GRID;  // results of a thread in a row, and in a column, of a tile
constexpr int TILE_K = 16;         // terms of the sums in shared memory at a time
constexpr int PITCH = TILE + 4;    // distance of rows in shared memory: spreads a column over the
                                   // banks, and keeps rows aligned for loads of 16 bytes
constexpr int THREADS = GRID * GRID;

// Two blocks fit on a multiprocessor if a thread uses at most 65536 / (2 * 256) = 128 registers.
#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, 2)

// A matrix in memory. In one that is finite_only, NaN and infinities are read as 0.
struct Matrix { const real* data; index_t rows, row_stride, column_stride; bool finite_only; };

// m without its first rows.
__device__ __forceinline__ Matrix from_row(Matrix m, index_t first) {
  return {m.data + first * m.row_stride, m.rows - first, m.row_stride, m.column_stride,
          m.finite_only};
}

// The row in a tile of result i of this thread: half a warp has the same rows.
__device__ __forceinline__ int row(int i) { return threadIdx.x / GRID * EACH + i; }

// The column in a tile of result j of this thread: adjacent threads have adjacent columns, so that
// a warp reads and writes adjacent addresses.
__device__ __forceinline__ int column(int j) { return threadIdx.x % GRID + GRID * j; }

// The sum of x over the threads that have the same rows, for each of them.
__device__ __forceinline__ real row_sum(real x) {
  for (int offset = GRID / 2; offset; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

// The maximum of x over the threads that have the same rows, for each of them.
__device__ __forceinline__ real row_max(real x) {
  for (int offset = GRID / 2; offset; offset /= 2)
    x = maximum(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

// tile (TILE_K, PITCH) = the transpose of rows 0 .. TILE - 1, columns k .. k + TILE_K - 1 of m, and
// 0 outside of m. Adjacent threads read along the contiguous axis of m.
__device__ __forceinline__ void stage(real (*tile)[PITCH], Matrix m, index_t k,
                                      index_t columns) {
#pragma unroll
  for (int part = 0; part < TILE * TILE_K; part += THREADS) {
    int i = part + threadIdx.x, r = i % TILE, c = i / TILE;
    if (m.column_stride == 1) r = i / TILE_K, c = i % TILE_K;
    bool inside = r < m.rows && k + c < columns;
    real x = inside ? m.data[r * m.row_stride + (k + c) * m.column_stride] : 0;
    tile[c][r] = m.finite_only && !isfinite(x) ? 0 : x;
  }
}

// sums += the products of two staged tiles; of the columns of this thread, the first COLUMNS.
template <int COLUMNS>
__device__ __forceinline__ void add_products(real (*a)[PITCH], real (*b)[PITCH],
                                             real (*sums)[EACH]) {
#pragma unroll 4
  for (int k = 0; k < TILE_K; k++)
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < COLUMNS; j++) sums[i][j] += a[k][row(i)] * b[k][column(j)];
}

// sums = the results of this thread in the first tile of a @ b^T, for a and b of `columns` columns.
__device__ __forceinline__ void multiply(Matrix a, Matrix b, index_t columns,
                                         real (*sums)[EACH]) {
  alignas(16) __shared__ real a_tile[TILE_K][PITCH], b_tile[TILE_K][PITCH];
#pragma unroll
  for (int i = 0; i < EACH; i++)
#pragma unroll
    for (int j = 0; j < EACH; j++) sums[i][j] = 0;
  for (index_t k = 0; k < columns; k += TILE_K) {
    stage(a_tile, a, k, columns);
    stage(b_tile, b, k, columns);
    __syncthreads();
    if (b.rows > TILE / 2) {
      add_products<EACH>(a_tile, b_tile, sums);
    } else {  // half of the tile is enough: heads are often 32 wide
      add_products<EACH / 2>(a_tile, b_tile, sums);
    }
    __syncthreads();
  }
}

// out = a @ b^T for the first TILE rows of a and all rows of b; out has contiguous rows.
__device__ __forceinline__ void product(Matrix a, Matrix b, index_t columns, real* out,
                                        index_t out_stride) {
  real sums[EACH][EACH];
  for (index_t first = 0; first < b.rows; first += TILE) {
    multiply(a, from_row(b, first), columns, sums);
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++)
        if (row(i) < a.rows && first + column(j) < b.rows)
          out[row(i) * out_stride + first + column(j)] = sums[i][j];
  }
}
