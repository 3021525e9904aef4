// Scaled dot-product attention: a block owns one head and a tile of its queries (or of its keys)
// and goes over the keys (or queries) tile by tile. All products are of tiles of SIDE x SIDE
// results, from operands staged in shared memory; a thread sums 4 x 4 of them in registers.

constexpr int SIDE = 64;         // of a tile of results
constexpr int ACROSS = 16;       // threads along either side of it
constexpr int EACH = 4;          // results of a thread along either side
constexpr int DEPTH = 16;        // terms of the sums in shared memory at once
constexpr int PITCH = SIDE + 4;  // spreads columns over the banks, aligned for wide loads
constexpr int THREADS = ACROSS * ACROSS;

// Two blocks have room on a multiprocessor: 128 registers a thread at most.
#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, 2)

// A matrix somewhere in memory; only_finite: NaN and infinities count as 0.
struct Matrix { const real* x; count rows, down, along; bool only_finite; };

// A boolean matrix, true everywhere where x is null.
struct Mask { const bool* x; count down, along; };

__device__ __forceinline__ bool at(Mask mask, count t, count s) {
  return !mask.x || mask.x[t * mask.down + s * mask.along];
}

__device__ __forceinline__ real dropped(real x, Mask kept, count t, count s, real share) {
  return kept.x ? x * at(kept, t, s) * share : x;
}

// Where head n begins: heads of one batch lie in equal steps, and so do batches.
__device__ __forceinline__ count head(count n, count heads, count of_batch, count of_head) {
  return n / heads * of_batch + n % heads * of_head;
}

__device__ __forceinline__ Matrix from_row(Matrix m, count first) {
  return {m.x + first * m.down, m.rows - first, m.down, m.along, m.only_finite};
}

// The rows and columns of a thread in a tile: neighbours have neighbouring columns, for the sake
// of memory, and half a warp the same rows.
__device__ __forceinline__ int row(int i) { return threadIdx.x / ACROSS * EACH + i; }
__device__ __forceinline__ int column(int j) { return threadIdx.x % ACROSS + ACROSS * j; }

// Over the threads that have the same rows.
__device__ __forceinline__ real row_sum(real x) {
  for (int lane = ACROSS / 2; lane; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}

__device__ __forceinline__ real row_max(real x) {
  for (int lane = ACROSS / 2; lane; lane /= 2)
    x = larger(x, __shfl_xor_sync(0xffffffffu, x, lane));
  return x;
}

// The first SIDE rows of m from column k on, turned; 0 beyond its sides. Neighbouring threads
// read along the side whose numbers are neighbours.
__device__ __forceinline__ void stage(real (*tile)[PITCH], Matrix m, count k, count columns) {
#pragma unroll
  for (int part = 0; part < SIDE * DEPTH; part += THREADS) {
    int i = part + threadIdx.x, r = i % SIDE, c = i / SIDE;
    if (m.along == 1) r = i / DEPTH, c = i % DEPTH;
    real x = r < m.rows && k + c < columns ? m.x[r * m.down + (k + c) * m.along] : 0;
    tile[c][r] = m.only_finite && !isfinite(x) ? 0 : x;
  }
}

template <int COLUMNS>
__device__ __forceinline__ void add_products(real (*a)[PITCH], real (*b)[PITCH],
                                             real (*sums)[EACH]) {
#pragma unroll 4
  for (int k = 0; k < DEPTH; k++)
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < COLUMNS; j++) sums[i][j] += a[k][row(i)] * b[k][column(j)];
}

// The first tile of a @ b^T, whose sums have so many terms: this thread's part of it.
__device__ __forceinline__ void multiply(Matrix a, Matrix b, count terms, real (*sums)[EACH]) {
  alignas(16) __shared__ real a_tile[DEPTH][PITCH], b_tile[DEPTH][PITCH];
#pragma unroll
  for (int i = 0; i < EACH; i++)
#pragma unroll
    for (int j = 0; j < EACH; j++) sums[i][j] = 0;
  for (count k = 0; k < terms; k += DEPTH) {
    stage(a_tile, a, k, terms);
    stage(b_tile, b, k, terms);
    __syncthreads();
    if (b.rows > SIDE / 2) {
      add_products<EACH>(a_tile, b_tile, sums);
    } else {  // heads are often 32 wide
      add_products<EACH / 2>(a_tile, b_tile, sums);
    }
    __syncthreads();
  }
}

