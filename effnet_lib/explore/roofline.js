// The roofline explorer: the layers of a network under the limits of a processor. Python gives
// the shapes of all layers; what follows from them, held equal to effnet_lib.bounds by the
// tests, is computed here.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put, short } = EffnetExplorer;
  const KINDS = ["pointwise", "depthwise", "standard", "vector"];
  const KIND_NAMES = ["pointwise convolutions", "depthwise convolutions", "standard convolutions", "gates and classifier"];
  const LAYERS = { stem: "stem", expand: "expansion", depthwise: "depthwise", reduce: "first layer of the gates", restore: "second layer of the gates",
    project: "projection", head: "head", classifier: "classifier" };
  const SHAPES = ["M-1-1h2v2h-2z", "M-1.13 0a1.13 1.13 0 1 0 2.26 0a1.13 1.13 0 1 0 -2.26 0z", "M0-1.4L1.4 0L0 1.4L-1.4 0z", "M0-1.25L1.25 1H-1.25z"];
  // The window on the axes, in powers of ten: multiply-adds per byte; and per second, around the
  // power of ten below the peak, so that a roof moves within it.
  const X = [-0.9, 2.75], Y = [-1.75, 1.2];

  // Every layer of a network, each repeated one once: what effnet_lib.roofline computes.
  function bounds(groups, peak, bandwidth, batch, bytesPerNumber, fused) {
    const rows = [];
    for (const [stage, first, times, layers] of groups) {
      for (const [name, cIn, cOut, kernel, divided, side, out, skip, extra] of layers) {
        const weights = (cIn / divided) * cOut * kernel * kernel, outputs = cOut * out * out;
        const multiplyAdds = batch * weights * out * out;
        const moved = bytesPerNumber * (batch * (cIn * side * side + outputs * (skip && fused ? 2 : 1)) + weights + cOut);
        const passes = fused ? 0 : bytesPerNumber * batch * extra;
        const computing = multiplyAdds / peak, moving = moved / bandwidth, passing = passes / bandwidth;
        rows.push({
          stage, first, times, name, cIn, cOut, kernel, side, out, kind: kindOf(name, kernel, divided),
          multiply_adds: multiplyAdds, bytes: moved + passes, seconds: Math.max(computing, moving) + passing,
          bound: computing >= moving + passing ? "compute" : "memory",
        });
      }
    }
    return rows;
  }
  const kindOf = (name, kernel, divided) => (["reduce", "restore", "classifier"].includes(name) ? 3 : divided > 1 ? 1 : kernel > 1 ? 2 : 0);
  const total = (rows, field) => rows.reduce((sum, row) => sum + row.times * row[field], 0);

  const svg = (parent, name, attributes = {}) => {
    const element = parent.appendChild(document.createElementNS(SVG, name));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const attribute = (element, name, value) => {
    const kept = (element.kept ??= {});
    if (kept[name] !== value) element.setAttribute(name, (kept[name] = value));
  };
  const digits = (value) => (value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : String(Math.round(value)));
  const time = (seconds) => {
    const [unit, name] = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]].find(([u]) => seconds >= 0.9995 * u) ?? [1e-9, "ns"];
    return `${digits(seconds / unit)}\u00a0${name}`;
  };
  const percent = (share) => (share < 0.0005 ? "0\u00a0%" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}\u00a0%`);
  const titled = (name) => (name[0] === "b" ? name.toUpperCase() : name[0] === "v" ? `V2-${name.slice(3).toUpperCase()}` : `Lite${name.slice(4)}`);

  class RooflineExplorer extends EffnetExplorer {
    get defaults() {
      const { yours, batch } = this.data;
      return { roof_network: "b0", roof_machine: "xeon", roof_precision: "fp32", roof_fused: "fused", roof_batch: batch[2],
        roof_peak: yours.peak[2] / 1e9, roof_bandwidth: yours.bandwidth[2] / 1e9, roof_layer: 7 };
    }

    // A slider whose positions are powers, beside a number field with the value itself.
    power(name, label, low, high, base, step, spoken) {
      const place = (value) => Math.log(value) / Math.log(base);
      return `
        <div class="effnet-control" data-control="${name}" data-base="${base}">
          <label for="${this.uid}-${name}">${label}</label>
          <input type="number" min="${low}" max="${high}" step="any" inputmode="decimal" aria-label="${spoken}" aria-invalid="false">
          <input type="range" id="${this.uid}-${name}" name="${name}" min="${place(low).toFixed(6)}" max="${place(high).toFixed(6)}" step="${step}">
        </div>`;
    }

    control(box) {
      super.control(box);
      const base = Number(box.dataset.base), kept = this.controls[box.dataset.control];
      if (!base) return;
      // As the class above expects it: limits, steps and value in the units of the number field.
      const slider = kept.range, number = kept.number, whole = base === 2;
      const free = slider.cloneNode(); // without the listener that takes its position for the value
      slider.replaceWith(free);
      const low = Number(number.min), high = Number(number.max);
      const tidy = (value) => (whole ? Math.round(value) : Number(value.toPrecision(3)));
      free.addEventListener("input", () => this.set({ [box.dataset.control]: Math.min(high, Math.max(low, tidy(base ** Number(free.value)))) }));
      const field = number.cloneNode();
      number.replaceWith(field);
      const accept = (text) => {
        const typed = text.trim() === "" ? NaN : Number(text);
        return Number.isFinite(typed) ? Math.min(high, Math.max(low, tidy(typed))) : undefined;
      };
      field.addEventListener("change", () => {
        const typed = field.value, value = accept(typed) ?? this.state[box.dataset.control];
        this.set({ [box.dataset.control]: value });
        field.value = value;
        if (typed.trim() === "" || Number(typed) !== value) {
          this.note(`${field.getAttribute("aria-label")} goes from ${low} to ${high}${whole ? " in whole numbers" : ""}; it is now ${value}.`);
        }
      });
      let shown;
      const range = {
        get value() { return shown; },
        set value(value) { shown = value; free.value = Math.log(value) / Math.log(base); },
        setAttribute: (...pair) => free.setAttribute(...pair),
      };
      this.controls[box.dataset.control] = { range, number: field, accept };
    }

    template() {
      const { families, yours, batch } = this.data;
      const G = 1e9, marks = KINDS.map((kind, i) => `
        <span class="${kind}"><svg viewBox="-1.6 -1.6 3.2 3.2" aria-hidden="true"><path d="${SHAPES[i]}"/></svg>${KIND_NAMES[i]}</span>`).join("");
      const bill = (field, name) => `
        <div class="roof-bill" data-bill="${field}"><span>${name}</span><div class="roof-shares" aria-hidden="true">${KINDS.map((kind) => `<i class="${kind}"></i>`).join("")}</div><output aria-live="off"></output></div>`;
      const names = Object.values(families).flat().map((name) => [name, titled(name)]);
      return `
        ${this.choice("roof_network", "Network", names)}
        <div class="roof-choices">
          ${this.choice("roof_machine", "Machine", [["xeon", "Xeon, measured"], ["h100", "H100, data sheet"], ["yours", "yours"]])}
          ${this.choice("roof_precision", "Numbers", [["fp32", "fp32"], ["bf16", "bf16"], ["int8", "int8"]])}
          ${this.choice("roof_fused", "Steps around a convolution", [["fused", "fused"], ["passes", "pass by pass"]])}
        </div>
        <div class="roof-sliders">
          ${this.power("roof_batch", "Images at a time", batch[0], batch[1], 2, 1, "images at a time")}
          ${this.power("roof_peak", "Your peak, G multiply-adds/s", yours.peak[0] / G, yours.peak[1] / G, 10, 0.02, "peak")}
          ${this.power("roof_bandwidth", "Your memory, GB/s", yours.bandwidth[0] / G, yours.bandwidth[1] / G, 10, 0.02, "memory bandwidth")}
        </div>
        <p class="effnet-note" role="alert"></p>
        <figure class="roof-plot"><svg role="img" aria-label=""></svg><figcaption class="roof-legend">${marks}</figcaption></figure>
        <figure class="roof-line"><svg role="img" aria-label=""></svg></figure>
        <div class="roof-pick">${this.slider("roof_layer", "Layer", 1, 10, 1, "layer")}<p class="roof-layer"></p></div>
        <div class="effnet-cards roof-cards">
          ${this.card("seconds", "Least time", "roof-main")}${this.card("computing", "to compute alone")}
          ${this.card("moving", "to move bytes alone")}${this.card("waiting", "spent in layers that wait for memory")}${this.card("measured", "Measured")}
        </div>
        <div class="roof-bills">${bill("multiply_adds", "Multiply-adds")}${bill("bytes", "Bytes moved")}${bill("seconds", "Least time")}</div>
        <p class="effnet-hint">Each mark is a layer; its area, the layer's share of the least time. Blocks that are alike share a mark. Dashed: the roof for maps
          that stay in the cache. Numbers in circles: what a stage of the optimised network attained. Xeon: one thread. Tap a mark or the band beneath, or use the slider, to read a layer.</p>
        <p class="roof-foot"><button type="button" class="effnet-button roof-reset">Reset</button></p>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      find(".roof-reset").addEventListener("click", () => this.set(this.defaults));
      this.sentence = find(".roof-layer");
      this.bills = [...this.live.querySelectorAll(".roof-bill")].map((row) => ({
        field: row.dataset.bill, parts: [...row.querySelectorAll("i")], out: row.querySelector("output"),
      }));
      this.own = [find("[data-control=roof_peak]"), find("[data-control=roof_bandwidth]")];
      const pick = (index) => index >= 0 && this.set({ roof_layer: index + 1 });
      this.plot = new Plot(find(".roof-plot svg"), pick);
      this.band = new Band(find(".roof-line svg"), pick);
      new ResizeObserver(([entry]) => {
        const width = Math.round(entry.contentRect.width);
        if (!width || width === this.width) return;
        this.width = width;
        this.plot.resize(width);
        this.band.resize(width);
        if (this.rows) this.show(); // the shares too: which of them are labelled hangs on the width
      }).observe(find(".roof-plot"));
    }

    // The limits of a machine at the chosen precision.
    machine(name = this.state.roof_machine) {
      if (name === "yours") return { peak: 1e9 * this.state.roof_peak, bandwidth: 1e9 * this.state.roof_bandwidth };
      const { peaks, bandwidth, cache } = this.data.machines[name];
      return { peak: peaks[this.state.roof_precision], bandwidth, cache };
    }

    set(values, remember) {
      const groups = this.data.networks[values.roof_network ?? this.state.roof_network];
      const layers = groups.reduce((sum, group) => sum + group[3].length, 0);
      const { range, number } = this.controls.roof_layer;
      if (Number(range.max) !== layers) {
        range.max = number.max = layers;
        range.shown = undefined;
      }
      super.set({ ...values, roof_layer: Math.min(layers, values.roof_layer ?? this.state.roof_layer) }, remember);
    }

    show() {
      const { data, state } = this, { peak, bandwidth, cache } = this.machine();
      const fused = state.roof_fused === "fused", network = data.networks[state.roof_network];
      const rows = (this.rows = bounds(network, peak, bandwidth, state.roof_batch, data.precisions[state.roof_precision], fused));
      const seconds = total(rows, "seconds"), multiplyAdds = total(rows, "multiply_adds"), bytes = total(rows, "bytes");
      const waiting = total(rows.filter((row) => row.bound === "memory"), "seconds") / seconds;
      this.sums = { seconds, multiply_adds: multiplyAdds, bytes, waiting };
      const images = state.roof_batch, each = images > 1 ? `${time(seconds / images)} an image` : `${digits(1 / seconds)} images/s`;
      this.setCard("seconds", seconds, time(seconds), each);
      this.setCard("computing", multiplyAdds / peak, time(multiplyAdds / peak), `${short(multiplyAdds)} at ${short(peak)}/s`);
      this.setCard("moving", bytes / bandwidth, time(bytes / bandwidth), `${short(bytes)}B at ${short(bandwidth)}B/s`);
      this.setCard("waiting", waiting, percent(waiting), "of the least time");
      const [measured, way] = this.measured();
      this.setCard("measured", measured ?? "", measured ? time(measured) : "–", measured ? `${way}; ${digits(measured / seconds)} times the least` : "no record of this");
      for (const box of this.own) if (box.hidden !== (state.roof_machine !== "yours")) box.hidden = state.roof_machine !== "yours";
      this.controls.roof_batch.range.setAttribute("aria-valuetext", `${images} image${images === 1 ? "" : "s"} at a time`);
      this.controls.roof_peak.range.setAttribute("aria-valuetext", `${state.roof_peak} billion multiply-adds per second`);
      this.controls.roof_bandwidth.range.setAttribute("aria-valuetext", `${state.roof_bandwidth} billion bytes per second`);
      for (const { field, parts, out } of this.bills) {
        const shares = KINDS.map((_, kind) => total(rows.filter((row) => row.kind === kind), field) / this.sums[field]);
        parts.forEach((part, kind) => {
          const width = `${(100 * shares[kind]).toFixed(2)}%`;
          if (part.shown !== width) part.style.width = part.shown = width;
          put(part, shares[kind] > (this.width < 520 ? 0.14 : 0.07) ? percent(shares[kind]) : "");
        });
        put(out, { multiply_adds: short(multiplyAdds), bytes: `${short(bytes)}B`, seconds: time(seconds) }[field]);
      }
      this.limits = { peak, bandwidth, cache };
      this.draw();
      const layer = rows[state.roof_layer - 1];
      put(this.sentence, this.layerText(layer));
      this.controls.roof_layer.range.setAttribute("aria-valuetext", this.layerName(layer));
      if (!this.plot.root.getAttribute("aria-label")) this.describe();
    }

    draw() {
      const { rows, limits, sums, state } = this;
      this.plot.show(rows, limits, sums.seconds, state.roof_layer - 1, this.stages());
      this.band.show(rows, sums.seconds, state.roof_layer - 1);
    }

    // Seconds of the record that fits, and how the network was run: [seconds, way], or [].
    measured() {
      const { roof_network: name, roof_batch: batch, roof_machine: machine, roof_precision: precision, roof_fused: fused } = this.state;
      const record = machine === "xeon" && this.data.measured[name]?.[batch];
      if (!record) return [];
      const way = fused === "fused" ? (precision === "fp32" ? "optimised" : precision) : precision === "fp32" ? "as built" : "";
      return record[way] ? [record[way], way === "bf16" ? "optimised, bf16" : way] : [];
    }

    // What each stage of the optimised network attained: [stage, intensity, multiply-adds per second].
    stages() {
      const [, way] = this.measured();
      if (way !== "optimised") return [];
      return this.data.measured[this.state.roof_network][this.state.roof_batch].stages.map((attained, i) => {
        const rows = this.rows.filter((row) => row.stage === i + 1);
        return [i + 1, total(rows, "multiply_adds") / total(rows, "bytes"), attained];
      });
    }

    layerName({ stage, first, times, name }) {
      const blocks = times > 1 ? `blocks ${first} to ${first + times - 1}` : `block ${first}`;
      return ["stem", "head", "classifier"].includes(name) ? `stage ${stage}, the ${LAYERS[name]}` : `stage ${stage}, ${blocks}: ${LAYERS[name]}`;
    }

    layerText(row) {
      const text = this.layerName(row), map = (channels, side) => (side === 1 ? `${channels}` : `${side}×${side}×${channels}`);
      const what = row.kind === 3 ? "linear layer" : `${KINDS[row.kind]} convolution ${row.kernel}×${row.kernel}`;
      const cost = row.times > 1 ? `each of the ${row.times}: ` : "";
      const waits = row.bound === "memory" ? "It waits for memory." : "Arithmetic is what it takes.";
      return `${text[0].toUpperCase()}${text.slice(1)}. A ${what}, ${map(row.cIn, row.side)} to ${map(row.cOut, row.out)}; ${cost}` +
        `${short(row.multiply_adds)} multiply-adds, ${short(row.bytes)}B, ${digits(row.multiply_adds / row.bytes)} per byte, at least ${time(row.seconds)}, ` +
        `${percent((row.times * row.seconds) / this.sums.seconds)} of the whole. ${waits}`;
    }

    describe() {
      const { peak, bandwidth } = this.limits, { waiting } = this.sums, ridge = peak / bandwidth;
      const memory = this.rows.filter((row) => row.bound === "memory").length;
      this.plot.root.setAttribute("aria-label",
        `Roofline: attainable multiply-adds per second over multiply-adds per byte, both logarithmic. The roof rises up to ${digits(ridge)} multiply-adds per byte, ` +
        `then is flat at ${short(peak)} per second. Of ${this.rows.length} different layers, ${memory} wait for memory; they take ${percent(waiting)} of the least time.`);
      this.band.root.setAttribute("aria-label",
        `The least time from the image to the answer, layer by layer, in two lanes: above, layers that compute; below, layers that wait for memory.`);
    }

    words() {
      this.describe();
      const { state } = this, [measured, way] = this.measured();
      const told = measured ? ` Measured, ${way}: ${time(measured)}.` : "";
      return `${titled(state.roof_network)}, ${state.roof_batch} at a time, ${state.roof_precision}: least time ${time(this.sums.seconds)}, ` +
        `${percent(this.sums.waiting)} of it in layers that wait for memory.${told} ${this.sentence.textContent}`;
    }
  }

  // The roof, and the layers under it.
  class Plot {
    constructor(root, pick) {
      this.root = root;
      this.zones = ["memory", "compute"].map((name) => svg(root, "rect", { class: `zone ${name}` }));
      this.grid = svg(root, "g", { class: "grid" });
      this.cache = svg(root, "path", { class: "cache" });
      this.roof = svg(root, "path", { class: "roof" });
      this.words = ["memory", "compute"].map((name) => svg(root, "text", { class: `zone-name ${name}` }));
      this.marks = svg(root, "g");
      this.found = svg(root, "g", { class: "found" });
      this.cross = svg(root, "path", { class: "cross" });
      this.ring = svg(root, "circle", { class: "ring" });
      this.points = [];
      root.addEventListener("click", (event) => {
        const box = root.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
        const distance = (p) => Math.hypot(p.x - x, p.y - y) - p.r;
        const best = this.points.reduce((a, b, i) => (a < 0 || distance(b) < distance(this.points[a]) ? i : a), -1);
        if (best >= 0 && distance(this.points[best]) < 24) pick(best);
      });
    }

    resize(width) {
      const height = width < 520 ? 330 : 400;
      Object.assign(this, { width, height, left: width < 520 ? 40 : 52, right: width - 8, top: 8, bottom: height - (width < 520 ? 44 : 46) });
      this.root.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.root.style.height = `${height}px`;
      this.grid.replaceChildren();
      const { left, right, top, bottom } = this;
      for (let power = Math.ceil(X[0]); power <= X[1]; power++) {
        const x = this.x(10 ** power);
        svg(this.grid, "path", { d: `M${x} ${top}V${bottom}` });
        svg(this.grid, "text", { x, y: bottom + 16, "text-anchor": "middle" }).textContent = power < 0 ? "0.1" : String(10 ** power);
      }
      this.rungs = svg(this.grid, "g");
      svg(this.grid, "text", { class: "axis", x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }).textContent = "multiply-adds per byte moved";
      svg(this.grid, "text", { class: "axis", x: left + 6, y: top + 12 }).textContent = "multiply-adds per second";
    }

    // The window moves by whole powers of ten, with the peak.
    follow(peak) {
      const power = Math.floor(Math.log10(peak) + 1e-9);
      if (power === this.power && this.rungs.firstChild) return;
      this.power = power;
      this.rungs.replaceChildren();
      for (let rung = Math.ceil(power + Y[0]); rung <= power + Y[1]; rung++) {
        const y = this.y(10 ** rung), [unit, name] = rung < 9 ? [6, "M"] : rung < 12 ? [9, "G"] : rung < 15 ? [12, "T"] : [15, "P"];
        svg(this.rungs, "path", { d: `M${this.left} ${y}H${this.right}` });
        svg(this.rungs, "text", { x: this.left - 6, y: y + 4, "text-anchor": "end" }).textContent = `${10 ** (rung - unit)} ${name}`;
      }
    }

    x(intensity) {
      return this.left + ((Math.min(X[1], Math.max(X[0], Math.log10(intensity))) - X[0]) / (X[1] - X[0])) * (this.right - this.left);
    }

    y(rate) {
      const power = Math.min(Y[1], Math.max(Y[0], Math.log10(rate) - this.power));
      return this.bottom - ((power - Y[0]) / (Y[1] - Y[0])) * (this.bottom - this.top);
    }

    // The roof from the left edge over the ridge to the right edge, cut at the window.
    path({ peak, bandwidth }) {
      const low = Math.max(10 ** X[0], 10 ** (Y[0] + this.power) / bandwidth), ridge = peak / bandwidth;
      const start = `M${this.x(low).toFixed(1)} ${this.y(Math.min(peak, low * bandwidth)).toFixed(1)}`;
      const knee = ridge > low ? `L${this.x(ridge).toFixed(1)} ${this.y(peak).toFixed(1)}` : "";
      return `${start}${knee}H${this.right}`;
    }

    show(rows, limits, seconds, chosen, stages) {
      if (!this.width) return;
      this.follow(limits.peak);
      const { left, right, top, bottom } = this, { peak, bandwidth, cache } = limits, knee = this.x(peak / bandwidth);
      attribute(this.roof, "d", this.path(limits));
      attribute(this.cache, "d", cache ? this.path({ peak, bandwidth: cache }) : "");
      [[left, knee], [knee, right]].forEach(([from, to], i) => {
        attribute(this.zones[i], "x", from.toFixed(1));
        attribute(this.zones[i], "width", Math.max(0, to - from).toFixed(1));
        attribute(this.zones[i], "y", top);
        attribute(this.zones[i], "height", bottom - top);
        const room = to - from > 108;
        attribute(this.words[i], "visibility", room ? "visible" : "hidden");
        attribute(this.words[i], "x", i ? right - 6 : left + 6);
        attribute(this.words[i], "y", bottom - 8);
        attribute(this.words[i], "text-anchor", i ? "end" : "start");
      });
      put(this.words[0], "wait for memory");
      put(this.words[1], "compute");
      while (this.marks.children.length > rows.length) this.marks.lastChild.remove();
      this.points = rows.map((row, i) => {
        const share = (row.times * row.seconds) / seconds, r = 2 + 26 * Math.sqrt(share);
        const x = this.x(row.multiply_adds / row.bytes), y = this.y(row.multiply_adds / row.seconds);
        const mark = this.marks.children[i] ?? svg(this.marks, "path");
        attribute(mark, "class", KINDS[row.kind]);
        attribute(mark, "d", SHAPES[row.kind]);
        attribute(mark, "transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${(0.9 * r).toFixed(2)})`);
        return { x, y, r };
      });
      const { x, y, r } = this.points[chosen];
      attribute(this.ring, "cx", x.toFixed(1));
      attribute(this.ring, "cy", y.toFixed(1));
      attribute(this.ring, "r", (r + 5).toFixed(1));
      attribute(this.cross, "d", `M${x.toFixed(1)} ${(y + r + 5).toFixed(1)}V${bottom}M${(x - r - 5).toFixed(1)} ${y.toFixed(1)}H${left}`);

      while (this.found.children.length > stages.length) this.found.lastChild.remove();
      stages.forEach(([stage, intensity, attained], i) => {
        const group = this.found.children[i] ?? svg(this.found, "g");
        if (!group.firstChild) { svg(group, "path"); svg(group, "circle", { r: 7.5 }); svg(group, "text", { "text-anchor": "middle" }); }
        const [line, dot, text] = group.children, at = this.x(intensity), low = this.y(attained), high = this.y(Math.min(peak, intensity * bandwidth));
        attribute(line, "d", `M${at.toFixed(1)} ${high.toFixed(1)}V${(low - 7.5).toFixed(1)}`);
        attribute(dot, "cx", at.toFixed(1));
        attribute(dot, "cy", low.toFixed(1));
        attribute(text, "x", at.toFixed(1));
        attribute(text, "y", (low + 4).toFixed(1));
        put(text, String(stage));
      });
    }
  }

  // The least time as a band in two lanes: what computes above, what waits for memory below.
  class Band {
    constructor(root, pick) {
      this.root = root;
      this.names = ["computes", "waits"].map((text, i) => {
        const name = svg(root, "text", { class: "lane", x: 0, y: 18 + 24 * i });
        name.textContent = text;
        return name;
      });
      this.base = svg(root, "path", { class: "base" });
      this.bars = svg(root, "g");
      this.stages = svg(root, "g", { class: "stages" });
      this.frame = svg(root, "path", { class: "ring" });
      root.addEventListener("click", (event) => {
        const x = event.clientX - root.getBoundingClientRect().left;
        pick(this.edges.findIndex((edge) => x < edge));
      });
    }

    resize(width) {
      Object.assign(this, { width, left: 60, right: width - 8 });
      this.root.setAttribute("viewBox", `0 0 ${width} 74`);
      this.root.style.height = "74px";
      attribute(this.base, "d", `M60 26H${width - 8}`);
    }

    show(rows, seconds, chosen) {
      if (!this.width) return;
      const { left, right } = this, scale = (right - left) / seconds, starts = [];
      let at = left;
      const path = KINDS.map(() => ["", ""]), stages = [];
      this.edges = rows.map((row) => {
        const width = row.times * row.seconds * scale;
        starts.push(at);
        path[row.kind][row.bound === "memory" ? 1 : 0] += `M${at.toFixed(2)} ${row.bound === "memory" ? 27 : 3}h${Math.max(width, 0.3).toFixed(2)}v22H${at.toFixed(2)}z`;
        if (stages[stages.length - 1]?.stage !== row.stage) stages.push({ stage: row.stage, from: at, to: at });
        stages[stages.length - 1].to = at + width;
        return (at += width);
      });
      path.flat().forEach((d, i) => {
        const bar = this.bars.children[i] ?? svg(this.bars, "path", { class: `${KINDS[i >> 1]} ${i % 2 ? "memory" : "compute"}` });
        attribute(bar, "d", d);
      });
      while (this.stages.children.length > stages.length) this.stages.lastChild.remove();
      stages.forEach(({ stage, from, to }, i) => {
        const group = this.stages.children[i] ?? svg(this.stages, "g");
        const line = group.firstChild ?? svg(group, "path"), text = group.lastChild !== line ? group.lastChild : svg(group, "text", { "text-anchor": "middle" });
        attribute(line, "d", `M${from.toFixed(1)} 52v5H${to.toFixed(1)}v-5`);
        attribute(text, "x", ((from + to) / 2).toFixed(1));
        attribute(text, "y", 70);
        put(text, to - from > 12 ? String(stage) : "");
      });
      const row = rows[chosen], top = row.bound === "memory" ? 27 : 3;
      attribute(this.frame, "d", `M${(starts[chosen] - 1.5).toFixed(1)} ${top - 1.5}H${(this.edges[chosen] + 1.5).toFixed(1)}v25H${(starts[chosen] - 1.5).toFixed(1)}z`);
    }
  }

  window.EffnetRoofline = { bounds, total };
  EffnetExplorer.define("effnet-roofline-explorer", RooflineExplorer);
})();
