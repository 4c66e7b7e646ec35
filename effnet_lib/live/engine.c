// Inference of a convolutional network, in one file: what a browser runs as WebAssembly.
//
//     python -m ziglang cc -target wasm32-freestanding -O3 -msimd128 … (effnet_lib/live/build.py)
//
// Feature maps are NHWC: the channels of a pixel are neighbors, so a 1×1 convolution is a matrix product
// of pixels × channels. All numbers are float32. Channels come in multiples of 8 (only the channels that
// enter a regular convolution may be any number), batch norm is folded into weights and biases, and each
// convolution applies its activation, then adds the skip, while its output is still in registers.
// plain.js holds the same functions in JavaScript.

#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name
#define INLINE static inline __attribute__((always_inline))

typedef float f32;
typedef v128_t vec;  // 4 channels of a pixel

enum { LINEAR, RELU, RELU6, SILU, SIGMOID };

#ifdef __wasm_relaxed_simd__
#define fma(a, b, sum) wasm_f32x4_relaxed_madd(a, b, sum)  // one rounding or two, as the processor likes
#else
#define fma(a, b, sum) wasm_f32x4_add(sum, wasm_f32x4_mul(a, b))
#endif
#define load wasm_v128_load
#define store wasm_v128_store
#define splat wasm_f32x4_splat
#define constant(c) wasm_f32x4_const_splat(c)

// 1 / (1 + e^-x): e^-x = 2^n · 2^f with a whole n, |f| ≤ ½ and the Taylor series of 2^f.
INLINE vec sigmoid(vec x) {
  vec t = wasm_f32x4_mul(x, constant(-1.44269504f));
  t = wasm_f32x4_min(wasm_f32x4_max(t, constant(-126.0f)), constant(126.0f));
  vec n = wasm_f32x4_nearest(t), f = wasm_f32x4_sub(t, n), p = constant(1.5403530e-4f);
  p = fma(p, f, constant(1.3333558e-3f));
  p = fma(p, f, constant(9.6181291e-3f));
  p = fma(p, f, constant(5.5504109e-2f));
  p = fma(p, f, constant(2.4022651e-1f));
  p = fma(p, f, constant(6.9314718e-1f));
  p = fma(p, f, constant(1.0f));
  vec exponent = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_const_splat(127)), 23);
  return wasm_f32x4_div(constant(1.0f), fma(p, exponent, constant(1.0f)));
}

INLINE vec activate(vec x, int activation) {
  switch (activation) {
    case RELU: return wasm_f32x4_pmax(constant(0.0f), x);
    case RELU6: return wasm_f32x4_pmin(constant(6.0f), wasm_f32x4_pmax(constant(0.0f), x));
    case SILU: return wasm_f32x4_mul(x, sigmoid(x));
    case SIGMOID: return sigmoid(x);
    default: return x;
  }
}

// P pixels × 8 output channels of a matrix product, in 2 P registers.
INLINE void tile(int P, const f32 *x, int stride, const f32 *w, const f32 *bias, const f32 *skip, f32 *y, int in, int out, int activation) {
  vec low[4], high[4];
  for (int p = 0; p < P; p++) low[p] = load(bias), high[p] = load(bias + 4);
  for (int c = 0; c < in; c++, w += 8) {
    vec w0 = load(w), w1 = load(w + 4);
    for (int p = 0; p < P; p++) {
      vec value = wasm_v128_load32_splat(x + p * stride + c);
      low[p] = fma(value, w0, low[p]);
      high[p] = fma(value, w1, high[p]);
    }
  }
  for (int p = 0; p < P; p++) {
    vec a = activate(low[p], activation), b = activate(high[p], activation);
    if (skip) a = wasm_f32x4_add(a, load(skip + p * out)), b = wasm_f32x4_add(b, load(skip + p * out + 4));
    store(y + p * out, a);
    store(y + p * out + 4, b);
  }
}

// A 1×1 convolution: x (pixels, in) → y (pixels, out). w is (out / 8, in, 8). skip may be null.
EXPORT(pointwise)(const f32 *x, const f32 *w, const f32 *bias, const f32 *skip, f32 *y, int pixels, int in, int out, int activation) {
  int chunk = 32768 / in & ~3;  // pixels whose inputs stay in the second cache while all weights pass by
  if (chunk < 4) chunk = 4;
  for (int start = 0; start < pixels; start += chunk) {
    int end = start + chunk < pixels ? start + chunk : pixels;
    for (int o = 0; o < out; o += 8) {
      int p = start;
      for (; p + 4 <= end; p += 4)
        tile(4, x + p * in, in, w + o * in, bias + o, skip ? skip + p * out + o : 0, y + p * out + o, in, out, activation);
      for (; p < end; p++)
        tile(1, x + p * in, in, w + o * in, bias + o, skip ? skip + p * out + o : 0, y + p * out + o, in, out, activation);
    }
  }
}

