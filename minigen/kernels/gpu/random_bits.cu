// Random numbers by Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
// 1, 2, 3"). Word w of the stream of a 64-bit seed is word w % 4 of the Philox block with counter
// w / 4 and key seed = (k0, k1), 32 bits each. A block of threads computes 1024 words in shared
// memory and then converts and writes them, adjacent threads to adjacent addresses.
// The first word is number start + *offset of the stream; offset may be null, for 0. It is read
// from memory because the arguments of a captured CUDA graph are the same at each replay.

#include "common.cuh"

#define WORDS 1024  // of a block of threads: one Philox block of 4 words for each of 256 threads

// The 4 words of one Philox block. The constants are those of reference/random_bits.py.
__device__ __forceinline__ void philox_block(unsigned* words, index_t counter, unsigned k0,
                                             unsigned k1) {
  const unsigned m0 = 0xD2511F53, m1 = 0xCD9E8D57;
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = 0, c3 = 0;
  for (int round = 0; round < 10; round++) {
    unsigned low0 = m0 * c0, low1 = m1 * c2;
    unsigned high0 = __umulhi(m0, c0), high1 = __umulhi(m1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

// Fills `buffer` (WORDS + 4) with the words of this block of threads, and returns a pointer to the
// first. If the first word is inside a Philox block, one Philox block more is computed.
__device__ __forceinline__ const unsigned* philox_words(unsigned* buffer, index_t k0, index_t k1,
                                                        index_t start, const index_t* offset) {
  unsigned long long first = start + (offset ? *offset : 0);  // modulo 2^64, unsigned
  int skip = first % 4;
  index_t counter = first / 4 + (index_t)blockIdx.x * (WORDS / 4);
  for (int b = threadIdx.x; 4 * b < WORDS + skip; b += blockDim.x)
    philox_block(buffer + 4 * b, counter + b, (unsigned)k0, (unsigned)k1);
  __syncthreads();
  return buffer + skip;
}

// A number in [0, 1): the high 24 bits of one word, or the high 53 bits of two, low half first.
__device__ __forceinline__ real unit_uniform(const unsigned* words) {
  if (sizeof(real) == 4) return (words[0] >> 8) * real(0x1p-24);
  return ((unsigned long long)words[1] << 21 | words[0] >> 11) * real(0x1p-53);
}

// `reference.philox`: out (n) holds the words themselves.
KERNEL philox(unsigned* out, index_t k0, index_t k1, index_t start, const index_t* offset,
              index_t n) {
  __shared__ unsigned buffer[WORDS + 4];
  const unsigned* words = philox_words(buffer, k0, k1, start, offset);
  index_t first = (index_t)blockIdx.x * WORDS;
  for (int j = threadIdx.x; j < WORDS && first + j < n; j += blockDim.x)
    out[first + j] = words[j];
}

// `reference.uniform`: out (n) holds numbers uniform in [0, 1).
KERNEL uniform(real* out, index_t k0, index_t k1, index_t start, const index_t* offset,
               index_t n) {
  __shared__ unsigned buffer[WORDS + 4];
  const unsigned* words = philox_words(buffer, k0, k1, start, offset);
  const int words_per_item = sizeof(real) / 4, items = WORDS / words_per_item;
  index_t first = (index_t)blockIdx.x * items;
  for (int j = threadIdx.x; j < items && first + j < n; j += blockDim.x)
    out[first + j] = unit_uniform(words + words_per_item * j);
}

// `reference.bernoulli`: out (n) holds whether a number uniform in [0, 1) is below p.
KERNEL bernoulli(bool* out, double p, index_t k0, index_t k1, index_t start,
                 const index_t* offset, index_t n) {
  __shared__ unsigned buffer[WORDS + 4];
  const unsigned* words = philox_words(buffer, k0, k1, start, offset);
  index_t first = (index_t)blockIdx.x * WORDS;
  for (int j = threadIdx.x; j < WORDS && first + j < n; j += blockDim.x)
    out[first + j] = unit_uniform(words + j) < real(p);  // real is float
}
