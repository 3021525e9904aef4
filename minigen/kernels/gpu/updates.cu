// Optimizer steps on all parameters in one launch. A launch for each parameter would take more time
// than the arithmetic where parameters are small. A table in device memory has a row for each
// parameter, and a block of threads takes `elements` elements of one parameter.

#include "common.cuh"

// A row of the table: pointers to the parameter, its gradient and the three arrays of its state
// (null where there are fewer), how many elements each has, and the first block that takes some.
struct ParameterRow {
  real* p;
  const real* g;
  real *state1, *state2, *state3;
  index_t length, first_block;
};

// The elements start, ..., stop - 1 of a parameter, which one block updates.
struct BlockTask {
  ParameterRow row;
  index_t start, stop;
};

// The task of this block: its row is the last whose first block is not after this one, found by
// bisection, as the rows are in the order of their first blocks.
__device__ __forceinline__ BlockTask task_of_block(const index_t* table, index_t rows,
                                                   index_t elements) {
  const ParameterRow* row = (const ParameterRow*)table;
  while (rows > 1) {
    index_t half = rows / 2;
    if (row[half].first_block <= blockIdx.x) {
      row += half;
      rows -= half;
    } else {
      rows = half;
    }
  }
  index_t start = (blockIdx.x - row->first_block) * elements;
  return {*row, start, min(start + elements, row->length)};
}

// `optim.SGD.formula`. settings: lr, momentum, dampening, weight_decay, nesterov.
KERNEL sgd(const index_t* table, index_t rows, index_t elements, const double* settings) {
  const BlockTask task = task_of_block(table, rows, elements);
  real *p = task.row.p, *v = task.row.state1;
  const real* g = task.row.g;
  const real lr = settings[0], momentum = settings[1], gain = 1 - settings[2];
  const real decay = settings[3];
  const bool nesterov = settings[4] != 0;
  for (index_t i = task.start + threadIdx.x; i < task.stop; i += blockDim.x) {
    const real p_i = p[i];
    real step = g[i];
    if (decay != 0) step += decay * p_i;
    if (momentum != 0) {
      const real v_i = v[i] = momentum * v[i] + gain * step;
      step = nesterov ? step + momentum * v_i : v_i;
    }
    p[i] = p_i - lr * step;
  }
}

// `optim.RMSprop.formula`; m is null unless centered. settings: lr, alpha, eps, weight_decay, momentum.
KERNEL rmsprop(const index_t* table, index_t rows, index_t elements, const double* settings) {
  const BlockTask task = task_of_block(table, rows, elements);
  real *p = task.row.p, *s = task.row.state1, *v = task.row.state2, *m = task.row.state3;
  const real* g = task.row.g;
  const real lr = settings[0], alpha = settings[1], one_minus_alpha = 1 - settings[1];
  const real eps = settings[2], decay = settings[3], momentum = settings[4];
  for (index_t i = task.start + threadIdx.x; i < task.stop; i += blockDim.x) {
    const real p_i = p[i];
    real g_i = g[i];
    if (decay != 0) g_i += decay * p_i;
    real s_i = s[i] = alpha * s[i] + one_minus_alpha * g_i * g_i;
    if (m != nullptr) {
      const real m_i = m[i] = alpha * m[i] + one_minus_alpha * g_i;
      s_i = max(s_i - m_i * m_i, (real)0);  // rounding may make it negative
    }
    real step = g_i / (sqrt(s_i) + eps);
    if (momentum != 0) step = v[i] = momentum * v[i] + step;
    p[i] = p_i - lr * step;
  }
}

// `optim.Adam.formula` on p_scale * p, with the weight decay l2 in the gradient; `largest` is null
// unless amsgrad. settings: lr, beta1, beta2, eps, weight_decay, step. Every thread computes the bias corrections, though they
// are the same for all: to compute them once would take a kernel before this one.
__device__ __forceinline__ void adam_update(
    const BlockTask& task, const double* settings, double p_scale_, double l2_) {
  real *p = task.row.p, *m = task.row.state1, *v = task.row.state2;
  real* largest = task.row.state3;
  const real* g = task.row.g;
  const double steps = settings[5];
  const real step_size = settings[0] / (1 - pow(settings[1], steps));
  const real v_correction = 1 / sqrt(1 - pow(settings[2], steps));
  const real one_minus_beta1 = 1 - settings[1];
  const real beta2 = settings[2], one_minus_beta2 = 1 - settings[2];
  const real eps = settings[3], p_scale = p_scale_, l2 = l2_;
  for (index_t i = task.start + threadIdx.x; i < task.stop; i += blockDim.x) {
    const real p_i = p[i];
    real g_i = g[i], m_i = m[i], v_i = v[i];
    if (l2 != 0) g_i += l2 * p_i;
    m[i] = m_i += one_minus_beta1 * (g_i - m_i);
    v[i] = v_i = beta2 * v_i + one_minus_beta2 * g_i * g_i;
    if (largest != nullptr) v_i = largest[i] = max(largest[i], v_i);
    p[i] = p_scale * p_i - step_size * m_i / (sqrt(v_i) * v_correction + eps);
  }
}

// `optim.Adam.formula`: weight decay as an L2 term of the gradient.
KERNEL adam(const index_t* table, index_t rows, index_t elements, const double* settings) {
  adam_update(task_of_block(table, rows, elements), settings, 1, settings[4]);
}

// `optim.AdamW.formula`: p is scaled by 1 - lr * weight_decay, the gradient stays as it is.
KERNEL adamw(const index_t* table, index_t rows, index_t elements, const double* settings) {
  adam_update(task_of_block(table, rows, elements), settings, 1 - settings[0] * settings[4], 0);
}