// out = a @ b^T: the first tile of its rows, all its columns.
__device__ __forceinline__ void product(Matrix a, Matrix b, count terms, real* out, count down) {
  real sums[EACH][EACH];
  for (count first = 0; first < b.rows; first += SIDE) {
    multiply(a, from_row(b, first), terms, sums);
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++)
        if (row(i) < a.rows && first + column(j) < b.rows)
          out[row(i) * down + first + column(j)] = sums[i][j];
  }
}

// exp(x - top); 0 for -inf, even under a top of -inf: that of no number yet.
__device__ __forceinline__ real exp_below(real x, real top) {
  return x == -INFINITY ? 0 : exp(x - top);
}

// p = softmax(scale * q @ k^T) where mask is true, else 0, and y = dropped(p) @ v, for a tile of
// queries. weights holds dropped(p): without dropout it is p. Until a row's maximum and sum are
// known its scores wait in p, where every thread reads again what it wrote itself.
KERNEL attend(const real* q, count q_batch, count q_head, count q_row,
              const real* k, count k_batch, count k_head, count k_row,
              const real* v, count v_batch, count v_head, count v_row,
              const bool* mask, count mask_batch, count mask_head, count mask_row,
              count mask_column,
              const bool* kept, count kept_batch, count kept_head, count kept_row,
              count kept_column,
              real* y, count y_batch, count y_head, count y_row, real* p, real* weights,
              count heads, count T, count S, count D, count E, count is_causal, double scale,
              double share) {
  count tiles = (T + SIDE - 1) / SIDE, n = blockIdx.x / tiles, first = blockIdx.x % tiles * SIDE;
  count seen = is_causal ? min(first + SIDE, S) : S;
  Matrix queries = {q + head(n, heads, q_batch, q_head), T, q_row, 1, false};
  Matrix keys = {k + head(n, heads, k_batch, k_head), S, k_row, 1, false};
  Matrix values = {v + head(n, heads, v_batch, v_head), E, 1, v_row, false};  // transposed
  Mask allowed = {mask + head(n, heads, mask_batch, mask_head), mask_row, mask_column};
  Mask staying = {kept + head(n, heads, kept_batch, kept_head), kept_row, kept_column};
  p += n * T * S;
  weights += n * T * S;

  real scores[EACH][EACH], top[EACH], sum[EACH];
  for (int i = 0; i < EACH; i++) top[i] = -INFINITY, sum[i] = 0;
  for (count start = 0; start < seen; start += SIDE) {
    multiply(from_row(queries, first), from_row(keys, start), D, scores);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
      count t = first + row(i);
      real before = top[i];
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        count s = start + column(j);
        bool inside = t < T && s < S;
        bool heard = inside && !(is_causal && s > t) && at(allowed, t, s);
        real score = scores[i][j] = heard ? (real)scale * scores[i][j] : -INFINITY;
        if (inside) p[t * S + s] = score;
        top[i] = larger(top[i], score);
      }
      sum[i] *= exp_below(before, top[i]);
#pragma unroll
      for (int j = 0; j < EACH; j++) sum[i] += exp_below(scores[i][j], top[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    real before = top[i];
    top[i] = row_max(before);
    sum[i] = row_sum(sum[i] * exp_below(before, top[i]));
  }
  for (count start = 0; start < S; start += SIDE)
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        count t = first + row(i), s = start + column(j), place = t * S + s;
        if (t >= T || s >= S) continue;
        bool heard = !(is_causal && s > t) && at(allowed, t, s);
        real share_of_row = heard ? exp_below(p[place], top[i]) / sum[i] : 0;
        p[place] = share_of_row;
        if (kept) weights[place] = dropped(share_of_row, staying, t, s, share);
      }
  __syncthreads();
  product(from_row({weights, T, S, 1, false}, first), values, seen,
          y + head(n, heads, y_batch, y_head) + first * y_row, y_row);
}

