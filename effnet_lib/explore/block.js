// The block explorer: four ways from one tensor to the next, drawn and counted.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put, short } = EffnetExplorer;

  // effnet_lib.cost._block once more; a test holds the two equal. A layer is what it is called,
  // its kernel, channels and sides in and out, and its counts.
  function blockLayers(kind, cIn, cOut, k, stride, expand, squeeze, size) {
    const layers = [], out = Math.ceil(size / stride), width = cIn * expand;
    const add = (name, kernel, a, b, side, outSide, parameters, multiplyAdds, activations, inputs, outputs) =>
      layers.push({
        name, kernel, cIn: a, cOut: b, size: side, out: outSide,
        parameters, multiply_adds: multiplyAdds, activations, bytes: 4 * (inputs + outputs + parameters),
      });
    const conv = (name, a, b, kernel, s, groups, side, extra = 2) => {
      const outSide = Math.ceil(side / s), weights = (a / groups) * b * kernel * kernel, outputs = b * outSide ** 2;
      add(name, kernel, a, b, side, outSide, weights + extra * b, weights * outSide ** 2, outputs, a * side ** 2, outputs);
    };
    const move = (name, channels, side, outSide, inputs) =>
      add(name, 1, channels, channels, side, outSide, 0, 0, 0, inputs, channels * outSide ** 2);
    const squeezeExcite = (side) => {
      if (!squeeze) return;
      move("SE pool", width, side, 1, width * side ** 2);
      conv("SE reduce", width, squeeze, 1, 1, 1, 1, 1);
      conv("SE expand", squeeze, width, 1, 1, 1, 1, 1);
      move("SE scale", width, side, side, width * side ** 2 + width);
    };

    if (kind === "conv") conv("convolution", cIn, cOut, k, stride, 1, size);
    else if (kind === "separable") {
      conv("depthwise", cIn, cIn, k, stride, cIn, size);
      conv("pointwise", cIn, cOut, 1, 1, 1, out);
    } else if (kind === "mbconv") {
      if (expand !== 1) conv("expand", cIn, width, 1, 1, 1, size);
      conv("depthwise", width, width, k, stride, width, size);
      squeezeExcite(out);
      conv("project", width, cOut, 1, 1, 1, out);
    } else if (expand !== 1) {
      conv("expand", cIn, width, k, stride, 1, size);
      squeezeExcite(out);
      conv("project", width, cOut, 1, 1, 1, out);
    } else {
      squeezeExcite(size);
      conv("convolution", cIn, cOut, k, stride, 1, size);
    }
    if (kind.endsWith("mbconv") && stride === 1 && cIn === cOut) move("add", cOut, out, out, 2 * cOut * out ** 2);
    return layers;
  }

  const MEASURES = {
    multiply_adds: "multiply-adds", parameters: "parameters", activations: "activations", bytes: "bytes moved",
  };
  const sum = (layers, field) => layers.reduce((total, layer) => total + layer[field], 0);
  const figure = (field, value) => (field === "bytes" ? `${short(value)}B`.replace(/(\d)B$/, "$1\u00a0B") : short(value));
  const percent = (share) => (share > 0 && share < 0.005 ? "under 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);

  class BlockExplorer extends EffnetExplorer {
    get defaults() {
      const { stage, operator, ...position } = this.data.blocks[1];
      return { ...position, mb_measure: "multiply_adds" };
    }

    template() {
      const { kinds, ranges, kernels, blocks } = this.data;
      const panel = ([kind, name]) => `
        <figure class="mb-panel" data-kind="${kind}">
          <figcaption><b>${name}</b> <output aria-live="off"></output> <span></span></figcaption>
          <svg role="img" aria-label=""></svg>
        </figure>`;
      const row = ([kind, name]) => `
        <tr data-kind="${kind}"><th scope="row">${name}</th><td data-field="parameters"></td><td data-field="multiply_adds"></td>
        <td data-field="activations"></td><td data-field="bytes"></td><td data-field="intensity"></td></tr>`;
      const presets = blocks.map(({ stage, operator }, i) =>
        `<button type="button" class="effnet-button" data-block="${i}" title="${operator}">${stage}</button>`).join("");
      return `
        <div class="mb-controls">
          ${this.slider("mb_in", "Channels in", ...ranges.mb_in, "channels in")}
          ${this.slider("mb_out", "Channels out", ...ranges.mb_out, "channels out")}
          ${this.slider("mb_expand", "Expansion ratio", ...ranges.mb_expand, "expansion ratio")}
          ${this.slider("mb_resolution", "Resolution", ...ranges.mb_resolution, "resolution")}
        </div>
        <div class="mb-choices">
          ${this.choice("mb_kernel", "Kernel", kernels.map((k) => [k, `${k}×${k}`]))}
          ${this.choice("mb_stride", "Stride", [["1", "1"], ["2", "2"]])}
          ${this.choice("mb_se", "SE in MBConv", [["yes", "with"], ["no", "without"]])}
          ${this.choice("mb_measure", "The bars show", Object.entries(MEASURES))}
        </div>
        <div class="mb-presets" role="group" aria-label="Take the last block of a stage of B0">
          <span>Last block of B0’s stage</span> ${presets}
          <button type="button" class="effnet-button mb-reset">Reset</button>
        </div>
        <p class="effnet-note" role="alert"></p>
        <div class="mb-panels">${Object.entries(kinds).map(panel).join("")}</div>
        <p class="effnet-hint mb-legend">A box is a tensor: its length is its channels, its height the side of the map, by its square root.
          An arrow is a layer; the bar beneath it is what that layer costs, on one scale for all four. In brackets: beside the standard convolution.</p>
        <p class="mb-why"></p>
        <table class="mb-table">
          <caption>The four in figures, for one image in single precision (4 bytes a number)</caption>
          <thead><tr><th scope="col">Built as</th><th scope="col">Param&shy;eters</th><th scope="col">Multi&shy;ply-adds</th>
            <th scope="col">Activ&shy;ations</th><th scope="col">Bytes moved</th><th scope="col">Multiply-adds per byte</th></tr></thead>
          <tbody>${Object.entries(kinds).map(row).join("")}</tbody>
        </table>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.panels = Object.keys(this.data.kinds).map((kind) => new Panel(kind, find(`.mb-panel[data-kind=${kind}]`)));
      this.rows = Object.keys(this.data.kinds).map((kind) => [...find(`tr[data-kind=${kind}]`).querySelectorAll("td")]);
      this.why = find(".mb-why");
      this.still = matchMedia("(prefers-reduced-motion: reduce)");
      this.presets = [...this.live.querySelectorAll("[data-block]")];
      this.presets.forEach((button) => button.addEventListener("click", () => {
        const { stage, operator, ...position } = this.data.blocks[button.dataset.block];
        this.set(position);
      }));
      find(".mb-reset").addEventListener("click", () => this.set(this.defaults));
      this.width = 0;
      const observer = new ResizeObserver(([entry]) => {
        const width = Math.round(entry.contentRect.width);
        if (!width || width === this.width) return;
        this.width = width;
        this.place();
        this.draw((this.now = this.goal));
      });
      observer.observe(find(".mb-panels"));
    }

    layers(kind) {
      const { mb_in, mb_out, mb_kernel, mb_stride, mb_expand, mb_resolution, mb_se } = this.state;
      const squeeze = kind === "mbconv" && mb_se === "yes" ? Math.max(1, Math.floor(mb_in / 4)) : 0;
      return blockLayers(kind, mb_in, mb_out, Number(mb_kernel), Number(mb_stride), mb_expand, squeeze, mb_resolution);
    }

    show() {
      const { mb_measure: measure, mb_in, mb_out, mb_stride } = this.state;
      const blocks = (this.blocks = Object.keys(this.data.kinds).map((kind) => this.layers(kind)));
      const fields = ["parameters", "multiply_adds", "activations", "bytes"];
      const totals = blocks.map((layers) => {
        const values = fields.map((field) => sum(layers, field));
        return [...values, values[1] / values[3]];
      });
      const largest = totals[0].map((_, i) => Math.max(...totals.map((row) => row[i])));
      totals.forEach((row, i) => row.forEach((value, j) => {
        const cell = this.rows[i][j];
        if (cell.dataset.value === String(value)) return;
        cell.dataset.value = value;
        put(cell, j === 4 ? value.toFixed(2) : figure(fields[j], value));
        const share = (value / largest[j]).toFixed(2);
        if (cell.share !== share) cell.style.setProperty("--share", (cell.share = share));
      }));

      const at = fields.indexOf(measure);
      const noSkip = mb_stride === "2" ? "no skip: the stride is 2" : mb_in !== mb_out ? "no skip: the channels differ" : "";
      this.panels.forEach((panel, i) => panel.describe(blocks[i], measure));
      const top = Math.max(...this.panels.flatMap((panel) => panel.columns.map((column) => column.value)));
      this.panels.forEach((panel, i) => {
        panel.top = top || 1;
        panel.say(`${figure(measure, totals[i][at])}${i ? ` (×${ratio(totals[i][at] / totals[0][at])})` : ""}`,
          i > 1 ? noSkip : "");
      });
      this.explain(blocks[2], totals);
      for (const button of this.presets) {
        const { stage, operator, ...position } = this.data.blocks[button.dataset.block];
        const here = Object.entries(position).every(([name, value]) => this.state[name] === value);
        if (button.getAttribute("aria-pressed") !== String(here)) button.setAttribute("aria-pressed", here);
      }
      if (!this.width) return;
      this.place();
      const known = this.now && this.now.every((panel, i) => panel.length === this.goal[i].length);
      if (!known || this.still.matches) this.draw((this.now = this.goal));
      else if (!this.moving) this.moving = requestAnimationFrame(() => this.step());
    }

    explain(mbconv, totals) {
      const depthwise = mbconv.find((layer) => layer.name === "depthwise");
      const share = (field, column) => percent(depthwise[field] / totals[2][column]);
      const fused = (column) => `${ratio(totals[3][column] / totals[2][column])} times`;
      put(this.why, `In MBConv, the depthwise convolution does ${share("multiply_adds", 1)} of the multiply-adds and writes ` +
        `${share("activations", 2)} of the activations. Fused-MBConv does ${fused(1)} MBConv’s multiply-adds and moves ${fused(3)} as many bytes.`);
    }

    // One length per channel for all four panels, such that each has room.
    place() {
      if (!this.blocks) return;
      const narrow = this.width < 480, pair = !narrow;
      const space = (panel) => (pair && panel.half ? (this.width - 16) / 2 : this.width) - 6;
      const unit = Math.min(1.1, ...this.panels.map((panel) => panel.fit(space(panel), narrow)));
      this.goal = this.panels.map((panel) => panel.goal(unit, space(panel)));
    }

    step() {
      let far = 0;
      this.now = this.now.map((panel, i) => panel.map((value, j) => {
        const rest = this.goal[i][j] - value;
        far = Math.max(far, Math.abs(rest));
        return value + 0.35 * rest;
      }));
      if (far < 0.3) this.now = this.goal;
      this.draw(this.now);
      this.moving = far < 0.3 ? 0 : requestAnimationFrame(() => this.step());
    }

    draw(numbers) {
      if (numbers) this.panels.forEach((panel, i) => panel.draw(numbers[i]));
    }

    words() {
      const at = this.state.mb_measure;
      const each = Object.values(this.data.kinds).map((name, i) => `${name} ${figure(at, sum(this.blocks[i], at))}`);
      return `${MEASURES[at]}: ${each.join(", ")}.`;
    }
  }

  // Only what is new touches the page.
  const give = (element, name, value) => {
    element.given ??= {};
    if (element.given[name] !== value) element.setAttribute(name, (element.given[name] = value));
  };
  // 0.158 → "0.16"
  const ratio = (value) => value.toFixed(value < 0.0995 ? 3 : value < 9.95 ? 2 : value < 99.5 ? 1 : 0);

  const BAR = 72, BOX = 4.6; // pixels: the longest bar, and a box per square root of a pixel of resolution
  const TALLEST = BOX * Math.sqrt(112);

  // One block: boxes for tensors, arrows for layers, a bar beneath each layer.
  class Panel {
    constructor(kind, figure) {
      this.half = kind === "conv" || kind === "separable";
      this.svg = figure.querySelector("svg");
      this.name = figure.querySelector("b").textContent;
      [this.total, this.note] = figure.querySelectorAll("output, figcaption span");
      this.head = this.half ? 4 : 44; // a skip connection passes above the gate
      this.middle = this.head + 16 + TALLEST / 2;
      this.height = this.middle + TALLEST / 2 + 62 + BAR;
      this.structure = "";
    }

    say(total, note) {
      put(this.total, total);
      put(this.note, note);
    }

    // Tensors: [channels, side]; columns: what has a bar. All of SE is one column.
    describe(layers, measure) {
      const main = layers.filter((layer) => !layer.name.startsWith("SE") && layer.name !== "add");
      const se = layers.filter((layer) => layer.name.startsWith("SE"));
      this.skip = layers.some((layer) => layer.name === "add");
      this.tensors = [[main[0].cIn, main[0].size], ...main.map((layer) => [layer.cOut, layer.out])];
      this.se = se.length ? main.findIndex((layer) => layer.name === "project") : -1; // the tensor that is gated
      const kernel = (layer) => `${layer.kernel}×${layer.kernel}`;
      const columns = main.map((layer) => [layer.name, kernel(layer), layer[measure]]);
      if (se.length) columns.push(["SE", "", sum(se, measure)]);
      if (this.skip) columns.push(["add", "", layers[layers.length - 1][measure]]);
      this.columns = columns.map(([label, detail, value]) => ({ label, detail, value, text: figure(measure, value) }));
      const shape = ([channels, side]) => `${channels} channels at ${side} pixels`;
      const steps = main.map((layer, i) => `${layer.name} ${kernel(layer)} (${this.columns[i].text}) to ${shape([layer.cOut, layer.out])}`);
      const text = `${this.name}: ${shape(this.tensors[0])}; ${steps.join("; ")}` +
        `${se.length ? "; squeeze-and-excitation before the projection" : ""}${this.skip ? "; the input is added to the output" : ""}.`;
      if (this.text !== text) this.svg.setAttribute("aria-label", (this.text = text));
    }

    // Pixels for a channel, if this panel has `space`. Arrows and bars need room as well: so does
    // the bar of the gate, under the tensor that is gated.
    fit(space, narrow) {
      this.gap = narrow ? 41 : 62;
      this.slot = this.se < 0 ? 0 : narrow ? 52 : 50;
      const arrows = this.gap * (this.tensors.length - 1) + (this.skip ? this.gap : 24);
      const walls = this.tensors.reduce((total, [, side]) => total + 0.3 * BOX * Math.sqrt(side), 0);
      const room = space - 12 - arrows - walls, all = this.tensors.reduce((total, [channels]) => total + channels, 0);
      const gated = this.slot ? this.tensors[this.se][0] : 0;
      const unit = room / all;
      return Math.max(0.01, unit * gated >= this.slot ? unit : (room - this.slot) / (all - gated));
    }

    // All that glides, in one row of numbers: length and height of each box, then the bars.
    goal(unit, space) {
      this.space = space;
      return [
        ...this.tensors.flatMap(([channels, side]) => [Math.max(2, channels * unit), BOX * Math.sqrt(side)]),
        ...this.columns.map((column) => (BAR * column.value) / this.top),
      ];
    }

    // As many elements as there are tensors and columns; made anew only when that changes.
    build() {
      const structure = `${this.tensors.length} ${this.columns.map((column) => column.label + column.detail).join()} ${this.se} ${this.skip}`;
      if (structure === this.structure) return;
      this.structure = structure;
      this.svg.textContent = "";
      const make = (name, kind, text = "", parent = this.svg) => {
        const element = parent.appendChild(document.createElementNS(SVG, name));
        element.setAttribute("class", kind);
        if (text) element.textContent = text;
        return element;
      };
      const column = ({ label, detail }) => {
        const group = make("g", "column");
        const [value, bar] = [[0, label], [11, detail], [23, ""]].map(([y, text]) => {
          const line = make("text", y === 23 ? "value" : "label", text, group);
          line.setAttribute("y", y);
          return line;
        }).slice(2).concat(make("rect", "bar", "", group));
        for (const [name, number] of [["x", -12], ["y", 28], ["width", 24]]) bar.setAttribute(name, number);
        return { group, value, bar };
      };
      this.parts = {
        arrows: make("path", "arrow"),
        skip: this.skip ? [make("path", "arrow"), make("circle", "plus"), make("path", "cross"), make("text", "label", "skip connection")] : null,
        gate: this.se >= 0 ? [make("path", "arrow"), make("rect", "gate"), make("text", "label", "gate")] : null,
        boxes: this.tensors.map(() => ["side", "top", "front"].map((kind) => make("path", kind))),
        names: this.tensors.map(() => [make("text", "channels"), make("text", "pixels")]),
        columns: this.columns.map(column),
      };
    }

    draw(numbers) {
      this.build();
      const { parts, tensors, columns, head, middle, height, svg } = this;
      if (this.drawn !== this.space) {
        svg.setAttribute("viewBox", `0 0 ${(this.drawn = this.space)} ${height}`);
        svg.setAttribute("height", height);
      }
      const base = middle + TALLEST / 2 + 30, centres = [];
      let x = 6, arrows = "", last = 0;
      const ahead = this.se < 0 ? 0 : Math.max(0, this.slot - numbers[2 * this.se]) / 2;
      tensors.forEach(([channels, side], i) => {
        const w = numbers[2 * i], h = numbers[2 * i + 1], dx = 0.3 * h, dy = -0.22 * h, y = middle - h / 2;
        const spare = i === this.se ? Math.max(0, this.slot - w) / 2 : 0;
        x += spare;
        const [wall, roof, front] = parts.boxes[i];
        give(wall, "d", `M${x + w} ${y}l${dx} ${dy}v${h}l${-dx} ${-dy}z`);
        give(roof, "d", `M${x} ${y}l${dx} ${dy}h${w}l${-dx} ${-dy}z`);
        give(front, "d", `M${x} ${y}h${w}v${h}h${-w}z`);
        const [name, pixels] = parts.names[i];
        give(name, "transform", `translate(${(x + w / 2).toFixed(1)} ${(y + h + 12).toFixed(1)})`);
        put(name, `${channels}`);
        const same = i && side === tensors[i - 1][1];
        if (!same) give(pixels, "transform", `translate(${(x + w + dx + 3).toFixed(1)} ${(y + dy + 4).toFixed(1)})`);
        put(pixels, same ? "" : `${side} px`);
        if (i === this.se) this.drawGate(x, y + dy, w, dx);
        last = x + w + dx + spare;
        if (i < tensors.length - 1) {
          arrows += `M${last - spare + 6} ${middle}h${this.gap + spare - 14 + (i + 1 === this.se ? ahead : 0)}m-5 -4l5 4l-5 4`;
          centres.push(last + this.gap / 2);
          x = last + this.gap;
        }
      });
      if (this.se >= 0) centres.push(this.gateAt);
      if (this.skip) {
        const end = last + this.gap - 14, lift = head - 28;
        arrows += `M${last + 6} ${middle}h${end - 9 - last - 6}m-5 -4l5 4l-5 4`;
        const [arc, circle, cross, text] = parts.skip;
        const start = 6 + numbers[0] / 2 + 0.15 * numbers[1], edge = middle - numbers[1] / 2 - 0.22 * numbers[1] - 2;
        give(arc, "d", `M${start} ${edge}V${lift + 8}q0 -8 8 -8H${end - 8}q8 0 8 8V${middle - 9}m-4 -5l4 5l4 -5`);
        for (const [name, number] of [["cx", end], ["cy", middle], ["r", 7]]) give(circle, name, number.toFixed(1));
        give(cross, "d", `M${end - 4} ${middle}h8m-4 -4v8`);
        give(text, "transform", `translate(${((start + end) / 2).toFixed(1)} ${lift - 4})`);
        centres.push(end);
      }
      give(parts.arrows, "d", arrows);
      columns.forEach(({ text }, i) => {
        const { group, value, bar } = parts.columns[i];
        give(group, "transform", `translate(${centres[i].toFixed(1)} ${base})`);
        give(bar, "height", Math.max(0.5, numbers[2 * tensors.length + i]).toFixed(1));
        put(value, text);
      });
    }

    // The gated tensor is pooled to one number a channel, and multiplied by what comes back.
    drawGate(x, y, w, dx) {
      const [lines, bar, text] = this.parts.gate;
      const left = x + dx, up = y - 12;
      give(lines, "d", `M${left + 0.2 * w} ${y - 1}V${up + 3}M${left + 0.8 * w} ${up + 3}V${y - 1}m-3 -4l3 4l3 -4`);
      for (const [name, value] of Object.entries({ x: left, y: up - 2, width: w, height: 5 })) give(bar, name, value.toFixed(1));
      give(text, "transform", `translate(${(left + w / 2).toFixed(1)} ${(up - 5).toFixed(1)})`);
      this.gateAt = x + w / 2;
    }
  }

  window.EffnetBlock = { layers: blockLayers };
  EffnetExplorer.define("effnet-block-explorer", BlockExplorer);
})();
