// CUDA C++ on one thread of a CPU, for tests: every thread of a block is a fiber that runs until
// it has to wait for others. It stops the program's launch, with a sentence, where threads of a
// block wait for different things, as a GPU would hang there or go wrong.
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
inline int atomicOr(int* place, int value) { int old = *place; *place |= value; return old; }
inline int atomicMax(int* place, int value) {
  int old = *place;
  *place = old > value ? old : value;
  return old;
}

enum State { RUNNING, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };
struct Fiber { void* stack_pointer; std::vector<char> stack; State state; };
static std::vector<Fiber> fibers;
static void* scheduler;  // its stack pointer
static unsigned current;
static const std::function<void()>* kernel;
static uint64_t slots[1024];

// Keeps the registers that a call must keep on the stack, and goes on on another stack. The C
// library's swapcontext does the same with two calls of the system, a hundred times slower.
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

static void wait_at(State barrier) {
  fibers[current].state = barrier;
  switch_stacks(&fibers[current].stack_pointer, scheduler);
}
inline void __syncthreads() { wait_at(AT_BLOCK_BARRIER); }
inline void __syncwarp(unsigned = ~0u) { wait_at(AT_WARP_BARRIER); }

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
  unsigned alike = 0;
  for (unsigned lane = 0; lane < 32; lane++)
    alike |= unsigned(!std::memcmp(&slots[current / 32 * 32 + lane], &value, sizeof(T))) << lane;
  __syncwarp();
  return alike;
}

static void one_fiber() {
  (*kernel)();
  fibers[current].state = DONE;
  switch_stacks(&fibers[current].stack_pointer, scheduler);
}

static void place_thread(unsigned t) {
  current = t;
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
}

// The fibers of one block, to their end; whether all of them always waited for the same.
static bool run_block(unsigned count) {
  for (unsigned t = 0; t < count; t++) {
    Fiber& fiber = fibers[t];
    fiber.stack.resize(32768);
    uintptr_t top = (uintptr_t)(fiber.stack.data() + fiber.stack.size()) & ~(uintptr_t)15;
    void** frame = (void**)top - 8;  // six registers, where to begin, and nowhere to return to
    std::memset(frame, 0, 8 * sizeof(void*));
    frame[6] = (void*)one_fiber;
    fiber.stack_pointer = frame;
    fiber.state = RUNNING;
  }
  for (;;) {
    unsigned done = 0, at_block = 0, released = 0;
    for (unsigned first = 0; first < count; first += 32) {
      unsigned end = first + 32 < count ? first + 32 : count, at_warp = 0;
      for (unsigned t = first; t < end; t++) {
        if (fibers[t].state == RUNNING) {
          place_thread(t);
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
    if (done == count) return true;
    if (at_block == count) {
      for (auto& fiber : fibers) fiber.state = RUNNING;
    } else if (!released) {
      return false;
    }
  }
}

// One launch. waits: whether the kernel has barriers; without any no thread needs a fiber.
static int run_grid(const unsigned* grid, const unsigned* block, bool waits,
                    const std::function<void()>& body) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  kernel = &body;
  unsigned count = block[0] * block[1] * block[2];
  if (waits) fibers.resize(count);
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        if (waits) {
          if (!run_block(count)) return 1;
        } else {
          for (unsigned t = 0; t < count; t++) {
            place_thread(t);
            body();
          }
        }
      }
  return 0;
}
