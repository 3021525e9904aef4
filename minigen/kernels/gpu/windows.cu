// Windows that slide over images. Images are planes (H, W), one after the other; windows of
// (kh, kw) places, (dh, dw) apart, move by (sh, sw) over a border of (ph, pw); there are (OH, OW).
// Each thread makes one window or one value of an image, and a warp a run of them along a row: it
// reads and writes runs of memory. Whatever is summed is summed by one thread, place after place.

KERNEL im2col(const real* x, real* cols, count C, count H, count W, count kh, count kw, count OH,
              count OW, count sh, count sw, count ph, count pw, count dh, count dw,
              count image_step, count place_step, count items) {
  count t = item();
  if (t >= items) return;
  count v = t % OW, u = t / OW % OH, plane = t / OW / OH, n = plane / C, c = plane % C;
  count top = u * sh - ph, left = v * sw - pw;
  x += plane * H * W;
  cols += n * image_step + c * kh * kw * place_step + u * OW + v;
  for (count i = 0; i < kh; i++) {
    count h = top + i * dh;
    for (count j = 0; j < kw; j++, cols += place_step) {
      count w = left + j * dw;
      *cols = h >= 0 && h < H && w >= 0 && w < W ? x[h * W + w] : 0;
    }
  }
}

// Which windows see position h of an axis, the border included, and at which of their k places.
// place is the first of those places, or k; `apart` further lies the next, `back` windows before.
struct Seen {
  count place, window, apart, back;
};

__device__ __forceinline__ Seen seen(count h, count k, count stride, count dilation, count apart) {
  count place = 0;
  while (place < k && (h - place * dilation) % stride) place++;
  return {place, (h - place * dilation) / stride, apart, apart * dilation / stride};
}

KERNEL col2im(const real* cols, const real* bias, real* x, count C, count H, count W, count kh,
              count kw, count OH, count OW, count sh, count sw, count ph, count pw, count dh,
              count dw, count apart_h, count apart_w, count items) {
  count t = item();
  if (t >= items) return;
  count w = t % W, h = t / W % H, plane = t / W / H;
  Seen down = seen(h + ph, kh, sh, dh, apart_h), right = seen(w + pw, kw, sw, dw, apart_w);
  cols += plane * kh * kw * OH * OW;
  real sum = bias ? bias[plane % C] : 0;
  for (count i = down.place, u = down.window; i < kh && u >= 0; i += down.apart, u -= down.back) {
    if (u >= OH) continue;
    count j = right.place, v = right.window;
    for (; j < kw && v >= 0; j += right.apart, v -= right.back)
      if (v < OW) sum += cols[((i * kw + j) * OH + u) * OW + v];
  }
  x[t] = sum;
}

KERNEL sum_windows(const real* x, real* y, count H, count W, count kh, count kw, count OH,
                   count OW, count sh, count sw, count items) {
  count t = item();
  if (t >= items) return;
  count v = t % OW, u = t / OW % OH, plane = t / OW / OH;
  x += (plane * H + u * sh) * W + v * sw;
  real sum = 0;
  for (count i = 0; i < kh; i++)
    for (count j = 0; j < kw; j++) sum += x[i * W + j];
  y[t] = sum;
}

// The first window of k places that holds position h of an axis.
__device__ __forceinline__ count first_window(count h, count k, count stride) {
  return h < k ? 0 : (h - k) / stride + 1;
}

KERNEL sum_windows_vjp(const real* g, real* x, count H, count W, count kh, count kw, count OH,
                      count OW, count sh, count sw, count items) {
  count t = item();
  if (t >= items) return;
  count w = t % W, h = t / W % H, plane = t / W / H;
  count first = first_window(w, kw, sw), last_u = min(h / sh, OH - 1), last_v = min(w / sw, OW - 1);
  g += plane * OH * OW;
  real sum = 0;
  for (count u = first_window(h, kh, sh); u <= last_u; u++)
    for (count v = first; v <= last_v; v++) sum += g[u * OW + v];
  x[t] = sum;
}

KERNEL max_indices(const real* x, int* places, count H, count W, count kh, count kw, count OH,
                  count OW, count sh, count sw, count ph, count pw, count items) {
  count t = item();
  if (t >= items) return;
  count v = t % OW, u = t / OW % OH, plane = t / OW / OH;
  count top = u * sh - ph, left = v * sw - pw;
  count bottom = min(top + kh, H), right = min(left + kw, W);
  top = max(top, (count)0);
  left = max(left, (count)0);
  x += plane * H * W;
  count place = top * W + left;
  real best = x[place];
  for (count h = top; h < bottom; h++)
    for (count w = left; w < right; w++) {
      real value = x[h * W + w];
      if (value > best || value != value) {
        best = value;
        place = h * W + w;
      }
    }
  places[t] = place;
}
