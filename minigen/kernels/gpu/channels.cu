// Batch normalization over the channels of x (N, C, S). A block takes a channel. Where channels are
// long and few, a block takes a chunk of a channel instead, and a second launch merges the chunks.

#include "common.cuh"

// Sizes of a batch. A channel has `size` = N * S values, cut into `chunks` chunks of `chunk_size`.
struct Sizes {
  index_t C, S, size, chunk_size, chunks;
};

// The chunk of a block, and which of its values a thread takes: first, first + blockDim.x, ...
// below `last`, as numbers of values within the channel.
struct Chunk {
  index_t channel, number, first, last;
};

// The chunk of this block.
__device__ __forceinline__ Chunk chunk_of_block(Sizes z) {
  index_t number = blockIdx.x % z.chunks, start = number * z.chunk_size;
  return {blockIdx.x / z.chunks, number, start + threadIdx.x, min(start + z.chunk_size, z.size)};
}

// The index in x (N, C, S) of value number e of a channel.
__device__ __forceinline__ index_t index_of(index_t e, index_t channel, Sizes z) {
  return (e / z.S * z.C + channel) * z.S + e % z.S;
}

// The mean of some values and the sum of their squared distances to it.
struct Moments {
  real mean, squares;
};

// The moments of a chunk of x.
__device__ Moments moments_of(const real* x, Chunk k, Sizes z) {
  index_t n = k.last - (k.first - threadIdx.x);
  double sum = 0, squares = 0;
  for (index_t e = k.first; e < k.last; e += blockDim.x) sum += x[index_of(e, k.channel, z)];
  real mean = block_sum(sum) / n;
  sum = 0;  // of the distances to mean, which is rounded: see `reference.sums.deviations`
  for (index_t e = k.first; e < k.last; e += blockDim.x) {
    real distance = x[index_of(e, k.channel, z)] - mean;
    sum += distance;
    squares += distance * distance;
  }
  real shift = block_sum(sum) / n;
  return {mean + shift, block_sum(squares) - shift * shift * n};
}

// The moments of a channel from those of its chunks, (mean, squares) in chunk_moments (chunks, 2),
// as in Chan, Golub and LeVeque 1979.
__device__ Moments merged_moments(const real* chunk_moments, Sizes z) {
  real sum = 0, squares = 0;
  for (index_t i = threadIdx.x; i < z.chunks; i += blockDim.x)
    sum += chunk_moments[2 * i] * min(z.chunk_size, z.size - i * z.chunk_size);
  real mean = block_sum(sum) / z.size;
  for (index_t i = threadIdx.x; i < z.chunks; i += blockDim.x) {
    real distance = chunk_moments[2 * i] - mean;
    squares += chunk_moments[2 * i + 1] +
               distance * distance * min(z.chunk_size, z.size - i * z.chunk_size);
  }
  return {mean, block_sum(squares)};
}

// The moments of each chunk of x (N, C, S): chunk_moments (C, chunks, 2).
KERNEL moments(const real* x, real* chunk_moments, BY_VALUE Sizes z) {
  Moments m = moments_of(x, chunk_of_block(z), z);
  if (threadIdx.x) return;
  chunk_moments[2 * blockIdx.x] = m.mean;
  chunk_moments[2 * blockIdx.x + 1] = m.squares;
}

// `reference.batch_norm`: y (N, C, S), mean, variance and rstd (C) of x (N, C, S). weight and bias
// (C) may be null. chunk_moments: the result of `moments`, or null where a channel is one chunk.
KERNEL batch_norm(const real* x, const real* weight, const real* bias, const real* chunk_moments,
                  real* y, real* mean, real* variance, real* rstd, double eps, BY_VALUE Sizes z) {
  Chunk k = chunk_of_block(z);
  Moments m = chunk_moments ? merged_moments(chunk_moments + 2 * k.channel * z.chunks, z)
                            : moments_of(x, k, z);
  real var = m.squares / z.size, r = 1 / sqrt(var + (real)eps);
  real scale = weight ? r * weight[k.channel] : r, shift = bias ? bias[k.channel] : 0;
  for (index_t e = k.first; e < k.last; e += blockDim.x) {
    index_t i = index_of(e, k.channel, z);
    y[i] = (x[i] - m.mean) * scale + shift;
  }
  if (threadIdx.x || k.number) return;
  mean[k.channel] = m.mean;
  variance[k.channel] = var;
  rstd[k.channel] = r;
}

// Sums over values of a channel: the cotangents of its weight and bias.
struct Sums {
  real g_x_hat, g;  // of g * x_hat, where x_hat = (x - mean) * rstd, and of g
};

// The sums of a chunk.
__device__ Sums sums_of(const real* g, const real* x, real mean, real rstd, Chunk k, Sizes z) {
  double thread_g_x_hat = 0, thread_g = 0;
  for (index_t e = k.first; e < k.last; e += blockDim.x) {
    index_t i = index_of(e, k.channel, z);
    thread_g_x_hat += g[i] * ((x[i] - mean) * rstd);
    thread_g += g[i];
  }
  real sum_g_x_hat = block_sum(thread_g_x_hat);
  return {sum_g_x_hat, block_sum(thread_g)};
}

// The sums of a channel from those of its chunks, chunk_sums (chunks, 2).
__device__ Sums merged_sums(const real* chunk_sums, index_t chunks) {
  real sum_g_x_hat = 0, sum_g = 0;
  for (index_t i = threadIdx.x; i < chunks; i += blockDim.x) {
    sum_g_x_hat += chunk_sums[2 * i];
    sum_g += chunk_sums[2 * i + 1];
  }
  sum_g_x_hat = block_sum(sum_g_x_hat);
  return {sum_g_x_hat, block_sum(sum_g)};
}

// The sums of each chunk of g and x (N, C, S), for mean and rstd (C): chunk_sums (C, chunks, 2).
KERNEL sums(const real* g, const real* x, const real* mean, const real* rstd, real* chunk_sums,
            BY_VALUE Sizes z) {
  Chunk k = chunk_of_block(z);
  Sums s = sums_of(g, x, mean[k.channel], rstd[k.channel], k, z);
  if (threadIdx.x) return;
  chunk_sums[2 * blockIdx.x] = s.g_x_hat;
  chunk_sums[2 * blockIdx.x + 1] = s.g;
}

// `reference.batch_norm_vjp`: gw = sum(g * x_hat), gb = sum(g) and
// gx = (g - gb / size - x_hat * gw / size) * rstd * weight over each channel.
// chunk_sums: the result of `sums`, or null where a channel is one chunk.
KERNEL batch_norm_vjp(const real* g, const real* x, const real* weight, const real* mean,
                      const real* rstd, const real* chunk_sums, real* gx, real* gw, real* gb,
                      BY_VALUE Sizes z) {
  Chunk k = chunk_of_block(z);
  real mu = mean[k.channel], r = rstd[k.channel], scale = weight ? r * weight[k.channel] : r;
  Sums s = chunk_sums ? merged_sums(chunk_sums + 2 * k.channel * z.chunks, z.chunks)
                      : sums_of(g, x, mu, r, k, z);
  real mean_g_x_hat = s.g_x_hat / z.size, mean_g = s.g / z.size;
  for (index_t e = k.first; e < k.last; e += blockDim.x) {
    index_t i = index_of(e, k.channel, z);
    gx[i] = (g[i] - mean_g - (x[i] - mu) * r * mean_g_x_hat) * scale;
  }
  if (threadIdx.x || k.number) return;
  gw[k.channel] = s.g_x_hat;
  gb[k.channel] = s.g;
}
