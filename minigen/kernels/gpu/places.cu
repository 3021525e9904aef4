// Values at places of rows, and the sums of values at places.

KERNEL take_in_rows(const real* x, const int* index, real* y, count size, count places,
                    count items) {
  count t = item();
  if (t < items) y[t] = x[t / places * size + index[t]];
}

// A block takes a row, and of its places as many at a time as it has threads. Places may be equal:
// of the threads that wait for a slot, which place and slot have in common, the first one adds
// and leaves, then the next: so the values of a place are added in order, without sorting and
// without sums by atomics. Windows side by side have no equal places, and slots are so many that
// then one round does; windows that overlap take as many rounds as share a maximum.
KERNEL add_in_rows(const real* g, const int* index, real* x, count size, count places) {
  const int SLOTS = 2048;
  __shared__ int foremost[SLOTS], waiting;  // of each slot: 0, or the highest rank that waits
  int rank = blockDim.x - threadIdx.x;
  g += blockIdx.x * places;
  index += blockIdx.x * places;
  x += blockIdx.x * size;
  for (int slot = threadIdx.x; slot < SLOTS; slot += blockDim.x) foremost[slot] = 0;
  for (count s = threadIdx.x; s < size; s += blockDim.x) x[s] = 0;
  for (count p = threadIdx.x; p - threadIdx.x < places; p += blockDim.x) {
    bool mine = p < places, more;
    int place = mine ? index[p] : 0, slot = place % SLOTS;
    real value = mine ? g[p] : 0;
    do {
      __syncthreads();  // slots are free again, and `waiting` was read
      if (mine) atomicMax(&foremost[slot], rank);
      if (threadIdx.x == 0) waiting = 0;
      __syncthreads();
      bool first = mine && foremost[slot] == rank;
      if (mine && !first) waiting = 1;
      __syncthreads();
      if (first) {
        x[place] += value;
        foremost[slot] = 0;
        mine = false;
      }
      more = waiting;
    } while (more);
  }
}
