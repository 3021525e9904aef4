// Scaled dot-product attention. The maximum and the sum of the softmax of a row of scores are
// updated tile by tile, in one pass over the keys: the online softmax of Milakov and Gimelshein
// 2018, as FlashAttention uses it (Dao et al. 2022, Dao 2023). Unlike FlashAttention, the forward
// kernel also writes the probabilities p, which are a result of the op, and the backward kernels
// read them instead of computing the scores again.
//
// A block owns one head and a tile of TILE queries (or keys), and loops over the keys (or
// queries) tile by tile; see tiles.cuh for the matrix products.

#include "common.cuh"
#include "tiles.cuh"

// Strides, in elements, of an array (batch, head, row, column) with contiguous rows.
struct HeadStrides { index_t batch, head, row; };

// Strides, in elements, of a boolean mask (batch, head, query, key); 0 for a broadcast axis.
struct MaskStrides { index_t batch, head, query, key; };

// q (B, heads, T, D), k (B, heads, S, D), v (B, heads, S, E). Scores are multiplied by `scale`, and
// the probabilities that dropout keeps by `keep_scale`, which is 1 / (1 - dropout_p).
struct Problem {
  index_t heads, T, S, D, E, is_causal;
  double scale, keep_scale;
};

// A boolean matrix (query, key); true everywhere if data is null.
struct Mask { const bool* data; index_t query_stride, key_stride; };

// The head and the first query (or key) of a block.
struct Tile { index_t head, first; };

// The tile of this block, where each head has `length` queries (or keys).
__device__ __forceinline__ Tile tile_of_block(index_t length) {
  index_t tiles = (length + TILE - 1) / TILE;
  return {blockIdx.x / tiles, blockIdx.x % tiles * TILE};
}

// The offset of head number n of all batches.
__device__ __forceinline__ index_t head_offset(index_t n, index_t heads, HeadStrides strides) {
  return n / heads * strides.batch + n % heads * strides.head;
}

// The mask of head number n; `data` may be null.
__device__ __forceinline__ Mask mask_of(const bool* data, index_t n, index_t heads,
                                        MaskStrides strides) {
  data += n / heads * strides.batch + n % heads * strides.head;
  return {data, strides.query, strides.key};
}

// The value of a mask for query t and key s.
__device__ __forceinline__ bool value_at(Mask mask, index_t t, index_t s) {
  return !mask.data || mask.data[t * mask.query_stride + s * mask.key_stride];
}

// `reference.attention.apply_dropout` of one value x: x * keep_scale where kept, else 0.
__device__ __forceinline__ real apply_dropout(real x, Mask keep, index_t t, index_t s,
                                        real keep_scale) {
  return keep.data ? x * value_at(keep, t, s) * keep_scale : x;
}

// exp(x - max). 0 if x is -inf, also if max is -inf because no finite score has been seen yet.
__device__ __forceinline__ real exp_below(real x, real max) {
  return x == -INFINITY ? 0 : exp(x - max);
}

