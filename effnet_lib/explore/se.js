// The squeeze-and-excitation explorer: C channels, s squeeze channels, and what they cost. The
// closed form of one block stands in SE.cost, which a test holds equal to effnet_lib.count_cost.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put, short } = EffnetExplorer;
  const whole = (value) => Math.round(value).toLocaleString("en");

  const SE = {
    squeeze: (input, expansion, ratio, base) =>
      Math.max(1, Math.floor((base === "expanded" ? input * expansion : input) / ratio)),
    // [parameters, multiply-adds] of the two biased layers
    cost: (channels, squeeze) => [2 * channels * squeeze + channels + squeeze, 2 * channels * squeeze],
  };

  // Lengths of the gates in the drawing: an example, the same for every setting.
  const EXAMPLE = [0.86, 0.3, 0.62, 0.95, 0.16, 0.5, 0.74];

  class SEExplorer extends EffnetExplorer {
    get defaults() {
      return { se_channels: 24, se_expansion: "6", se_ratio: "4", se_base: "input" };
    }

    template() {
      const { blocks, ratios, channels, expansions } = this.data;
      const buttons = blocks.map((_, i) => `<button type="button" data-block="${i}" aria-label="Block ${i + 1} of B0">${i + 1}</button>`).join("");
      return `
        <div class="effnet-main">
          ${this.slider("se_channels", "Channels that <b>enter</b> the block", ...channels, 8, "Channels that enter the block")}
          <div class="effnet-row">
            ${this.choice("se_expansion", "Expansion ratio", expansions.map((e) => [e, e]))}
            ${this.choice("se_ratio", "Squeeze to", ratios.map((r) => [r, `1/${r}`]))}
            ${this.choice("se_base", "of the", [["input", "block’s input"], ["expanded", "expanded channels"]])}
          </div>
          <p class="effnet-hint" id="${this.uid}-blocks">Blocks of B0 (blocks that are alike light up together):</p>
          <div class="effnet-blocks" role="group" aria-labelledby="${this.uid}-blocks">${buttons}
            <button type="button" class="effnet-reset">Reset</button></div>
          <p class="effnet-note" role="alert"></p>
        </div>
        <figure class="effnet-drawing se-drawing">
          <svg role="img" aria-label=""></svg>
          <figcaption><span><b>1</b> squeeze: each map’s average</span> <span><b>2</b> reduce, SiLU</span>
            <span><b>3</b> expand, sigmoid</span> <span><b>4</b> multiply</span>
            <span>(dashed: <span class="se-other"></span>; the gates’ lengths are an example)</span></figcaption>
        </figure>
        <div class="effnet-cards">
          ${this.card("se_width", "Expanded channels C")}${this.card("se_squeeze", "Squeeze channels s", "width")}
          ${this.card("se_parameters", "Parameters of this SE")}${this.card("se_multiply_adds", "Multiply-adds")}
          ${this.card("se_other", "With the other base")}${this.card("se_total", "B0 by this rule")}
        </div>
        <p class="se-verdict"></p>
        <div class="se-bars" aria-hidden="true">
          <span>B0 as released</span><div><i class="rest"></i><i class="se"></i></div>
          <span>B0 by this rule</span><div><i class="rest"></i><i class="se"></i></div>
        </div>
        <p class="effnet-hint">Bars: parameters of the whole network, those of squeeze-and-excitation coloured.</p>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.blocks = [...this.live.querySelectorAll("[data-block]")];
      this.blocks.forEach((button, i) =>
        button.addEventListener("click", () => {
          const [channels, expansion] = this.data.blocks[i];
          this.set({ se_channels: channels, se_expansion: String(expansion) });
        }),
      );
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      this.verdict = find(".se-verdict");
      this.other = find(".se-other");
      this.bars = [...this.live.querySelectorAll(".se-bars i")];
      this.largest = Math.max(...Object.values(this.data.totals));
      this.bar(0, this.data.totals["input-4"]);
      this.drawing = new Drawing(find("svg"));
      new ResizeObserver(([entry]) => this.drawing.resize(entry.contentRect.width)).observe(find(".se-drawing"));
    }

    bar(row, total) {
      const share = (value) => `${((100 * value) / this.largest).toFixed(2)}%`;
      this.bars[2 * row].style.width = share(this.data.without);
      this.bars[2 * row + 1].style.width = share(total - this.data.without);
    }

    show() {
      const { se_channels: input, se_expansion, se_ratio, se_base: base } = this.state;
      const expansion = Number(se_expansion), ratio = Number(se_ratio), right = base === "input";
      const width = input * expansion, other = right ? "expanded" : "input";
      const squeeze = SE.squeeze(input, expansion, ratio, base);
      const otherSqueeze = SE.squeeze(input, expansion, ratio, other);
      const [parameters, multiplyAdds] = SE.cost(width, squeeze);
      const [otherParameters] = SE.cost(width, otherSqueeze);
      const total = this.data.totals[`${base}-${ratio}`], released = this.data.totals["input-4"];
      const times = (value) => String(Number(value.toFixed(1)));

      this.setCard("se_width", width, whole(width), `${input} · ${expansion}`);
      this.setCard("se_squeeze", squeeze, whole(squeeze), squeeze * ratio === (right ? input : width) ? `C / ${times(width / squeeze)}` : "rounded down");
      this.setCard("se_parameters", parameters, whole(parameters), "2·C·s + C + s");
      this.setCard("se_multiply_adds", multiplyAdds, whole(multiplyAdds), "2·C·s, per image");
      this.setCard("se_other", otherParameters, whole(otherParameters), `s = ${otherSqueeze}, of the ${right ? "expanded" : "input"}`);
      this.setCard("se_total", total, short(total), total === released ? "as released" : `released: ${short(released)}`);
      put(this.other, `s = ${otherSqueeze}`);
      put(this.verdict, right && ratio === 4
        ? "This is EfficientNet’s rule: a quarter of the channels that enter the block."
        : right ? `The right base, another ratio than EfficientNet’s: B0 would have ${whole(total)} parameters.`
        : `The common mistake: taken from the expanded channels, B0 would have ${whole(total)} parameters instead of ${whole(this.data.totals[`input-${ratio}`])}.`);
      this.verdict.classList.toggle("wrong", !right);
      this.bar(1, total);
      this.blocks.forEach((button, i) => {
        const [channels, e] = this.data.blocks[i];
        const pressed = String(channels === input && e === expansion);
        if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      });
      this.controls.se_channels.range.setAttribute("aria-valuetext", `${input} channels`);
      this.drawing.show(width, squeeze, otherSqueeze, right);
    }

    words() {
      const field = (name) => this.cards[name].textContent;
      return `${field("se_width")} expanded channels, squeezed to ${field("se_squeeze")}: ${field("se_parameters")} parameters ` +
        `in this block, ${field("se_total")} in B0.`;
    }
  }

  // From left to right: maps, averages, two layers with a waist of s, gates, scaled maps. C and s
  // are drawn to one scale; more channels make the whole larger.
  class Drawing {
    constructor(svg) {
      this.svg = svg;
      const add = (kind, className, text = "") => {
        const node = svg.appendChild(document.createElementNS(SVG, kind));
        node.setAttribute("class", className);
        node.textContent = text;
        return node;
      };
      this.maps = EXAMPLE.map(() => add("rect", "map"));
      this.way = add("path", "way");
      this.funnel = add("path", "funnel");
      this.ghost = add("path", "ghost");
      this.columns = ["average", "squeeze", "open"].map((name) => add("rect", name));
      this.gates = EXAMPLE.map(() => add("rect", "gate"));
      const pairs = EXAMPLE.map(() => [add("rect", "map"), add("rect", "veil")]); // a map and what dims it
      [this.scaled, this.veils] = [pairs.map(([map]) => map), pairs.map(([, veil]) => veil)];
      this.labels = ["C maps", "1", "2", "s", "3", "gates", "4", "C maps"].map((text) => add("text", "label", text));
      this.times = add("text", "times", "×");
      this.width = 0;
    }

    resize(width) {
      if (width === this.width) return;
      this.width = width;
      this.height = Math.max(170, Math.min(240, width * 0.32));
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
      if (this.now) this.draw(...this.now);
    }

    show(...now) {
      this.now = now;
      if (this.width) this.draw(...now);
    }

    draw(C, s, other, right) {
      const { width: W, height: H } = this, put = (node, values) => {
        for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
      };
      const zoom = 0.6 + 0.4 * Math.sqrt(C / 1920), middle = H / 2 - 2, tall = (H - 62) * Math.min(1, zoom);
      const high = (channels) => Math.max(2, (tall * channels) / C), thick = Math.max(5, W * 0.014);
      const at = (share) => W * share, n = EXAMPLE.length;

      const side = Math.min(W * 0.11, tall * 0.62), step = [Math.min(W * 0.07, 50) / n, (tall - side) / n];
      const stack = (nodes, x) => nodes.forEach((node, i) => put(node, {
        x: x + (n - 1 - i) * step[0], y: middle - tall / 2 + i * step[1] + step[1] / 2, width: side, height: side, rx: 2,
      }));
      stack(this.maps, at(0.005));
      const end = at(0.995) - side - (n - 1) * step[0];
      stack(this.scaled, end);
      stack(this.veils, end);
      this.veils.forEach((node, i) => put(node, { opacity: (1 - EXAMPLE[i]) * 0.9 }));

      const xs = [at(0.27), at(0.44), at(0.61)], heights = [high(C), high(s), high(C)];
      this.columns.forEach((node, i) => put(node, { x: xs[i], y: middle - heights[i] / 2, width: thick, height: heights[i], rx: 1.5 }));
      const outline = (waist) => {
        const [a, b, c] = xs, top = (h) => middle - h / 2, bottom = (h) => middle + h / 2, h = high(C), w = high(waist);
        return `M${a + thick} ${top(h)}L${b} ${top(w)}H${b + thick}L${c} ${top(h)}V${bottom(h)}L${b + thick} ${bottom(w)}H${b}L${a + thick} ${bottom(h)}z`;
      };
      put(this.funnel, { d: outline(s) });
      put(this.ghost, { d: other === s ? "" : outline(other) });
      this.svg.classList.toggle("wrong", !right);

      const gate = high(C) / n, gx = xs[2] + thick + 3, reach = W * 0.08;
      this.gates.forEach((node, i) => put(node, {
        x: gx, y: middle - high(C) / 2 + i * gate + gate * 0.15, width: reach * EXAMPLE[i], height: gate * 0.7, rx: 1.5,
      }));
      const cross = at(0.765), top = middle - tall / 2 - 12;
      put(this.way, { d: `M${at(0.005) + side / 2 + (n - 1) * step[0]} ${middle - tall / 2}V${top}H${cross}V${middle - 13}M${cross + 10} ${middle}H${end - 4}M${at(0.005) + side + (n - 1) * step[0] + 4} ${middle}H${xs[0] - 4}` });
      put(this.times, { x: cross, y: middle + 7 });

      const low = middle + tall / 2 + 20, [maps, one, two, waist, three, gates, four, out] = this.labels;
      put(maps, { x: at(0.005) + (side + (n - 1) * step[0]) / 2, y: low });
      put(one, { x: (at(0.005) + side + (n - 1) * step[0] + xs[0]) / 2, y: middle - 7 });
      put(two, { x: (xs[0] + xs[1]) / 2 + thick / 2, y: middle + 4 });
      put(waist, { x: xs[1] + thick / 2, y: low });
      put(three, { x: (xs[1] + xs[2]) / 2 + thick / 2, y: middle + 4 });
      put(gates, { x: gx + reach / 2, y: low });
      put(four, { x: cross + 14, y: middle - 10 });
      put(out, { x: end + (side + (n - 1) * step[0]) / 2, y: low });
      const words = W < 480 ? [`${C}`, `s = ${s}`, `${C}`, `${C}`] : [`${C} maps`, `s = ${s}`, `${C} gates`, `${C} maps`];
      [maps, waist, gates, out].forEach((node, i) => EffnetExplorer.put(node, words[i]));
      const label = `${C} maps are averaged to ${C} numbers; a layer reduces them to ${s}, a second expands them to ${C} gates, ` +
        `which multiply the maps. Dashed, the other choice of squeeze channels: ${other}.`;
      if (this.svg.getAttribute("aria-label") !== label) this.svg.setAttribute("aria-label", label);
    }
  }

  window.EffnetSE = SE;
  EffnetExplorer.define("effnet-se-explorer", SEExplorer);
})();
