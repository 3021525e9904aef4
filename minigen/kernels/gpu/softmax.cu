// Softmax and its like, slice by slice: see Slice. Slices are read once for each loop, from a
// cache after the first; exponentials are computed again rather than written and read back.

KERNEL softmax(const real* x, real* y, count slices, count n, count inner, count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  x += s.start;
  real top = -INFINITY, sum = 0;
  for (count j = s.lane; j < s.n; j += lanes) top = larger(top, x[j * inner]);
  top = group_max(top, lanes);
  for (count j = s.lane; j < s.n; j += lanes) sum += exp(x[j * inner] - top);
  sum = group_sum(sum, lanes);
  y += s.start;
  for (count j = s.lane; j < s.n; j += lanes) y[j * inner] = exp(x[j * inner] - top) / sum;
}

KERNEL softmax_vjp(const real* g, const real* y, real* gx, count slices, count n, count inner,
                   count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  real level = 0;
  for (count j = s.lane; j < s.n; j += lanes) {
    count i = s.start + j * inner;
    level += g[i] * y[i];
  }
  level = group_sum(level, lanes);
  for (count j = s.lane; j < s.n; j += lanes) {
    count i = s.start + j * inner;
    gx[i] = y[i] * (g[i] - level);
  }
}

KERNEL log_softmax(const real* x, real* y, count slices, count n, count inner, count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  x += s.start;
  real top = -INFINITY, sum = 0;
  for (count j = s.lane; j < s.n; j += lanes) top = larger(top, x[j * inner]);
  top = group_max(top, lanes);
  for (count j = s.lane; j < s.n; j += lanes) sum += exp(x[j * inner] - top);
  real log_sum = log(group_sum(sum, lanes));
  y += s.start;
  for (count j = s.lane; j < s.n; j += lanes) y[j * inner] = (x[j * inner] - top) - log_sum;
}

KERNEL log_softmax_vjp(const real* g, const real* y, real* gx, count slices, count n, count inner,
                       count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  real total = 0;
  for (count j = s.lane; j < s.n; j += lanes) total += g[s.start + j * inner];
  total = group_sum(total, lanes);
  for (count j = s.lane; j < s.n; j += lanes) {
    count i = s.start + j * inner;
    gx[i] = g[i] - exp(y[i]) * total;
  }
}

KERNEL cross_entropy(const real* x, const count* target, real* loss, real* lse, double smoothing,
                     count slices, count n, count inner, count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  x += s.start;
  real top = -INFINITY, sum = 0, level = 0;
  for (count j = s.lane; j < s.n; j += lanes) top = larger(top, x[j]);
  top = group_max(top, lanes);
  for (count j = s.lane; j < s.n; j += lanes) {
    sum += exp(x[j] - top);
    level += x[j];
  }
  sum = group_sum(sum, lanes);
  level = group_sum(level, lanes);
  if (s.lane || s.number >= slices) return;
  count t = target[s.number];
  real log_sum = log(sum) + top;
  lse[s.number] = log_sum;
  loss[s.number] = t < 0 ? (real)0 : log_sum - (real)(1 - smoothing) * x[t];
  // without smoothing an infinite logit has no part in the loss of another class
  if (t >= 0 && smoothing) loss[s.number] -= (real)smoothing * (level / n);
}

KERNEL cross_entropy_vjp(const real* g, const real* x, const count* target, const real* lse,
                         real* gx, double smoothing, count slices, count n, count inner,
                         count lanes) {
  Slice s = slice_of(slices, n, inner, lanes);
  if (s.number >= slices) return;
  count t = target[s.number];
  real cotangent = g[s.number], log_sum = lse[s.number];
  real share = smoothing / n, rest = 1 - smoothing;
  for (count j = s.lane; j < s.n; j += lanes) {
    real p = exp(x[s.start + j] - log_sum) - share;
    gx[s.start + j] = t < 0 ? (real)0 : (j == t ? p - rest : p) * cotangent;
  }
}