// `reference.dot_attention` for a tile of queries: p = softmax(scale * q @ k^T) over the keys where
// the mask is true, exactly 0 elsewhere, weights = apply_dropout(p), and y = weights @ v. p and
// weights are (B, heads, T, S), and one array if there is no dropout. Both masks may be null.
// The first loop stores the scores in p and finds the maximum and the sum of exp(score - max) of
// each row; the second loop turns the scores into probabilities. A thread reads back only scores
// that it wrote itself, so no barrier is needed between the loops.
KERNEL attend(const real* q, BY_VALUE HeadStrides q_strides,
              const real* k, BY_VALUE HeadStrides k_strides,
              const real* v, BY_VALUE HeadStrides v_strides,
              const bool* mask, BY_VALUE MaskStrides mask_strides,
              const bool* keep_mask, BY_VALUE MaskStrides keep_strides,
              real* y, BY_VALUE HeadStrides y_strides,
              real* p, real* weights, BY_VALUE Problem problem) {
  const index_t T = problem.T, S = problem.S, D = problem.D, E = problem.E;
  const index_t heads = problem.heads, is_causal = problem.is_causal;
  const Tile tile = tile_of_block(T);
  const index_t n = tile.head, first = tile.first;
  index_t visible = is_causal ? min(first + TILE, S) : S;  // keys that a query of the tile can see
  Matrix queries = {q + head_offset(n, heads, q_strides), T, q_strides.row, 1, false};
  Matrix keys = {k + head_offset(n, heads, k_strides), S, k_strides.row, 1, false};
  Matrix values_t = {v + head_offset(n, heads, v_strides), E, 1, v_strides.row, false};  // v^T
  Mask allowed = mask_of(mask, n, heads, mask_strides);
  Mask keep = mask_of(keep_mask, n, heads, keep_strides);
  p += n * T * S;
  weights += n * T * S;

  real scores[EACH][EACH], max[EACH], sum[EACH];
  for (int i = 0; i < EACH; i++) max[i] = -INFINITY, sum[i] = 0;
  for (index_t start = 0; start < visible; start += TILE) {
    multiply(from_row(queries, first), from_row(keys, start), D, scores);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
      index_t t = first + row(i);
      real old_max = max[i];
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        index_t s = start + column(j);
        bool inside = t < T && s < S;
        bool unmasked = inside && !(is_causal && s > t) && value_at(allowed, t, s);
        real score = scores[i][j] =
            unmasked ? (real)problem.scale * scores[i][j] : -INFINITY;
        if (inside) p[t * S + s] = score;
        max[i] = maximum(max[i], score);
      }
      sum[i] *= exp_below(old_max, max[i]);
#pragma unroll
      for (int j = 0; j < EACH; j++) sum[i] += exp_below(scores[i][j], max[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    real own_max = max[i];
    max[i] = row_max(own_max);
    sum[i] = row_sum(sum[i] * exp_below(own_max, max[i]));
  }
  for (index_t start = 0; start < S; start += TILE)
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        index_t t = first + row(i), s = start + column(j), index = t * S + s;
        if (t >= T || s >= S) continue;
        bool unmasked = !(is_causal && s > t) && value_at(allowed, t, s);
        real probability = unmasked ? exp_below(p[index], max[i]) / sum[i] : 0;
        p[index] = probability;
        if (keep_mask) weights[index] = apply_dropout(probability, keep, t, s, problem.keep_scale);
      }
  __syncthreads();
  product(from_row({weights, T, S, 1, false}, first), values_t, visible,
          y + head_offset(n, heads, y_strides) + first * y_strides.row, y_strides.row);
}

// The backward pass, `reference.dot_attention_vjp` (Dao et al. 2022, appendix B.2). With D the
// factors of dropout, the product x * y elementwise, and G the cotangent of Y = (D * P) V:
//   GP = D * (G V^T)
//   GS = scale P * (GP - rowsum(GP * P)), the cotangent of Q K^T
//   GQ = GS K        GK = GS^T Q        GV = (D * P)^T G
// Where P is 0, GP and GS are 0 even if they were computed from NaN; NaN and infinities in Q and K
// are read as 0: so keys that are masked do not change the cotangents of others. A row of G that
// is all 0 takes no part: its row of P is read as 0, as it may be NaN.

