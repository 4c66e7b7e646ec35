// The explorer of depth, width and resolution: model.js counts, this file draws.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put, short } = EffnetExplorer;
  const NAMES = ["depth", "width", "resolution"];
  const COUNTS = ["multiply_adds", "parameters", "activations", "field"];
  const times = (value) => `×${value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : Math.round(value)}`;
  const per = (share) => (share < 0.0995 ? (100 * share).toFixed(1) : String(Math.round(100 * share)));

  // By the law, a count grows by depth, width and resolution to these powers.
  const LAW = { multiply_adds: [1, 2, 2], parameters: [1, 2, 0], activations: [1, 1, 2], field: [1, 0, 0] };
  const LAWS = { multiply_adds: "d · w² · r²", parameters: "d · w²", activations: "d · w · r²", field: "about d" };
  const power = ([d, w, r], [a, b, c]) => d ** a * w ** b * r ** c;

  // The bars, in doublings: from 1/32 to 1024.
  const [LOW, HIGH] = [-5, 10];
  const at = (factor) => (100 * (Math.min(HIGH, Math.max(LOW, Math.log2(factor))) - LOW)) / (HIGH - LOW);

  // A cat, in a square of 100 by 100: [fill, stroke, line width, path].
  const CAT = [
    ["#c7dbe6", "", 0, "M0 0H100V100H0z"], ["#dfe9ee", "", 0, "M62 0H100V46H62z"], ["", "#9fb8c5", 1.2, "M62 0V46H100M81 0V46M62 22H100"],
    ["#b98f62", "", 0, "M0 84H100V100H0z"], ["", "#9a7247", 0.5, "M0 88H100M0 93H100M22 84V88M64 88V93M40 93V100M84 93V100"],
    ["#cf7f35", "", 0, "M30 100C27 80 36 68 50 68S73 80 70 100z"], ["#f3e7d6", "", 0, "M42 100C41 84 45 74 50 74S59 84 58 100z"],
    ["#cf7f35", "#a95f20", 0.6, "M25 46L27 15Q36 18 46 29zM75 46L73 15Q64 18 54 29z"], ["#eab7a3", "", 0, "M29.5 38L30.5 21Q35 23 41 30zM70.5 38L69.5 21Q65 23 59 30z"],
    ["#da8b3d", "#a95f20", 0.6, "M50 26C66 26 77 37 77 50S66 74 50 74 23 63 23 50 34 26 50 26z"],
    ["", "#a95f20", 1.6, "M50 27V36M44 28L45.5 36M56 28L54.5 36M24.5 52L32 53M25.5 58L33 57.500M75.5 52L68 53M74.5 58L67 57.5"],
    ["", "#b96d2a", 0.45, "M30 40L34 42M29 44L33 45M70 40L66 42M71 44L67 45M37 34L39 38M63 34L61 38M31 64L35 62M69 64L65 62M36 69L39 66M64 69L61 66M41 37L42 40M59 37L58 40"],
    ["#f6ead9", "", 0, "M50 53C60 51 64 58 60 63S53 68 50 67 43 68 40 63 40 51 50 53z"],
    ["#eee07a", "#6b4a1c", 0.7, "M39 40.500C43.5 40.5 46 44 45.5 47S42 51.5 38.5 51 33 48.5 33.5 45.5 35.5 40.5 39 40.500zM61 40.500C56.5 40.5 54 44 54.5 47S58 51.5 61.5 51 67 48.5 66.5 45.5 64.5 40.5 61 40.500z"],
    ["", "#b9a63c", 0.3, "M36 43L38 45M35 46H37.500M36 49L38 47.500M43 43L41 45M44 46H41.500M43 49L41 47.500M58 43L60 45M57 46H59M58 49L60 47.500M65 43L63 45M66 46H63M65 49L63 47.5"],
    ["#20180f", "", 0, "M39.5 41.500C41 44 41 48 39.5 50.5 38 48 38 44 39.5 41.500zM60.5 41.500C62 44 62 48 60.5 50.5 59 48 59 44 60.5 41.500z"],
    ["#ffffff", "", 0, "M41 43.200a.9 .9 0 1 1 -1.8 0a.9 .9 0 1 1 1.8 0M62 43.200a.9 .9 0 1 1 -1.8 0a.9 .9 0 1 1 1.8 0"],
    ["#d07a74", "#9c4f4a", 0.4, "M46.8 54H53.200Q52.5 57.5 50 58.2 47.5 57.5 46.8 54z"], ["", "#7b4a33", 0.6, "M50 58.200V60.500M50 60.500Q47 64.5 43.5 62.500M50 60.500Q53 64.5 56.5 62.5"],
    ["#8a6a4a", "", 0, "M44 58.500h.7v.7h-.7zM42.5 60.500h.7v.7h-.7zM45.5 61h.7v.7h-.7zM55.3 58.500h.7v.7h-.7zM56.8 60.500h.7v.7h-.7zM53.8 61h.7v.7h-.7z"],
    ["", "#ffffff", 0.4, "M43.5 58.500Q32 54 15 54.500M42.5 60.500Q30 59 13 61.500M44 62Q33 63 17 69M56.5 58.500Q68 54 85 54.500M57.5 60.500Q70 59 87 61.500M56 62Q67 63 83 69"],
  ];
  // The part of it under the glass, an eye: left, top and side.
  const GLASS = [32.4, 38.8, 100 / 7];

  // Where things stand in the picture: the image in its surroundings, the glass beside it.
  const PICTURE = { width: 372, height: 262, left: 32, top: 30, side: 180, room: 234, glass: 104, glassLeft: 262, glassTop: 40 };
  const AREAS = { unit: 40, floor: 146, left: [22, 96, 250], slab: 13, gap: 2 };

  const svg = (parent, name, attributes = {}) => {
    const element = parent.appendChild(document.createElementNS(SVG, name));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  class DimensionsExplorer extends EffnetExplorer {
    get defaults() {
      return { dim_depth: 1, dim_width: 1, dim_resolution: 1, dim_budget: "" };
    }

    template() {
      const { ranges, budgets, bytes } = this.data;
      const slider = (name, label) => this.slider(`dim_${name}`, label, ...ranges[name], 0.05, name);
      const ways = [...NAMES, "all three"].map((way) => `<button type="button" class="effnet-way ${way.replace(" ", "-")}" data-way="${way}">${way}</button>`).join("");
      const bar = (field, name) => `
        <div class="effnet-bar" data-bar="${field}">
          <span>${name} <small>${LAWS[field]}</small></span>
          <div class="effnet-track" aria-hidden="true"><i class="one"></i>${NAMES.map((n) => `<i class="${n}"></i>`).join("")}<b></b></div>
          <output data-field="${field}" aria-live="off"></output><small></small>
        </div>`;
      const ticks = [1 / 16, 1 / 4, 1, 4, 16, 64, 256].map((f) => `<span style="left:${at(f)}%">${f < 1 ? `1/${1 / f}` : f}×</span>`).join("");
      const stages = [1, 2, 3, 4, 5, 6, 7, 8];
      return `
        <div class="effnet-three">
          ${slider("depth", "Depth <b>d</b>")}${slider("width", "Width <b>w</b>")}${slider("resolution", "Resolution <b>r</b>")}
        </div>
        <div class="effnet-spend">
          ${this.choice("dim_budget", "Spend about so many multiply-adds …", budgets.map(([key, label]) => [key, label]))}
          <div class="effnet-ways" role="group" aria-label="on one dimension or on all three"><span aria-hidden="true">… on</span>${ways}<button type="button" class="effnet-button effnet-reset">Reset</button></div>
        </div>
        <p class="effnet-note" role="alert"></p>
        <div class="effnet-views">
          <figure class="effnet-picture">
            <div><svg role="img" aria-label="" viewBox="0 0 ${PICTURE.width} ${PICTURE.height}"></svg><canvas aria-hidden="true"></canvas></div>
            <table class="effnet-sees">
              <caption>One pixel of the map after each stage sees this much of the image</caption>
              <thead><tr><th scope="col">Stage</th>${stages.map((i) => `<th scope="col">${i}</th>`).join("")}</tr></thead>
              <tbody><tr><th scope="row">pixels</th>${stages.map(() => "<td></td>").join("")}</tr>
                <tr><th scope="row">% of side</th>${stages.map(() => "<td></td>").join("")}</tr></tbody>
            </table>
          </figure>
          <figure class="effnet-areas">
            <svg role="img" aria-label="" viewBox="0 0 384 200"></svg>
            <p class="effnet-law"></p>
          </figure>
        </div>
        <div class="effnet-bars">
          <div class="effnet-bar effnet-axis" aria-hidden="true"><span></span><div>${ticks}</div></div>
          ${bar("multiply_adds", "Multiply-adds")}${bar("parameters", "Parameters")}
          ${bar("activations", "Memory for activations")}${bar("field", "Field of view")}
        </div>
        <p class="effnet-hint">Relative to B0. Coloured: what the law says, a colour for each dimension, a squared factor twice as long; to the left of 1× where a
          dimension shrinks. Line across: counted on the rounded network. Memory: ${bytes} bytes for each output of a convolution or linear layer, one image.</p>
        <p class="effnet-why"></p>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.base = this.measure(EffnetModel.count(this.data.base, 1, 1, 1));
      this.ways = [...this.live.querySelectorAll("[data-way]")];
      this.ways.forEach((button) => button.addEventListener("click", () => this.set(this.preset(this.state.dim_budget || "4", button.dataset.way))));
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      this.bars = COUNTS.map((field) => {
        const row = find(`[data-bar="${field}"]`);
        return { field, parts: NAMES.map((name) => row.querySelector(`i.${name}`)), mark: row.querySelector("b") };
      });
      this.law = find(".effnet-law");
      this.why = find(".effnet-why");
      this.sees = [...this.live.querySelectorAll(".effnet-sees tbody tr")].map((tr) => [...tr.querySelectorAll("td")]);
      this.picture = new Picture(find(".effnet-picture svg"), find("canvas"));
      this.areas = new Areas(find(".effnet-areas svg"));
    }

    // The ways to spend a budget, and the factors of each; none where no budget is chosen.
    spend(budget) {
      return this.data.budgets.find(([key]) => key === budget)?.[2] ?? {};
    }

    // A preset as values of the controls.
    preset(budget, way) {
      const factors = this.spend(budget)[way];
      return { ...Object.fromEntries(NAMES.map((name, i) => [`dim_${name}`, factors[i]])), dim_budget: budget };
    }

    // A budget that is pressed is spent as the last one was, or on all three. One is lit only
    // while the sliders stand on one of its presets.
    set(values, remember) {
      if (Object.keys(values).join() === "dim_budget") values = this.preset(values.dim_budget, this.way ?? "all three");
      const { dim_budget, ...sliders } = { ...this.state, ...values };
      this.way = Object.entries(this.spend(dim_budget)).find(([, factors]) => NAMES.every((name, i) => sliders[`dim_${name}`] === factors[i]))?.[0];
      super.set({ ...values, dim_budget: this.way ? dim_budget : "" }, remember);
    }

    measure(rows) {
      const total = (column) => rows.reduce((sum, row) => sum + row[column], 0);
      return {
        rows, resolution: rows[0][2], layers: rows.slice(1, -1).reduce((sum, row) => sum + row[0], 0),
        fields: rows.slice(0, -1).map((row) => row[6]),
        multiply_adds: total(4), parameters: total(3), activations: total(5), field: rows[rows.length - 1][6],
      };
    }

    show() {
      const factors = NAMES.map((name) => this.state[`dim_${name}`]);
      const network = (this.network = this.measure(EffnetModel.count(this.data.base, ...factors)));
      const units = { multiply_adds: short(network.multiply_adds), parameters: short(network.parameters),
        activations: `${short(this.data.bytes * network.activations)}B`, field: `${network.field}\u00a0px` };
      for (const { field, parts, mark } of this.bars) {
        const counted = network[field] / this.base[field];
        this.setCard(field, network[field], units[field], times(counted));
        // Growth goes to the right of 1×, shrinking to the left, one dimension after the other.
        let right = at(1), left = at(1);
        parts.forEach((part, i) => {
          const length = at(factors[i] ** LAW[field][i]) - at(1);
          const start = length < 0 ? (left += length) : right;
          if (length > 0) right += length;
          const style = `left:${start.toFixed(2)}%;width:${Math.abs(length).toFixed(2)}%`;
          if (part.shown !== style) part.style.cssText = part.shown = style;
        });
        const style = `left:${at(counted).toFixed(2)}%`;
        if (mark.shown !== style) mark.style.cssText = mark.shown = style;
      }
      for (const button of this.ways) {
        const pressed = String(button.dataset.way === this.way);
        if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      }
      network.fields.forEach((size, i) => {
        put(this.sees[0][i], String(size));
        put(this.sees[1][i], size >= network.resolution ? "all" : per(size / network.resolution));
        this.sees[1][i].classList.toggle("all", size >= network.resolution);
      });
      const counted = network.multiply_adds / this.base.multiply_adds;
      put(this.law, `d · w² · r² = ${times(power(factors, LAW.multiply_adds)).slice(1)}; counted ${times(counted)}`);
      put(this.why, this.sentence(factors));
      NAMES.forEach((name, i) => this.controls[`dim_${name}`].range.setAttribute("aria-valuetext", `${name} times ${factors[i]}`));
      this.picture.show(network);
      this.areas.show(factors);
    }

    // What to notice about this network.
    sentence(factors) {
      const { resolution, fields } = this.network;
      const whole = fields.findIndex((size) => size >= resolution);
      const seen = whole < 0 ? `No pixel of any map sees the whole image of ${resolution} pixels: the widest field is ${fields[fields.length - 1]}.`
        : `The image has ${resolution} pixels a side; after stage ${whole + 1}, a pixel in the middle of the map sees all of it.`;
      const { accuracy, budgets, source } = this.data;
      const paper = Object.entries(budgets.find(([key]) => key === "paper")[2]).find(([, f]) => f.every((value, i) => value === factors[i]));
      const told = paper ? ` In the paper, this network reached ${accuracy[paper[0]].toFixed(1)} % on ImageNet, and B0 ${accuracy.none.toFixed(1)} % (${source}).` : "";
      return seen + told;
    }

    words() {
      const [d, w, r] = NAMES.map((name) => this.state[`dim_${name}`]);
      const { multiply_adds: m, parameters, activations, resolution } = this.network;
      const { base } = this;
      this.picture.describe();
      this.areas.describe([d, w, r]);
      return `Depth ${d}, width ${w}, resolution ${r}: ${this.network.layers} blocks, ${resolution} pixels, ${short(m)} multiply-adds, ` +
        `${times(m / base.multiply_adds)} of B0; parameters ${times(parameters / base.parameters)}, ` +
        `activations ${times(activations / base.activations)}. ${this.why.textContent}`;
    }
  }

  // The image, the squares that a pixel in the middle of each map sees, and a glass on one eye.
  class Picture {
    constructor(root, canvas) {
      const { left, top, side, glass, glassLeft, glassTop, width, height } = PICTURE;
      this.root = root;
      const scene = svg(root, "g", { transform: `translate(${left} ${top}) scale(${side / 100})` });
      const inside = svg(scene, "svg", { width: 100, height: 100, viewBox: "0 0 100 100", overflow: "hidden" });
      for (const [fill, stroke, line, d] of CAT) {
        svg(inside, "path", { d, fill: fill || "none", stroke: stroke || "none", "stroke-width": line, "stroke-linecap": "round", "stroke-linejoin": "round" });
      }
      this.middle = [left + side / 2, top + side / 2];
      const fields = svg(root, "g");
      this.squares = Array.from({ length: 8 }, (_, i) => {
        const group = svg(fields, "g");
        const [halo, line] = ["halo", "line"].map((kind) => svg(group, "rect", { class: kind, rx: 1.5 }));
        const label = svg(group, "text", { class: "number" });
        label.textContent = i + 1;
        return { group, halo, line, label };
      });
      // The glass: a frame on the image, a larger one beside it, and two lines between.
      const [x, y, s] = GLASS.map((value) => (value * side) / 100);
      const frame = [left + x, top + y, s];
      svg(root, "path", { class: "leader", d: `M${frame[0] + s} ${frame[1]}L${glassLeft} ${glassTop}M${frame[0] + s} ${frame[1] + s}L${glassLeft} ${glassTop + glass}` });
      svg(root, "rect", { class: "frame", x: frame[0], y: frame[1], width: s, height: s });
      svg(root, "rect", { class: "frame", x: glassLeft - 1, y: glassTop - 1, width: glass + 2, height: glass + 2 });
      this.captions = [0, 1, 2].map((i) => svg(root, "text", { class: "caption", x: glassLeft, y: glassTop + glass + 18 + 15 * i }));
      this.captions[0].textContent = "one eye, as";
      this.captions[2].textContent = "see it";
      this.size = svg(root, "text", { class: "caption", x: left + side / 2, y: height - 4, "text-anchor": "middle" });
      canvas.style.cssText = `left:${(100 * glassLeft) / width}%;top:${(100 * glassTop) / height}%;width:${(100 * glass) / width}%;height:${(100 * glass) / height}%`;
      this.canvas = canvas;
      this.paths = CAT.map(([fill, stroke, line, d]) => [fill, stroke, line, new Path2D(d)]);
    }

    show({ fields, resolution }) {
      this.network = { fields, resolution };
      const { side, room } = PICTURE, [x, y] = this.middle;
      const whole = fields.findIndex((size) => size >= resolution);
      fields.forEach((size, i) => {
        // Up to the first that holds the whole image, as far as there is room around it.
        const width = (size / resolution) * side, { group, halo, line, label } = this.squares[i];
        const drawn = width <= room && (whole < 0 || i <= whole);
        group.setAttribute("visibility", drawn ? "visible" : "hidden");
        if (!drawn) return;
        for (const rect of [halo, line]) {
          rect.setAttribute("x", x - width / 2);
          rect.setAttribute("y", y - width / 2);
          rect.setAttribute("width", width);
          rect.setAttribute("height", width);
        }
        line.setAttribute("class", i === whole ? "line whole" : "line");
        label.setAttribute("visibility", width > 26 ? "inherit" : "hidden");
        label.setAttribute("x", x - width / 2 + 3);
        label.setAttribute("y", y - width / 2 + 12);
      });
      if (this.resolution === resolution) return;
      this.resolution = resolution;
      const pixels = Math.max(2, Math.round((resolution * GLASS[2]) / 100));
      put(this.captions[1], `${pixels} × ${pixels} pixels`);
      put(this.size, `the image: ${resolution} × ${resolution} pixels`);
      // The same scene, taken with this many pixels.
      this.canvas.width = this.canvas.height = pixels;
      const pen = this.canvas.getContext("2d"), scale = pixels / GLASS[2];
      pen.setTransform(scale, 0, 0, scale, -GLASS[0] * scale, -GLASS[1] * scale);
      pen.lineCap = pen.lineJoin = "round";
      for (const [fill, stroke, line, path] of this.paths) {
        if (fill) { pen.fillStyle = fill; pen.fill(path); }
        if (stroke) { pen.strokeStyle = stroke; pen.lineWidth = line; pen.stroke(path); }
      }
      if (!this.root.getAttribute("aria-label")) this.describe();
    }

    describe() {
      const { fields, resolution } = this.network;
      const whole = fields.findIndex((size) => size >= resolution) + 1;
      this.root.setAttribute("aria-label",
        `A drawn cat of ${resolution} by ${resolution} pixels, with squares around its nose: what one pixel of the map after each stage sees, ` +
        `${fields.join(", ")} pixels a side. ${whole ? `From stage ${whole} on it is the whole cat.` : "None holds the whole cat."} Beside it one eye, magnified until its pixels show.`);
    }
  }

  // Depth as a pile of layers, width and resolution as squares: the areas multiply to the cost.
  class Areas {
    constructor(root) {
      this.root = root;
      const { unit, floor, left } = AREAS;
      const names = [["d", "layers"], ["w²", "channels in × out"], ["r²", "rows × columns"]];
      const centre = [left[0] + unit / 2, left[1] + 1.5 * unit, left[2] + 1.5 * unit];
      this.shapes = NAMES.map((name, i) => {
        const group = svg(root, "g", { class: name });
        const shape = svg(group, "path", { class: "area" }), ghost = svg(group, "path", { class: "ghost" });
        const height = i ? unit : AREAS.slab;
        ghost.setAttribute("d", `M${left[i]} ${floor}v${-height}h${unit}v${height}z`);
        const value = svg(group, "text", { class: "value", x: centre[i], y: floor + 22, "text-anchor": "middle" });
        const what = svg(group, "text", { class: "what", x: centre[i], y: floor + 40, "text-anchor": "middle" });
        what.textContent = names[i][1];
        return { shape, value, symbol: names[i][0] };
      });
      [79, 233].forEach((x) => { svg(root, "text", { class: "sign", x, y: floor - 14, "text-anchor": "middle" }).textContent = "×"; });
    }

    show(factors) {
      const { unit, floor, left, slab, gap } = AREAS;
      factors.forEach((factor, i) => {
        const { shape, value, symbol } = this.shapes[i], x = left[i];
        let d = "";
        if (i === 0) {
          for (let rest = factor, y = floor; rest > 0.001; rest -= 1, y -= slab + gap) {
            const height = slab * Math.min(1, rest);
            d += `M${x} ${y}v${-height}h${unit}v${height}z`;
          }
        } else {
          const side = unit * factor;
          d = `M${x} ${floor}v${-side}h${side}v${side}z`;
          for (let line = unit; line < side - 0.5; line += unit) d += `M${x + line} ${floor}v${-side}M${x} ${floor - line}h${side}`;
        }
        if (shape.shown !== d) shape.setAttribute("d", (shape.shown = d));
        put(value, `${symbol} = ${(i ? factor ** 2 : factor).toFixed(2)}`);
      });
      if (!this.root.getAttribute("aria-label")) this.describe(factors);
    }

    describe([d, w, r]) {
      this.root.setAttribute("aria-label",
        `Three areas whose product is the cost by the law: a pile of ${d} layers, a square of side ${w} for the channels, a square of side ${r} for the pixels.`);
    }
  }

  EffnetExplorer.define("effnet-dimensions-explorer", DimensionsExplorer);
})();
