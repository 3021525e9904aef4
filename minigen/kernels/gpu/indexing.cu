// Values at places of rows, and the sums of values at places.

KERNEL take_along_rows(const real* x, const int* index, real* y, count size, count places,
                    count items) {
  count t = item();
  if (t < items) y[t] = x[t / places * size + index[t]];
}

// A warp takes a row, 32 of its places at a time, in order. Where places are equal, as windows
// that overlap share a maximum, the first thread adds the values of all of them: so the order is
// always the same, and nothing must be sorted.
KERNEL scatter_along_rows(const real* g, const int* index, real* x, count size, count places,
                   count items) {
  if (item() >= items) return;  // whole warps
  count row = item() / 32;
  int lane = threadIdx.x % 32;
  g += row * places;
  index += row * places;
  x += row * size;
  for (count s = lane; s < size; s += 32) x[s] = 0;
  for (count p = 0; p < places; p += 32) {
    int place = p + lane < places ? index[p + lane] : -1;
    unsigned alike = __match_any_sync(0xffffffffu, place);
    __syncwarp();  // x is as the places before have left it
    if (place >= 0 && __ffs(alike) == lane + 1) {
      real sum = x[place];
      for (; alike; alike &= alike - 1) sum += g[p + __ffs(alike) - 1];
      x[place] = sum;
    }
  }
}
