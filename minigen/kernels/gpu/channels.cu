// Batch normalization of x (N, C, S): a block takes a channel, or a chunk of one where channels are
// long and few. `size` = N * S is the number of a channel's values.

struct Chunk {
  count channel, number, first, last;  // of its values, which begin at first for this thread
};

__device__ __forceinline__ Chunk chunk_of(count size, count chunk, count chunks) {
  count number = blockIdx.x % chunks, start = number * chunk;
  return {blockIdx.x / chunks, number, start + threadIdx.x, min(start + chunk, size)};
}

// Where the value e of a channel lies.
__device__ __forceinline__ count place(count e, count channel, count C, count S) {
  return (e / S * C + channel) * S + e % S;
}

struct Moments {
  real mean, squares;  // squares: the sum of those of the distances to the mean
};

__device__ Moments moments_of(const real* x, Chunk k, count C, count S) {
  count n = k.last - (k.first - threadIdx.x);
  real sum = 0, squares = 0;
  for (count e = k.first; e < k.last; e += blockDim.x) sum += x[place(e, k.channel, C, S)];
  real mean = block_sum(sum) / n;
  for (count e = k.first; e < k.last; e += blockDim.x) {
    real centred = x[place(e, k.channel, C, S)] - mean;
    squares += centred * centred;
  }
  return {mean, block_sum(squares)};
}

// Those of a channel from those of its chunks (Chan, Golub and LeVeque 1979).
__device__ Moments merged(const real* parts, count size, count chunk, count chunks) {
  real sum = 0, squares = 0;
  for (count i = threadIdx.x; i < chunks; i += blockDim.x)
    sum += parts[2 * i] * min(chunk, size - i * chunk);
  real mean = block_sum(sum) / size;
  for (count i = threadIdx.x; i < chunks; i += blockDim.x) {
    real off = parts[2 * i] - mean;
    squares += parts[2 * i + 1] + off * off * min(chunk, size - i * chunk);
  }
  return {mean, block_sum(squares)};
}

KERNEL moments(const real* x, real* parts, count C, count S, count size, count chunk,
               count chunks) {
  Moments m = moments_of(x, chunk_of(size, chunk, chunks), C, S);
  if (threadIdx.x) return;
  parts[2 * blockIdx.x] = m.mean;
  parts[2 * blockIdx.x + 1] = m.squares;
}

// parts: what `moments` found of the chunks, or null where each channel is one.
KERNEL batch_norm(const real* x, const real* weight, const real* bias, const real* parts, real* y,
                  real* mean, real* variance, real* rstd, double eps, count C, count S,
                  count size, count chunk, count chunks) {
  Chunk k = chunk_of(size, chunk, chunks);
  Moments m = parts ? merged(parts + 2 * k.channel * chunks, size, chunk, chunks)
                    : moments_of(x, k, C, S);
  real spread = m.squares / size, r = 1 / sqrt(spread + (real)eps);
  real scale = weight ? r * weight[k.channel] : r, shift = bias ? bias[k.channel] : 0;
  for (count e = k.first; e < k.last; e += blockDim.x) {
    count i = place(e, k.channel, C, S);
    y[i] = (x[i] - m.mean) * scale + shift;
  }
  if (threadIdx.x || k.number) return;
  mean[k.channel] = m.mean;
  variance[k.channel] = spread;
  rstd[k.channel] = r;
}

struct Sums {
  real along, level;  // of g * hat and of g
};

__device__ Sums sums_of(const real* g, const real* x, real mean, real rstd, Chunk k, count C,
                        count S) {
  real along = 0, level = 0;
  for (count e = k.first; e < k.last; e += blockDim.x) {
    count i = place(e, k.channel, C, S);
    along += g[i] * ((x[i] - mean) * rstd);
    level += g[i];
  }
  along = block_sum(along);
  return {along, block_sum(level)};
}

__device__ Sums added(const real* parts, count chunks) {
  real along = 0, level = 0;
  for (count i = threadIdx.x; i < chunks; i += blockDim.x) {
    along += parts[2 * i];
    level += parts[2 * i + 1];
  }
  along = block_sum(along);
  return {along, block_sum(level)};
}

KERNEL sums(const real* g, const real* x, const real* mean, const real* rstd, real* parts,
            count C, count S, count size, count chunk, count chunks) {
  Chunk k = chunk_of(size, chunk, chunks);
  Sums s = sums_of(g, x, mean[k.channel], rstd[k.channel], k, C, S);
  if (threadIdx.x) return;
  parts[2 * blockIdx.x] = s.along;
  parts[2 * blockIdx.x + 1] = s.level;
}

// parts: what `sums` found of the chunks, or null where each channel is one.
KERNEL batch_norm_vjp(const real* g, const real* x, const real* weight, const real* mean,
                      const real* rstd, const real* parts, real* gx, real* gw, real* gb,
                      count C, count S, count size, count chunk, count chunks) {
  Chunk k = chunk_of(size, chunk, chunks);
  real mu = mean[k.channel], r = rstd[k.channel], scale = weight ? r * weight[k.channel] : r;
  Sums s = parts ? added(parts + 2 * k.channel * chunks, chunks) : sums_of(g, x, mu, r, k, C, S);
  real along = s.along / size, level = s.level / size;
  for (count e = k.first; e < k.last; e += blockDim.x) {
    count i = place(e, k.channel, C, S);
    gx[i] = (g[i] - level - (x[i] - mu) * r * along) * scale;
  }
  if (threadIdx.x || k.number) return;
  gw[k.channel] = s.along;
  gb[k.channel] = s.level;
}
