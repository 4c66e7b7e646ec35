// The φ explorer. Python has counted every position of the slider for the paper's α, β, γ;
// model.js counts the rest.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put, short } = EffnetExplorer;
  const times = (value) => `×${value < 999.5 ? value.toFixed(value < 9.995 ? 2 : 1) : short(value)}`;

  // The drawing: pixels per layer, per square root of a pixel of resolution, and of a channel.
  const DRAWING = { layer: 10, resolution: 9, channels: 0.85, gap: 7 };

  class PhiExplorer extends EffnetExplorer {
    get defaults() {
      return { phi: 0, ...this.data.constants };
    }

    template() {
      const { ranges, operators, released, source } = this.data;
      const at = (phi) => `style="--at:${phi / 7}"`;
      const marks = [0, 1, 2, 3, 4, 5, 6, 7].map((phi) => `<span ${at(phi)}>${phi}</span>`).join("");
      const networks = released.map(({ name, phi }) => `<span ${at(phi)}><i>${name}</i></span>`).join("");
      const buttons = released.map(({ name, phi }) => `<button type="button" data-phi="${phi}">${name}</button>`).join("");
      const row = (stage) => `
        <tr data-stage="${stage + 1}"><th scope="row"><i>${stage + 1}</i> ${operators[stage]}</th>
        <td data-field="layers"></td><td data-field="channels"></td><td data-field="resolution"></td>
        <td data-field="parameters"></td><td data-field="multiply_adds"></td></tr>`;
      return `
        <div class="effnet-main">
          ${this.slider("phi", "Compound coefficient <b>φ</b>", 0, 7, 0.1)}
          <div class="effnet-marks" aria-hidden="true">${marks}${networks}</div>
          <div class="effnet-presets" role="group" aria-label="Set φ to the network nearest in cost to a released one">
            ${buttons}<button type="button" class="effnet-reset">Reset</button>
          </div>
          <p class="effnet-hint">Each button sets the φ whose network costs about as much as the released one.</p>
          <p class="effnet-note" role="alert"></p>
        </div>
        <div class="effnet-cards">
          ${this.card("depth", "Depth", "depth")}${this.card("width", "Width", "width")}
          ${this.card("resolution", "Resolution", "resolution")}${this.card("formula_multiply_adds", "Cost by formula")}
          ${this.card("multiply_adds", "Multiply-adds counted")}${this.card("parameters", "Parameters")}
        </div>
        <figure class="effnet-drawing">
          <svg role="img" aria-label=""></svg>
          <figcaption><span class="depth">length: layers</span> <span class="resolution">height: resolution</span>
            <span class="width">thickness: channels</span> <span>(the last two by their square roots)</span> <span>dashed: B0</span></figcaption>
        </figure>
        <p class="effnet-why"></p>
        <table class="effnet-stages">
          <caption>The stage table at this φ: the resolution enters a stage, channels leave it. What differs from B0 is marked</caption>
          <thead><tr><th scope="col">Stage</th><th scope="col">Layers</th><th scope="col">Chan&shy;nels</th>
            <th scope="col">Reso&shy;lution</th><th scope="col">Param&shy;eters</th><th scope="col">Multi&shy;ply-adds</th></tr></thead>
          <tbody>${operators.map((_, i) => row(i)).join("")}</tbody>
          <tfoot><tr><th scope="row">Sum (blocks)</th><td data-field="layers"></td><td></td><td></td>
            <td data-field="parameters"></td><td data-field="multiply_adds"></td></tr></tfoot>
        </table>
        <table class="effnet-compare">
          <caption>Beside the released network that is nearest in cost</caption>
          <thead><tr><th scope="col">Network</th><th scope="col">Depth</th><th scope="col">Width</th>
            <th scope="col">Reso&shy;lution</th><th scope="col">Blocks</th><th scope="col">Param&shy;eters</th>
            <th scope="col">Multi&shy;ply-adds</th><th scope="col">Top-1&nbsp;%</th></tr></thead>
          <tbody><tr class="formula"></tr><tr class="released"></tr></tbody>
        </table>
        <p class="effnet-hint">Top-1: ${source}.</p>
        <details class="effnet-constants"><summary>Change α, β and γ</summary>
          ${this.slider("alpha", "Depth grows by <b>α</b> per φ", ...ranges.alpha, 0.01)}
          ${this.slider("beta", "Width grows by <b>β</b> per φ", ...ranges.beta, 0.01)}
          ${this.slider("gamma", "Resolution grows by <b>γ</b> per φ", ...ranges.gamma, 0.01)}
          <p>α · β² · γ² = <output data-field="constraint" aria-live="off"></output> <span class="effnet-verdict"></span></p>
        </details>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      const cells = (tr) => [...tr.querySelectorAll("td[data-field]")];
      this.rows = [...this.live.querySelectorAll("tr[data-stage]")].map(cells);
      this.totals = cells(find("tfoot tr"));
      this.compare = ["formula", "released"].map((kind) => {
        const tr = find(`tr.${kind}`);
        tr.append(Object.assign(document.createElement("th"), { scope: "row" }));
        for (let i = 0; i < 7; i++) tr.append(document.createElement("td"));
        return [...tr.children];
      });
      this.why = find(".effnet-why");
      this.verdict = find(".effnet-verdict");
      this.presets = [...this.live.querySelectorAll("[data-phi]")];
      this.presets.forEach((button) =>
        button.addEventListener("click", () => this.set({ ...this.defaults, phi: Number(button.dataset.phi) })),
      );
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      this.base = this.data.positions["0.0"][3];
      this.drawing = new Drawing(find("svg"), this.base);
      new ResizeObserver(([entry]) => this.drawing.resize(entry.contentRect.width)).observe(find(".effnet-drawing"));
    }

    // The network at the present setting: counted by Python where Python has counted it.
    position() {
      const { phi, alpha, beta, gamma } = this.state;
      const { constants, positions, base } = this.data;
      const known = alpha === constants.alpha && beta === constants.beta && gamma === constants.gamma;
      const counted = known && positions[phi.toFixed(1)];
      return counted && Number(phi.toFixed(1)) === phi ? counted : EffnetModel.scale(base, phi, alpha, beta, gamma);
    }

    show() {
      const [[depth, width, resolution, cost], parameters, multiplyAdds, rows] = this.position();
      const [, baseParameters, baseMultiplyAdds, base] = this.data.positions["0.0"];
      const layers = (table) => table.slice(1, -1).reduce((sum, row) => sum + row[0], 0);
      const card = (...figure) => this.setCard(...figure);
      card("depth", depth, times(depth), `${layers(rows)} blocks (B0:\u00a0${layers(base)})`);
      card("width", width, times(width), `stem ${rows[0][1]} (B0:\u00a0${base[0][1]})`);
      card("resolution", resolution, times(resolution), `${rows[0][2]} px (B0:\u00a0${base[0][2]})`);
      card("formula_multiply_adds", cost, times(cost), `${short(cost * baseMultiplyAdds)} without rounding`);
      card("multiply_adds", multiplyAdds, short(multiplyAdds), `${times(multiplyAdds / baseMultiplyAdds)} of B0`);
      card("parameters", parameters, short(parameters), `${times(parameters / baseParameters)} of B0`);

      rows.forEach((row, i) => {
        this.rows[i].forEach((cell, column) => {
          const value = row[column], text = column < 3 ? String(value) : short(value);
          if (cell.dataset.value === String(value)) return;
          cell.dataset.value = value;
          put(cell, text);
          if (column < 3) {
            cell.classList.toggle("changed", value !== base[i][column]);
            cell.dataset.was = base[i][column];
          } else {
            const share = (value / (column === 3 ? parameters : multiplyAdds)).toFixed(2);
            if (cell.share !== share) cell.style.setProperty("--share", (cell.share = share));
          }
        });
      });
      [layers(rows), parameters, multiplyAdds].forEach((value, i) => {
        put(this.totals[i], i ? short(value) : String(value));
        this.totals[i].dataset.value = value;
      });
      this.showComparison(depth, width, rows[0][2], layers(rows), parameters, multiplyAdds);
      this.showReasons(cost, multiplyAdds / baseMultiplyAdds, layers(rows), depth * layers(base));
      this.controls.phi.range.setAttribute("aria-valuetext", `φ = ${this.state.phi}`);
      this.drawing.show(rows);
      this.layers = layers(rows);
    }

    showComparison(depth, width, resolution, layers, parameters, multiplyAdds) {
      const distance = (network) => Math.abs(Math.log(network.multiply_adds / multiplyAdds));
      const near = this.data.released.reduce((a, b) => (distance(b) < distance(a) ? b : a));
      const fill = (cells, values) => values.forEach((value, i) => put(cells[i], value));
      const row = (name, d, w, r, blocks, p, m, top1) =>
        [name, times(d), times(w), String(r), String(blocks), short(p), short(m), top1];
      fill(this.compare[0], row(`φ = ${this.state.phi}`, depth, width, resolution, layers, parameters, multiplyAdds, "–"));
      const { name, top1 } = near;
      fill(this.compare[1], row(name, near.depth, near.width, near.resolution, near.layers, near.parameters, near.multiply_adds, top1.toFixed(1)));
      const { phi, ...constants } = this.state;
      const paper = Object.entries(this.data.constants).every(([k, v]) => constants[k] === v);
      for (const button of this.presets) {
        button.classList.toggle("near", Number(button.dataset.phi) === near.phi);
        button.setAttribute("aria-pressed", paper && Number(button.dataset.phi) === phi);
      }
    }

    // Why the count is not the formula's.
    showReasons(formula, counted, layers, exactLayers) {
      const both = `The formula says ${times(formula)}, the count ${times(counted)}. `;
      const exact = Number(exactLayers.toFixed(1));
      put(this.why,
        formula === 1 && counted === 1 ? "This is B0: nothing is rounded."
        : counted < formula ? `${both}Depthwise convolutions grow with the width, not with its square; here that outweighs the rounding.`
        : layers - exact < 0.1 ? `${both}Channels and resolution are rounded to what a network can have.`
        : `${both}Layers are rounded up: the rule asks for ${exact} blocks and gets ${layers}. Channels go to multiples of 8.`);

      const { alpha, beta, gamma } = this.state;
      const product = alpha * beta ** 2 * gamma ** 2;
      this.setCard("constraint", product, product.toFixed(3));
      put(this.verdict, Math.abs(product - 2) < 0.1
        ? "close to 2, as the paper asks: by the formula, a step of φ about doubles the cost"
        : `not the paper's 2: by the formula, a step of φ multiplies the cost by ${product.toFixed(2)}`);
    }

    // For a screen reader, once the slider rests.
    words() {
      const field = (name) => this.cards[name].textContent;
      this.drawing.describe();
      return `φ = ${this.state.phi}: depth ${field("depth")}, width ${field("width")}, resolution ${field("resolution")}, ` +
        `${this.layers} blocks, ${field("parameters")} parameters, ${field("multiply_adds")} multiply-adds.`;
    }
  }

  // Boxes in a row, one per stage: length is layers, height resolution, depth channels. They
  // glide to their new shape, unless the reader has asked for less motion.
  class Drawing {
    constructor(svg, base) {
      this.svg = svg;
      this.base = base;
      this.still = matchMedia("(prefers-reduced-motion: reduce)");
      this.boxes = base.map((_, i) => {
        const parts = {};
        const group = svg.appendChild(document.createElementNS(SVG, "g"));
        for (const [part, shape] of [["side", "path"], ["top", "path"], ["front", "path"], ["ghost", "path"], ["label", "text"]]) {
          parts[part] = group.appendChild(document.createElementNS(SVG, shape));
          parts[part].setAttribute("class", part);
        }
        parts.label.textContent = i + 1;
        return parts;
      });
      this.width = 0;
    }

    resize(width) {
      if (width === this.width) return;
      this.width = width;
      this.height = Math.max(170, Math.min(270, width * 0.36));
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
      if (this.goal) this.draw((this.now = this.goal));
    }

    show(rows) {
      this.goal = rows.map(([layers, channels, resolution]) => [layers, Math.sqrt(channels), Math.sqrt(resolution)]);
      if (!this.now || this.still.matches) {
        if (this.width) this.draw((this.now = this.goal));
        this.describe();
      } else if (!this.moving) this.moving = requestAnimationFrame(() => this.step());
    }

    step() {
      let far = 0;
      this.now = this.now.map((box, i) => box.map((value, j) => {
        const rest = this.goal[i][j] - value;
        far = Math.max(far, Math.abs(rest));
        return value + 0.3 * rest;
      }));
      if (far < 0.02) this.now = this.goal;
      this.draw(this.now);
      this.moving = far < 0.02 ? 0 : requestAnimationFrame(() => this.step());
    }

    describe() {
      if (!this.goal) return;
      const [first, last] = [this.goal[0], this.goal[this.goal.length - 1]];
      const side = (box) => Math.round(box[2] ** 2), channels = (box) => Math.round(box[1] ** 2);
      const layers = this.goal.reduce((sum, box) => sum + box[0], 0);
      this.svg.setAttribute("aria-label",
        `The network as ${this.goal.length} boxes, one per stage, ${layers} layers in all. From left to right they get lower ` +
        `(${side(first)} to ${side(last)} pixels) and thicker (${channels(first)} to ${channels(last)} channels).`);
    }

    draw(boxes) {
      const { width, height } = this;
      if (!width) return;
      // One scale for all φ; a network too large for the page is drawn smaller as a whole.
      const unit = width / 720, tall = Math.max(unit, 0.62);
      const deep = (channels) => [channels * DRAWING.channels * unit, -channels * DRAWING.channels * unit * 0.6];
      const gap = DRAWING.gap * unit;
      let length = 0, tallest = 0;
      for (const [layers, channels, resolution] of boxes) {
        length += layers * DRAWING.layer * unit + gap + deep(channels)[0] * 0.25;
        tallest = Math.max(tallest, resolution * DRAWING.resolution * tall - deep(channels)[1]);
      }
      const tail = deep(boxes[boxes.length - 1][1])[0] * 0.75;
      const zoom = Math.min(1, (width - tail - 4) / length, (height - 30) / tallest);
      const middle = height / 2 - 2;
      let x = 2;
      boxes.forEach(([layers, channels, resolution], i) => {
        const [dx, dy] = deep(channels).map((d) => d * zoom);
        const w = layers * DRAWING.layer * unit * zoom, h = resolution * DRAWING.resolution * tall * zoom;
        const y = middle - h / 2 - dy / 2, step = w / Math.max(1, Math.round(layers));
        let front = `M${x} ${y}h${w}v${h}h${-w}z`, top = `M${x} ${y}l${dx} ${dy}h${w}l${-dx} ${-dy}z`;
        if (step > 2.5) for (let at = step; at < w - 0.5; at += step) {
          front += `M${x + at} ${y}v${h}`;
          top += `M${x + at} ${y}l${dx} ${dy}`;
        }
        const { side, top: upper, front: face, ghost, label } = this.boxes[i];
        side.setAttribute("d", `M${x + w} ${y}l${dx} ${dy}v${h}l${-dx} ${-dy}z`);
        upper.setAttribute("d", top);
        face.setAttribute("d", front);
        const gw = this.base[i][0] * DRAWING.layer * unit * zoom, gh = Math.sqrt(this.base[i][2]) * DRAWING.resolution * tall * zoom;
        ghost.setAttribute("d", w - gw + h - gh > 1 ? `M${x} ${y + h - gh}h${gw}v${gh}` : "");
        label.setAttribute("x", x + w / 2);
        label.setAttribute("y", height - 4);
        x += w + gap * zoom + dx * 0.25;
      });
    }
  }

  EffnetExplorer.define("effnet-phi-explorer", PhiExplorer);
})();
