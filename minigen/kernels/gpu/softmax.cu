// Softmax and its like, slice by slice: see Slice. A slice is read once for each loop, from a cache
// after the first; exponentials are computed again rather than written and read back.

struct Scale {
  real top, sum;  // the largest value, NaN if there is one, and the sum of exp(x - top)
};

__device__ __forceinline__ Scale scale_of(const real* x, Slice s, count lanes) {
  real top = -INFINITY, sum = 0;
  for (count i = s.first; i < s.last; i += s.step) top = larger(top, x[i]);
  top = group_max(top, lanes);
  for (count i = s.first; i < s.last; i += s.step) sum += exp(x[i] - top);
  return {top, group_sum(sum, lanes)};
}

KERNEL softmax(const real* x, real* y, count slices, count n, count inner, count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  Scale scale = scale_of(x, s, lanes);
  for (count i = s.first; i < s.last; i += s.step) y[i] = exp(x[i] - scale.top) / scale.sum;
}

KERNEL softmax_vjp(const real* g, const real* y, real* gx, count slices, count n, count inner,
                   count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  real level = 0;
  for (count i = s.first; i < s.last; i += s.step) level += g[i] * y[i];
  level = group_sum(level, lanes);
  for (count i = s.first; i < s.last; i += s.step) gx[i] = y[i] * (g[i] - level);
}

KERNEL log_softmax(const real* x, real* y, count slices, count n, count inner, count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  Scale scale = scale_of(x, s, lanes);
  real log_sum = log(scale.sum);
  for (count i = s.first; i < s.last; i += s.step) y[i] = (x[i] - scale.top) - log_sum;
}

KERNEL log_softmax_vjp(const real* g, const real* y, real* gx, count slices, count n, count inner,
                       count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  real total = 0;
  for (count i = s.first; i < s.last; i += s.step) total += g[i];
  total = group_sum(total, lanes);
  for (count i = s.first; i < s.last; i += s.step) gx[i] = g[i] - exp(y[i]) * total;
}

KERNEL cross_entropy(const real* x, const count* target, real* loss, real* lse, double smoothing,
                     count rows, count n, count inner, count lanes) {
  Slice s = slice_of(rows, n, inner, lanes);
  Scale scale = scale_of(x, s, lanes);
  real level = 0;
  if (smoothing) {  // without it an infinite logit has no part in the loss of another class
    for (count i = s.first; i < s.last; i += s.step) level += x[i];
    level = (real)smoothing * (group_sum(level, lanes) / n);
  }
  if (s.lane || s.number >= rows) return;
  count t = target[s.number];
  real log_sum = log(scale.sum) + scale.top;
  lse[s.number] = log_sum;
  loss[s.number] = t < 0 ? (real)0 : log_sum - (real)(1 - smoothing) * x[s.start + t] - level;
}

KERNEL cross_entropy_vjp(const real* g, const real* x, const count* target, const real* lse,
                         real* gx, double smoothing, count rows, count n, count inner,
                         count lanes) {
  Slice s = slice_of(rows, n, inner, lanes);
  if (s.number >= rows) return;
  count t = target[s.number];
  real cotangent = g[s.number], log_sum = lse[s.number];
  real share = smoothing / n, rest = 1 - smoothing;
  for (count i = s.first; i < s.last; i += s.step) {
    real p = exp(x[i] - log_sum) - share;
    gx[i] = t < 0 ? (real)0 : (i == s.start + t ? p - rest : p) * cotangent;
  }
}
