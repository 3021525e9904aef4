// Functions of one element: a thread each, one read of every operand and one write. Kernels are
// called each_ and the function, for names like erf are taken. x, y, g, t (n).

__device__ __forceinline__ real sigmoid(real x) {
  real e = exp(-fabs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

__device__ __forceinline__ real softplus(real x) {
  return larger(x, 0) + log1p(exp(-fabs(x)));
}

__device__ __forceinline__ real normal_share(real x) {
  return real(0.5) * (1 + erf(x * real(0.70710678118654752)));  // sqrt(1 / 2)
}

#define SQRT_2_OVER_PI real(0.79788456080286536)
#define CUBIC real(0.044715)

__device__ __forceinline__ real inner_tanh(real x) {
  return tanh(SQRT_2_OVER_PI * (x + CUBIC * x * (x * x)));
}

KERNEL each_erf(const real* x, real* y, count n) {
  count i = item();
  if (i < n) y[i] = erf(x[i]);
}

KERNEL each_relu(const real* x, real* y, count n) {
  count i = item();
  if (i < n) y[i] = larger(x[i], 0);
}

KERNEL each_relu_vjp(const real* g, const real* y, real* gx, count n) {
  count i = item();
  if (i < n) gx[i] = y[i] <= 0 ? 0 : g[i];
}

KERNEL each_leaky_relu(const real* x, real* y, double slope, count n) {
  count i = item();
  if (i < n) y[i] = x[i] > 0 ? x[i] : x[i] * real(slope);
}

KERNEL each_leaky_relu_vjp(const real* g, const real* x, real* gx, double slope, count n) {
  count i = item();
  if (i < n) gx[i] = x[i] > 0 ? g[i] : g[i] * real(slope);
}

KERNEL each_sigmoid(const real* x, real* y, count n) {
  count i = item();
  if (i < n) y[i] = sigmoid(x[i]);
}

KERNEL each_softplus(const real* x, real* y, count n) {
  count i = item();
  if (i < n) y[i] = softplus(x[i]);
}

KERNEL each_gelu(const real* x, real* y, count n) {
  count i = item();
  if (i < n) y[i] = x[i] * normal_share(x[i]);
}

KERNEL each_gelu_vjp(const real* g, const real* x, real* gx, count n) {
  count i = item();
  if (i >= n) return;
  real density = exp(real(-0.5) * (x[i] * x[i])) * real(0.39894228040143268);  // 1 / sqrt(2 pi)
  gx[i] = g[i] * (normal_share(x[i]) + x[i] * density);
}

KERNEL each_gelu_tanh(const real* x, real* y, count n) {
  count i = item();
  if (i < n) y[i] = real(0.5) * x[i] * (1 + inner_tanh(x[i]));
}

KERNEL each_gelu_tanh_vjp(const real* g, const real* x, real* gx, count n) {
  count i = item();
  if (i >= n) return;
  real t = inner_tanh(x[i]), slope = SQRT_2_OVER_PI * (1 + 3 * CUBIC * (x[i] * x[i]));
  gx[i] = g[i] * (real(0.5) * (1 + t + x[i] * (1 - t * t) * slope));
}

KERNEL each_bce_with_logits(const real* x, const real* t, real* y, count n) {
  count i = item();
  if (i < n) y[i] = softplus(x[i]) - x[i] * t[i];
}

KERNEL each_bce_with_logits_vjp(const real* g, const real* x, const real* t, real* gx, count n) {
  count i = item();
  if (i < n) gx[i] = g[i] * (sigmoid(x[i]) - t[i]);
}
