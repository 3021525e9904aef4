// What every kernel file includes. `real` is float or double, after the dtype of the arrays.
// Arrays are C-contiguous unless a kernel takes their strides. A block is whole warps (32 threads).

#define KERNEL extern "C" __global__ void
// Stands before each struct parameter of a kernel, so that its fields are read from constant memory
// at each use. The compiler may copy the fields of a plain struct parameter to registers at the
// start, and then attention's forward kernel runs out of registers on compute capability 9.0.
#define BY_VALUE const __grid_constant__
#ifndef INFINITY  // NVRTC includes no headers, which would define it
#define INFINITY __int_as_float(0x7f800000)
#endif
typedef long long index_t;  // sizes and indices: the size of an array can exceed 32 bits

// The index of this thread in the whole grid. Kernels map one thread to one item by it.
__device__ __forceinline__ index_t thread_index() {
  return (index_t)blockIdx.x * blockDim.x + threadIdx.x;
}

// The sum of x over a warp (32 threads in lockstep), for each of its threads. Registers are
// exchanged in a tree, so the order of additions is fixed and results are reproducible.
__device__ __forceinline__ real warp_sum(real x) {
  for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

// The larger of a and b, NaN if either is NaN, as `numpy.maximum`.
__device__ __forceinline__ real maximum(real a, real b) {
  return a > b || a != a ? a : b;
}

// The maximum of x over a warp, for each of its threads.
__device__ __forceinline__ real warp_max(real x) {
  for (int offset = 16; offset; offset /= 2)
    x = maximum(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

// The sum of x over a block, for each of its threads: every thread adds the sums of the warps.
__device__ __forceinline__ real block_sum(real x) {
  __shared__ real warp_sums[32];
  x = warp_sum(x);
  __syncthreads();  // threads may still read the sums of the call before
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = x;
  __syncthreads();
  x = 0;
  for (int w = 0; w < blockDim.x / 32; w++) x += warp_sums[w];
  return x;
}

// The maximum of x over a block, for each of its threads.
__device__ __forceinline__ real block_max(real x) {
  __shared__ real warp_maxima[32];
  x = warp_max(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) warp_maxima[threadIdx.x / 32] = x;
  __syncthreads();
  x = warp_maxima[0];
  for (int w = 1; w < blockDim.x / 32; w++) x = maximum(x, warp_maxima[w]);
  return x;
}

// A slice of an array (outer, n, inner) over its middle axis, as one of the `lanes` threads that
// process it together sees it. `lanes` is a power of two within a warp, or a whole block. The
// slice begins at `start`; this thread processes first, first + stride, ... below `last`. Threads
// beyond the last slice process nothing, but take part in group_sum and group_max.
struct Slice {
  index_t number, lane, start, first, last, stride;
};

// The slice of this thread, of `slices` slices in all.
__device__ __forceinline__ Slice slice_of_thread(index_t slices, index_t n, index_t inner,
                                                 index_t lanes) {
  index_t number = thread_index() / lanes, lane = thread_index() % lanes;
  index_t start = number / inner * n * inner + number % inner;
  index_t last = number < slices ? start + n * inner : start;
  return {number, lane, start, start + lane * inner, last, lanes * inner};
}

// The sum of x over the `lanes` threads of a slice, for each of them.
__device__ __forceinline__ real group_sum(real x, index_t lanes) {
  if (lanes > 32) return block_sum(x);
  for (int offset = lanes / 2; offset; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

// The maximum of x over the `lanes` threads of a slice, for each of them.
__device__ __forceinline__ real group_max(real x, index_t lanes) {
  if (lanes > 32) return block_max(x);
  for (int offset = lanes / 2; offset; offset /= 2)
    x = maximum(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

// ---- end of common.cuh
