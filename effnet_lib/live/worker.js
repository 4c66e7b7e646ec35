// The worker: holds one network and one image, and answers one message after the other.
let network, image;

async function unpackFile({ plan, weights }, kinds) {
  const text = atob(weights), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  // No Blob: WebKit cannot read one in the worker of a page from a file.
  const inflated = new Response(bytes).body.pipeThrough(new DecompressionStream("deflate"));
  const content = await new Response(inflated).arrayBuffer();
  const binaries = {};
  for (const [name, [at, length]] of Object.entries(plan.binaries)) binaries[name] = content.slice(at, at + length);
  return new Network(plan, content, await openEngine(binaries, kinds));
}

// Upright by its EXIF tag, in the numbers of the file whatever its color profile.
function decode(blob) {
  const plain = () => createImageBitmap(blob).catch(() => { throw new Error("unreadable"); });
  return createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" }).catch(plain);
}

const LARGEST = 2 ** 25; // pixels of a canvas; a larger image is reduced by the browser first

// The pixels of a file or a bitmap, laid on white.
async function read({ blob, bitmap, pixels, width, height }) {
  if (pixels) return { pixels, width, height };
  if (blob) bitmap = await decode(blob);
  const factor = Math.min(1, Math.sqrt(LARGEST / (bitmap.width * bitmap.height)));
  const size = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * factor)));
  const canvas = new OffscreenCanvas(...size);
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, ...size);
  bitmap.close();
  return { pixels: context.getImageData(0, 0, canvas.width, canvas.height).data, width: canvas.width, height: canvas.height };
}

function softmax(logits) {
  const most = Math.max(...logits), powers = Array.from(logits, (x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
}

// The channels of a stage that vary most within the image, as bytes from each one's least value to its greatest.
function strongest(stage, count) {
  const map = network.map(stage), { rows, columns, channels } = map, values = network.values(map), places = rows * columns;
  const spread = Array.from({ length: channels }, (_, c) => {
    let sum = 0, squares = 0;
    for (let i = c; i < values.length; i += channels) (sum += values[i]), (squares += values[i] ** 2);
    return squares / places - (sum / places) ** 2;
  });
  const chosen = [...spread.keys()].sort((a, b) => spread[b] - spread[a]).slice(0, count);
  return { stage, rows, columns, channels, shown: chosen.map((channel) => {
    let least = Infinity, most = -Infinity;
    for (let i = channel; i < values.length; i += channels) (least = Math.min(least, values[i])), (most = Math.max(most, values[i]));
    const factor = most > least ? 255 / (most - least) : 0;
    const bytes = Uint8Array.from({ length: places }, (_, p) => Math.round((values[p * channels + channel] - least) * factor));
    return { channel, bytes };
  }) };
}

const HANDLERS = {
  async load({ file, kinds }) {
    network = await unpackFile(file, kinds);
    const { channels, resolution } = network.plan, side = Math.min(64, resolution);
    // The first runs are slow: the browser compiles while it runs.
    for (let i = 0; i < 2; i++) network.run(new Float32Array(side * side * channels), side, side);
    return { engine: network.engine.kind };
  },

  // What the network answers to the image, at a resolution.
  async run({ source, resolution, stage, classes }) {
    if (source) image = await read(source);
    const { plan } = network, start = performance.now();
    const side = resolution, resize = Math.round((plan.preprocessing.resize * side) / plan.preprocessing.crop);
    const bytes = resizeAndCrop(image.pixels, image.width, image.height, { ...plan.preprocessing, resize, crop: side });
    const pixels = normalize(bytes, plan.preprocessing), prepared = performance.now() - start;
    const { logits, milliseconds } = network.run(pixels, side, side), probabilities = softmax(logits);
    const likeliest = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, classes);
    const answers = likeliest.map((index) => ({ index, probability: probabilities[index], map: network.activationMap(index) }));
    const last = network.map(plan.stages.length - 1);
    const input = new Float32Array(pixels.length), places = side * side;
    for (let c = 0; c < 3; c++) for (let p = 0; p < places; p++) input[c * places + p] = pixels[3 * p + c];
    return { resolution, bytes, input, logits, milliseconds, multiplyAdds: network.multiplyAdds(), prepared, answers, grid: [last.rows, last.columns], maps: strongest(stage, 8) };
  },

  // The time of each stage: the median of some more runs on what lies in the memory.
  time({ repeats }) {
    const { height, width, input, plan } = network, pixels = network.heap.slice(input >> 2, (input >> 2) + height * width * plan.channels);
    const runs = Array.from({ length: repeats }, () => network.run(pixels, height, width).milliseconds);
    const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
    return { resolution: height, milliseconds: runs[0].map((_, i) => middle(runs.map((run) => run[i]))), total: middle(runs.map((run) => run.reduce((a, b) => a + b, 0))) };
  },

  maps: ({ stage }) => ({ maps: strongest(stage, 8) }),

  // A stage's whole feature map, channels last.
  values({ stage }) {
    const map = network.map(stage);
    return { ...map, values: network.values(map).slice() };
  },
};

onmessage = async ({ data }) => {
  try {
    postMessage({ id: data.id, result: await HANDLERS[data.type](data) });
  } catch (error) {
    postMessage({ id: data.id, error: error instanceof RangeError ? "memory" : String(error?.message ?? error) });
  }
};
