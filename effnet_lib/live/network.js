// Runs a packed network: the plan (JSON) says which layers there are and where their numbers lie in the
// weights; an engine (engine.c as WebAssembly, or plain.js) computes one layer after the other. Feature maps
// are NHWC and lie one behind the other in one memory, whose addresses are counted in bytes, as in C.
const ACTIVATIONS = ["linear", "relu", "relu6", "silu", "sigmoid"];

// The engine: WebAssembly, with fused multiply-adds where the browser has them, or plain JavaScript.
async function openEngine(binaries, kinds = ["relaxed", "simd", "plain"]) {
  for (const kind of kinds) {
    if (kind === "plain") break;
    try {
      if (!WebAssembly.validate(binaries[kind])) continue;
      const memory = new WebAssembly.Memory({ initial: 16 });
      const { instance } = await WebAssembly.instantiate(binaries[kind], { env: { memory } });
      const base = instance.exports.__heap_base.value;
      const grow = (bytes) => {
        const more = Math.ceil((bytes - memory.buffer.byteLength) / 65536);
        if (more > 0) memory.grow(more);
        return memory.buffer;
      };
      return { kind, base, grow, ...instance.exports };
    } catch (error) {
      // The next one: a page may forbid WebAssembly, and an old browser may not have it.
    }
  }
  return plainEngine();
}

// Half precision to single.
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

const roundUp = (bytes) => (bytes + 63) & ~63;

class Network {
  // weights: an ArrayBuffer, which is not needed any more afterwards.
  constructor(plan, weights, engine) {
    this.plan = plan;
    this.engine = engine;
    this.end = roundUp(engine.base);
    const layers = plan.stages.flatMap((stage) => stage.blocks.flatMap((block) => block.layers)).concat(plan.classifier);
    for (const layer of layers) {
      layer.w = this.allocate(layer.count);
      layer.b = this.allocate(layer.out);
    }
    this.heap = new Float32Array(engine.grow(this.end));
    for (const layer of layers) {
      this.heap.set(new Float32Array(weights, layer.bias, layer.out), layer.b >> 2);
      this.unpack(layer, weights);
    }
    this.activations = this.end;
  }

  allocate(count) {
    const at = this.end;
    this.end = roundUp(at + 4 * count);
    return at;
  }

  // Integers times the scale of their output channel, or numbers in half precision, to float32.
  unpack({ weights: at, scales, count, out, kind, w }, buffer) {
    const heap = this.heap, to = w >> 2;
    if (scales === null) {
      const half = new Uint16Array(buffer, at, count);
      for (let i = 0; i < count; i++) heap[to + i] = fromHalf(half[i]);
      return;
    }
    const whole = new Int8Array(buffer, at, count), scale = new Float32Array(buffer, scales, out);
    const panel = kind === "depthwise" ? out : 8, run = (count / out) * panel; // `panel` outputs lie side by side
    for (let first = 0, i = 0; first < out; first += panel)
      for (const end = i + run; i < end; ) for (let o = first; o < first + panel; o++, i++) heap[to + i] = whole[i] * scale[o];
  }

  // Rows or columns of a layer's output, and of zeros before its input.
  shape({ kernel, stride }, size) {
    const out = Math.ceil(size / stride);
    const zeros = this.plan.padding === "same" ? Math.max((out - 1) * stride + kernel - size, 0) >> 1 : kernel >> 1;
    return [out, zeros];
  }

  // Where each map goes for images of this size: what a block gives stays, what lies inside is overwritten.
  arrange(height, width) {
    if (this.height === height && this.width === width) return;
    this.end = this.activations;
    this.height = this.width = 0; // until it is done
    const { plan } = this;
    this.input = this.allocate(height * width * plan.channels);
    let [rows, columns] = [height, width], widest = 0, patches = 0;
    for (const stage of plan.stages)
      for (const block of stage.blocks) {
        block.rows = rows;
        block.columns = columns;
        for (const layer of block.layers) {
          layer.places = 1;
          if (layer.kind === "gate") continue;
          [rows] = this.shape(layer, rows);
          [columns] = this.shape(layer, columns);
          layer.places = rows * columns;
          if (layer.kind === "convolution") patches = Math.max(patches, columns * layer.kernel ** 2 * layer.in);
          widest = Math.max(widest, rows * columns * layer.out);
        }
        block.output = { at: this.allocate(rows * columns * block.out), rows, columns, channels: block.out };
      }
    this.inner = [this.allocate(widest), this.allocate(widest)];
    this.patches = this.allocate(patches);
    this.small = Array.from({ length: 3 }, () => this.allocate(plan.widest));
    this.heap = new Float32Array(this.engine.grow(this.end));
    this.height = height;
    this.width = width;
  }

