// What every kernel file begins with. `real` is float or double, by the dtype of the arrays.
// Arrays are C-contiguous; blocks have a multiple of 32 threads.

#define KERNEL extern "C" __global__ void
#ifndef INFINITY  // NVRTC has no headers
#define INFINITY __int_as_float(0x7f800000)
#endif
typedef long long count;  // sizes and places: products of sides may outgrow 32 bits

// The thread's place among all threads of a launch: one item each.
__device__ __forceinline__ count item() {
  return (count)blockIdx.x * blockDim.x + threadIdx.x;
}

// Sums and maxima over a warp (32 threads in step) by exchange of registers, in a tree: the order
// of additions is always the same, and so are the bits.
__device__ __forceinline__ real warp_sum(real x) {
  for (int lane = 16; lane; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}

__device__ __forceinline__ real larger(real a, real b) {  // NaN wins, as in NumPy's maximum
  return a > b || a != a ? a : b;
}

__device__ __forceinline__ real warp_max(real x) {
  for (int lane = 16; lane; lane /= 2) x = larger(x, __shfl_xor_sync(0xffffffffu, x, lane));
  return x;
}

// The same over a block: every warp leaves its part, and every thread takes them together.
__device__ __forceinline__ real block_sum(real x) {
  __shared__ real parts[32];
  x = warp_sum(x);
  __syncthreads();  // the parts of a sum before may still be read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = 0;
  for (int w = 0; w < blockDim.x / 32; w++) x += parts[w];
  return x;
}

__device__ __forceinline__ real block_max(real x) {
  __shared__ real parts[32];
  x = warp_max(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = parts[0];
  for (int w = 1; w < blockDim.x / 32; w++) x = larger(x, parts[w]);
  return x;
}

// A slice of an array (outer, n, inner) along its middle side, and what this thread works on where
// `lanes` threads share it, a power of two within a warp or a whole block: the values from `first`
// to before `last`, `step` apart. Threads beyond the last slice have none, but sum with the others.
struct Slice {
  count number, lane, start, first, last, step;
};

__device__ __forceinline__ Slice slice_of(count slices, count n, count inner, count lanes) {
  count number = item() / lanes, lane = item() % lanes;
  count start = number / inner * n * inner + number % inner;
  count last = number < slices ? start + n * inner : start;
  return {number, lane, start, start + lane * inner, last, lanes * inner};
}

__device__ __forceinline__ real group_sum(real x, count lanes) {
  if (lanes > 32) return block_sum(x);
  for (int lane = lanes / 2; lane; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}

__device__ __forceinline__ real group_max(real x, count lanes) {
  if (lanes > 32) return block_max(x);
  for (int lane = lanes / 2; lane; lane /= 2)
    x = larger(x, __shfl_xor_sync(0xffffffffu, x, lane));
  return x;
}
