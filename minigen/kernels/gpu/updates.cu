// Optimizer steps on many arrays in one launch. A table has a row for each parameter: pointers to
// it, to its gradient and to the arrays of its state, null where there are none; how long they are;
// and the first block that works on them. A block takes `share` elements.

struct Row {
  real* p;
  const real* g;
  real *first_state, *second_state;
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

// optim.SGD.formula. settings: lr, momentum, nesterov, weight_decay
KERNEL sgd(const count* table, count rows, count share, const double* settings) {
  const Part part = part_of_block(table, rows, share);
  real *p = part.row.p, *v = part.row.first_state;
  const real* g = part.row.g;
  const real lr = settings[0], momentum = settings[1], decay = settings[3];
  const bool nesterov = settings[2] != 0;
  for (count i = part.start + threadIdx.x; i < part.stop; i += blockDim.x) {
    const real p_i = p[i];
    real step = g[i];
    if (decay != 0) step += decay * p_i;
    if (momentum != 0) {
      const real v_i = v[i] = momentum * v[i] + step;
      step = nesterov ? step + momentum * v_i : v_i;
    }
    p[i] = p_i - lr * step;
  }
}

// optim.RMSprop.formula. settings: lr, alpha, eps, weight_decay, momentum
KERNEL rmsprop(const count* table, count rows, count share, const double* settings) {
  const Part part = part_of_block(table, rows, share);
  real *p = part.row.p, *s = part.row.first_state, *v = part.row.second_state;
  const real* g = part.row.g;
  const real lr = settings[0], alpha = settings[1], rest = 1 - settings[1], eps = settings[2];
  const real decay = settings[3], momentum = settings[4];
  for (count i = part.start + threadIdx.x; i < part.stop; i += blockDim.x) {
    const real p_i = p[i];
    real g_i = g[i];
    if (decay != 0) g_i += decay * p_i;
    const real s_i = s[i] = alpha * s[i] + rest * g_i * g_i;
    real step = g_i / (sqrt(s_i) + eps);
    if (momentum != 0) step = v[i] = momentum * v[i] + step;
    p[i] = p_i - lr * step;
  }
}

// optim.Adam.formula, p scaled by `shrinkage` first. settings: lr, beta1, beta2, eps, weight_decay,
// step. The corrections of bias are the same for all threads, and computed by each.
__device__ __forceinline__ void adam_steps(
    const Part& part, const double* settings, double shrinkage_, double decay_) {
  real *p = part.row.p, *m = part.row.first_state, *v = part.row.second_state;
  const real* g = part.row.g;
  const double steps = settings[5];
  const real step_size = settings[0] / (1 - pow(settings[1], steps));
  const real over_root = 1 / sqrt(1 - pow(settings[2], steps));
  const real rest1 = 1 - settings[1], beta2 = settings[2], rest2 = 1 - settings[2];
  const real eps = settings[3], shrinkage = shrinkage_, decay = decay_;
  for (count i = part.start + threadIdx.x; i < part.stop; i += blockDim.x) {
    const real p_i = p[i];
    real g_i = g[i], m_i = m[i], v_i = v[i];
    if (decay != 0) g_i += decay * p_i;
    m[i] = m_i += rest1 * (g_i - m_i);
    v[i] = v_i = beta2 * v_i + rest2 * g_i * g_i;
    p[i] = shrinkage * p_i - step_size * m_i / (sqrt(v_i) * over_root + eps);
  }
}

KERNEL adam(const count* table, count rows, count share, const double* settings) {
  adam_steps(part_of_block(table, rows, share), settings, 1, settings[4]);
}

KERNEL adamw(const count* table, count rows, count share, const double* settings) {
  adam_steps(part_of_block(table, rows, share), settings, 1 - settings[0] * settings[4], 0);
}