  // One block: x lies at `from`. `each` is told every map inside, before it is overwritten.
  block(block, from, each) {
    const { engine } = this;
    let x = from, { rows, columns } = block, turn = 0;
    block.layers.forEach((layer, i) => {
      const activation = ACTIVATIONS.indexOf(layer.activation);
      if (layer.kind === "gate") {
        // Squeeze-and-excitation is three layers: pooling and a layer of its own belong to the first.
        const [pooled, squeezed, gates] = this.small;
        if (layer.name === "SE reduce") {
          engine.pool(x, pooled, rows * columns, layer.in);
          engine.pointwise(pooled, layer.w, layer.b, 0, squeezed, 1, layer.in, layer.out, activation);
        } else {
          engine.pointwise(squeezed, layer.w, layer.b, 0, gates, 1, layer.in, layer.out, activation);
          engine.scale(x, gates, rows * columns, layer.out);
          each?.("gates", { at: gates, rows: 1, columns: 1, channels: layer.out });
        }
        return;
      }
      const last = i === block.layers.length - 1, y = last ? block.output.at : this.inner[turn++ % 2];
      const skip = last && block.skip ? from : 0;
      const [height, top] = this.shape(layer, rows), [width, left] = this.shape(layer, columns);
      if (layer.kind === "pointwise") engine.pointwise(x, layer.w, layer.b, skip, y, rows * columns, layer.in, layer.out, activation);
      else if (layer.kind === "depthwise")
        engine.depthwise(x, layer.w, layer.b, y, rows, columns, layer.in, height, width, layer.kernel, layer.stride, top, left, activation);
      else
        engine.convolution(x, layer.w, layer.b, skip, y, this.patches, rows, columns, layer.in, height, width, layer.out,
          layer.kernel, layer.stride, top, left, activation);
      each?.(layer.name, { at: y, rows: height, columns: width, channels: layer.out });
      [x, rows, columns] = [y, height, width];
    });
  }

  // pixels: normalized, channels last. Gives the logits; maps stay where they are until the next run.
  run(pixels, height, width, now = () => performance.now()) {
    const { plan, engine } = this;
    this.arrange(height, width);
    this.heap.set(pixels, this.input >> 2);
    let from = this.input;
    const milliseconds = plan.stages.map((stage) => {
      const start = now();
      for (const block of stage.blocks) {
        this.block(block, from);
        from = block.output.at;
      }
      return now() - start;
    });
    const start = now(), [pooled, logits] = this.small, { classifier } = plan;
    const { rows, columns, channels } = this.map(plan.stages.length - 1);
    engine.pool(from, pooled, rows * columns, channels);
    engine.pointwise(pooled, classifier.w, classifier.b, 0, logits, 1, classifier.in, classifier.out, 0);
    milliseconds.push(now() - start);
    return { logits: this.heap.slice(logits >> 2, (logits >> 2) + plan.classes), milliseconds };
  }

  // Of each stage, at the size of the last run; the classifier's come last.
  multiplyAdds() {
    const sum = (layers) => layers.reduce((all, layer) => all + layer.places * layer.multiply_adds, 0);
    return [...this.plan.stages.map(({ blocks }) => sum(blocks.flatMap((block) => block.layers))), this.plan.classifier.multiply_adds];
  }

  // What leaves a stage.
  map(stage) {
    return this.plan.stages[stage].blocks.at(-1).output;
  }

  values({ at, rows, columns, channels }) {
    return this.heap.subarray(at >> 2, (at >> 2) + rows * columns * channels);
  }

  // How much each place of the last map adds to the logit of a class (effnet_lib.activation_map).
  activationMap(category) {
    const last = this.map(this.plan.stages.length - 1), { rows, columns, channels } = last, features = this.values(last);
    const weights = (this.plan.classifier.w >> 2) + (category >> 3) * channels * 8 + (category & 7);
    const map = new Float32Array(rows * columns);
    for (let p = 0; p < map.length; p++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += features[p * channels + c] * this.heap[weights + 8 * c];
      map[p] = sum;
    }
    return map;
  }
}
