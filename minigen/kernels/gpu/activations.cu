// Elementwise functions, a thread for each element: one read of each operand, one write. x, y, g
// and t have n elements, g is the cotangent of y. A kernel is named each_ and its reference twin,
// as CUDA already defines functions such as erf.

#include "common.cuh"

// `reference.sigmoid`: 1 / (1 + exp(-x)), without overflow.
__device__ __forceinline__ real sigmoid(real x) {
  real e = exp(-fabs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

// `reference.softplus`: log(1 + exp(x)), without overflow.
__device__ __forceinline__ real softplus(real x) {
  return maximum(x, 0) + log1p(exp(-fabs(x)));
}

// The distribution function of the standard normal distribution: 0.5 * (1 + erf(x / sqrt(2))).
__device__ __forceinline__ real normal_cdf(real x) {
  return real(0.5) * (1 + erf(x * real(0.70710678118654752)));  // sqrt(1 / 2)
}

// The tanh of GELU's approximation (Hendrycks and Gimpel 2016), which has these two constants.
#define SQRT_2_OVER_PI real(0.79788456080286536)
#define CUBIC real(0.044715)

// tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)).
__device__ __forceinline__ real tanh_of_cubic(real x) {
  return tanh(SQRT_2_OVER_PI * (x + CUBIC * x * (x * x)));
}

// Beyond -FAR and FAR gelu and silu are 0 and x, their slopes 0 and 1, in any dtype.
#define FAR real(1000)

// x in [-FAR, FAR], NaN for NaN.
__device__ __forceinline__ real bounded(real x) { return x < -FAR ? -FAR : x > FAR ? FAR : x; }

// y = erf(x).
KERNEL each_erf(const real* x, real* y, index_t n) {
  index_t i = thread_index();
  if (i < n) y[i] = erf(x[i]);
}

// y = max(x, 0), NaN where x is NaN.
KERNEL each_relu(const real* x, real* y, index_t n) {
  index_t i = thread_index();
  if (i < n) y[i] = maximum(x[i], 0);
}

// gx = 0 where y <= 0, else g; y is the result of relu.
KERNEL each_relu_vjp(const real* g, const real* y, real* gx, index_t n) {
  index_t i = thread_index();
  if (i < n) gx[i] = y[i] <= 0 ? 0 : g[i];
}

// y = x where x > 0, else slope * x.
KERNEL each_leaky_relu(const real* x, real* y, double slope, index_t n) {
  index_t i = thread_index();
  if (i < n) y[i] = x[i] > 0 ? x[i] : x[i] * real(slope);
}

// gx = g where x > 0, else slope * g.
KERNEL each_leaky_relu_vjp(const real* g, const real* x, real* gx, double slope, index_t n) {
  index_t i = thread_index();
  if (i < n) gx[i] = x[i] > 0 ? g[i] : g[i] * real(slope);
}

// y = sigmoid(x).
KERNEL each_sigmoid(const real* x, real* y, index_t n) {
  index_t i = thread_index();
  if (i < n) y[i] = sigmoid(x[i]);
}

// y = softplus(x).
KERNEL each_softplus(const real* x, real* y, index_t n) {
  index_t i = thread_index();
  if (i < n) y[i] = softplus(x[i]);
}

// y = x * normal_cdf(x).
KERNEL each_gelu(const real* x, real* y, index_t n) {
  index_t i = thread_index();
  if (i < n) y[i] = maximum(x[i], -FAR) * normal_cdf(x[i]);
}

// gx = g * (normal_cdf(x) + x * normal_pdf(x)).
KERNEL each_gelu_vjp(const real* g, const real* x, real* gx, index_t n) {
  index_t i = thread_index();
  if (i >= n) return;
  real z = bounded(x[i]), density = exp(real(-0.5) * (z * z)) * real(0.39894228040143268);
  gx[i] = g[i] * (normal_cdf(z) + z * density);  // 0.39894... is 1 / sqrt(2 pi)
}

// y = x * sigmoid(x).
KERNEL each_silu(const real* x, real* y, index_t n) {
  index_t i = thread_index();
  if (i < n) y[i] = maximum(x[i], -FAR) * sigmoid(x[i]);
}

// gx = g * s * (1 + x * (1 - s)), s = sigmoid(x).
KERNEL each_silu_vjp(const real* g, const real* x, real* gx, index_t n) {
  index_t i = thread_index();
  if (i < n) gx[i] = g[i] * (sigmoid(x[i]) * (1 + bounded(x[i]) * sigmoid(-x[i])));
}

// y = 0.5 * x * (1 + tanh_of_cubic(x)), which approximates gelu.
KERNEL each_gelu_tanh(const real* x, real* y, index_t n) {
  index_t i = thread_index();
  if (i >= n) return;
  real z = maximum(x[i], -FAR);
  y[i] = real(0.5) * z * (1 + tanh_of_cubic(z));
}

// gx = g times the derivative of gelu_tanh at x.
KERNEL each_gelu_tanh_vjp(const real* g, const real* x, real* gx, index_t n) {
  index_t i = thread_index();
  if (i >= n) return;
  real z = bounded(x[i]), t = tanh_of_cubic(z);
  real slope = SQRT_2_OVER_PI * (1 + 3 * CUBIC * (z * z));
  gx[i] = g[i] * (real(0.5) * (1 + t + z * (1 - t * t) * slope));
}

// The binary cross-entropy of target t for the logit x: `reference.bce_with_logits`.
KERNEL each_bce_with_logits(const real* x, const real* t, real* y, index_t n) {
  index_t i = thread_index();
  if (i >= n) return;
  real size = fabs(x[i]), denied = x[i] >= 0 ? 1 - t[i] : t[i];
  y[i] = (denied == 0 ? 0 : size * denied) + log1p(exp(-size));
}

// gx = g * (sigmoid(x) - t).
KERNEL each_bce_with_logits_vjp(const real* g, const real* x, const real* t, real* gx,
                                index_t n) {
  index_t i = thread_index();
  if (i < n) gx[i] = g[i] * (sigmoid(x[i]) - t[i]);
}
