// The stochastic-depth explorer: a batch on its way through B0, and what the draws come to on
// average. depth.py does the same sums; a test holds the two equal.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put } = EffnetExplorer;

  // mulberry32, as in depth.py.
  function uniform(count, seed = 1) {
    const numbers = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
      t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
      numbers[i] = ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    }
    return numbers;
  }

  // One block's work on the toy signal: a branch beside a skip adds 1.
  function pass(value, keep, rate, way) {
    if (way === "skip") return 1 + (keep ? value : 0);
    return keep ? value + (way === "scaled" ? 1 / (1 - rate) : 1) : value;
  }

  class DepthExplorer extends EffnetExplorer {
    get defaults() {
      return { sd_rate: this.data.rate, sd_draws: 10, sd_way: "scaled" };
    }

    template() {
      const { rates, draws, ways } = this.data;
      return `
        <div class="sd-controls">
          ${this.slider("sd_rate", "Stochastic depth rate p", ...rates, "rate")}
          ${this.slider("sd_draws", "Batches drawn", 1, draws, 1, "batches drawn")}
        </div>
        <div class="sd-buttons">
          <button type="button" class="effnet-button" data-more="1">Draw a batch</button>
          <button type="button" class="effnet-button" data-more="50">Draw 50</button>
          <button type="button" class="effnet-button sd-reset">Reset</button>
        </div>
        <p class="effnet-note" role="alert"></p>
        ${this.choice("sd_way", "With each draw", Object.entries(ways))}
        <figure class="effnet-drawing sd-batch"><svg role="img" aria-label=""></svg>
          <figcaption><span><i class="kept"></i>branch kept</span> <span><i class="dropped"></i>branch dropped</span>
            <span><i class="fixed"></i>no skip: never dropped</span> <span><i class="cut"></i>skip dropped</span>
            <span>the line is the signal: the larger, the thicker</span></figcaption></figure>
        <div class="effnet-cards sd-cards">
          ${this.card("sd_evaluation", "Output in evaluation")}${this.card("sd_mean", "Mean output so far")}
          ${this.card("sd_expected", "It approaches")}${this.card("sd_depth", "Expected depth")}
        </div>
        <figure class="effnet-drawing sd-chart"><svg role="img" aria-label=""></svg>
          <figcaption>Mean output of all samples so far, over the batches drawn, in each of the three ways</figcaption></figure>`;
    }

    ready() {
      const { blocks, samples, draws } = this.data;
      const find = (selector) => this.live.querySelector(selector);
      this.noise = uniform(draws * samples * blocks.length);
      this.batch = new Batch(find(".sd-batch svg"), blocks, samples);
      this.chart = new Chart(find(".sd-chart svg"), Object.keys(this.data.ways));
      this.live.querySelectorAll("[data-more]").forEach((button) => button.addEventListener("click", () => {
        const wanted = this.state.sd_draws + Number(button.dataset.more);
        this.batch.sweep(this.state.sd_draws);
        this.set({ sd_draws: Math.min(draws, wanted) });
        if (wanted > draws) this.note(`After ${draws} batches the figure ends; Reset starts again.`);
      }));
      find(".sd-reset").addEventListener("click", () => this.set(this.defaults));
      const observer = new ResizeObserver(([entry]) => {
        const width = Math.round(entry.contentRect.width);
        if (width && this.batch.resize(width)) {
          this.chart.resize(width);
          this.draw();
        }
      });
      observer.observe(find(".sd-batch"));
    }

    // Running means of every way, for all draws at this rate; kept until the rate changes.
    run(rate) {
      if (this.rate === rate) return;
      this.rate = rate;
      const { blocks, samples, draws, ways } = this.data;
      this.rates = blocks.map(({ skip }, i) => (skip ? (rate * i) / blocks.length : 0));
      const skips = blocks.flatMap(({ skip }, i) => (skip ? [i] : []));
      this.means = {};
      this.expected = {};
      for (const way of Object.keys(ways)) {
        const means = new Float64Array(draws);
        let total = 0;
        for (let draw = 0; draw < draws; draw++) {
          for (let sample = 0; sample < samples; sample++) {
            const at = (draw * samples + sample) * blocks.length;
            let value = 1;
            for (const i of skips) value = pass(value, this.noise[at + i] >= this.rates[i], this.rates[i], way);
            total += value;
          }
          means[draw] = total / (samples * (draw + 1));
        }
        this.means[way] = means;
        this.expected[way] = skips.reduce((value, i) => {
          const keep = 1 - this.rates[i];
          return way === "skip" ? 1 + keep * value : value + (way === "scaled" ? 1 : keep);
        }, 1);
      }
      this.depth = this.rates.reduce((sum, p) => sum + 1 - p, 0);
      this.evaluation = 1 + skips.length;
    }

    // The batch drawn last: for each sample, what was kept and the signal after each block.
    samples() {
      const { blocks, samples } = this.data;
      return Array.from({ length: samples }, (_, sample) => {
        const at = ((this.state.sd_draws - 1) * samples + sample) * blocks.length;
        let value = 1;
        return blocks.map(({ skip }, i) => {
          const keep = this.noise[at + i] >= this.rates[i];
          if (skip) value = pass(value, keep, this.rates[i], this.state.sd_way);
          return { keep, value };
        });
      });
    }

    show() {
      const { sd_rate: rate, sd_draws: draws, sd_way: way } = this.state;
      const { blocks, samples } = this.data;
      this.run(rate);
      this.rows = this.samples();
      const mean = this.means[way][draws - 1];
      const dropped = this.rows.flat().filter(({ keep }) => !keep).length;
      const chances = samples * blocks.filter(({ skip }) => skip).length;
      this.setCard("sd_evaluation", this.evaluation, this.evaluation.toFixed(2), "nothing is dropped");
      this.setCard("sd_mean", mean, mean.toFixed(2), `of ${samples * draws} samples`);
      this.setCard("sd_expected", this.expected[way], this.expected[way].toFixed(2),
        Math.abs(this.expected[way] - this.evaluation) < 1e-9 ? "the evaluation output" : "not the evaluation output");
      const depth = way === "skip" ? blocks.length : this.depth;
      this.setCard("sd_depth", depth, depth.toFixed(2),
        way === "skip" ? "every branch acts; what came before is lost" : `of ${blocks.length} blocks act on a sample`);
      this.news = `${dropped} of ${chances} ${way === "skip" ? "skips" : "branches"} dropped in this batch`;
      this.draw();
    }

    draw() {
      if (!this.rows) return;
      const { sd_draws: draws, sd_way: way } = this.state;
      this.batch.show(this.rows, this.rates, way, this.news);
      this.chart.show(this.means, this.expected, this.evaluation, draws, way);
    }

    words() {
      const field = (name) => this.cards[name].textContent;
      return `Rate ${this.state.sd_rate}, batch ${this.state.sd_draws}: ${this.news}; mean output ${field("sd_mean")}, ` +
        `evaluation output ${field("sd_evaluation")}, expected depth ${field("sd_depth")} of ${this.data.blocks.length}.`;
    }
  }

  const make = (parent, name, kind) => {
    const element = parent.appendChild(document.createElementNS(SVG, name));
    if (kind) element.setAttribute("class", kind);
    return element;
  };
  // Only what is new touches the page.
  const give = (element, name, value) => {
    element.given ??= {};
    if (element.given[name] !== value) element.setAttribute(name, (element.given[name] = value));
  };

  // Samples are rows, blocks are columns; above each column stands its rate as a bar.
  class Batch {
    constructor(svg, blocks, samples) {
      this.svg = svg;
      this.blocks = blocks;
      this.ramp = blocks.map(() => make(svg, "rect", "ramp"));
      this.most = make(svg, "text", "most");
      this.rows = Array.from({ length: samples }, () => ({
        start: make(svg, "path", "flow"),
        cells: blocks.map(() => ({ line: make(svg, "path", "flow") })),
        out: make(svg, "text", "out"),
      }));
      const boxes = make(svg, "g", "boxes"); // one element, so that one animation sweeps through them all
      for (const { cells } of this.rows) for (const cell of cells) Object.assign(cell, { box: make(boxes, "rect"), cut: make(boxes, "path", "cross") });
      this.stages = [...new Set(blocks.map(({ stage }) => stage))].map((stage) => {
        const members = blocks.flatMap((block, i) => (block.stage === stage ? [i] : []));
        return { stage, middle: (members[0] + members[members.length - 1] + 1) / 2, first: members[0], text: make(svg, "text"), rule: make(svg, "path", "rule") };
      });
      this.titles = ["rate", "stage", "output"].map((word) => Object.assign(make(svg, "text", "title"), { textContent: word }));
      this.width = 0;
    }

    resize(width) {
      if (width === this.width) return false;
      this.width = width;
      const narrow = width < 480;
      this.left = narrow ? 10 : 46;
      this.right = narrow ? 34 : 52;
      this.step = (width - this.left - this.right) / this.blocks.length;
      this.pitch = narrow ? 24 : 26;
      this.roof = 46;
      const height = this.roof + this.pitch * this.rows.length + 24;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.svg.setAttribute("height", height);
      const box = Math.min(20, 0.62 * this.step);
      const x = (i) => this.left + this.step * i;
      this.rows.forEach(({ start, cells, out }, row) => {
        const y = this.roof + this.pitch * (row + 0.5);
        start.setAttribute("d", `M${x(0) - 4} ${y}H${x(0.5)}`);
        cells.forEach(({ line, box: rect, cut }, i) => {
          const middle = x(i + 0.5);
          line.setAttribute("d", `M${middle.toFixed(1)} ${y}H${Math.min(x(i + 1.5), x(cells.length)).toFixed(1)}`);
          for (const [name, value] of Object.entries({ x: middle - box / 2, y: y - 8, width: box, height: 16, rx: 3 })) rect.setAttribute(name, value.toFixed(1));
          const at = x(i + 0.5) - box / 2 - 1.5;
          cut.setAttribute("d", `M${at - 3} ${y - 4}l6 8m0 -8l-6 8`);
        });
        out.setAttribute("x", x(this.blocks.length) + 5);
        out.setAttribute("y", y + 4);
      });
      this.stages.forEach(({ middle, first, text, rule }, i) => {
        text.setAttribute("x", x(middle));
        text.setAttribute("y", height - 8);
        text.textContent = this.stages[i].stage;
        rule.setAttribute("d", first ? `M${x(first)} ${this.roof - 2}V${height - 20}` : "");
      });
      const [rate, stage, output] = this.titles;
      for (const [title, tx, ty, shown] of [[rate, 0, this.roof - 12, !narrow], [stage, 0, height - 8, !narrow], [output, width, this.roof - 6, true]]) {
        title.setAttribute("x", tx);
        title.setAttribute("y", ty);
        title.style.textAnchor = title === output ? "end" : "start";
        title.style.display = shown ? "" : "none";
      }
      this.box = box;
      return true;
    }

    // After a button, the batch runs through from left to right (if motion is welcome: see the style).
    sweep(key) {
      this.svg.classList.remove("sweep-0", "sweep-1");
      this.svg.classList.add(`sweep-${key % 2}`);
    }

    show(rows, rates, way, news) {
      if (!this.width) return;
      const last = rates.length - 1, top = Math.max(...rates), tall = 26;
      rates.forEach((rate, i) => {
        const height = rate * tall; // a rate of 1 would be as high as the space
        give(this.ramp[i], "x", (this.left + this.step * (i + 0.5) - this.box / 2).toFixed(1));
        give(this.ramp[i], "width", this.box.toFixed(1));
        give(this.ramp[i], "y", (this.roof - 6 - height).toFixed(1));
        give(this.ramp[i], "height", height.toFixed(1));
      });
      const most = rates.lastIndexOf(top);
      give(this.most, "x", (this.left + this.step * (most + 0.5)).toFixed(1));
      give(this.most, "y", (this.roof - 10 - top * tall).toFixed(1));
      put(this.most, top ? `${top.toFixed(3)}` : "0");
      rows.forEach((sample, row) => {
        const { cells, out } = this.rows[row];
        sample.forEach(({ keep, value }, i) => {
          const { line, box, cut } = cells[i], skip = this.blocks[i].skip;
          const lost = skip && !keep;
          give(box, "class", !skip ? "fixed" : lost && way !== "skip" ? "dropped" : "kept");
          give(cut, "class", lost && way === "skip" ? "cross" : "cross none");
          give(line, "style", `stroke-width:${thickness(value)}`);
        });
        put(out, sample[last].value.toFixed(1));
      });
      const outputs = rows.map((sample) => sample[last].value.toFixed(1)).join(", ");
      const text = `${rows.length} samples as rows on their way through ${rates.length} blocks: ${news}. Their outputs: ${outputs}.`;
      if (this.text !== text) this.svg.setAttribute("aria-label", (this.text = text));
    }
  }

  const thickness = (value) => Math.min(9, 0.7 + 0.5 * value).toFixed(1);

  // The three running means, the evaluation output, and where each mean is bound.
  class Chart {
    constructor(svg, ways) {
      this.svg = svg;
      this.grid = [0, 1, 2, 3, 4].map(() => [make(svg, "path", "rule"), make(svg, "text", "tick")]);
      this.ends = [0, 1].map(() => make(svg, "text", "tick"));
      this.level = make(svg, "path", "level");
      this.levelText = make(svg, "text", "evaluation");
      this.lines = ways.map((way) => [way, make(svg, "path", `mean ${way}`), make(svg, "text", `name ${way}`), make(svg, "path", `goal ${way}`)]);
    }

    resize(width) {
      this.width = width;
      this.height = 190;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
    }

    show(means, expected, evaluation, draws, way) {
      if (!this.width) return;
      const NAMES = { scaled: "divided by 1 − p", plain: "branch only", skip: "skip dropped" };
      const left = 26, right = this.width - 106, bottom = this.height - 22, roof = 10;
      const span = Math.max(20, draws), high = 12.5;
      const x = (draw) => left + ((right - left) * (draw - 1)) / (span - 1);
      const y = (value) => bottom - ((bottom - roof) * Math.min(high, value)) / high;
      this.grid.forEach(([rule, text], i) => {
        const value = 2.5 * (i + 1);
        give(rule, "d", `M${left} ${y(value).toFixed(1)}H${right}`);
        give(text, "x", left - 4);
        give(text, "y", (y(value) + 4).toFixed(1));
        put(text, i % 2 ? String(value) : "");
      });
      [1, span].forEach((draw, i) => {
        give(this.ends[i], "x", x(draw).toFixed(1));
        give(this.ends[i], "y", bottom + 15);
        this.ends[i].style.textAnchor = i ? "end" : "start";
        put(this.ends[i], i ? `${draw} batches` : "1");
      });
      give(this.level, "d", `M${left} ${y(evaluation).toFixed(1)}H${right}`);
      give(this.levelText, "x", right + 6);
      give(this.levelText, "y", (y(evaluation) - 8).toFixed(1));
      put(this.levelText, "evaluation");
      // Names at the right, pushed apart where lines end together.
      const ends = this.lines.map(([name]) => ({ name, at: y(means[name][draws - 1]) })).sort((a, b) => a.at - b.at);
      ends.forEach((end, i) => { end.at = Math.max(end.at, i ? ends[i - 1].at + 13 : y(evaluation) + 5); });
      for (const [name, line, text, goal] of this.lines) {
        let path = "";
        for (let draw = 1; draw <= draws; draw++) path += `${draw > 1 ? "L" : "M"}${x(draw).toFixed(1)} ${y(means[name][draw - 1]).toFixed(1)}`;
        give(line, "d", draws > 1 ? path : `${path}h0.01`);
        give(line, "class", `mean ${name}${name === way ? " chosen" : ""}`);
        give(text, "class", `name ${name}${name === way ? " chosen" : ""}`);
        give(text, "x", right + 6);
        give(text, "y", (ends.find((end) => end.name === name).at + 4).toFixed(1));
        put(text, NAMES[name]);
        give(goal, "d", `M${right - 5} ${y(expected[name]).toFixed(1)}h10`);
      }
      const each = this.lines.map(([name]) => `${NAMES[name]} ${means[name][draws - 1].toFixed(2)}, bound for ${expected[name].toFixed(2)}`);
      const label = `Mean outputs after ${draws} batches: ${each.join("; ")}; evaluation ${evaluation}.`;
      if (this.label !== label) this.svg.setAttribute("aria-label", (this.label = label));
    }
  }

  window.EffnetDepth = { uniform };
  EffnetExplorer.define("effnet-depth-explorer", DepthExplorer);
})();
