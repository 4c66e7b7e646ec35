// The progressive-learning explorer: which images and which regularisation an epoch uses. The
// strengths and the costs come from Python; the sizes follow two short rules, and the pictures a
// few of RandAugment's operations, which the tests hold equal to effnet_lib.train.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put, short } = EffnetExplorer;

  // Side of the images in a stage, counted from 0: progressive.image_size.
  function imageSize(low, high, stage, stages, rule) {
    if (rule === "code") return Math.trunc(low + ((high - low) * (stage + 1)) / stages);
    const size = stages === 1 ? high : low + ((high - low) * stage) / (stages - 1);
    const whole = Math.floor(size), rest = size - whole; // halves go to the even number, as in Python
    return rest > 0.5 || (rest === 0.5 && whole % 2) ? whole + 1 : whole;
  }

  // One operation on RGBA bytes of a square of `side` pixels, at a signed level, as in
  // augment.apply_operation.
  function operate(pixels, side, name, level) {
    const out = new Uint8ClampedArray(pixels.length);
    if (name === "rotate" || name.startsWith("shear")) {
      const angle = (level * Math.PI) / 180, half = (level * side) / 2;
      const [a, b, c, d, e, f] = {
        rotate: [Math.cos(angle), -Math.sin(angle), 0, Math.sin(angle), Math.cos(angle), 0],
        shear_x: [1, level, half, 0, 1, 0],
        shear_y: [1, 0, 0, level, 1, half],
      }[name];
      const middle = (side - 1) / 2;
      for (let i = 0, at = 0; i < side; i++) {
        for (let j = 0; j < side; j++, at += 4) {
          const x = j - middle, y = i - middle;
          const column = Math.round(a * x + b * y + c + middle), row = Math.round(d * x + e * y + f + middle);
          out[at + 3] = 255;
          if (column < 0 || row < 0 || column >= side || row >= side) continue; // black
          const from = 4 * (row * side + column);
          out[at] = pixels[from];
          out[at + 1] = pixels[from + 1];
          out[at + 2] = pixels[from + 2];
        }
      }
      return out;
    }
    const grey = (at) => Math.floor(0.2989 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2]);
    let mean = 0;
    if (name === "contrast") for (let at = 0; at < pixels.length; at += 4) mean += grey(at) / (side * side);
    const factor = Math.max(0, 1 + level);
    const bits = 2 ** Math.min(7, Math.max(0, Math.round(level)));
    for (let at = 0; at < pixels.length; at += 4) {
      const partner = name === "color" ? grey(at) : mean;
      for (let k = 0; k < 3; k++) {
        const value = pixels[at + k];
        out[at + k] = name === "posterize" ? Math.floor(value / bits) * bits
          : name === "solarize" ? (value >= 255 - level ? 255 - value : value)
          : Math.floor(Math.min(255, Math.max(0, value * factor + partner * (1 - factor))));
      }
      out[at + 3] = 255;
    }
    return out;
  }

  const trim = (value, digits) => String(Number(value.toFixed(digits)));
  const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
  const WORDS = {
    rotate: (level) => `turned by ${trim(Math.abs(level), 0)}°`,
    shear_x: (level) => `sheared sideways by ${trim(Math.abs(level), 2)}`,
    shear_y: (level) => `sheared upwards by ${trim(Math.abs(level), 2)}`,
    brightness: (level) => `brightness × ${trim(Math.max(0, 1 + level), 2)}`,
    color: (level) => `colour × ${trim(Math.max(0, 1 + level), 2)}`,
    contrast: (level) => `contrast × ${trim(Math.max(0, 1 + level), 2)}`,
    posterize: (level) => `${Math.min(7, Math.round(level))} of 8 bits taken away`,
    solarize: (level) => (level >= 255 ? "turned into a negative" : `light above ${trim(255 - level, 0)} inverted`),
  };

  const make = (parent, name, kind, attributes = {}) => {
    const element = parent.appendChild(document.createElementNS(SVG, name));
    if (kind) element.setAttribute("class", kind);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const give = (element, name, value) => {
    element.given ??= {};
    if (element.given[name] !== value) element.setAttribute(name, (element.given[name] = value));
  };

  class ProgressiveExplorer extends EffnetExplorer {
    get defaults() {
      const [{ name, sizes }] = this.data.variants;
      return {
        prog_epoch: 1, prog_variant: name, prog_rule: "paper", prog_strength: "grows",
        prog_stages: this.data.stages[2], prog_first: sizes.paper[0], prog_last: sizes.paper[1],
      };
    }

    template() {
      const { epochs, variants, rules, stages, first, last, draws } = this.data;
      const credits = draws.map((draw) => draw.credit).join(". ");
      return `
        <div class="prog-choices">
          ${this.choice("prog_variant", "Network", variants.map(({ name, label }) => [name, label]))}
          ${this.choice("prog_rule", "Schedule", rules)}
          ${this.choice("prog_strength", "Regularisation", [["grows", "grows with the image"], ["fixed", "at its strongest throughout"]])}
        </div>
        <div class="prog-main">
          ${this.slider("prog_epoch", `Epoch, of ${epochs}`, 1, epochs, 1, "epoch")}
          <div class="prog-buttons">
            <button type="button" class="effnet-button" data-do="next">Next stage</button>
            <button type="button" class="effnet-button" data-do="draw">Another picture</button>
            <button type="button" class="effnet-button" data-do="reset">Reset</button>
          </div>
        </div>
        <p class="effnet-note" role="alert"></p>
        <div class="prog-views">
          <figure class="prog-picture">
            <div><canvas aria-hidden="true"></canvas><svg role="img" aria-label="A photograph at the size of the epoch" viewBox="0 0 ${PICTURE.view} ${PICTURE.view}"></svg></div>
            <figcaption></figcaption>
          </figure>
          <figure class="prog-chart"><svg class="prog-lanes" role="img" aria-label="" viewBox="0 0 ${LANES.width} ${LANES.height}"></svg></figure>
        </div>
        <div class="effnet-cards prog-cards">
          ${this.card("prog_size", "Image", "resolution")}${this.card("prog_image", "Cost of an image", "resolution")}
          ${this.card("prog_spent", "Computed so far", "resolution")}${this.card("prog_run", "Cost of the run", "resolution")}
        </div>
        <p class="prog-words"></p>
        <div class="prog-sliders">
          ${this.slider("prog_stages", "Stages", stages[0], stages[1], 1, "stages")}
          ${this.slider("prog_first", "Smallest image, pixels", ...first, "smallest image")}
          ${this.slider("prog_last", "Largest image, pixels", ...last, "largest image")}
        </div>
        <p class="effnet-hint">Costs are multiply-adds of the forward pass, counted at each size; the dashed outline is a run at the
          largest size throughout. The picture is drawn to scale. It has 128 pixels itself: larger is shown larger, not sharper.</p>
        <details class="prog-credits"><summary>The photographs</summary><p>${credits}.</p></details>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.which = 0; // of the pictures
      this.picture = new Picture(find(".prog-picture svg"), find("canvas"));
      this.lanes = new Lanes(find(".prog-lanes"), this.data.epochs, (epoch) => this.set({ prog_epoch: epoch }));
      this.caption = find("figcaption");
      this.sentence = find(".prog-words");
      const actions = {
        next: () => this.set({ prog_epoch: this.starts[(this.now + 1) % this.starts.length] }),
        draw: () => { this.which = (this.which + 1) % this.data.draws.length; this.set({}); },
        reset: () => { this.which = 0; this.set(this.defaults); },
      };
      for (const [name, action] of Object.entries(actions)) find(`[data-do=${name}]`).addEventListener("click", action);
      this.data.draws.forEach((draw) => {
        const image = new Image();
        image.onload = () => {
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = image.width;
          const pen = canvas.getContext("2d", { willReadFrequently: true });
          pen.drawImage(image, 0, 0);
          draw.side = image.width;
          draw.pixels = pen.getImageData(0, 0, image.width, image.width).data;
          if (this.stages) this.paint();
        };
        image.src = `data:image/jpeg;base64,${draw.jpeg}`;
      });
    }

    // Another network or schedule brings its own sizes, unless sizes are given with it.
    set(values, remember) {
      const { prog_variant: name, prog_rule: rule } = { ...this.state, ...values };
      if (("prog_variant" in values || "prog_rule" in values) && !("prog_last" in values)) {
        const [prog_first, prog_last] = this.data.variants.find((v) => v.name === name).sizes[rule];
        values = { prog_first, prog_last, ...values };
      }
      super.set(values, remember);
    }

    // The stages of this setting, and how many epochs each has.
    plan() {
      const { prog_variant: name, prog_rule: rule, prog_stages: count, prog_first: low, prog_last: high, prog_strength } = this.state;
      const { costs, strengths } = this.data.variants.find((v) => v.name === name);
      const { epochs, first } = this.data, rows = strengths[rule][count - 1];
      this.starts = Array.from({ length: count }, (_, i) => Math.ceil((i * epochs) / count) + 1);
      const cost = (size) => costs[size - first[0]];
      this.stages = rows.map((row, i) => {
        const [magnitude, dropout, mixup, cutmix, mixed] = rows[prog_strength === "fixed" ? count - 1 : i];
        const size = imageSize(low, high, i, count, rule);
        const end = i + 1 < count ? this.starts[i + 1] : epochs + 1;
        return { size, magnitude, dropout, mixup, cutmix, mixed, cost: cost(size), from: this.starts[i], length: end - this.starts[i] };
      });
      this.fixed = cost(high) * epochs;
      this.total = this.stages.reduce((sum, stage) => sum + stage.cost * stage.length, 0);
      this.now = Math.floor(((this.state.prog_epoch - 1) * count) / epochs);
      this.spent = this.stages.slice(0, this.now).reduce((sum, stage) => sum + stage.cost * stage.length, 0) +
        this.stages[this.now].cost * (this.state.prog_epoch - this.stages[this.now].from + 1);
    }

    show() {
      this.plan();
      const { epochs } = this.data, { prog_epoch: epoch, prog_last: high } = this.state;
      const stage = this.stages[this.now];
      const share = stage.cost / (this.fixed / epochs), whole = this.total / this.fixed;
      this.setCard("prog_size", stage.size, `${stage.size}\u00a0px`, `stage ${this.now + 1} of ${this.stages.length}`);
      this.setCard("prog_image", stage.cost, short(stage.cost), `${percent(share)} of one at ${high}\u00a0px`);
      this.setCard("prog_spent", this.spent, short(this.spent), `${percent(this.spent / this.total)} of the run, for each training image`);
      this.setCard("prog_run", this.total, percent(whole), `of ${epochs} epochs at ${high}\u00a0px`);
      put(this.sentence, this.tell(stage, whole));
      this.sentence.classList.toggle("warned", this.mismatch);
      this.controls.prog_epoch.range.setAttribute("aria-valuetext", `epoch ${epoch}, ${stage.size} pixels`);
      this.lanes.show(this.stages, epoch, high, this.spent);
      this.picture.show(this.stages.map(({ size }) => size), this.now, this.data.last[1]);
      this.paint();
    }

    get mismatch() {
      return this.state.prog_strength === "fixed" && this.stages.length > 1;
    }

    tell(stage, whole) {
      const { epochs, gain } = this.data, end = stage.from + stage.length - 1;
      const saved = `By the count, the whole run computes ${percent(whole)} of what ${epochs} epochs at ${this.state.prog_last} pixels would.`;
      const when = `Epochs ${stage.from} to ${end}.`;
      if (this.stages.length === 1) return `One stage: an ordinary run, at one size.`;
      if (!this.mismatch) return `${when} ${saved}`;
      return `${when} ${saved} But small images meet the strongest regularisation: this is plain progressive resizing. ` +
        `Letting the regularisation grow too gained ${gain[0]} points of accuracy in the paper’s ablation (${gain[1]}).`;
    }

    // RandAugment's two operations on the photograph, and the part of the next one that mixup adds.
    paint() {
      const { draws, strongest } = this.data, draw = draws[this.which], other = draws[(this.which + 1) % draws.length];
      const { magnitude, mixed } = this.stages[this.now];
      const key = `${this.which} ${magnitude} ${mixed} ${Boolean(draw.pixels && other.pixels)}`;
      if (!draw.pixels || !other.pixels || this.painted === key) return;
      this.painted = key;
      let pixels = draw.pixels;
      const words = [];
      for (const [name, sign] of draw.operations) {
        const level = (sign * strongest[name] * magnitude) / 10;
        pixels = operate(pixels, draw.side, name, level);
        words.push(WORDS[name](level));
      }
      if (mixed) {
        pixels = pixels.map((value, i) => (1 - mixed) * value + mixed * other.pixels[i]);
        words.push(`mixed with ${percent(mixed)} of another picture, the mean for this α`);
      }
      this.picture.paint(pixels, draw.side);
      if (!this.picture.told) this.picture.describe(this.stages[this.now].size, draw.title);
      put(this.caption, `${draw.title}: ${words.join(", ")}.`);
    }

    words() {
      const stage = this.stages[this.now];
      this.picture.describe(stage.size, this.caption.textContent);
      this.lanes.describe(this.stages);
      const mixing = stage.mixup ? `mixup ${trim(stage.mixup, 2)}` : "no mixup";
      return `Epoch ${this.state.prog_epoch}, stage ${this.now + 1} of ${this.stages.length}: ${stage.size} pixels, ` +
        `RandAugment ${trim(stage.magnitude, 1)}, dropout ${trim(stage.dropout, 2)}, ${mixing}. ${this.sentence.textContent}`;
    }
  }

  // Squares of all stages in one corner, to scale, and the photograph in that of the epoch.
  const PICTURE = { view: 300, left: 2, floor: 296, side: 276 };

  class Picture {
    constructor(root, canvas) {
      this.root = root;
      this.canvas = canvas;
      this.squares = Array.from({ length: 8 }, () => ({ box: make(root, "rect", "size"), label: make(root, "text") }));
      this.frame = make(root, "rect", "now");
    }

    show(sizes, now, largest) {
      const { view, left, floor, side } = PICTURE, unit = side / largest;
      let height = 0; // of the label before
      this.squares.forEach(({ box, label }, i) => {
        const size = sizes[i], drawn = size !== undefined && (i === now || size > sizes[now]), w = unit * (size ?? 0);
        give(box, "visibility", drawn && i !== now ? "visible" : "hidden");
        // The number stands above its square, where the next one leaves room for it.
        const room = i + 1 >= sizes.length || unit * (sizes[i + 1] - size) > 15;
        give(label, "visibility", drawn && room && (i === now || w - height > 14) ? "visible" : "hidden");
        if (!drawn) return;
        if (room) height = w;
        for (const [name, value] of Object.entries({ x: left, y: floor - w, width: w, height: w })) give(box, name, value.toFixed(1));
        give(label, "x", (left + w).toFixed(1));
        give(label, "y", (floor - w - 4).toFixed(1));
        give(label, "class", i === now ? "current" : "");
        put(label, `${size} px`);
      });
      const w = unit * sizes[now];
      for (const [name, value] of Object.entries({ x: left, y: floor - w, width: w, height: w })) give(this.frame, name, value.toFixed(1));
      const part = (length) => `${((100 * length) / view).toFixed(2)}%`;
      const style = `left:${part(left)};top:${part(floor - w)};width:${part(w)};height:${part(w)}`;
      if (this.style !== style) this.canvas.style.cssText = this.style = style;
    }

    paint(pixels, side) {
      if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
      this.canvas.getContext("2d").putImageData(new ImageData(pixels, side, side), 0, 0);
    }

    describe(size, caption) {
      this.told = true;
      this.root.setAttribute("aria-label", `A photograph in a square of ${size} pixels, among outlines of the sizes to come. ${caption}`);
    }
  }

  // Five lanes over the epochs: sizes, cost, and the three strengths; a line stands at the epoch.
  const LANES = { width: 420, height: 358, left: 4, right: 416, top: 23, lane: 65, tall: 40 };

  class Lanes {
    constructor(root, epochs, choose) {
      this.root = root;
      this.epochs = epochs;
      const { left, right, top, lane, tall, height } = LANES;
      this.band = make(root, "rect", "stage", { y: 0, height: height - 18 });
      const names = [["size", "Image side, pixels"], ["cost", "Multiply-adds of an image"], ["magnitude", "RandAugment, magnitude"], ["dropout", "Dropout"], ["mixup", "Mixup, α"]];
      this.lanes = names.map(([field, name], i) => {
        const group = make(root, "g", i > 1 ? "strength" : ""), floor = top + lane * i + tall;
        make(group, "path", "floor", { d: `M${left} ${floor}H${right}` });
        const shapes = field === "cost" ? { area: make(group, "path", "area"), spent: make(group, "path", "spent"), fixed: make(group, "path", "fixed") } : {};
        shapes.step = make(group, "path", "step");
        const title = make(group, "text", "name", { x: left, y: floor - tall - 7 });
        title.textContent = name;
        if (field === "mixup") this.mixing = title;
        return { field, floor, ...shapes, value: make(group, "text", "value", { x: right, y: floor - tall - 7 }) };
      });
      for (const epoch of [1, 100, 200, 300, epochs]) {
        const tick = make(root, "text", "tick", { x: this.x(epoch - (epoch > 1 ? 0 : 1)), y: height - 3 });
        tick.textContent = epoch === 1 ? "epoch 1" : epoch;
        if (epoch === 1) tick.style.textAnchor = "start";
        if (epoch === epochs) tick.style.textAnchor = "end";
      }
      this.cursor = make(root, "path", "cursor");
      this.knob = make(root, "circle", "knob", { r: 4.5, cy: height - 19 });
      // The chart can be dragged like the slider, which is there for the keyboard.
      const follow = (event) => {
        if (event.type === "pointermove" && !event.buttons) return;
        const box = root.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * LANES.width;
        choose(Math.min(epochs, Math.max(1, Math.ceil(((at - left) / (right - left)) * epochs))));
      };
      root.addEventListener("pointerdown", follow);
      root.addEventListener("pointermove", follow);
    }

    // Where epoch number `epoch` ends.
    x(epoch) {
      return LANES.left + ((LANES.right - LANES.left) * epoch) / this.epochs;
    }

    show(stages, epoch, high, spent) {
      const now = stages.findIndex(({ from, length }) => epoch < from + length), stage = stages[now];
      const largest = stages[stages.length - 1], { tall, left, height } = LANES;
      // A lane's scale: sizes and costs from 0; strengths to their last value, or flat where it is 0.
      const scales = { size: high, cost: largest.cost, magnitude: 25, dropout: 0.5, mixup: 0.5 };
      const ramp = (field, digits) => (stages[0][field] === largest[field] ? "" : " of ".concat(trim(largest[field], digits)));
      const texts = {
        size: `${stage.size}${ramp("size", 0)}`, cost: short(stage.cost), magnitude: `${trim(stage.magnitude, 1)}${ramp("magnitude", 1)}`,
        dropout: `${trim(stage.dropout, 2)}${ramp("dropout", 2)}`,
        mixup: largest.mixup ? `${trim(stage.mixup, 2)}${ramp("mixup", 2)}` : "not used",
      };
      put(this.mixing, largest.cutmix ? "Mixup and CutMix, α" : "Mixup, α");
      for (const { field, floor, step, area, spent: done, fixed, value } of this.lanes) {
        const y = (s) => (floor - (tall * s[field]) / scales[field]).toFixed(1);
        let line = "";
        for (const s of stages) line += `${line ? "L" : "M"}${this.x(s.from - 1).toFixed(1)} ${y(s)}L${this.x(s.from - 1 + s.length).toFixed(1)} ${y(s)}`;
        give(step, "d", line);
        put(value, texts[field]);
        value.dataset.value = stage[field];
        if (!area) continue;
        give(area, "d", `${line}V${floor}H${left}z`);
        let part = `M${left} ${floor}`;
        for (const s of stages.slice(0, now + 1)) {
          const end = Math.min(epoch, s.from - 1 + s.length);
          part += `L${this.x(s.from - 1).toFixed(1)} ${y(s)}L${this.x(end).toFixed(1)} ${y(s)}`;
        }
        give(done, "d", `${part}V${floor}z`);
        give(fixed, "d", `M${left} ${floor - tall}H${LANES.right}V${floor}`);
      }
      give(this.band, "x", this.x(stage.from - 1).toFixed(1));
      give(this.band, "width", (this.x(stage.length) - left).toFixed(1));
      const at = this.x(epoch).toFixed(1);
      give(this.cursor, "d", `M${at} 0V${height - 19}`);
      give(this.knob, "cx", at);
      this.spent = spent;
      if (!this.root.getAttribute("aria-label")) this.describe(stages);
    }

    describe(stages) {
      const list = (field, digits) => stages.map((s) => trim(s[field], digits)).join(", ");
      this.root.setAttribute("aria-label",
        `Steps over ${this.epochs} epochs. Image side ${list("size", 0)} pixels; RandAugment ${list("magnitude", 1)}; ` +
        `dropout ${list("dropout", 2)}; mixup ${list("mixup", 2)}. Computed so far: ${short(this.spent)} multiply-adds for each training image.`);
    }
  }

  window.EffnetProgressive = { imageSize, operate };
  EffnetExplorer.define("effnet-progressive-explorer", ProgressiveExplorer);
})();
