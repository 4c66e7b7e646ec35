// The scaling rule and the cost model once more, for settings that Python has not counted
// beforehand. A test holds this file equal to effnet_lib.scaling and effnet_lib.cost.
(function () {
  if (window.EffnetModel) return;

  function roundChannels(channels, width, roundLimit) {
    const exact = channels * width;
    const rounded = Math.max(8, Math.floor(Math.floor(exact + 4) / 8) * 8);
    return rounded < roundLimit * exact ? rounded + 8 : rounded;
  }

  function conv(cIn, cOut, kernel, size, groups = 1) {
    const weights = (cIn / groups) * cOut * kernel * kernel;
    return [weights + 2 * cOut, weights * size * size];
  }

  const linear = (cIn, cOut) => [cIn * cOut + cOut, cIn * cOut];
  const add = (a, b, times = 1) => [a[0] + times * b[0], a[1] + times * b[1]];

  function block([operator, k, , expand, , , seRatio], cIn, cOut, size, outSize) {
    const expanded = cIn * expand;
    let sum = [0, 0], lastKernel = 1;
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

  // A position: [[depth, width, resolution, cost], parameters, multiply-adds, rows], where a
  // row is [layers, channels, resolution, parameters, multiply-adds]; as in phi.py.
  function scale(base, phi, alpha, beta, gamma) {
    const depth = alpha ** phi, width = beta ** phi, resolution = gamma ** phi;
    const rows = [];
    let size = Math.floor(base.resolution * resolution + 0.5), channels = 3;
    const row = (layers, cOut, outSize, counts) => {
      rows.push([layers, cOut, size, counts[0], counts[1]]);
      channels = cOut;
      size = outSize;
    };

    const stem = roundChannels(base.stem, width, base.round_limit);
    const half = Math.ceil(size / 2);
    row(1, stem, half, conv(channels, stem, 3, half));
    for (const stage of base.stages) {
      const cOut = roundChannels(stage[4], width, base.round_limit);
      const layers = Math.ceil(stage[5] * depth), outSize = Math.ceil(size / stage[2]);
      const first = block(stage, channels, cOut, size, outSize);
      row(layers, cOut, outSize, add(first, block(stage, cOut, cOut, outSize, outSize), layers - 1));
    }
    const head = roundChannels(base.head, width, base.round_limit);
    row(1, head, size, add(conv(channels, head, 1, size), linear(head, 1000)));

    const total = (column) => rows.reduce((sum, r) => sum + r[column], 0);
    const cost = depth * width ** 2 * resolution ** 2;
    return [[depth, width, resolution, cost], total(3), total(4), rows];
  }

  window.EffnetModel = { scale };
})();
