// The budget explorer: what a run on ImageNet takes. The formula stands in Budget.of, which a test
// holds equal to effnet_lib.training_budget. The drawing: a row for each GPU, as long as the run.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put } = EffnetExplorer;
  const whole = (value) => Math.round(value).toLocaleString("en");
  const figure = (value) => value >= 99.5 ? whole(value) : value >= 9.95 ? value.toFixed(1) : value.toFixed(2);

  const Budget = {
    of(images, rate, gpus, epochs, price, loss, bytes, multiplyAdds) {
      const together = rate * gpus * Math.pow(1 - loss, Math.log2(gpus)), seen = images * epochs;
      const hours = seen / together / 3600;
      return {
        images: seen, images_per_second: together, hours, gpu_hours: hours * gpus, cost: hours * gpus * price,
        disk_bytes: images * bytes, read_bytes_per_second: together * bytes, multiply_adds_per_second: 3 * multiplyAdds * rate,
      };
    },
  };

  // Hours between the lines of the time axis, and how they are called.
  const STEPS = [[1 / 6, "10 min"], [1, "1 h"], [6, "6 h"], [24, "1 day"], [168, "1 week"], [672, "4 weeks"], [8736, "1 year"], [87360, "10 years"]];

  class BudgetExplorer extends EffnetExplorer {
    get defaults() {
      const first = Object.entries(this.data.limits).map(([name, [, , , value]]) => [name, value]);
      return { ...Object.fromEntries(first), bud_network: "b0" };
    }

    template() {
      const slider = (name, label, spoken) => this.slider(name, label, ...this.data.limits[name].slice(0, 3), spoken);
      const examples = this.data.examples.map(([name, gpus], i) =>
        `<button type="button" class="effnet-button" data-example="${i}">${name.toUpperCase()}, ${gpus} A100</button>`).join("");
      return `
        <div class="effnet-main bud-controls">
          ${slider("bud_rate", "<b>Images a second</b> on one GPU, measured alone", "Images a second on one GPU")}
          ${slider("bud_gpus", "<b>GPUs</b>", "GPUs")}
          ${slider("bud_loss", "Lost at each <b>doubling</b> of the GPUs, %", "Per cent lost at each doubling")}
          ${slider("bud_epochs", "<b>Epochs</b>", "Epochs")}
          ${slider("bud_price", "<b>Price</b> of a GPU for an hour (an example: put yours)", "Price of a GPU for an hour")}
          ${slider("bud_kilobytes", "Kilobytes an <b>image file</b> takes (an example)", "Kilobytes an image file takes")}
        </div>
        ${this.choice("bud_network", "Network (for its arithmetic)", Object.keys(this.data.networks).map((name) => [name, name.toUpperCase()]))}
        <div class="bud-examples"><span id="${this.uid}-examples">Measured by NVIDIA:</span>
          <span role="group" aria-labelledby="${this.uid}-examples">${examples}</span>
          <button type="button" class="effnet-button effnet-reset">Reset</button></div>
        <p class="effnet-note" role="alert"></p>
        <figure class="effnet-drawing bud-drawing">
          <svg role="img" aria-label=""></svg>
          <figcaption><span>A row is a GPU, as long as the run. Its area is what you pay for.</span>
            <span><i class="key useful"></i>computing</span> <span><i class="key lost"></i>waiting for the other GPUs</span></figcaption>
        </figure>
        <div class="effnet-cards">
          ${this.card("hours", "On the clock", "depth")}${this.card("gpu_hours", "GPU-hours")}${this.card("cost", "Price", "width")}
          ${this.card("disk_bytes", "Disk")}${this.card("read_bytes_per_second", "To be read", "resolution")}
          ${this.card("multiply_adds_per_second", "Arithmetic, one GPU")}
        </div>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.live.querySelectorAll("[data-example]").forEach((button, i) => button.addEventListener("click", () => {
        const [network, gpus, rate, loss] = this.data.examples[i];
        this.set({ bud_network: network, bud_gpus: gpus, bud_rate: rate, bud_loss: loss });
      }));
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      this.drawing = new Drawing(find("svg"));
      new ResizeObserver(([entry]) => this.drawing.resize(entry.contentRect.width)).observe(find(".bud-drawing"));
    }

    show() {
      const s = this.state, operations = this.data.networks[s.bud_network];
      const b = Budget.of(this.data.images, s.bud_rate, s.bud_gpus, s.bud_epochs, s.bud_price, s.bud_loss / 100, 1000 * s.bud_kilobytes, operations);
      const share = b.images_per_second / (s.bud_rate * s.bud_gpus);
      const long = b.hours < 48 ? `${figure(b.hours)} h` : `${figure(b.hours / 24)} days`;
      this.long = long;
      this.setCard("hours", b.hours, long, `${whole(b.images_per_second)} images a second`);
      this.setCard("gpu_hours", b.gpu_hours, whole(b.gpu_hours), `${s.bud_gpus} × the clock`);
      this.setCard("cost", b.cost, whole(b.cost), `at ${s.bud_price} an hour`);
      this.setCard("disk_bytes", b.disk_bytes, `${whole(b.disk_bytes / 1e9)} GB`, `${whole(this.data.images)} files`);
      this.setCard("read_bytes_per_second", b.read_bytes_per_second, b.read_bytes_per_second < 999.5e6 ? `${whole(b.read_bytes_per_second / 1e6)} MB/s` : `${figure(b.read_bytes_per_second / 1e9)} GB/s`, "at every moment");
      this.setCard("multiply_adds_per_second", b.multiply_adds_per_second, `${figure(b.multiply_adds_per_second / 1e12)} T/s`, "multiply-adds");
      this.drawing.show(s.bud_gpus, b.hours, share, `${s.bud_gpus} GPUs for ${long}; ${Math.round(100 * share)} % of their time computing`);
    }

    words() {
      const card = (name) => this.cards[name].textContent;
      return `${this.long} on the clock, ${card("gpu_hours")} GPU-hours, price ${card("cost")}; ${card("disk_bytes")} on disk, ` +
        `${card("read_bytes_per_second")} to be read, ${card("multiply_adds_per_second")} of arithmetic on each GPU.`;
    }
  }

  class Drawing {
    constructor(svg) {
      this.svg = svg;
      const add = (kind, className) => {
        const node = svg.appendChild(document.createElementNS(SVG, kind));
        node.setAttribute("class", className);
        return node;
      };
      this.lines = add("path", "grid");
      this.useful = add("path", "useful");
      this.lost = add("path", "lost");
      this.ticks = Array.from({ length: 5 }, () => add("text", "tick"));
      this.width = 0;
    }

    resize(width) {
      if (width === this.width) return;
      this.width = width;
      this.height = 190;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
      if (this.now) this.draw(...this.now);
    }

    show(...now) {
      this.now = now;
      if (this.width) this.draw(...now);
    }

    // The axis ends at four or at one of what a step is called, so that dragging shows length.
    draw(gpus, hours, share, label) {
      const W = this.width, bottom = this.height - 24, row = Math.min(20, (bottom - 6) / gpus), bar = row * (row > 4 ? 0.8 : 0.9);
      const [step, name] = STEPS.find(([one]) => hours <= 4 * one) ?? STEPS[STEPS.length - 1];
      const at = (time) => (time / (4 * step)) * (W - 4) + 2, end = Math.min(at(hours), W - 2), middle = 2 + (end - 2) * share;
      let useful = "", lost = "", lines = "";
      for (let i = 0; i < gpus; i++) {
        const y = bottom - (i + 1) * row + (row - bar) / 2;
        useful += `M2 ${y}H${middle}v${bar}H2z`;
        if (share < 0.9995) lost += `M${middle} ${y}H${end}v${bar}H${middle}z`;
      }
      const [amount, unit] = name.split(" ");
      this.ticks.forEach((tick, i) => {
        const x = at(i * step);
        lines += `M${x} 0V${bottom}`;
        tick.setAttribute("x", i === 0 ? x : i === 4 ? W - 2 : x);
        tick.setAttribute("y", this.height - 7);
        tick.style.textAnchor = i === 0 ? "start" : i === 4 ? "end" : "middle";
        const count = amount * i;
        put(tick, i === 0 ? "0" : `${count} ${unit}${count > 1 && /[yk]$/.test(unit) ? "s" : ""}`);
      });
      this.lines.setAttribute("d", lines);
      this.useful.setAttribute("d", useful);
      this.lost.setAttribute("d", lost);
      if (this.svg.getAttribute("aria-label") !== label) this.svg.setAttribute("aria-label", label);
    }
  }

  window.EffnetBudget = Budget;
  EffnetExplorer.define("effnet-budget-explorer", BudgetExplorer);
})();
