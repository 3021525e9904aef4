// Softmax and its like: one block a row. x (rows, n), the row in steps of blockDim.x.

__device__ __forceinline__ real row_max(const real* x, count n) {
  real top = -INFINITY;
  for (count j = threadIdx.x; j < n; j += blockDim.x) top = larger(top, x[j]);
  return block_max(top);
}

KERNEL softmax(const real* x, real* y, count n) {
  x += blockIdx.x * n;
  y += blockIdx.x * n;
  real top = row_max(x, n), sum = 0;
  for (count j = threadIdx.x; j < n; j += blockDim.x) sum += y[j] = exp(x[j] - top);
  sum = block_sum(sum);
  for (count j = threadIdx.x; j < n; j += blockDim.x) y[j] /= sum;
}
