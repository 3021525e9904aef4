// Optimizer steps on many arrays in one launch. A table has a row for each: where p, m, v and g
// lie, how long they are, and the first block that works on them; a block takes `share` elements.

struct Row {
  real *p, *m, *v;
  const real* g;
  count length, first;
};

struct Part {  // of the arrays of a row, for a block
  Row row;
  count start, stop;
};

// The last row whose first block is not behind this one: by bisection, as rows are in order.
__device__ __forceinline__ Part part_of_block(const count* table, count rows, count share) {
  const Row* row = (const Row*)table;
  while (rows > 1) {
    count half = rows / 2;
    if (row[half].first <= blockIdx.x) {
      row += half;
      rows -= half;
    } else {
      rows = half;
    }
  }
  count start = (blockIdx.x - row->first) * share;
  return {*row, start, min(start + share, row->length)};
}

// settings: lr, momentum, nesterov, decay
KERNEL sgd(const count* table, count rows, count share, const double* settings) {
  const Part part = part_of_block(table, rows, share);
  const Row& a = part.row;
  const real lr = settings[0], momentum = settings[1], decay = settings[3];
  const bool nesterov = settings[2] != 0;
  for (count i = part.start + threadIdx.x; i < part.stop; i += blockDim.x) {
    const real p = a.p[i];
    real g = a.g[i];
    if (decay != 0) g += decay * p;
    if (momentum != 0) {
      const real v = a.v[i] = momentum * a.v[i] + g;
      g = nesterov ? g + momentum * v : v;
    }
    a.p[i] = p - lr * g;
  }
}

// settings: step_size, beta1, beta2, root, eps, shrink, decay
KERNEL adam(const count* table, count rows, count share, const double* settings) {
  const Part part = part_of_block(table, rows, share);
  const Row& a = part.row;
  const real step_size = settings[0], rest1 = 1 - settings[1], beta2 = settings[2];
  const real rest2 = 1 - settings[2], over_root = 1 / (real)settings[3], eps = settings[4];
  const real shrink = settings[5], decay = settings[6];
  for (count i = part.start + threadIdx.x; i < part.stop; i += blockDim.x) {
    const real p = a.p[i];
    real g = a.g[i], m = a.m[i], v = a.v[i];
    if (decay != 0) g += decay * p;
    a.m[i] = m += rest1 * (g - m);
    a.v[i] = v = beta2 * v + rest2 * g * g;
    a.p[i] = shrink * p - step_size * m / (sqrt(v) * over_root + eps);
  }
}
