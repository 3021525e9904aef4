// Gather from and scatter to the rows of a matrix, each row by its own indices.

#include "common.cuh"

// `reference.take_along_rows`: y[m, p] = x[m, index[m, p]] for x (rows, n) and index (rows,
// length). A thread for each of the `items` = rows * length results.
KERNEL take_along_rows(const real* x, const int* index, real* y, index_t n, index_t length,
                       index_t items) {
  index_t t = thread_index();
  if (t < items) y[t] = x[t / length * n + index[t]];
}

// `reference.scatter_along_rows`: x (rows, n) = 0, then x[m, index[m, p]] += g[m, p] for p in
// order, in double, for g and index (rows, length). A warp for each row; items = 32 * rows.
// A warp reads 32 indices at a time. Equal indices among them occur: windows that overlap share a
// maximum. Atomic additions would add their values in any order. So of the threads with an equal
// index the first adds the values of all, in order, and results are reproducible.
KERNEL scatter_along_rows(const real* g, const int* index, double* x, index_t n, index_t length,
                          index_t items) {
  if (thread_index() >= items) return;  // true for whole warps only
  index_t row = thread_index() / 32;
  int lane = threadIdx.x % 32;
  g += row * length;
  index += row * length;
  x += row * n;
  for (index_t i = lane; i < n; i += 32) x[i] = 0;
  for (index_t p = 0; p < length; p += 32) {
    int target = p + lane < length ? index[p + lane] : -1;
    unsigned equal = __match_any_sync(0xffffffffu, target);  // bit i: lane i has the same target
    __syncwarp();  // the writes to x before are visible
    if (target >= 0 && __ffs(equal) == lane + 1) {
      double sum = x[target];
      for (; equal; equal &= equal - 1) sum += g[p + __ffs(equal) - 1];
      x[target] = sum;
    }
  }
}
