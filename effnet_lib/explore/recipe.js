// The recipe explorer: the learning rate of every step, and the weights that the moving average
// gives to past steps. recipe.py and train/optim.py do the same sums; a test holds them equal.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put } = EffnetExplorer;

  // As lr_factor in train/optim.py: the share of the peak at a step, counted from 0.
  function factor(run, step) {
    if (step < run.warmup) return (step + 1) / run.warmup;
    if (run.schedule === "cosine") return (1 + Math.cos((Math.PI * (step - run.warmup)) / Math.max(1, run.total - run.warmup))) / 2;
    if (run.schedule === "staircase") return run.decay ** Math.floor(step / (run.decayEpochs * run.perEpoch));
    return 1;
  }

  // As ema_remaining in recipe.py.
  function remaining(decay, since, until) {
    const turn = Math.min(until, Math.max(since, Math.ceil((10 * decay - 1) / (1 - decay))));
    let share = 1;
    for (let k = 1; k < 10; k++) share *= (since + k) / (turn + k);
    return share * decay ** (until - turn);
  }

  // The step since which the average has half of its weight.
  function half(decay, until) {
    let low = 1, high = until;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (remaining(decay, middle, until) < 0.5) low = middle;
      else high = middle;
    }
    return until - high;
  }

  // Python's round: halves go to the even number.
  function round(x) {
    const whole = Math.floor(x), rest = x - whole;
    return rest > 0.5 || (rest === 0.5 && whole % 2) ? whole + 1 : whole;
  }

  const number = (value) => (value >= 1e6 ? EffnetExplorer.short(value) : Math.round(value).toLocaleString("en"));
  const rate = (value) => (value === 0 ? "0" : Number(value.toPrecision(value < 1e-4 ? 2 : 3)).toString());

  class RecipeExplorer extends EffnetExplorer {
    get defaults() {
      return { ...this.data.recipes.paper, rx_at: 30 };
    }

    template() {
      const { limits, schedules, decays, batches, images, recipes } = this.data;
      const names = { imagenet: "ImageNet", cifar: "CIFAR-10", digits: "digits" };
      const said = { paper: "The paper’s", cifar: "CIFAR-10 from scratch", digits: "Digits" };
      return `
        <div class="rx-buttons" role="group" aria-label="Settings of a recipe">
          ${Object.keys(recipes).map((name) => `<button type="button" class="effnet-button" data-recipe="${name}">${said[name]}</button>`).join("")}
        </div>
        <figure class="effnet-drawing rx-chart"><svg role="img" aria-label=""></svg>
          <figcaption><span><i class="rate"></i>learning rate</span> <span><i class="memory"></i>what the average holds at the line: the weight of past steps</span></figcaption></figure>
        ${this.slider("rx_at", "Look at this point of the run, in per cent", ...limits.at, "point of the run in per cent")}
        <p class="effnet-note" role="alert"></p>
        <div class="effnet-cards rx-cards">
          ${this.card("rx_peak", "Peak learning rate")}${this.card("rx_rate", "At the line")}
          ${this.card("rx_steps", "Steps in all")}${this.card("rx_half", "Half of the average is of the last")}
        </div>
        <div class="rx-controls">
          ${this.slider("rx_epochs", "Epochs", ...limits.epochs, "epochs")}
          ${this.slider("rx_lr", "Learning rate for 256 images", ...limits.lr, "learning rate for 256 images")}
          ${this.slider("rx_warmup", "Warm-up, in epochs", ...limits.warmup, "epochs of warm-up")}
          ${this.choice("rx_schedule", "Schedule", Object.entries(schedules))}
          ${this.choice("rx_batch", "Images in a batch", batches.map((b) => [b, number(Number(b))]))}
          ${this.choice("rx_decay", "Decay of the average", decays.map((d) => [d, d]))}
          ${this.choice("rx_images", "Training images", Object.keys(images).map((name) => [name, names[name]]))}
        </div>
        <div class="rx-buttons"><button type="button" class="effnet-button rx-reset">Reset</button></div>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.chart = new Chart(find(".rx-chart svg"));
      this.live.querySelectorAll("[data-recipe]").forEach((button) =>
        button.addEventListener("click", () => this.set(this.data.recipes[button.dataset.recipe])));
      find(".rx-reset").addEventListener("click", () => this.set(this.defaults));
      const svg = find(".rx-chart svg");
      const point = (event) => {
        const box = svg.getBoundingClientRect();
        const share = (event.clientX - box.left - this.chart.left) / (box.width - this.chart.left - this.chart.right);
        this.set({ rx_at: Math.round(200 * Math.min(1, Math.max(0, share))) / 2 });
      };
      svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); point(event); });
      svg.addEventListener("pointermove", (event) => event.buttons && point(event));
      new ResizeObserver(([entry]) => {
        const width = Math.round(entry.contentRect.width);
        if (width && this.chart.resize(width)) this.draw();
      }).observe(find(".rx-chart"));
    }

    // The run that the controls describe.
    run() {
      const s = this.state, batch = Number(s.rx_batch);
      const perEpoch = Math.max(1, Math.floor(this.data.images[s.rx_images] / batch));
      return {
        perEpoch, total: perEpoch * s.rx_epochs, warmup: round(Math.min(s.rx_warmup, s.rx_epochs) * perEpoch),
        schedule: s.rx_schedule, decay: this.data.decay, decayEpochs: this.data.decay_epochs,
        peak: (s.rx_lr * batch) / 256, epochs: s.rx_epochs,
      };
    }

    show() {
      const s = this.state, decay = Number(s.rx_decay), run = this.run();
      const step = Math.min(run.total - 1, Math.round((s.rx_at / 100) * run.total));
      this.model = { run, step, decay };
      const here = run.peak * factor(run, step), updates = step + 1;
      const since = half(decay, updates), first = remaining(decay, 1, updates);
      this.setCard("rx_peak", run.peak, rate(run.peak), `${s.rx_lr} · ${number(Number(s.rx_batch))} / 256`);
      this.setCard("rx_rate", here, rate(here), `after ${(step / run.perEpoch).toFixed(1)} of ${run.epochs} epochs`);
      this.setCard("rx_steps", run.total, number(run.total), `${number(run.perEpoch)} an epoch`);
      const horizon = Math.round(1 / (1 - decay));
      this.setCard("rx_half", since, `${number(since)} steps`,
        first > 0.001 ? `${(100 * first).toFixed(first > 0.1 ? 0 : 1)} % is of the very first step` : `horizon ${number(horizon)} steps = ${rate(horizon / run.perEpoch)} epochs`);
      this.news = `learning rate ${rate(here)} of at most ${rate(run.peak)}, half of the average is of the last ${number(since)} steps`;
      this.draw();
    }

    draw() {
      if (this.model) this.chart.show(this.model, this.news);
    }

    words() {
      const { run, step } = this.model;
      return `Epoch ${(step / run.perEpoch).toFixed(1)} of ${run.epochs}, step ${number(step + 1)} of ${number(run.total)}: ${this.news}.`;
    }
  }

  const make = (parent, name, kind) => {
    const element = parent.appendChild(document.createElementNS(SVG, name));
    if (kind) element.setAttribute("class", kind);
    return element;
  };
  const give = (element, name, value) => {
    element.given ??= {};
    if (element.given[name] !== value) element.setAttribute(name, (element.given[name] = value));
  };

  class Chart {
    constructor(svg) {
      this.svg = svg;
      this.grid = Array.from({ length: 5 }, () => [make(svg, "path", "rule"), make(svg, "text", "level")]);
      this.ends = Array.from({ length: 5 }, () => make(svg, "text", "tick"));
      this.memory = make(svg, "path", "memory");
      this.under = make(svg, "path", "under");
      this.line = make(svg, "path", "rate");
      this.cursor = make(svg, "path", "cursor");
      this.dot = make(svg, "circle", "dot");
      this.width = 0;
    }

    resize(width) {
      if (width === this.width) return false;
      this.width = width;
      this.height = width < 480 ? 230 : 280;
      this.left = 46;
      this.right = 8;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
      return true;
    }

    show({ run, step, decay }, news) {
      if (!this.width) return;
      const { left, right } = this, roof = 12, floor = this.height - 34, wide = this.width - left - right;
      const power = 10 ** Math.floor(Math.log10(run.peak)), lead = run.peak / power;
      const top = power * ([1, 2, 4, 6, 8, 10].find((nice) => nice >= lead - 1e-9) ?? 10);
      const x = (at) => left + (wide * at) / run.total, y = (lr) => floor - ((floor - roof) * lr) / top;
      this.grid.forEach(([rule, text], i) => {
        const value = (top * i) / 4;
        give(rule, "d", `M${left} ${y(value).toFixed(1)}H${this.width - right}`);
        give(text, "x", left - 5);
        give(text, "y", (y(value) + 4).toFixed(1));
        put(text, rate(value));
      });
      this.ends.forEach((text, i) => {
        give(text, "x", (left + (wide * i) / 4).toFixed(1));
        give(text, "y", floor + 16);
        text.style.textAnchor = i === 4 ? "end" : i ? "middle" : "start";
        text.style.display = i === 3 && wide < 400 ? "none" : "";
        put(text, i === 4 ? `${run.epochs} epochs` : String(Math.round((10 * run.epochs * i) / 4) / 10));
      });
      const columns = Math.min(Math.round(wide), 600);
      let path = "", before = NaN, memory = "", most = 0;
      const held = [], updates = step + 1;
      for (let i = 0; i <= columns; i++) {
        const at = Math.min(run.total - 1, Math.floor((run.total * i) / columns)), px = x((run.total * i) / columns);
        const lr = run.peak * factor(run, at);
        // A staircase falls upright.
        if (i && run.schedule === "staircase" && lr < before) path += `L${px.toFixed(1)} ${y(before).toFixed(1)}`;
        path += `${i ? "L" : "M"}${px.toFixed(1)} ${y(lr).toFixed(1)}`;
        before = lr;
      }
      // The weight of the steps in each column, up to the line.
      const slices = 160, span = updates - 1;
      for (let i = 0; i < slices && span > 0; i++) {
        const a = 1 + (span * i) / slices, b = 1 + (span * (i + 1)) / slices;
        held.push((remaining(decay, b, updates) - remaining(decay, a, updates)));
      }
      most = Math.max(...held, 1e-12);
      held.forEach((weight, i) => {
        const tall = (0.8 * (floor - roof) * weight) / most;
        const px = x(1 + (span * (i + 0.5)) / slices);
        memory += `${i ? "L" : `M${x(1).toFixed(1)} ${floor}L`}${px.toFixed(1)} ${(floor - tall).toFixed(1)}`;
      });
      give(this.memory, "d", memory ? `${memory}L${x(updates).toFixed(1)} ${floor}Z` : "");
      give(this.line, "d", path);
      give(this.under, "d", `${path}L${(left + wide).toFixed(1)} ${floor}L${left} ${floor}Z`);
      const cx = x(step + 0.5).toFixed(1), cy = y(run.peak * factor(run, step)).toFixed(1);
      give(this.cursor, "d", `M${cx} ${roof - 6}V${floor}`);
      give(this.dot, "cx", cx);
      give(this.dot, "cy", cy);
      give(this.dot, "r", 6);
      const label = `The learning rate over ${run.epochs} epochs: ${news}.`;
      if (this.label !== label) this.svg.setAttribute("aria-label", (this.label = label));
    }
  }

  window.EffnetRecipe = { factor, remaining, half, round };
  EffnetExplorer.define("effnet-recipe-explorer", RecipeExplorer);
})();