// gs = GS, weights = D * P and gq = GQ for a tile of queries; keys_vjp reads gs and weights.
KERNEL queries_vjp(const real* k, BY_VALUE HeadStrides k_strides,
                   const real* v, BY_VALUE HeadStrides v_strides,
                   const real* g, BY_VALUE HeadStrides g_strides,
                   const bool* keep_mask, BY_VALUE MaskStrides keep_strides,
                   real* gq, BY_VALUE HeadStrides gq_strides,
                   const real* p, real* gs, real* weights, BY_VALUE Problem problem) {
  const index_t T = problem.T, S = problem.S, D = problem.D, E = problem.E;
  const index_t heads = problem.heads;
  const Tile tile = tile_of_block(T);
  const index_t n = tile.head, first = tile.first;
  index_t visible = problem.is_causal ? min(first + TILE, S) : S;
  Matrix keys_t = {k + head_offset(n, heads, k_strides), D, 1, k_strides.row, true};  // k^T
  Matrix values = {v + head_offset(n, heads, v_strides), S, v_strides.row, 1, false};
  Matrix cotangents = {g + head_offset(n, heads, g_strides), T, g_strides.row, 1, false};
  Mask keep = mask_of(keep_mask, n, heads, keep_strides);
  p += n * T * S;
  gs += n * T * S;
  weights += n * T * S;
  cotangents = from_row(cotangents, first);

  real gp[EACH][EACH], row_dot[EACH], takes_part[EACH];  // row_dot: rowsum(GP * P)
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    row_dot[i] = takes_part[i] = 0;
    for (index_t e = column(0); e < E; e += GRID)
      if (row(i) < cotangents.rows && cotangents.data[row(i) * g_strides.row + e] != 0)
        takes_part[i] = 1;
    takes_part[i] = row_max(takes_part[i]);
  }
  for (index_t start = 0; start < visible; start += TILE) {
    multiply(cotangents, from_row(values, start), E, gp);
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        index_t t = first + row(i), s = start + column(j), index = t * S + s;
        if (t >= T || s >= S) continue;
        real x = takes_part[i] ? p[index] : 0;
        real gx = x == 0 ? 0 : apply_dropout(gp[i][j], keep, t, s, problem.keep_scale);
        gs[index] = gx;
        row_dot[i] += gx * x;
      }
  }
#pragma unroll
  for (int i = 0; i < EACH; i++) row_dot[i] = row_sum(row_dot[i]);
  for (index_t start = 0; start < visible; start += TILE)
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++) {
        index_t t = first + row(i), s = start + column(j), index = t * S + s;
        if (t >= T || s >= S) continue;
        real x = takes_part[i] ? p[index] : 0;
        gs[index] = x == 0 ? 0 : (real)problem.scale * x * (gs[index] - row_dot[i]);
        weights[index] = apply_dropout(x, keep, t, s, problem.keep_scale);
      }
  __syncthreads();
  product(from_row({gs, T, S, 1, false}, first), keys_t, visible,
          gq + head_offset(n, heads, gq_strides) + first * gq_strides.row, gq_strides.row);
}

// gk = GK and gv = GV for a tile of keys, from gs = GS and weights = D * P.
KERNEL keys_vjp(const real* q, BY_VALUE HeadStrides q_strides,
                const real* g, BY_VALUE HeadStrides g_strides,
                real* gk, BY_VALUE HeadStrides gk_strides,
                real* gv, BY_VALUE HeadStrides gv_strides,
                const real* gs, const real* weights, BY_VALUE Problem problem) {
  const index_t T = problem.T, S = problem.S, D = problem.D, E = problem.E;
  const index_t heads = problem.heads;
  const Tile tile = tile_of_block(S);
  const index_t n = tile.head, first = tile.first;
  // Queries start, ..., T - 1 can see a key of the tile.
  index_t start = problem.is_causal ? min(first, T) : 0, queries = T - start;
  q += head_offset(n, heads, q_strides) + start * q_strides.row;
  g += head_offset(n, heads, g_strides) + start * g_strides.row;
  gk += head_offset(n, heads, gk_strides) + first * gk_strides.row;
  gv += head_offset(n, heads, gv_strides) + first * gv_strides.row;
  index_t index = (n * T + start) * S + first;
  product({gs + index, S - first, 1, S, false}, {q, D, 1, q_strides.row, true}, queries, gk,
          gk_strides.row);
  product({weights + index, S - first, 1, S, false}, {g, E, 1, g_strides.row, false}, queries, gv,
          gv_strides.row);
}
