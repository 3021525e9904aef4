// One step of a recurrent layer, a thread for each unit of each row. z (rows, K n) has the parts of
// a row one after the other; threads beside each other read and write beside each other in each.

__device__ __forceinline__ real sigmoid(real z) {
  return (real)0.5 + (real)0.5 * tanh((real)0.5 * z);  // does not overflow
}

KERNEL lstm_step(real* gates, const real* hidden, const real* c, real* c_next, real* tanh_c,
                 real* h_next, count n, count items) {
  count k = item();
  if (k >= items) return;
  count at = k / n * 4 * n + k % n;
  real *z = gates + at, i, f, g, o, next;
  hidden += at;
  z[0] = i = sigmoid(z[0] + hidden[0]);
  z[n] = f = sigmoid(z[n] + hidden[n]);
  z[2 * n] = g = tanh(z[2 * n] + hidden[2 * n]);
  z[3 * n] = o = sigmoid(z[3 * n] + hidden[3 * n]);
  c_next[k] = next = f * c[k] + i * g;
  tanh_c[k] = next = tanh(next);
  h_next[k] = o * next;
}

// gy, if there is one, adds to gh.
KERNEL lstm_step_vjp(const real* gh, const real* gy, real* gc, const real* gates, const real* c,
                     const real* tanh_c, real* gz, count n, count items) {
  count k = item();
  if (k >= items) return;
  const real* z = gates + k / n * 4 * n + k % n;
  real i = z[0], f = z[n], g = z[2 * n], o = z[3 * n], t = tanh_c[k], one = 1;
  real dh = gy ? gh[k] + gy[k] : gh[k];
  real dc = gc[k] + dh * o * (one - t * t);
  gz += k / n * 4 * n + k % n;
  gz[0] = dc * g * i * (one - i);
  gz[n] = dc * c[k] * f * (one - f);
  gz[2 * n] = dc * i * (one - g * g);
  gz[3 * n] = dh * t * o * (one - o);
  gc[k] = dc * f;
}

// bias, if there is one, adds to hidden.
KERNEL gru_step(real* gates, const real* hidden, const real* bias, const real* h, real* hidden_n,
                real* h_next, count n, count items) {
  count k = item();
  if (k >= items) return;
  count j = k % n, at = k / n * 3 * n + j;
  real *gate = gates + at, past[3], r, z, next;
  for (int part = 0; part < 3; part++) {
    past[part] = hidden[at + part * n];
    if (bias) past[part] += bias[j + part * n];
  }
  gate[0] = r = sigmoid(gate[0] + past[0]);
  gate[n] = z = sigmoid(gate[n] + past[1]);
  hidden_n[k] = past[2];
  gate[2 * n] = next = tanh(gate[2 * n] + r * past[2]);
  h_next[k] = next + z * (h[k] - next);
}

// gy, if there is one, adds to gh.
KERNEL gru_step_vjp(real* gh, const real* gy, const real* gates, const real* h,
                    const real* hidden_n, real* gx, real* ghidden, count n, count items) {
  count k = item();
  if (k >= items) return;
  count at = k / n * 3 * n + k % n;
  real r = gates[at], z = gates[at + n], next = gates[at + 2 * n], one = 1;
  real dh = gy ? gh[k] + gy[k] : gh[k];
  real dn = dh * (one - z) * (one - next * next);
  gx += at;
  ghidden += at;
  gx[0] = ghidden[0] = dn * hidden_n[k] * r * (one - r);
  gx[n] = ghidden[n] = dh * (h[k] - next) * z * (one - z);
  gx[2 * n] = dn;
  ghidden[2 * n] = dn * r;
  gh[k] = dh * z;
}
