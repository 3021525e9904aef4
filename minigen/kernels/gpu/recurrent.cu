// One step of an LSTM or GRU after the matrix products, a thread for each of the items = B * n
// units of the state (B, n). The gates (B, K n) of a row are K blocks of n values; adjacent threads
// read and write adjacent values of each block.

#include "common.cuh"

// 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2, which cannot overflow.
__device__ __forceinline__ real sigmoid(real z) {
  return (real)0.5 + (real)0.5 * tanh((real)0.5 * z);
}

// `reference.lstm_step`: gates and hidden (B, 4 n) in the order i f g o, all others (B, n).
// Activates gates + hidden in place, then c_next = f * c + i * g and h_next = o * tanh(c_next).
KERNEL lstm_step(real* gates, const real* hidden, const real* c, real* c_next, real* tanh_c,
                 real* h_next, index_t n, index_t items) {
  index_t k = thread_index();
  if (k >= items) return;
  index_t at = k / n * 4 * n + k % n;
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

// `reference.lstm_step_vjp`: from gh and gc (B, n), the cotangents of h_next and c_next, to gz
// (B, 4 n), that of the gates before activation. gc becomes the cotangent of c. gy (B, n), the
// cotangent of the output of this step, is added to gh; it may be null.
KERNEL lstm_step_vjp(const real* gh, const real* gy, real* gc, const real* gates, const real* c,
                     const real* tanh_c, real* gz, index_t n, index_t items) {
  index_t k = thread_index();
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

// `reference.gru_step`: gates and hidden (B, 3 n) in the order r z n, all others (B, n).
// Activates gates + hidden in place, where the third gate is new = tanh(gate + r * hidden_n),
// and h_next = new + z * (h - new). bias (3 n) is added to hidden; it may be null.
KERNEL gru_step(real* gates, const real* hidden, const real* bias, const real* h, real* hidden_n,
                real* h_next, index_t n, index_t items) {
  index_t k = thread_index();
  if (k >= items) return;
  index_t j = k % n, at = k / n * 3 * n + j;
  real *gate = gates + at, from_state[3], r, z, next;
  for (int part = 0; part < 3; part++) {
    from_state[part] = hidden[at + part * n];
    if (bias) from_state[part] += bias[j + part * n];
  }
  gate[0] = r = sigmoid(gate[0] + from_state[0]);
  gate[n] = z = sigmoid(gate[n] + from_state[1]);
  hidden_n[k] = from_state[2];
  gate[2 * n] = next = tanh(gate[2 * n] + r * from_state[2]);
  h_next[k] = next + z * (h[k] - next);
}

// `reference.gru_step_vjp`: from gh (B, n), the cotangent of h_next, to gx and ghidden (B, 3 n),
// those of gates and hidden before activation. gh becomes the part of the cotangent of h that does
// not flow through the gates. gy (B, n), the cotangent of the output, is added to gh, or null.
KERNEL gru_step_vjp(real* gh, const real* gy, const real* gates, const real* h,
                    const real* hidden_n, real* gx, real* ghidden, index_t n, index_t items) {
  index_t k = thread_index();
  if (k >= items) return;
  index_t at = k / n * 3 * n + k % n;
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
