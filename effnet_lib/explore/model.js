// The scaling rule, the cost model and the receptive field once more, for settings that Python
// has not counted beforehand. The tests hold this file equal to effnet_lib.scaling, .cost and
// .receptive.
(function () {
  if (window.EffnetModel) return;

  function roundChannels(channels, width, roundLimit) {
    const exact = channels * width;
    const rounded = Math.max(8, Math.floor(Math.floor(exact + 4) / 8) * 8);
    return rounded < roundLimit * exact ? rounded + 8 : rounded;
  }

  function conv(cIn, cOut, kernel, size, groups = 1) {
    const weights = (cIn / groups) * cOut * kernel * kernel;
    return [weights + 2 * cOut, weights * size * size, cOut * size * size];
  }

  // Like conv and block: parameters, multiply-adds, activations.
  const linear = (cIn, cOut) => [cIn * cOut + cOut, cIn * cOut, cOut];
  const add = (a, b, times = 1) => a.map((count, i) => count + times * b[i]);

  function block([operator, k, , expand, , , seRatio], cIn, cOut, size, outSize) {
    const expanded = cIn * expand;
    let sum = [0, 0, 0], lastKernel = 1;
    if (operator === "mbconv") {
      if (expand !== 1) sum = add(sum, conv(cIn, expanded, 1, size));
      sum = add(sum, conv(expanded, expanded, k, outSize, expanded));
    } else if (expand !== 1) sum = add(sum, conv(cIn, expanded, k, outSize));
    else lastKernel = k;
    if (seRatio) {
      const squeeze = Math.max(1, Math.floor(cIn * seRatio));
      sum = add(add(sum, linear(expanded, squeeze)), linear(squeeze, expanded));
    }
    return add(sum, conv(expanded, cOut, lastKernel, outSize));
  }

  // The rows of the stage table, one for the stem, each stage and the head: [layers, channels,
  // resolution, parameters, multiply-adds, activations, receptive field after the row].
  function count(base, depth, width, resolution) {
    const rows = [];
    let size = Math.floor(base.resolution * resolution + 0.5), channels = 3, field = 1, step = 1;
    const row = (layers, cOut, outSize, counts) => {
      rows.push([layers, cOut, size, ...counts, field]);
      channels = cOut;
      size = outSize;
    };
    const look = (kernel, stride, layers) => {
      field += (kernel - 1) * step;
      step *= stride;
      field += (layers - 1) * (kernel - 1) * step;
    };

    const stem = roundChannels(base.stem, width, base.round_limit);
    const half = Math.ceil(size / 2);
    look(3, 2, 1);
    row(1, stem, half, conv(channels, stem, 3, half));
    for (const stage of base.stages) {
      const cOut = roundChannels(stage[4], width, base.round_limit);
      const layers = Math.ceil(stage[5] * depth), outSize = Math.ceil(size / stage[2]);
      const first = block(stage, channels, cOut, size, outSize);
      look(stage[1], stage[2], layers);
      row(layers, cOut, outSize, add(first, block(stage, cOut, cOut, outSize, outSize), layers - 1));
    }
    const head = roundChannels(base.head, width, base.round_limit);
    row(1, head, size, add(conv(channels, head, 1, size), linear(head, 1000)));
    return rows;
  }

  // A position of the φ explorer: [[depth, width, resolution, cost], parameters, multiply-adds,
  // rows], where a row is [layers, channels, resolution, parameters, multiply-adds].
  function scale(base, phi, alpha, beta, gamma) {
    const depth = alpha ** phi, width = beta ** phi, resolution = gamma ** phi;
    const rows = count(base, depth, width, resolution).map((row) => row.slice(0, 5));
    const total = (column) => rows.reduce((sum, r) => sum + r[column], 0);
    const cost = depth * width ** 2 * resolution ** 2;
    return [[depth, width, resolution, cost], total(3), total(4), rows];
  }

  window.EffnetModel = { count, scale };
})();
