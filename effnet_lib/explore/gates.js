// The gates explorer: one block at a time, a strip of colour for each photograph, a column for
// each channel. Python has computed the gates; this draws and sorts them.
(function () {
  const { put } = EffnetExplorer;
  const ONE = 65535; // a gate of 1, as it is sent

  // Closed to open, dark to bright (after the colour map cividis).
  const MAP = [[0, 32, 76], [46, 73, 107], [108, 110, 114], [166, 157, 117], [222, 205, 104], [255, 234, 70]];
  function colour(gate) {
    const at = gate * (MAP.length - 1), low = Math.min(Math.floor(at), MAP.length - 2);
    return MAP[low].map((value, i) => Math.round(value + (at - low) * (MAP[low + 1][i] - value)));
  }

  class GatesExplorer extends EffnetExplorer {
    get defaults() {
      return { gates_block: 1, gates_order: "average", gates_colours: "block", gates_place: 50 };
    }

    template() {
      const { photographs, blocks, many } = this.data;
      const row = ({ title, answer, probability, jpeg }) => `
        <div class="gates-row"><img src="data:image/jpeg;base64,${jpeg}" width="128" height="128" alt="${title}">
          <div class="gates-strip"><canvas height="1" aria-hidden="true"></canvas><i></i></div><output aria-live="off"></output>
          <small>${title}. The network says: ${answer}, ${Math.round(100 * probability)} %</small></div>`;
      const bar = ({ block }) => `<button type="button" class="gates-bar" data-block="${block}" aria-label="Block ${block}"><i></i><b></b><span>${block}</span></button>`;
      return `
        <div class="effnet-main">
          ${this.slider("gates_block", "Block", 1, blocks.length, 1, "Block")}
          ${this.choice("gates_order", "Channels in the order of (largest at the left)", [["average", "their average gate"], ["spread", "their difference between photographs"], ["network", "the network"]])}
          ${this.choice("gates_colours", "Colours from", [["full", "0 to 1"], ["block", "the block’s least gate to its greatest"]])}
          ${this.slider("gates_place", "Read a channel: its place from left to right, in per cent", 0, 100, 1, "Place of the channel in per cent")}
          <div class="gates-buttons"><button type="button" class="effnet-button effnet-reset">Reset</button></div>
          <p class="effnet-note" role="alert"></p>
        </div>
        <div class="gates-picture" role="group" aria-label="">
          <div class="gates-rows">${photographs.map(row).join("")}</div>
          <div class="gates-legend"><span></span><i></i><span></span></div>
        </div>
        <p class="gates-words"></p>
        <div class="gates-chart">
          <p id="${this.uid}-chart">How far gates differ between pictures, block by block (standard deviation; bar: these photographs, line: ${many.toLocaleString("en")} test images)</p>
          <div role="group" aria-labelledby="${this.uid}-chart">${blocks.map(bar).join("")}</div>
        </div>
        <details class="gates-credits"><summary>The photographs</summary><p>${photographs.map((p) => p.credit).join(". ")}.</p></details>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      const all = (selector) => [...this.live.querySelectorAll(selector)];
      this.canvases = all("canvas");
      this.values = all(".gates-row output");
      this.sentence = find(".gates-words");
      this.picture = find(".gates-picture");
      this.rows = find(".gates-rows");
      this.ends = all(".gates-legend span");
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      const most = Math.max(...this.data.blocks.flatMap((b) => [b.between_images, b.many]));
      this.bars = all(".gates-bar");
      this.bars.forEach((button, i) => {
        const block = this.data.blocks[i];
        button.querySelector("i").style.height = `calc((100% - 1.3em) * ${(block.between_images / most).toFixed(4)})`;
        button.querySelector("b").style.bottom = `calc(1.3em + (100% - 1.3em) * ${(block.many / most).toFixed(4)})`;
        button.addEventListener("click", () => this.set({ gates_block: i + 1 }));
      });
      this.gates = this.data.blocks.map(({ gates }) => new Uint16Array(Uint8Array.from(atob(gates), (c) => c.charCodeAt(0)).buffer));
      this.orders = {};
      this.colours = Array.from({ length: 256 }, (_, byte) => colour(byte / 255));
      this.canvases.forEach((canvas, i) => {
        const point = (event) => {
          const box = canvas.getBoundingClientRect();
          const place = Math.round((100 * (event.clientX - box.left)) / box.width);
          this.set({ gates_place: Math.min(100, Math.max(0, place)) });
        };
        canvas.addEventListener("pointerdown", point);
        canvas.addEventListener("pointermove", (event) => (event.buttons || event.pointerType === "mouse") && point(event));
      });
    }

    // Channels of a block, as they stand from left to right.
    order(index, kind) {
      return (this.orders[`${index} ${kind}`] ??= (() => {
        const { channels } = this.data.blocks[index], gates = this.gates[index], n = this.canvases.length;
        const column = (c) => Array.from({ length: n }, (_, i) => gates[i * channels + c]);
        const mean = (values) => values.reduce((sum, v) => sum + v, 0) / n;
        const key = {
          network: (c) => c,
          average: (c) => -mean(column(c)),
          spread: (c) => { const v = column(c), m = mean(v); return -mean(v.map((x) => (x - m) ** 2)); },
        }[kind];
        const keys = Array.from({ length: channels }, (_, c) => key(c));
        return keys.map((_, c) => c).sort((a, b) => keys[a] - keys[b] || a - b);
      })());
    }

    show() {
      const { gates_block, gates_order, gates_colours, gates_place } = this.state;
      const index = Math.min(this.data.blocks.length, Math.max(1, Math.round(gates_block))) - 1;
      const block = this.data.blocks[index], { channels } = block, gates = this.gates[index];
      const order = this.order(index, gates_order), drawn = `${index} ${gates_order} ${gates_colours}`;
      if (this.drawn !== drawn) {
        this.drawn = drawn;
        const full = gates_colours === "full";
        const [low, high] = full ? [0, ONE] : [Math.min(...gates), Math.max(...gates)];
        put(this.ends[0], full ? "0: closed" : (low / ONE).toFixed(3));
        put(this.ends[1], full ? "1: open" : (high / ONE).toFixed(3));
        this.canvases.forEach((canvas, i) => {
          canvas.width = channels;
          const context = canvas.getContext("2d"), image = context.createImageData(channels, 1);
          order.forEach((c, x) => {
            const [r, g, b] = this.colours[Math.round((255 * (gates[i * channels + c] - low)) / Math.max(1, high - low))];
            image.data.set([r, g, b, 255], 4 * x);
          });
          context.putImageData(image, 0, 0);
        });
        this.bars.forEach((bar, i) => bar.setAttribute("aria-pressed", i === index));
        put(this.sentence, `Block ${block.block} has ${channels} gates. Their mean is ${block.mean.toFixed(2)}. ` +
          `Channels differ from each other by ${block.between_channels.toFixed(3)}, a channel’s gate differs between the photographs by ` +
          `${block.between_images.toFixed(3)} (standard deviations).`);
        this.picture.setAttribute("aria-label", `Gates of block ${block.block}: a strip for each of ${this.canvases.length} photographs, with one column for each of ${channels} channels`);
        this.controls.gates_block.range.setAttribute("aria-valuetext", `block ${block.block}, ${channels} gates`);
      }
      const place = Math.min(channels - 1, Math.floor((gates_place / 100) * channels)), channel = order[place];
      this.values.forEach((out, i) => {
        const gate = gates[i * channels + channel] / ONE;
        out.dataset.value = gate;
        put(out, gate.toFixed(3));
      });
      this.channel = channel;
      this.rows.style.setProperty("--at", (place + 0.5) / channels);
      this.controls.gates_place.range.setAttribute("aria-valuetext", `channel ${channel + 1} of ${channels}`);
    }

    words() {
      const { photographs } = this.data;
      return `${this.sentence.textContent} Channel ${this.channel + 1}: ` +
        `${this.values.map((out, i) => `${photographs[i].name} ${out.textContent}`).join(", ")}.`;
    }
  }

  EffnetExplorer.define("effnet-gates-explorer", GatesExplorer);
})();
