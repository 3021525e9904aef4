// Windows that slide over images. An image is a plane (H, W); planes follow one another in memory.
// A thread computes the values of one window or one value of an image, and the threads of a warp
// take adjacent ones, so that they read and write adjacent addresses. One thread adds all the terms
// of a sum, in a fixed order: no atomic additions, and results are reproducible.

#include "common.cuh"

// One axis of images and of the windows over them. Window u covers the positions
// u * stride - padding + i * dilation for i = 0, ..., kernel - 1.
struct Axis {
  index_t length, windows, kernel, stride, padding, dilation;
};

// `reference.windows.im2col` of padded images: cols[n, c, i, j, u, v] = x[n, c, h, w], or 0 in the
// padding, for h and w as in Axis. The strides of n and of the pair (i, j) in cols are image_stride
// and element_stride. A thread for each (n, c, u, v) copies all kernel elements (i, j).
KERNEL im2col(const real* x, real* cols, index_t C, BY_VALUE Axis H, BY_VALUE Axis W,
              index_t image_stride, index_t element_stride, index_t items) {
  index_t t = thread_index();
  if (t >= items) return;
  index_t v = t % W.windows, u = t / W.windows % H.windows, plane = t / W.windows / H.windows;
  index_t n = plane / C, c = plane % C;
  index_t top = u * H.stride - H.padding, left = v * W.stride - W.padding;
  x += plane * H.length * W.length;
  cols += n * image_stride + c * H.kernel * W.kernel * element_stride + u * W.windows + v;
  for (index_t i = 0; i < H.kernel; i++) {
    index_t h = top + i * H.dilation;
    for (index_t j = 0; j < W.kernel; j++, cols += element_stride) {
      index_t w = left + j * W.dilation;
      *cols = h >= 0 && h < H.length && w >= 0 && w < W.length ? x[h * W.length + w] : 0;
    }
  }
}

// The windows of an axis that cover one position, each by one of its kernel elements: the first is
// kernel element `element` of window `window`, each next one is `element_step` kernel elements
// later and `window_step` windows earlier. element == kernel if no window covers the position.
struct Cover {
  index_t element, window, element_step, window_step;
};

// The cover of position h, counted from the start of the padding. element_step is
// stride / gcd(stride, dilation).
__device__ __forceinline__ Cover cover_of(index_t h, Axis axis, index_t element_step) {
  index_t element = 0;
  while (element < axis.kernel && (h - element * axis.dilation) % axis.stride) element++;
  return {element, (h - element * axis.dilation) / axis.stride, element_step,
          element_step * axis.dilation / axis.stride};
}

// The adjoint of im2col: x[n, c, h, w] = bias[c] plus the values of cols (N, C, kh, kw, OH, OW)
// that im2col would have copied from x[n, c, h, w]. bias (C) may be null. A thread for each value
// of x.
KERNEL col2im(const real* cols, const real* bias, real* x, index_t C, BY_VALUE Axis H,
              BY_VALUE Axis W, index_t element_step_h, index_t element_step_w, index_t items) {
  index_t t = thread_index();
  if (t >= items) return;
  index_t w = t % W.length, h = t / W.length % H.length, plane = t / W.length / H.length;
  Cover over_h = cover_of(h + H.padding, H, element_step_h);
  Cover over_w = cover_of(w + W.padding, W, element_step_w);
  cols += plane * H.kernel * W.kernel * H.windows * W.windows;
  real sum = bias ? bias[plane % C] : 0;
  index_t i = over_h.element, u = over_h.window;
  for (; i < H.kernel && u >= 0; i += over_h.element_step, u -= over_h.window_step) {
    if (u >= H.windows) continue;
    index_t j = over_w.element, v = over_w.window;
    for (; j < W.kernel && v >= 0; j += over_w.element_step, v -= over_w.window_step)
      if (v < W.windows) sum += cols[((i * W.kernel + j) * H.windows + u) * W.windows + v];
  }
  x[t] = sum;
}

// `reference.sum_windows`: y (N, C, OH, OW), the sum of each window of x, without padding or
// dilation. A thread for each window.
KERNEL sum_windows(const real* x, real* y, BY_VALUE Axis H, BY_VALUE Axis W, index_t items) {
  index_t t = thread_index();
  if (t >= items) return;
  index_t v = t % W.windows, u = t / W.windows % H.windows, plane = t / W.windows / H.windows;
  x += (plane * H.length + u * H.stride) * W.length + v * W.stride;
  double sum = 0;
  for (index_t i = 0; i < H.kernel; i++)
    for (index_t j = 0; j < W.kernel; j++) sum += x[i * W.length + j];
  y[t] = sum;
}

// The first window of an axis, without padding or dilation, that covers position h.
__device__ __forceinline__ index_t first_window(index_t h, Axis axis) {
  return h < axis.kernel ? 0 : (h - axis.kernel) / axis.stride + 1;
}

// `reference.sum_windows_vjp`: x[n, c, h, w] = the sum of g[n, c, u, v] over the windows (u, v)
// that cover (h, w). A thread for each value of x.
KERNEL sum_windows_vjp(const real* g, real* x, BY_VALUE Axis H, BY_VALUE Axis W, index_t items) {
  index_t t = thread_index();
  if (t >= items) return;
  index_t w = t % W.length, h = t / W.length % H.length, plane = t / W.length / H.length;
  index_t first_v = first_window(w, W);
  index_t last_u = min(h / H.stride, H.windows - 1), last_v = min(w / W.stride, W.windows - 1);
  g += plane * H.windows * W.windows;
  double sum = 0;
  for (index_t u = first_window(h, H); u <= last_u; u++)
    for (index_t v = first_v; v <= last_v; v++) sum += g[u * W.windows + v];
  x[t] = sum;
}

// `reference.max_indices`: indices (N, C, OH, OW) of the maximum of each window of x, as
// h * W + w; the first of equal values, and the last NaN if there is one. No dilation. A thread for
// each window.
KERNEL max_indices(const real* x, int* indices, BY_VALUE Axis H, BY_VALUE Axis W, index_t items) {
  index_t t = thread_index();
  if (t >= items) return;
  index_t v = t % W.windows, u = t / W.windows % H.windows, plane = t / W.windows / H.windows;
  index_t top = u * H.stride - H.padding, left = v * W.stride - W.padding;
  index_t bottom = min(top + H.kernel, H.length), right = min(left + W.kernel, W.length);
  top = max(top, (index_t)0);
  left = max(left, (index_t)0);
  x += plane * H.length * W.length;
  index_t index = top * W.length + left;
  real best = x[index];
  for (index_t h = top; h < bottom; h++)
    for (index_t w = left; w < right; w++) {
      real value = x[h * W.length + w];
      if (value > best || value != value) {
        best = value;
        index = h * W.length + w;
      }
    }
  indices[t] = index;
}
