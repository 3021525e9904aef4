// CUDA C++ on one thread of a CPU, for tests. Each thread of a block is a fiber, which runs until
// it reaches a barrier. The launch fails if the threads of a block wait at different barriers,
// where a GPU would hang or compute nonsense.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#define __global__
#define __device__ static
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static

struct uint3 { unsigned x, y, z; };
typedef uint3 dim3;
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

using std::abs; using std::exp; using std::expm1; using std::fabs; using std::fma; using std::log;
using std::log1p; using std::pow; using std::sqrt; using std::tanh; using std::erf; using std::cos;
using std::isnan; using std::isinf; using std::isfinite; using std::floor; using std::fmax;
using std::fmin;
inline float rsqrt(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline float max(float a, float b) { return fmaxf(a, b); }
inline float min(float a, float b) { return fminf(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t(a) * b) >> 32; }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int atomicOr(int* x, int value) { int old = *x; *x |= value; return old; }
inline int atomicMax(int* x, int value) {
  int old = *x;
  *x = old > value ? old : value;
  return old;
}

enum State { RUNNING, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };
struct Fiber { void* stack_pointer; std::vector<char> stack; State state; };
static std::vector<Fiber> fibers;
static void* scheduler;                      // the stack pointer of the scheduler
static unsigned current;                     // the number of the running fiber in its block
static const std::function<void()>* kernel;  // what each fiber runs
static uint64_t slots[1024];                 // values that the threads of a warp exchange

// Saves the callee-saved registers and the stack pointer in *from, and continues on the stack `to`.
// The C library's swapcontext does the same with two system calls, a hundred times slower.
extern "C" __attribute__((visibility("hidden"))) void switch_stacks(void** from, void* to);
asm(R"(
  .text
  .hidden switch_stacks
  .globl switch_stacks
switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

// Suspends the running fiber until the scheduler finds that all threads have reached the barrier.
static void wait_at(State barrier) {
  fibers[current].state = barrier;
  switch_stacks(&fibers[current].stack_pointer, scheduler);
}
inline void __syncthreads() { wait_at(AT_BLOCK_BARRIER); }
inline void __syncwarp(unsigned = ~0u) { wait_at(AT_WARP_BARRIER); }

// The value that thread `source` of the warp passes, as in CUDA's shuffles.
template <typename T> T exchanged(T value, unsigned source) {
  std::memcpy(&slots[current], &value, sizeof(T));
  __syncwarp();
  T found;
  std::memcpy(&found, &slots[current / 32 * 32 + source % 32], sizeof(T));
  __syncwarp();
  return found;
}
template <typename T> T __shfl_xor_sync(unsigned, T value, int lane) {
  return exchanged(value, (current % 32) ^ lane);
}
template <typename T> T __shfl_sync(unsigned, T value, int lane) { return exchanged(value, lane); }
template <typename T> T __shfl_down_sync(unsigned, T value, int lane) {
  unsigned source = current % 32 + lane;
  return exchanged(value, source < 32 ? source : current % 32);
}
template <typename T> unsigned __match_any_sync(unsigned, T value) {
  std::memcpy(&slots[current], &value, sizeof(T));
  __syncwarp();
  unsigned equal = 0;
  for (unsigned lane = 0; lane < 32; lane++)
    equal |= unsigned(!std::memcmp(&slots[current / 32 * 32 + lane], &value, sizeof(T))) << lane;
  __syncwarp();
  return equal;
}

// The first function on the stack of a fiber.
static void run_fiber() {
  (*kernel)();
  fibers[current].state = DONE;
  switch_stacks(&fibers[current].stack_pointer, scheduler);
}

// Makes thread t of the block the running one.
static void set_thread(unsigned t) {
  current = t;
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
}

// Runs the fibers of one block to their end; false if threads wait at different barriers.
static bool run_block(unsigned threads) {
  for (unsigned t = 0; t < threads; t++) {
    Fiber& fiber = fibers[t];
    fiber.stack.resize(32768);
    uintptr_t top = (uintptr_t)(fiber.stack.data() + fiber.stack.size()) & ~(uintptr_t)15;
    void** frame = (void**)top - 8;  // 6 registers, run_fiber, null return address
    std::memset(frame, 0, 8 * sizeof(void*));
    frame[6] = (void*)run_fiber;
    fiber.stack_pointer = frame;
    fiber.state = RUNNING;
  }
  for (;;) {
    unsigned done = 0, at_block = 0, released = 0;
    for (unsigned first = 0; first < threads; first += 32) {
      unsigned end = first + 32 < threads ? first + 32 : threads, at_warp = 0;
      for (unsigned t = first; t < end; t++) {
        if (fibers[t].state == RUNNING) {
          set_thread(t);
          switch_stacks(&scheduler, fibers[t].stack_pointer);
        }
        done += fibers[t].state == DONE;
        at_block += fibers[t].state == AT_BLOCK_BARRIER;
        at_warp += fibers[t].state == AT_WARP_BARRIER;
      }
      if (at_warp == end - first) {
        for (unsigned t = first; t < end; t++) fibers[t].state = RUNNING;
        released += at_warp;
      }
    }
    if (done == threads) return true;
    if (at_block == threads) {
      for (auto& fiber : fibers) fiber.state = RUNNING;
    } else if (!released) {
      return false;
    }
  }
}

// Runs a launch; 1 if threads wait at different barriers. waits: whether the kernel has barriers;
// if not, its threads run one after another, without fibers.
static int run_grid(const unsigned* grid, const unsigned* block, bool waits,
                    const std::function<void()>& body) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  kernel = &body;
  unsigned threads = block[0] * block[1] * block[2];
  if (waits) fibers.resize(threads);
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        if (waits) {
          if (!run_block(threads)) return 1;
        } else {
          for (unsigned t = 0; t < threads; t++) {
            set_thread(t);
            body();
          }
        }
      }
  return 0;
}
