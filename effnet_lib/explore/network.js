// The network explorer: a walk from the image to the answer, block by block. Python has counted
// every part; this script only strings blocks together and adds.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put, short } = EffnetExplorer;
  const COUNTS = ["parameters", "multiply_adds", "activations"];
  const LABELS = ["Parameters", "Multiply-adds", "Activations"];
  const PACE = 1200; // milliseconds a step while playing
  const EDGE = 13; // half the slider's thumb: a picture above it lines up with its positions

  const create = (parent, shape, attributes = {}) => {
    const element = parent.appendChild(document.createElementNS(SVG, shape));
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const per = (share) => `${(100 * share).toFixed(share && share < 0.0995 ? 1 : 0)}\u00a0%`;
  const grouped = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");
  const several = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;

  // Blocks that are alike stand once in the data; here each has its place. Step 0 is the image.
  function unroll(network) {
    const side = network.resolution, steps = [{ kind: "image", stage: 0, parts: [["image", 3, side, 0, 0, 0]], here: [0, 0, 0], soFar: [0, 0, 0] }];
    const blocks = network.units.reduce((sum, unit) => sum + (unit.expand ? unit.repeat : 0), 0);
    let index = 0, sum = [0, 0, 0], stage = 0, block = 0;
    for (const unit of network.units) for (let i = 0; i < unit.repeat; i++) {
      block = unit.stage === stage ? block + 1 : 1;
      stage = unit.stage;
      const here = [3, 4, 5].map((column) => unit.parts.reduce((total, part) => total + part[column], 0));
      sum = sum.map((total, column) => total + here[column]);
      const [, channels, size] = unit.parts[unit.parts.length - 1];
      const skip = Boolean(unit.expand) && unit.input[0] === channels && unit.input[1] === size && unit.stride === 1;
      const drop = skip ? (network.stochastic_depth_rate * index) / blocks : 0;
      steps.push({ ...unit, block, here, soFar: sum, skip, drop });
      if (unit.expand) index++;
    }
    return steps;
  }

  const output = (step) => step.parts[step.parts.length - 1].slice(1, 3);
  const shape = ([channels, side]) => (side === 1 ? `${channels}` : `${side}×${side}×${channels}`);

  function title(step) {
    const strided = step.stride === 2 ? ", stride 2" : "";
    return {
      image: () => "The image",
      stem: () => `Stage 1, the stem: convolution 3×3${strided}`,
      head: () => `Stage ${step.stage}, the head: convolution 1×1`,
      pool: () => `Stage ${step.stage}, the head: pooling`,
      classifier: () => `Stage ${step.stage}, the head: the classifier`,
    }[step.kind]?.() ?? `Stage ${step.stage}, block ${step.block} of ${step.layers}: ${step.label}${strided}`;
  }

  // Where the step stands in the stage table.
  function place(step) {
    if (step.kind === "image") return "the image";
    return `stage ${step.stage}, ${step.expand ? `block ${step.block} of ${step.layers}` : { stem: "the stem", head: "convolution", pool: "pooling" }[step.kind] ?? step.kind}`;
  }

  // What the step does, in a sentence or two.
  function story(step, network) {
    const [channels, side] = output(step);
    if (step.kind === "image") return `Three colours, ${side} × ${side} pixels. Nothing has been computed yet.`;
    const [cIn, sideIn] = step.input;
    const halves = step.stride === 2 ? ` and halves the map, from ${sideIn} to ${side}` : "";
    const strided = step.stride === 2 ? ` Stride 2 halves the map, from ${sideIn} to ${side}.` : "";
    if (step.kind === "stem") return `${channels} channels, each computed from 3 × 3 pixels of all three colours.${strided} Batch norm and ${network.activation} follow.`;
    if (step.kind === "head") return `Mixes ${cIn} channels into ${channels}, pixel by pixel. Batch norm and ${network.activation} follow.`;
    if (step.kind === "pool") return `Each of the ${channels} maps becomes one number, its average. Nothing is learned here.`;
    if (step.kind === "classifier") return `A linear layer, after dropout at rate ${network.dropout}: one score for each of the ${channels} classes.`;
    const inside = cIn * step.expand, k = `${step.kernel}×${step.kernel}`;
    const doing = [];
    if (step.kind === "mbconv") {
      if (step.expand !== 1) doing.push(`expands ${cIn} channels to ${inside}`);
      doing.push(`filters each with a ${k} kernel of its own${halves}`);
    } else if (step.expand !== 1) doing.push(`expands ${cIn} channels to ${inside} with a regular ${k} convolution${halves}`);
    else doing.push(`is one regular ${k} convolution, ${cIn} to ${channels} channels${halves}`);
    if (step.squeeze) doing.push(`weighs them by gates computed from ${several(step.squeeze, "squeeze channel")}`);
    if (step.kind === "mbconv" || step.expand !== 1) doing.push(`projects to ${channels} channels`);
    const last = doing.pop();
    const text = doing.length ? `${doing.join(", ")}, and ${last}.` : `${last}.`;
    const rate = step.drop > 0 ? ` While training, its branch is dropped with probability ${Number(step.drop.toFixed(4))}.` : "";
    const skip = step.skip ? ` The input is added to the result.${rate}` : " No skip: input and output differ in shape.";
    return text[0].toUpperCase() + text.slice(1) + skip;
  }

  function partName([name], step) {
    const k = `${step.kernel}×${step.kernel}${step.stride === 2 ? ", stride 2" : ""}`;
    if (name === "se") {
      const inside = step.input[0] * step.expand;
      return `SE ${inside} → ${step.squeeze} → ${inside}`;
    }
    return { image: "The image", conv: `Convolution ${k}`, expand: "Expand 1×1", depthwise: `Depthwise ${k}`, fused: `Regular ${k}`,
      project: "Project 1×1", pool: "Average", linear: "Linear" }[name];
  }

  class NetworkExplorer extends EffnetExplorer {
    get defaults() {
      return { walk_network: "b0", walk_step: 3 }; // the first full block
    }

    template() {
      const networks = Object.entries(this.data.networks).map(([key, { name }]) => [key, name]);
      const row = `<tr><th scope="row"></th>${"<td></td>".repeat(4)}</tr>`;
      return `
        ${this.choice("walk_network", "Walk through", networks)}
        <div class="effnet-main">
          <figure class="effnet-drawing effnet-strip"><svg aria-hidden="true"></svg></figure>
          ${this.slider("walk_step", "<span>Step</span>", 0, 20, 1, "Step")}
          <div class="effnet-walk" role="group" aria-label="Walk">
            <button type="button" class="effnet-button" data-go="-1">Back</button>
            <button type="button" class="effnet-button effnet-play">Play</button>
            <button type="button" class="effnet-button" data-go="1">Next</button>
            <button type="button" class="effnet-button effnet-reset">Reset</button>
          </div>
          <p class="effnet-note" role="alert"></p>
        </div>
        <p class="effnet-title"></p>
        <p class="effnet-story"></p>
        <figure class="effnet-drawing effnet-zoom">
          <svg role="img" aria-label=""></svg>
          <figcaption><span class="resolution">height and depth: the map's side</span> <span class="width">length: channels</span>
            <span>(all by their square roots)</span></figcaption>
        </figure>
        <div class="effnet-cards">${COUNTS.map((count, i) => this.card(count, `${LABELS[i]} of this step`)).join("")}</div>
        <table class="effnet-parts">
          <caption>What this step computes</caption>
          <thead><tr><th scope="col">Operation</th><th scope="col">Output</th><th scope="col">Param&shy;eters</th>
            <th scope="col">Multi&shy;ply-adds</th><th scope="col">Acti&shy;vations</th></tr></thead>
          <tbody>${row.repeat(4)}</tbody>
        </table>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.walks = Object.fromEntries(Object.entries(this.data.networks).map(([key, network]) => [key, unroll(network)]));
      this.heading = find(".effnet-title");
      this.telling = find(".effnet-story");
      this.length = find("[data-control=walk_step] label span");
      this.rows = [...this.live.querySelectorAll(".effnet-parts tbody tr")];
      this.bars = [...this.live.querySelectorAll(".effnet-card")];
      this.play = find(".effnet-play");
      this.play.addEventListener("click", () => (this.playing ? this.stop() : this.startPlaying()));
      this.live.querySelectorAll("[data-go]").forEach((button) =>
        button.addEventListener("click", () => this.set({ walk_step: this.state.walk_step + Number(button.dataset.go) })),
      );
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));

      // An address may name a step of a network that is longer than the present one.
      const longest = Math.max(...Object.values(this.walks).map((walk) => walk.length - 1));
      this.controls.walk_step.accept = (text) => {
        const value = text.trim() === "" ? NaN : Number(text);
        return Number.isFinite(value) ? Math.min(longest, Math.max(0, Math.round(value))) : undefined;
      };

      this.strip = new Strip(find(".effnet-strip svg"), (step) => this.set({ walk_step: step }));
      this.zoom = this.drawing = new Zoom(find(".effnet-zoom svg")); // the benchmark times a drawing's steps
      new ResizeObserver(([entry]) => {
        this.strip.resize(entry.contentRect.width);
        this.zoom.resize(entry.contentRect.width);
      }).observe(find(".effnet-zoom"));
    }

    disconnectedCallback() {
      super.disconnectedCallback();
      this.stop?.();
    }

    get walk() {
      return this.walks[this.state.walk_network];
    }

    set(values, remember = true, own = false) {
      if (!own) this.stop();
      const name = values.walk_network ?? this.state.walk_network, walk = this.walks[name];
      let step = values.walk_step ?? this.state.walk_step;
      if (name !== this.state.walk_network && values.walk_step === undefined) step = this.samePlace(walk);
      step = Math.round(Math.min(walk.length - 1, Math.max(0, step)));
      for (const input of [this.controls.walk_step.range, this.controls.walk_step.number]) {
        if (Number(input.max) !== walk.length - 1) input.max = walk.length - 1;
      }
      super.set({ walk_network: name, walk_step: step }, remember);
    }

    // The step of another network that does what the present one does.
    samePlace(walk) {
      const { kind, stage, block } = this.walk[this.state.walk_step];
      const places = walk.map((step, i) => [step, i]).filter(([step]) => (step.expand ? kind && stage === step.stage : kind === step.kind));
      const place = places.filter(([step]) => !step.expand || step.block <= block).pop() ?? places[0];
      return place ? place[1] : this.state.walk_step;
    }

    startPlaying() {
      if (this.state.walk_step === this.walk.length - 1) this.set({ walk_step: 0 });
      const next = () => {
        this.set({ walk_step: this.state.walk_step + 1 }, true, true);
        if (this.state.walk_step === this.walk.length - 1) this.stop();
      };
      this.playing = setInterval(next, PACE);
      put(this.play, "Pause");
      next();
    }

    stop() {
      clearInterval(this.playing);
      this.playing = 0;
      if (this.play) put(this.play, "Play");
    }

    show() {
      const { walk_network: name, walk_step: at } = this.state;
      const network = this.data.networks[name], step = this.walk[at];
      put(this.length, `Step ${at} of ${this.walk.length - 1} (${place(step)})`);
      put(this.heading, title(step));
      put(this.telling, story(step, network));
      this.telling.classList.toggle("brief", ["image", "pool", "classifier"].includes(step.kind));
      COUNTS.forEach((count, i) => {
        const [here, soFar, all] = [step.here[i], step.soFar[i], network.totals[i]];
        this.setCard(count, here, short(here), `${per(here / all)} of the network. So far ${short(soFar)}, ${per(soFar / all)}`);
        this.bars[i].style.setProperty("--from", ((soFar - here) / all).toFixed(4));
        this.bars[i].style.setProperty("--to", (soFar / all).toFixed(4));
        this.bars[i].dataset.sofar = soFar;
      });
      this.rows.forEach((row, i) => {
        const part = step.parts[i], [head, ...cells] = row.children;
        row.classList.toggle("empty", !part); // keeps its place, so that nothing below moves
        if (!part) return;
        put(head, partName(part, step));
        put(cells[0], shape(part[0] === "se" ? [part[1], part[2]] : part.slice(1, 3)));
        [3, 4, 5].forEach((column, j) => {
          put(cells[j + 1], short(part[column]));
          cells[j + 1].dataset.value = part[column];
        });
      });
      this.controls.walk_step.range.setAttribute("aria-valuetext", `Step ${at} of ${this.walk.length - 1}: ${title(step)}`);
      this.strip.show(name, this.walk, network.totals, at);
      this.zoom.show(name, this.walk, at);
    }

    words() {
      const step = this.walk[this.state.walk_step];
      this.zoom.describe();
      if (this.playing) return "";
      return `${title(step)}. ${story(step, this.data.networks[this.state.walk_network])} ` +
        COUNTS.map((_, i) => `${grouped(step.here[i])} ${LABELS[i].toLowerCase()}`).join(", ") + ".";
    }
  }

  // The corners of a box: front face, roof, and right wall, as paths.
  function boxPaths(x, middle, length, height, [dx, dy]) {
    const y = middle - height / 2 - dy / 2;
    return [
      `M${x} ${y}h${length}v${height}h${-length}z`,
      `M${x} ${y}l${dx} ${dy}h${length}l${-dx} ${-dy}z`,
      `M${x + length} ${y}l${dx} ${dy}v${height}l${-dx} ${-dy}z`,
    ];
  }

  // The whole network above the slider: each step's tensor, and its share of the three counts.
  class Strip {
    constructor(svg, go) {
      this.svg = svg;
      const follow = (event) => {
        if (!this.walk || (event.type === "pointermove" && !event.buttons)) return;
        const x = event.clientX - svg.getBoundingClientRect().left, last = this.walk.length - 1;
        const step = Math.round(((x - EDGE) / (this.width - 2 * EDGE)) * last);
        const goal = Math.min(last, Math.max(0, step));
        if (goal !== this.at) go(goal);
      };
      svg.addEventListener("pointerdown", follow);
      svg.addEventListener("pointermove", follow);
      this.width = 0;
    }

    resize(width) {
      if (width === this.width) return;
      this.width = width;
      if (this.walk) this.build();
    }

    show(name, walk, totals, at) {
      const other = name !== this.name;
      Object.assign(this, { name, walk, totals });
      if (other) {
        this.at = at;
        this.build();
        return;
      }
      const [low, high] = [Math.min(at, this.at), Math.max(at, this.at)];
      this.at = at;
      for (let i = low; i <= high && this.slots; i++) this.mark(i);
    }

    mark(i) {
      this.slots[i].setAttribute("class", i === this.at ? "now" : i < this.at ? "past" : "ahead");
    }

    build() {
      const { width, walk, svg } = this;
      if (!width) return;
      const last = walk.length - 1, step = (width - 2 * EDGE) / last, x = (i) => EDGE + i * step;
      const boxes = 74, row = 60, own = step < 28; // the word "Stage" has a line of its own where steps are narrow
      const top = boxes + (own ? 31 : 18), height = top + 3 * row;
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("height", height);
      const tallest = Math.sqrt(output(walk[0])[1]), widest = Math.max(...walk.map((s) => Math.sqrt(output(s)[0])));
      const most = [0, 1, 2].map((count) => Math.max(...walk.map((s) => s.here[count])));
      LABELS.forEach((label, count) => {
        const text = create(svg, "text", { x: 0, y: top + count * row + 11, class: "count" });
        text.textContent = `${label}: ${short(this.totals[count])} in all`;
        create(svg, "path", { class: "floor", d: `M0 ${top + (count + 1) * row - 0.5}h${width}` });
      });
      create(svg, "text", { x: 0, y: boxes + 10, class: "count" }).textContent = "Stage";
      this.slots = walk.map((s, i) => {
        const group = create(svg, "g");
        const [channels, side] = output(s);
        const length = Math.max(1.5, (Math.sqrt(channels) / widest) * Math.min(30, step * 0.78)), h = Math.max(3, (Math.sqrt(side) / tallest) * (boxes - 18));
        const d = [h * 0.12, -h * 0.1];
        boxPaths(x(i) - length / 2 - d[0] / 2, boxes / 2 + 2, length, h, d).forEach((path, j) =>
          create(group, "path", { class: ["front", "top", "side"][j], d: path }),
        );
        if (s.stage && s.stage !== walk[i - 1].stage) {
          create(group, "text", { x: x(i), y: top - 8 }).textContent = s.stage;
        }
        const bar = Math.max(2, Math.min(18, step * 0.62));
        const bars = s.here.map((value, count) => {
          const tall = value ? Math.max(1, (value / most[count]) * (row - 17)) : 0;
          return `M${(x(i) - bar / 2).toFixed(1)} ${top + (count + 1) * row - 1}v${-tall.toFixed(1)}h${bar.toFixed(1)}v${tall.toFixed(1)}z`;
        });
        create(group, "path", { class: "bar", d: bars.join("") });
        return group;
      });
      walk.forEach((_, i) => this.mark(i));
    }
  }

  // The large drawing, in pixels: at most so much per square root of a pixel of side and of a
  // channel, and between boxes. Depth is drawn as a share of the height, to the right and up.
  const MOST = { side: 11, channels: 4.6, gap: 64 }, TILT = [0.3, -0.2];

  // The tensors of a step: what comes in, what stands between, what goes out.
  function tensors(step) {
    if (step.kind === "image") return [null, null, null, output(step)];
    const find = (...names) => step.parts.find(([name]) => names.includes(name))?.slice(1, 3) ?? null;
    const middle = step.kind === "mbconv" ? [find("expand"), find("depthwise")] : [null, step.expand > 1 ? find("fused") : null];
    return [step.input, ...middle, output(step)];
  }

  // One step, large. Four places: input, expanded, filtered, output; those that a step does not
  // have are folded away. Boxes glide, unless the reader has asked for less motion.
  class Zoom {
    constructor(svg) {
      this.svg = svg;
      this.still = matchMedia("(prefers-reduced-motion: reduce)");
      this.path = (kind) => create(svg, "path", { class: kind });
      this.text = (kind) => create(svg, "text", { class: kind });
      this.wire = this.path("wire");
      this.boxes = [0, 1, 2, 3].map(() => {
        const group = create(svg, "g"), box = { group };
        for (const part of ["side", "top", "front"]) box[part] = create(group, "path", { class: part });
        box.side1 = create(group, "text", { class: "shape" });
        box.side2 = create(group, "text", { class: "shape" });
        return box;
      });
      this.arrows = [0, 1, 2].map(() => ({ line: this.path("arrow"), label: this.text("operation") }));
      this.gate = { line: this.path("arrow"), label: this.text("operation") };
      this.skip = { line: this.path("arrow"), plus: this.path("arrow"), label: this.text("operation") };
      this.width = 0;
    }

    resize(width) {
      if (width === this.width) return;
      this.width = width;
      this.most = width < 520 ? 220 : 264;
      if (!this.walk) return;
      this.scale();
      this.place();
      this.draw((this.now = this.goal));
      this.describe();
    }

    // One scale for all steps of a network, so that growing looks like growing.
    scale() {
      this.gap = Math.min(MOST.gap, this.width * 0.08);
      const all = this.walk.map((step) => ({ step, shown: tensors(step).filter(Boolean) }));
      const tallest = Math.sqrt(Math.max(...all.flatMap(({ shown }) => shown.map(([, side]) => side))));
      this.side = Math.min(MOST.side, (this.most - 80) / (tallest * (1 - TILT[1])));
      this.channels = MOST.channels;
      for (const { step, shown } of all) {
        const roots = (place) => shown.reduce((sum, tensor) => sum + Math.sqrt(tensor[place]), 0);
        const room = this.width - (shown.length - 1) * this.gap - (step.skip ? 30 : 6) - this.side * TILT[0] * roots(1);
        this.channels = Math.min(this.channels, room / roots(0));
      }
    }

    show(name, walk, at) {
      const forward = at === this.at + 1 && name === this.name, backward = at === this.at - 1 && name === this.name;
      const other = name !== this.name;
      Object.assign(this, { name, walk, at });
      if (!this.width) return;
      if (other) this.scale();
      this.place();
      if (!this.now || this.still.matches) {
        this.draw((this.now = this.goal));
        return;
      }
      // What came out goes in again.
      if (forward) this.now = this.now.map((_, i) => [...this.now[3].slice(0, 3), i ? 0 : 1]);
      if (backward) this.now = this.now.map((_, i) => [...this.now[0].slice(0, 3), i < 3 ? 0 : 1]);
      this.label();
      if (!this.moving) this.moving = requestAnimationFrame(() => this.step());
    }

    step() {
      let far = 0;
      this.now = this.now.map((box, i) => box.map((value, j) => {
        const rest = this.goal[i][j] - value;
        far = Math.max(far, Math.abs(rest) * (j === 3 ? 50 : 1));
        return value + 0.22 * rest;
      }));
      if (far < 0.5) this.now = this.goal;
      this.draw(this.now);
      this.moving = far < 0.5 ? 0 : requestAnimationFrame(() => this.step());
    }

    // Where the boxes of the present step belong: [x, length, height, presence].
    place() {
      const step = this.walk[this.at], shown = tensors(step), { gap } = this;
      const size = ([channels, side]) => [this.channels * Math.sqrt(channels), this.side * Math.sqrt(side)];
      const total = shown.filter(Boolean).reduce((sum, tensor) => {
        const [length, height] = size(tensor);
        return sum + length + TILT[0] * height + gap;
      }, -gap) + (step.skip ? 24 : 0);
      let x = Math.max(3, (this.width - total) / 2);
      // Pooling and classifier are flat: the picture shrinks to them. Blocks share one height, so that nothing below moves.
      const tall = Math.max(...shown.filter(Boolean).map((tensor) => size(tensor)[1]));
      this.height = ["pool", "classifier"].includes(step.kind) ? Math.min(this.most, Math.max(100, 1.6 * tall + 92)) : this.most;
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
      this.goal = shown.map((tensor) => {
        if (!tensor) return [x, 0, 0, 0];
        const [length, height] = size(tensor), box = [x, length, height, 1];
        x += length + TILT[0] * height + gap;
        return box;
      });
    }

    // Words and wires of the present step; only positions change while boxes glide.
    label() {
      const step = this.walk[this.at], shown = tensors(step);
      shown.forEach((tensor, i) => {
        const { side1, side2 } = this.boxes[i];
        if (!tensor) return;
        put(side1, tensor[1] === 1 ? "" : `${tensor[1]}×${tensor[1]}`);
        put(side2, tensor[1] === 1 ? String(tensor[0]) : `×${tensor[0]}`);
      });
      const arrow = step.stride === 2 ? " ÷2" : "", k = `${step.kernel}×${step.kernel}`;
      const text = { stem: `${k}${arrow}`, head: "1×1", pool: "average", classifier: "linear", image: "" }[step.kind];
      const fused = step.kind === "fused_mbconv";
      put(this.arrows[0].label, "1×1");
      put(this.arrows[1].label, fused ? `${k}${arrow}` : `${k}${arrow}`);
      put(this.arrows[2].label, text ?? (fused && step.expand === 1 ? `${k}${arrow}` : "1×1"));
      put(this.gate.label, step.squeeze ? `SE ${step.input[0] * step.expand} → ${step.squeeze} → ${step.input[0] * step.expand}` : "");
      put(this.skip.label, "skip");
    }

    describe() {
      if (!this.walk) return;
      const step = this.walk[this.at], shown = tensors(step).filter(Boolean).map(shape);
      this.svg.setAttribute("aria-label",
        step.kind === "image" ? `A box: the image, ${shown[0]}.`
        : `${shown.length} boxes in a row, one per tensor: ${shown.join(", then ")}.` + (step.skip ? " A skip connection leads from the first to the last." : ""));
    }

    draw(boxes) {
      if (!this.width) return;
      this.label();
      const step = this.walk[this.at], middle = this.height / 2 - 6;
      const tallest = Math.max(...this.goal.map((box) => box[2])), floor = middle + (tallest * (1 + TILT[1])) / 2 + 0.2 * tallest;
      const base = Math.min(floor + 16, this.height - 36), low = Math.min(base + 29, this.height - 3);
      const show = (element, yes) => { if ((element.style.display === "none") === yes) element.style.display = yes ? "" : "none"; };
      const edges = [];
      boxes.forEach(([x, length, height, presence], i) => {
        const { group, side, top, front, side1, side2 } = this.boxes[i];
        show(group, presence > 0.02);
        if (presence <= 0.02) return;
        const tilt = TILT.map((t) => t * height);
        const [face, roof, wall] = boxPaths(x, middle, length, height, tilt);
        front.setAttribute("d", face);
        top.setAttribute("d", roof);
        side.setAttribute("d", wall);
        group.setAttribute("opacity", presence.toFixed(3));
        const centre = x + (length + tilt[0]) / 2;
        side1.setAttribute("x", centre); side1.setAttribute("y", base);
        side2.setAttribute("x", centre); side2.setAttribute("y", base + 13);
        if (this.goal[i][3]) edges.push({ i, left: x, right: x + length + tilt[0], centre, top: middle - height / 2 + tilt[1] / 2 });
      });
      const settled = boxes === this.goal;
      this.arrows.forEach(({ line, label }, i) => {
        const to = edges.findIndex((edge) => edge.i === i + 1), from = edges[to - 1], yes = to > 0 && settled;
        show(line, yes); show(label, yes);
        if (!yes) return;
        const [a, b] = [from.right + 3, edges[to].left - 3];
        line.setAttribute("d", `M${a} ${middle}H${b}m-5 -4l5 4l-5 4`);
        label.setAttribute("x", (a + b) / 2);
        label.setAttribute("y", middle - 8);
      });
      const gated = edges.find((edge) => edge.i === 2), gate = Boolean(step.squeeze && gated) && settled;
      show(this.gate.line, gate); show(this.gate.label, gate);
      if (gate) {
        const word = Math.max(12, gated.top - 30);
        this.gate.line.setAttribute("d", `M${gated.centre} ${word + 5}V${gated.top - 4}m-4 -5l4 5l4 -5`);
        const half = 52;
        this.gate.label.setAttribute("x", Math.min(this.width - half, Math.max(half, gated.centre)));
        this.gate.label.setAttribute("y", word);
      }
      const skip = Boolean(step.skip) && settled;
      for (const part of Object.values(this.skip)) show(part, skip);
      if (skip) {
        const [first, last] = [edges[0], edges[edges.length - 1]], from = first.right + 8, to = last.right + 14;
        this.skip.line.setAttribute("d", `M${from} ${middle}V${low}H${to}V${middle + 8}m-4 5l4 -5l4 5M${last.right + 2} ${middle}H${to - 7}`);
        this.skip.plus.setAttribute("d", `M${to - 7} ${middle}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0m3 0h8m-4 -4v8`);
        this.skip.label.setAttribute("x", (from + to) / 2);
        this.skip.label.setAttribute("y", low - 4);
      }
    }
  }

  EffnetExplorer.define("effnet-network-explorer", NetworkExplorer);
})();
