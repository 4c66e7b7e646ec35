// The functions of engine.c in plain JavaScript, for browsers and pages without WebAssembly.
function plainEngine() {
  let heap = new Float32Array(0);

  // Activation and skip, when all sums stand: inside the loops a call would cost more than the sums.
  function finish(y, skip, count, activation) {
    const h = heap, from = y >> 2, to = from + count;
    if (activation === 1) for (let i = from; i < to; i++) h[i] = h[i] > 0 ? h[i] : 0;
    else if (activation === 2) for (let i = from; i < to; i++) h[i] = h[i] > 6 ? 6 : h[i] > 0 ? h[i] : 0;
    else if (activation === 3) for (let i = from; i < to; i++) h[i] /= 1 + Math.exp(-h[i]);
    else if (activation === 4) for (let i = from; i < to; i++) h[i] = 1 / (1 + Math.exp(-h[i]));
    if (skip) for (let i = from, j = skip >> 2; i < to; i++, j++) h[i] += h[j];
  }

  // A 1×1 convolution, four pixels × four outputs at a time, whose sums the compiler keeps in registers.
  function pointwise(x, w, bias, skip, y, pixels, inputs, out, activation) {
    const h = heap, b = bias >> 2;
    for (let p = 0; p < pixels; p += 4) {
      // Beyond the last pixel the last one is computed again.
      const last = pixels - 1 - p, p1 = last < 1 ? last : 1, p2 = last < 2 ? last : 2, p3 = last < 3 ? last : 3;
      const x0 = (x >> 2) + p * inputs, x1 = x0 + p1 * inputs, x2 = x0 + p2 * inputs, x3 = x0 + p3 * inputs;
      for (let o = 0; o < out; o += 4) {
        let a0 = h[b + o], a1 = h[b + o + 1], a2 = h[b + o + 2], a3 = h[b + o + 3];
        let b0 = a0, b1 = a1, b2 = a2, b3 = a3, c0 = a0, c1 = a1, c2 = a2, c3 = a3, d0 = a0, d1 = a1, d2 = a2, d3 = a3;
        let at = (w >> 2) + (o >> 3) * inputs * 8 + (o & 4);
        for (let c = 0; c < inputs; c++, at += 8) {
          const w0 = h[at], w1 = h[at + 1], w2 = h[at + 2], w3 = h[at + 3];
          const v0 = h[x0 + c], v1 = h[x1 + c], v2 = h[x2 + c], v3 = h[x3 + c];
          a0 += v0 * w0; a1 += v0 * w1; a2 += v0 * w2; a3 += v0 * w3;
          b0 += v1 * w0; b1 += v1 * w1; b2 += v1 * w2; b3 += v1 * w3;
          c0 += v2 * w0; c1 += v2 * w1; c2 += v2 * w2; c3 += v2 * w3;
          d0 += v3 * w0; d1 += v3 * w1; d2 += v3 * w2; d3 += v3 * w3;
        }
        const y0 = (y >> 2) + p * out + o, y1 = y0 + p1 * out, y2 = y0 + p2 * out, y3 = y0 + p3 * out;
        h[y0] = a0; h[y0 + 1] = a1; h[y0 + 2] = a2; h[y0 + 3] = a3;
        h[y1] = b0; h[y1 + 1] = b1; h[y1 + 2] = b2; h[y1 + 3] = b3;
        h[y2] = c0; h[y2 + 1] = c1; h[y2 + 2] = c2; h[y2 + 3] = c3;
        h[y3] = d0; h[y3 + 1] = d1; h[y3 + 2] = d2; h[y3 + 3] = d3;
      }
    }
    finish(y, skip, pixels * out, activation);
  }

  function convolution(x, w, bias, skip, y, patches, height, width, inputs, rows, columns, out, k, stride, top, left, activation) {
    const h = heap;
    for (let row = 0; row < rows; row++) {
      let to = patches >> 2;
      for (let column = 0; column < columns; column++)
        for (let i = 0; i < k; i++)
          for (let j = 0; j < k; j++) {
            const r = row * stride - top + i, c = column * stride - left + j;
            const inside = r >= 0 && r < height && c >= 0 && c < width, from = (x >> 2) + (r * width + c) * inputs;
            for (let channel = 0; channel < inputs; channel++) h[to++] = inside ? h[from + channel] : 0;
          }
      const at = 4 * row * columns * out;
      pointwise(patches, w, bias, skip && skip + at, y + at, columns, k * k * inputs, out, activation);
    }
  }

  // Three neighbors in a row of the kernel at a time are added to all channels, which lie side by side.
  function depthwise(x, w, bias, y, height, width, channels, rows, columns, k, stride, top, left, activation) {
    const h = heap;
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const r = row * stride - top, c = column * stride - left, to = (y >> 2) + (row * columns + column) * channels;
        const first = Math.max(0, -c), end = Math.min(k, width - c);
        h.copyWithin(to, bias >> 2, (bias >> 2) + channels);
        for (let i = Math.max(0, -r); i < Math.min(k, height - r); i++) {
          let j = first, x0 = (x >> 2) + ((r + i) * width + c + first) * channels, w0 = (w >> 2) + (i * k + first) * channels;
          for (; j + 3 <= end; j += 3, x0 += 3 * channels, w0 += 3 * channels) {
            const x1 = x0 + channels, x2 = x1 + channels, w1 = w0 + channels, w2 = w1 + channels;
            for (let o = 0; o < channels; o++) h[to + o] += h[x0 + o] * h[w0 + o] + h[x1 + o] * h[w1 + o] + h[x2 + o] * h[w2 + o];
          }
          for (; j < end; j++, x0 += channels, w0 += channels) for (let o = 0; o < channels; o++) h[to + o] += h[x0 + o] * h[w0 + o];
        }
      }
    finish(y, 0, rows * columns * channels, activation);
  }

  function pool(x, y, pixels, channels) {
    const h = heap;
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let p = 0; p < pixels; p++) sum += h[(x >> 2) + p * channels + c];
      h[(y >> 2) + c] = sum / pixels;
    }
  }

  function scale(x, gates, pixels, channels) {
    const h = heap;
    for (let p = 0; p < pixels; p++) for (let c = 0; c < channels; c++) h[(x >> 2) + p * channels + c] *= h[(gates >> 2) + c];
  }

  const grow = (bytes) => {
    if (bytes > heap.byteLength) {
      const larger = new Float32Array(bytes >> 2);
      larger.set(heap);
      heap = larger;
    }
    return heap.buffer;
  };
  return { kind: "plain", base: 64, grow, pointwise, convolution, depthwise, pool, scale }; // address 0 is no skip
}