// A k×k convolution: x (height, width, in) → y (rows, columns, out). w is (out / 8, k · k · in, 8).
// The patches of one row of outputs are laid side by side, (columns, k · k · in), which makes it a 1×1 one.
EXPORT(convolution)(const f32 *x, const f32 *w, const f32 *bias, const f32 *skip, f32 *y, f32 *patches, int height, int width,
                    int in, int rows, int columns, int out, int k, int stride, int top, int left, int activation) {
  for (int row = 0; row < rows; row++) {
    f32 *to = patches;
    for (int column = 0; column < columns; column++)
      for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
          int r = row * stride - top + i, c = column * stride - left + j;
          int inside = r >= 0 && r < height && c >= 0 && c < width;
          const f32 *from = x + (r * width + c) * in;
          for (int channel = 0; channel < in; channel++) *to++ = inside ? from[channel] : 0.0f;
        }
    int at = row * columns * out;
    pointwise(patches, w, bias, skip ? skip + at : 0, y + at, columns, k * k * in, out, activation);
  }
}

// P neighboring outputs × 8 channels of a depthwise convolution; rows i0 … i1 - 1 and columns j0 … j1 - 1
// of the kernel lie inside the map.
INLINE void window(int P, const f32 *x, const f32 *w, const f32 *bias, f32 *y, int width, int channels, int k, int stride,
                   int i0, int i1, int j0, int j1, int activation) {
  vec low[4], high[4];
  for (int p = 0; p < P; p++) low[p] = load(bias), high[p] = load(bias + 4);
  for (int i = i0; i < i1; i++) {
    for (int j = j0; j < j1; j++) {
      const f32 *from = x + (i * width + j) * channels, *weight = w + (i * k + j) * channels;
      vec w0 = load(weight), w1 = load(weight + 4);
      for (int p = 0; p < P; p++) {
        low[p] = fma(load(from + p * stride * channels), w0, low[p]);
        high[p] = fma(load(from + p * stride * channels + 4), w1, high[p]);
      }
    }
  }
  for (int p = 0; p < P; p++) {
    store(y + p * channels, activate(low[p], activation));
    store(y + p * channels + 4, activate(high[p], activation));
  }
}

INLINE void sweep(const f32 *x, const f32 *w, const f32 *bias, f32 *y, int height, int width, int channels, int rows,
                  int columns, int k, int stride, int top, int left, int activation) {
  for (int row = 0; row < rows; row++) {
    int r = row * stride - top, i0 = r < 0 ? -r : 0, i1 = height - r < k ? height - r : k;
    for (int column = 0; column < columns;) {
      int c = column * stride - left, j0 = c < 0 ? -c : 0, j1 = width - c < k ? width - c : k;
      int whole = c >= 0 && column + 4 <= columns && c + 3 * stride + k <= width;
      const f32 *from = x + (r * width + c) * channels;
      f32 *to = y + (row * columns + column) * channels;
      for (int o = 0; o < channels; o += 8)
        if (whole) window(4, from + o, w + o, bias + o, to + o, width, channels, k, stride, i0, i1, 0, k, activation);
        else window(1, from + o, w + o, bias + o, to + o, width, channels, k, stride, i0, i1, j0, j1, activation);
      column += whole ? 4 : 1;
    }
  }
}

// A depthwise k×k convolution: x (height, width, channels) → y (rows, columns, channels). w is (k, k, channels).
EXPORT(depthwise)(const f32 *x, const f32 *w, const f32 *bias, f32 *y, int height, int width, int channels, int rows,
                  int columns, int k, int stride, int top, int left, int activation) {
#define SWEEP(K, S) if (k == K && stride == S) { sweep(x, w, bias, y, height, width, channels, rows, columns, K, S, top, left, activation); return; }
  SWEEP(3, 1) SWEEP(3, 2) SWEEP(5, 1) SWEEP(5, 2)
  sweep(x, w, bias, y, height, width, channels, rows, columns, k, stride, top, left, activation);
}

// Global average pooling: x (pixels, channels) → y (channels).
EXPORT(pool)(const f32 *x, f32 *y, int pixels, int channels) {
  for (int c = 0; c < channels; c += 4) {
    vec sum = constant(0.0f);
    for (int p = 0; p < pixels; p++) sum = wasm_f32x4_add(sum, load(x + p * channels + c));
    store(y + c, wasm_f32x4_div(sum, splat((f32)pixels)));
  }
}

// The gates of squeeze-and-excitation: each channel of x (pixels, channels) times its own, in place.
EXPORT(scale)(f32 *x, const f32 *gates, int pixels, int channels) {
  for (int p = 0; p < pixels; p++)
    for (int c = 0; c < channels; c += 4) store(x + p * channels + c, wasm_f32x4_mul(load(x + p * channels + c), load(gates + c)));
}
