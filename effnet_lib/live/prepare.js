// Images to what a network reads, pixel by pixel as the library does (effnet_lib.Preprocessing): Pillow's
// resizing of bytes, whose weights are integers of 22 bits, first along rows, then along columns; then the
// square in the middle. Source: Pillow, src/libImaging/Resample.c.
const FILTERS = {
  bilinear: [1, (x) => (x < 1 ? 1 - x : 0)],
  bicubic: [2, (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0)],
};

// For each of `count` outputs from `first` on: where its inputs begin, and their weights.
function resampling(from, to, first, count, interpolation) {
  const [reach, filter] = FILTERS[interpolation], scale = from / to, wide = Math.max(scale, 1), support = reach * wide;
  return Array.from({ length: count }, (_, i) => {
    const center = (first + i + 0.5) * scale;
    const low = Math.max(Math.trunc(center - support + 0.5), 0), high = Math.min(Math.trunc(center + support + 0.5), from);
    const weights = Array.from({ length: high - low }, (_, x) => filter(Math.abs((x + low - center + 0.5) * (1 / wide))));
    const part = 1 / weights.reduce((a, b) => a + b, 0); // multiplied by it, as Pillow does, so that ties round alike
    return { low, weights: Int32Array.from(weights, (w) => Math.trunc(w * part * (1 << 22) + (w < 0 ? -0.5 : 0.5))) };
  });
}

// Half to even, as Python rounds.
const roundEven = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

// RGBA bytes of an opaque image → RGB bytes (crop, crop, 3). Its shorter side becomes `resize`; where the
// square is larger than the image, the rest is black.
function resizeAndCrop(rgba, width, height, { resize, crop, interpolation }) {
  const short = Math.min(width, height), long = Math.trunc((resize * Math.max(width, height)) / short);
  const [columns, rows] = width <= height ? [resize, long] : [long, resize];
  const out = new Uint8ClampedArray(crop * crop * 3);
  // The part of the resized image that is wanted, and where it goes.
  const cut = (size) => {
    const before = size < crop ? 0 : roundEven((size - crop) / 2);
    return { first: before, count: Math.min(crop, size), to: size < crop ? (crop - size) >> 1 : 0 };
  };
  const across = cut(columns), down = cut(rows);
  const horizontal = resampling(width, columns, across.first, across.count, interpolation);
  const vertical = resampling(height, rows, down.first, down.count, interpolation);
  const top = vertical[0].low, end = vertical.at(-1).low + vertical.at(-1).weights.length, n = across.count * 3;
  const half = 1 << 21, middle = new Uint8ClampedArray((end - top) * n);
  for (let row = top, to = 0; row < end; row++)
    for (const { low, weights } of horizontal) {
      let r = half, g = half, b = half, at = 4 * (row * width + low);
      for (let i = 0; i < weights.length; i++, at += 4) {
        const w = weights[i];
        r += rgba[at] * w; g += rgba[at + 1] * w; b += rgba[at + 2] * w;
      }
      middle[to++] = r >> 22; middle[to++] = g >> 22; middle[to++] = b >> 22;
    }
  vertical.forEach(({ low, weights }, row) => {
    const sums = new Int32Array(n).fill(half);
    for (let i = 0, at = (low - top) * n; i < weights.length; i++) {
      const w = weights[i];
      for (let x = 0; x < n; x++, at++) sums[x] += middle[at] * w;
    }
    const to = ((row + down.to) * crop + across.to) * 3;
    for (let x = 0; x < n; x++) out[to + x] = sums[x] >> 22;
  });
  return out;
}

// Bytes to numbers, in single precision as PyTorch computes: (byte / 255 - mean) / std.
function normalize(bytes, { mean, std }) {
  const f = Math.fround;
  const tables = mean.map((m, c) => Float32Array.from({ length: 256 }, (_, v) => f(f(f(v / 255) - f(m)) / f(std[c]))));
  return Float32Array.from(bytes, (value, i) => tables[i % 3][value]);
}
