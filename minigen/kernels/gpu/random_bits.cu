// Random bits: a block of threads makes 1024 words of the stream in shared memory, four a thread
// (a block of Philox), and writes what becomes of them side by side. The stream begins at the
// word `start`, and in a replayed graph `*further` words on; k0 and k1 are the halves of the seed.

#define WORDS 1024  // four for each of 256 threads

// Philox 4x32-10; the constants are those of reference/bits.py.
__device__ __forceinline__ void philox_block(unsigned* words, count block, unsigned k0,
                                             unsigned k1) {
  const unsigned m0 = 0xD2511F53, m1 = 0xCD9E8D57;
  unsigned c0 = (unsigned)block, c1 = (unsigned)(block >> 32), c2 = 0, c3 = 0;
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

// This block's words, those of one block of Philox more where they begin inside one.
// Returns the first of them.
__device__ __forceinline__ const unsigned* make_words(unsigned* words, count k0, count k1,
                                                      count start, const count* further) {
  unsigned long long place = start + (further ? *further : 0);  // a count of 64 bits, no sign
  int skip = place % 4;
  count block = place / 4 + (count)blockIdx.x * (WORDS / 4);
  for (int b = threadIdx.x; 4 * b < WORDS + skip; b += blockDim.x)
    philox_block(words + 4 * b, block + b, (unsigned)k0, (unsigned)k1);
  __syncthreads();
  return words + skip;
}

// In [0, 1): the 24 high bits of a word, or the 53 of two, the low half first.
__device__ __forceinline__ real number(const unsigned* words) {
  if (sizeof(real) == 4) return (words[0] >> 8) * real(0x1p-24);
  return ((unsigned long long)words[1] << 21 | words[0] >> 11) * real(0x1p-53);
}

KERNEL philox(unsigned* out, count k0, count k1, count start, const count* further, count n) {
  __shared__ unsigned made[WORDS + 4];
  const unsigned* words = make_words(made, k0, k1, start, further);
  count first = (count)blockIdx.x * WORDS;
  for (int j = threadIdx.x; j < WORDS && first + j < n; j += blockDim.x)
    out[first + j] = words[j];
}

KERNEL uniform(real* out, count k0, count k1, count start, const count* further, count n) {
  __shared__ unsigned made[WORDS + 4];
  const unsigned* words = make_words(made, k0, k1, start, further);
  const int each = sizeof(real) / 4, numbers = WORDS / each;
  count first = (count)blockIdx.x * numbers;
  for (int j = threadIdx.x; j < numbers && first + j < n; j += blockDim.x)
    out[first + j] = number(words + each * j);
}

KERNEL bernoulli(bool* out, double p, count k0, count k1, count start, const count* further,
                 count n) {
  __shared__ unsigned made[WORDS + 4];
  const unsigned* words = make_words(made, k0, k1, start, further);
  count first = (count)blockIdx.x * WORDS;
  for (int j = threadIdx.x; j < WORDS && first + j < n; j += blockDim.x)
    out[first + j] = number(words + j) < real(p);  // real is float
}