// For a tile of queries gs, the cotangent of scale * q @ k^T, then gq = gs @ k; and the weights
// again, for keys_vjp. A row of g that is 0 silences its row of p, whatever stands there.
KERNEL queries_vjp(const real* k, count k_batch, count k_head, count k_row,
                   const real* v, count v_batch, count v_head, count v_row,
                   const real* g, count g_batch, count g_head, count g_row,
                   const bool* kept, count kept_batch, count kept_head, count kept_row,
                   count kept_column,
                   real* gq, count gq_batch, count gq_head, count gq_row,
                   const real* p, real* gs, real* weights,
                   count heads, count T, count S, count D, count E, count is_causal, double scale,
                   double share) {
  count tiles = (T + SIDE - 1) / SIDE, n = blockIdx.x / tiles, first = blockIdx.x % tiles * SIDE;
  count seen = is_causal ? min(first + SIDE, S) : S;
  Matrix keys = {k + head(n, heads, k_batch, k_head), D, 1, k_row, true};  // transposed
  Matrix values = {v + head(n, heads, v_batch, v_head), S, v_row, 1, false};
  Matrix cotangents = {g + head(n, heads, g_batch, g_head), T, g_row, 1, false};
  Mask staying = {kept + head(n, heads, kept_batch, kept_head), kept_row, kept_column};
  p += n * T * S;
  gs += n * T * S;
  weights += n * T * S;
  cotangents = from_row(cotangents, first);

  real gp[EACH][EACH], level[EACH], loud[EACH];
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    level[i] = loud[i] = 0;
    for (count e = column(0); e < E; e += ACROSS)
      if (row(i) < cotangents.rows && cotangents.x[row(i) * g_row + e] != 0) loud[i] = 1;
    loud[i] = row_max(loud[i]);
  }
  for (count start = 0; start < seen; start += SIDE) {
    multiply(cotangents, from_row(values, start), E, gp);
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        count t = first + row(i), s = start + column(j), place = t * S + s;
        if (t >= T || s >= S) continue;
        real x = loud[i] ? p[place] : 0;
        real gx = x == 0 ? 0 : dropped(gp[i][j], staying, t, s, share);
        gs[place] = gx;
        level[i] += gx * x;
      }
  }
#pragma unroll
  for (int i = 0; i < EACH; i++) level[i] = row_sum(level[i]);
  for (count start = 0; start < seen; start += SIDE)
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        count t = first + row(i), s = start + column(j), place = t * S + s;
        if (t >= T || s >= S) continue;
        real x = loud[i] ? p[place] : 0;
        gs[place] = x == 0 ? 0 : (real)scale * x * (gs[place] - level[i]);
        weights[place] = dropped(x, staying, t, s, share);
      }
  __syncthreads();
  product(from_row({gs, T, S, 1, false}, first), keys, seen,
          gq + head(n, heads, gq_batch, gq_head) + first * gq_row, gq_row);
}

// gk = gs^T @ q and gv = weights^T @ g for a tile of keys.
KERNEL keys_vjp(const real* q, count q_batch, count q_head, count q_row,
                const real* g, count g_batch, count g_head, count g_row,
                real* gk, count gk_batch, count gk_head, count gk_row,
                real* gv, count gv_batch, count gv_head, count gv_row,
                const real* gs, const real* weights,
                count heads, count T, count S, count D, count E, count is_causal) {
  count tiles = (S + SIDE - 1) / SIDE, n = blockIdx.x / tiles, first = blockIdx.x % tiles * SIDE;
  count start = is_causal ? min(first, T) : 0, terms = T - start;  // queries that see the tile
  q += head(n, heads, q_batch, q_head) + start * q_row;
  g += head(n, heads, g_batch, g_head) + start * g_row;
  gk += head(n, heads, gk_batch, gk_head) + first * gk_row;
  gv += head(n, heads, gv_batch, gv_head) + first * gv_row;
  count place = (n * T + start) * S + first;
  product({gs + place, S - first, 1, S, false}, {q, D, 1, q_row, true}, terms, gk, gk_row);
  product({weights + place, S - first, 1, S, false}, {g, E, 1, g_row, false}, terms, gv, gv_row);
}
