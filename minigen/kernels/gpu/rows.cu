// Work on the rows of a matrix (rows, n): what normalises them, sums them, adds to them.

KERNEL layer_norm(const real* x, const real* weight, const real* bias, real* y, real* mean,
                  real* rstd, double eps, count rows, count n, count inner, count lanes) {
  Slice s = slice_of(rows, n, inner, lanes);
  count size = n ? n : 1;
  real mu = 0, variance = 0;
  for (count i = s.first; i < s.last; i += s.step) mu += x[i];
  mu = group_sum(mu, lanes) / size;
  for (count i = s.first; i < s.last; i += s.step) variance += (x[i] - mu) * (x[i] - mu);
  variance = group_sum(variance, lanes) / size;
  real r = 1 / sqrt(variance + (real)eps);
  for (count i = s.first; i < s.last; i += s.step) {
    real hat = (x[i] - mu) * r;
    if (weight) hat *= weight[i - s.start];
    y[i] = bias ? hat + bias[i - s.start] : hat;
  }
  if (s.lane || s.number >= rows) return;
  mean[s.number] = mu;
  rstd[s.number] = r;
}

KERNEL layer_norm_vjp(const real* g, const real* x, const real* weight, const real* mean,
                      const real* rstd, real* gx, count rows, count n, count inner,
                      count lanes) {
  Slice s = slice_of(rows, n, inner, lanes);
  count row = s.number < rows ? s.number : 0;
  real mu = mean[row], r = rstd[row], level = 0, along = 0;
  for (count i = s.first; i < s.last; i += s.step) {
    real gh = weight ? g[i] * weight[i - s.start] : g[i];
    level += gh;
    along += gh * ((x[i] - mu) * r);
  }
  level = group_sum(level, lanes) / n;
  along = group_sum(along, lanes) / n;
  for (count i = s.first; i < s.last; i += s.step) {
    real gh = weight ? g[i] * weight[i - s.start] : g[i];
    gx[i] = (gh - level - (x[i] - mu) * r * along) * r;
  }
}

// Sums over rows: a block takes `chunk` rows and `width` columns, a power of two, each of its
// threads one column of every so many rows. Neighbours read neighbours.
struct Tile {
  count part, first, step, last, column;
};

__device__ __forceinline__ Tile tile_of(count rows, count n, count chunk, count width) {
  count tiles = (n + width - 1) / width, part = blockIdx.x / tiles;
  count column = blockIdx.x % tiles * width + threadIdx.x % width;
  count last = column < n ? min((part + 1) * chunk, rows) : 0;
  return {part, part * chunk + threadIdx.x / width, blockDim.x / width, last, column};
}

// The sum over the threads of each column, for the first `width` threads; the block is a power
// of two, 512 at most.
__device__ __forceinline__ real column_sum(real x, count width) {
  __shared__ real parts[512];
  __syncthreads();  // the parts of a sum before may still be read
  parts[threadIdx.x] = x;
  for (int half = blockDim.x / 2; half >= width; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
  }
  return parts[threadIdx.x];
}

KERNEL sum_rows(const real* x, real* y, count rows, count n, count chunk, count width) {
  Tile t = tile_of(rows, n, chunk, width);
  real sum = 0;
  for (count i = t.first; i < t.last; i += t.step) sum += x[i * n + t.column];
  sum = column_sum(sum, width);
  if (threadIdx.x < width && t.column < n) y[t.part * n + t.column] = sum;
}

KERNEL layer_norm_weight(const real* g, const real* x, const real* mean, const real* rstd,
                         real* gw, real* gb, count rows, count n, count chunk, count width) {
  Tile t = tile_of(rows, n, chunk, width);
  real along = 0, level = 0;
  for (count i = t.first; i < t.last; i += t.step) {
    real cotangent = g[i * n + t.column];
    along += cotangent * ((x[i * n + t.column] - mean[i]) * rstd[i]);
    level += cotangent;
  }
  along = column_sum(along, width);
  level = column_sum(level, width);
  if (threadIdx.x < width && t.column < n) {
    gw[t.part * n + t.column] = along;
    gb[t.part * n + t.column] = level;
  }
}

// out[index[i]] += updates[i], in order. `order` sorts the index and keeps equals in order. A
// thread for each place in it and each column: that of the first of equals adds all of them.
KERNEL scatter_rows(real* out, const count* index, const count* order, const real* updates,
                    count rows, count n, count places, count items) {
  if (item() >= items) return;
  count first = item() / n, column = item() % n, row = index[order[first]];
  if (row < 0 || row >= rows || (first && index[order[first - 1]] == row)) return;
  count step = 1;  // their end by doubling and halving: of a loop to it updates are read ahead
  while (first + step < places && index[order[first + step]] == row) step *= 2;
  count last = first + step / 2 + 1, beyond = min(first + step, places);
  while (last < beyond) {
    count middle = (last + beyond) / 2;
    if (index[order[middle]] == row) last = middle + 1;
    else beyond = middle;
  }
  real sum = out[row * n + column];
  for (count i = first; i < last; i++) sum += updates[order[i] * n + column];
  out[row * n + column] = sum;
}
