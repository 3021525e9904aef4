// Softmax, log-softmax and cross-entropy over slices of an array (outer, n, inner): see Slice in
// common.cuh. Kernels loop over a slice two or three times; after the first loop it is read from
// a cache. An exponential is computed again in the next loop: to store it would cost a write and
// a read of memory, which take longer.

#include "common.cuh"

// What normalises exp(x) over a slice: the maximum of x, NaN if x has one, and sum(exp(x - max)).
struct Normalizer {
  real max, sum;
};

// The normalizer of slice s of x.
__device__ __forceinline__ Normalizer normalizer_of(const real* x, Slice s, index_t lanes) {
  real max = -INFINITY;
  double sum = 0;
  for (index_t i = s.first; i < s.last; i += s.stride) max = maximum(max, x[i]);
  max = group_max(max, lanes);
  for (index_t i = s.first; i < s.last; i += s.stride) sum += exp(x[i] - max);
  return {max, group_sum(sum, lanes)};
}

// `reference.softmax`: y = exp(x - max) / sum over each slice.
KERNEL softmax(const real* x, real* y, index_t slices, index_t n, index_t inner, index_t lanes) {
  Slice s = slice_of_thread(slices, n, inner, lanes);
  Normalizer z = normalizer_of(x, s, lanes);
  for (index_t i = s.first; i < s.last; i += s.stride) y[i] = exp(x[i] - z.max) / z.sum;
}

// `reference.softmax_vjp`: gx = y * (g - sum(g * y)) over each slice.
KERNEL softmax_vjp(const real* g, const real* y, real* gx, index_t slices, index_t n,
                   index_t inner, index_t lanes) {
  Slice s = slice_of_thread(slices, n, inner, lanes);
  double thread_dot = 0;
  for (index_t i = s.first; i < s.last; i += s.stride) thread_dot += g[i] * y[i];
  real dot = group_sum(thread_dot, lanes);
  for (index_t i = s.first; i < s.last; i += s.stride) gx[i] = y[i] * (g[i] - dot);
}

// `reference.log_softmax`: y = (x - max) - log(sum) over each slice.
KERNEL log_softmax(const real* x, real* y, index_t slices, index_t n, index_t inner,
                   index_t lanes) {
  Slice s = slice_of_thread(slices, n, inner, lanes);
  Normalizer z = normalizer_of(x, s, lanes);
  real log_sum = log(z.sum);
  for (index_t i = s.first; i < s.last; i += s.stride) y[i] = (x[i] - z.max) - log_sum;
}

// `reference.log_softmax_vjp`: gx = g - exp(y) * sum(g) over each slice.
KERNEL log_softmax_vjp(const real* g, const real* y, real* gx, index_t slices, index_t n,
                       index_t inner, index_t lanes) {
  Slice s = slice_of_thread(slices, n, inner, lanes);
  double thread_sum = 0;
  for (index_t i = s.first; i < s.last; i += s.stride) thread_sum += g[i];
  real sum = group_sum(thread_sum, lanes);
  for (index_t i = s.first; i < s.last; i += s.stride) gx[i] = g[i] - exp(y[i]) * sum;
}

// `reference.cross_entropy`: loss (rows) and log-sum-exp lse (rows) of x (rows, n), target (rows).
// A negative target makes the loss of its row 0.
KERNEL cross_entropy(const real* x, const index_t* target, real* loss, real* lse,
                     double smoothing, index_t rows, index_t n, index_t inner, index_t lanes) {
  Slice s = slice_of_thread(rows, n, inner, lanes);
  Normalizer z = normalizer_of(x, s, lanes);
  real smoothed = 0;  // smoothing * mean(x)
  if (smoothing) {  // else an infinite logit of another class would make the loss infinite or NaN
    double sum = 0;
    for (index_t i = s.first; i < s.last; i += s.stride) sum += x[i];
    smoothed = (real)smoothing * (group_sum(sum, lanes) / n);
  }
  if (s.lane || s.number >= rows) return;
  index_t t = target[s.number];
  real log_sum_exp = log(z.sum) + z.max;
  lse[s.number] = log_sum_exp;
  loss[s.number] =
      t < 0 ? (real)0 : log_sum_exp - (real)(1 - smoothing) * x[s.start + t] - smoothed;
}

// `reference.cross_entropy_vjp`: gx = g * (softmax(x) - q) for g (rows), x and gx (rows, n), where
// q is smoothing / n for each class, plus 1 - smoothing for the target.
KERNEL cross_entropy_vjp(const real* g, const real* x, const index_t* target, const real* lse,
                         real* gx, double smoothing, index_t rows, index_t n, index_t inner,
                         index_t lanes) {
  Slice s = slice_of_thread(rows, n, inner, lanes);
  if (s.number >= rows) return;
  index_t t = target[s.number];
  real cotangent = g[s.number], log_sum_exp = lse[s.number];
  real q_other = smoothing / n, q_extra = 1 - smoothing;
  for (index_t i = s.first; i < s.last; i += s.stride) {
    real difference = exp(x[i] - log_sum_exp) - q_other;
    gx[i] = t < 0 ? (real)0 : (i == s.start + t ? difference - q_extra : difference) * cotangent;
  }
}
