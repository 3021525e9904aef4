// Layer normalization of rows, sums over rows, and additions to rows of a matrix (rows, n).

#include "common.cuh"

// `reference.layer_norm`: y = (x - mean) * rstd * weight + bias for each row of x (rows, n).
// weight and bias (n) may be null. Writes y (rows, n), mean and rstd (rows).
KERNEL layer_norm(const real* x, const real* weight, const real* bias, real* y, real* mean,
                  real* rstd, double eps, index_t rows, index_t n, index_t inner,
                  index_t lanes) {
  Slice s = slice_of_thread(rows, n, inner, lanes);
  index_t size = n ? n : 1;
  double sum = 0, squares = 0;
  for (index_t i = s.first; i < s.last; i += s.stride) sum += x[i];
  real mu = group_sum(sum, lanes) / size;
  sum = 0;  // of the deviations from mu, which is rounded: see `reference.sums.deviations`
  for (index_t i = s.first; i < s.last; i += s.stride) {
    real deviation = x[i] - mu;
    sum += deviation;
    squares += deviation * deviation;
  }
  real shift = group_sum(sum, lanes) / size;
  real variance = group_sum(squares, lanes) / size - shift * shift;
  real r = 1 / sqrt(variance + (real)eps);
  for (index_t i = s.first; i < s.last; i += s.stride) {
    real x_hat = (x[i] - mu - shift) * r;
    if (weight) x_hat *= weight[i - s.start];
    y[i] = bias ? x_hat + bias[i - s.start] : x_hat;
  }
  if (s.lane || s.number >= rows) return;
  mean[s.number] = mu + shift;
  rstd[s.number] = r;
}

// The cotangent of x in `reference.layer_norm_vjp`, for g (rows, n). With x_hat = (x - mean) * rstd
// and gh = g * weight: gx = (gh - mean(gh) - x_hat * mean(gh * x_hat)) * rstd for each row.
KERNEL layer_norm_vjp(const real* g, const real* x, const real* weight, const real* mean,
                      const real* rstd, real* gx, index_t rows, index_t n, index_t inner,
                      index_t lanes) {
  Slice s = slice_of_thread(rows, n, inner, lanes);
  index_t row = s.number < rows ? s.number : 0;
  real mu = mean[row], r = rstd[row];
  double gh_sum = 0, gh_x_hat_sum = 0;
  for (index_t i = s.first; i < s.last; i += s.stride) {
    real gh = weight ? g[i] * weight[i - s.start] : g[i];
    gh_sum += gh;
    gh_x_hat_sum += gh * ((x[i] - mu) * r);
  }
  real mean_gh = group_sum(gh_sum, lanes) / n, mean_gh_x_hat = group_sum(gh_x_hat_sum, lanes) / n;
  for (index_t i = s.first; i < s.last; i += s.stride) {
    real gh = weight ? g[i] * weight[i - s.start] : g[i];
    gx[i] = (gh - mean_gh - (x[i] - mu) * r * mean_gh_x_hat) * r;
  }
}

// What a thread adds in a sum over rows. The matrix is cut into chunks of rows and strips of
// `width` columns, a power of two, and each block sums a strip of a chunk. A thread adds rows
// first, first + stride, ... below `last` of one column, so a warp reads adjacent columns.
struct ColumnTask {
  index_t chunk, first, stride, last, column;
};

// The task of this thread, for chunks of `chunk_rows` rows.
__device__ __forceinline__ ColumnTask column_task(index_t rows, index_t n, index_t chunk_rows,
                                                  index_t width) {
  index_t strips = (n + width - 1) / width, chunk = blockIdx.x / strips;
  index_t column = blockIdx.x % strips * width + threadIdx.x % width;
  index_t last = column < n ? min((chunk + 1) * chunk_rows, rows) : 0;
  return {chunk, chunk * chunk_rows + threadIdx.x / width, blockDim.x / width, last, column};
}

// The sum of x over the threads of a column. Only the first `width` threads of the block get it.
// The block has a power of two of threads, 512 at most.
__device__ __forceinline__ real column_sum(real x, index_t width) {
  __shared__ real sums[512];
  __syncthreads();  // threads may still read the sums of the call before
  sums[threadIdx.x] = x;
  for (int half = blockDim.x / 2; half >= width; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  return sums[threadIdx.x];
}

// The sum over the rows of each chunk: y (chunks, n) of x (rows, n).
KERNEL sum_rows(const real* x, real* y, index_t rows, index_t n, index_t chunk_rows,
                index_t width) {
  ColumnTask t = column_task(rows, n, chunk_rows, width);
  double thread_sum = 0;
  for (index_t i = t.first; i < t.last; i += t.stride) thread_sum += x[i * n + t.column];
  real sum = column_sum(thread_sum, width);
  if (threadIdx.x < width && t.column < n) y[t.chunk * n + t.column] = sum;
}

// The cotangents of weight and bias in `reference.layer_norm_vjp`, summed over the rows of each
// chunk: gw and gb (chunks, n) of g and x (rows, n), mean and rstd (rows).
KERNEL layer_norm_weight(const real* g, const real* x, const real* mean, const real* rstd,
                         real* gw, real* gb, index_t rows, index_t n, index_t chunk_rows,
                         index_t width) {
  ColumnTask t = column_task(rows, n, chunk_rows, width);
  double weight_sum = 0, bias_sum = 0;
  for (index_t i = t.first; i < t.last; i += t.stride) {
    real cotangent = g[i * n + t.column];
    weight_sum += cotangent * ((x[i * n + t.column] - mean[i]) * rstd[i]);
    bias_sum += cotangent;
  }
  weight_sum = column_sum(weight_sum, width);
  bias_sum = column_sum(bias_sum, width);
  if (threadIdx.x < width && t.column < n) {
    gw[t.chunk * n + t.column] = weight_sum;
    gb[t.chunk * n + t.column] = bias_sum;
  }
}

// `reference.scatter_rows`: out[index[i]] += updates[i], for i in order; out (rows, n), index and
// order (length), updates (length, n). `order` sorts index stably, so that equal indices are
// adjacent. A thread for each position in `order` and each column: the thread of the first of a
// run of equal indices adds the whole run, the others return. items = length * n.
KERNEL scatter_rows(real* out, const index_t* index, const index_t* order, const real* updates,
                    index_t rows, index_t n, index_t length, index_t items) {
  if (thread_index() >= items) return;
  index_t first = thread_index() / n, column = thread_index() % n, row = index[order[first]];
  if (row < 0 || row >= rows || (first && index[order[first - 1]] == row)) return;
  // The end of the run, by doubling and then bisection. A loop that compared an index before each
  // addition would wait for that read each time; a loop with a known end prefetches updates.
  index_t step = 1;
  while (first + step < length && index[order[first + step]] == row) step *= 2;
  index_t last = first + step / 2 + 1, upper = min(first + step, length);
  while (last < upper) {
    index_t middle = (last + upper) / 2;
    if (index[order[middle]] == row) last = middle + 1;
    else upper = middle;
  }
  double sum = out[row * n + column];
  for (index_t i = first; i < last; i++) sum += updates[order[i] * n + column];
  out[row * n + column] = sum;
}
