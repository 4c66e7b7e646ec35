// The training explorer: drag through the epochs of one recorded run. Nothing is computed here but
// places on the page: curves, confusion matrix and mistakes stand in the data.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put } = EffnetExplorer;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  class TrainingExplorer extends EffnetExplorer {
    get defaults() {
      return { tr_epoch: this.data.epochs.length };
    }

    template() {
      const { epochs, classes, name } = this.data, n = classes.length;
      const head = classes.map((c) => `<th scope="col">${c}</th>`).join("");
      const row = (c, i) => `<tr><th scope="row">${c}</th>${"<td></td>".repeat(n)}</tr>`;
      const tiles = Array.from({ length: Math.max(...epochs.map((e) => e.mistakes.length)) }, () =>
        `<li><canvas width="${this.data.size}" height="${this.data.size}" aria-hidden="true"></canvas><span></span><small></small></li>`).join("");
      return `
        <p class="tr-name">${name}</p>
        <div class="effnet-main">
          ${this.slider("tr_epoch", "After <b>epoch</b>", 1, epochs.length, 1, "Epoch")}
          <div class="tr-buttons"><button type="button" class="effnet-button tr-play">Play</button>
            <button type="button" class="effnet-button effnet-reset">Reset</button></div>
          <p class="effnet-note" role="alert"></p>
        </div>
        <div class="effnet-cards">
          ${this.card("tr_train", "Training loss", "depth")}${this.card("tr_validation", "Validation loss", "width")}
          ${this.card("tr_right", "Right")}${this.card("tr_wrong", "Wrong")}${this.card("tr_rate", "Learning rate", "resolution")}
        </div>
        <div class="tr-panels">
          <figure class="effnet-drawing tr-curves"><svg role="img" aria-label=""></svg></figure>
          <div class="effnet-scroll tr-matrix" role="region" tabindex="0" aria-label="Confusion matrix">
            <table><caption>Rows: what it is. Columns: what the network says. Validation images.</caption>
              <thead><tr><td></td>${head}</tr></thead><tbody>${classes.map(row).join("")}</tbody></table>
          </div>
        </div>
        <p class="tr-worst"></p>
        <ul class="tr-tiles">${tiles}</ul>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      this.cells = [...this.live.querySelectorAll(".tr-matrix tbody td")];
      this.matrix = find(".tr-matrix");
      this.worst = find(".tr-worst");
      this.tiles = [...this.live.querySelectorAll(".tr-tiles li")].map((item) => ({
        item, context: item.querySelector("canvas").getContext("2d"), text: item.querySelector("span"), small: item.querySelector("small"),
      }));
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      this.button = find(".tr-play");
      this.button.addEventListener("click", () => (this.timer ? this.stop() : this.play()));
      this.drawing = new Drawing(find(".tr-curves svg"), this.data, (epoch) => this.set({ tr_epoch: epoch }));
      new ResizeObserver(([entry]) => this.drawing.resize(entry.contentRect.width)).observe(find(".tr-curves"));
      this.totals = this.data.classes.map((_, i) => {
        const n = this.data.classes.length, first = this.data.epochs[0].confusion;
        return first.slice(i * n, (i + 1) * n).reduce((a, b) => a + b, 0);
      });
      this.sprite = new Image();
      this.sprite.onload = () => this.pictures();
      if (this.data.sprite) this.sprite.src = `data:image/png;base64,${this.data.sprite}`;
      // The confusion of each epoch as text, once.
      this.shares = this.data.epochs.map(({ confusion }) => confusion.map((count, i) => count / Math.max(1, this.totals[Math.floor(i / this.totals.length)])));
    }

    play() {
      const last = this.data.epochs.length;
      if (this.state.tr_epoch >= last) this.set({ tr_epoch: 1 });
      put(this.button, "Stop");
      this.timer = setInterval(() => {
        if (!this.isConnected || this.state.tr_epoch >= last) return this.stop();
        this.set({ tr_epoch: this.state.tr_epoch + 1 });
      }, 700);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = undefined;
      put(this.button, "Play");
    }

    show() {
      const at = this.state.tr_epoch - 1, entry = this.data.epochs[at], { images, classes } = this.data, n = classes.length;
      const wrong = images - entry.right, lr = this.drawing.rateAt(entry.epoch);
      this.setCard("tr_train", entry.train_loss, entry.train_loss.toFixed(3), "mean of the epoch");
      this.setCard("tr_validation", entry.validation_loss, entry.validation_loss.toFixed(3), "averaged weights");
      this.setCard("tr_right", entry.right, percent(entry.right / images), `${entry.right} of ${images}`);
      this.setCard("tr_wrong", wrong, String(wrong), "validation images");
      this.setCard("tr_rate", lr, lr.toPrecision(2), "at the epoch’s end");
      entry.confusion.forEach((count, i) => {
        const cell = this.cells[i], text = count ? String(count) : "";
        if (cell.textContent !== text) put(cell, text);
        const kind = Math.floor(i / n) === i % n ? "right" : "wrong", share = this.shares[at][i].toFixed(2);
        const style = count ? `${kind} ${share > 0.5 ? "full" : ""}` : "";
        if (cell.className !== style) cell.className = style;
        if (cell.dataset.share !== share) { cell.dataset.share = share; cell.style.setProperty("--share", share); }
      });
      const shown = entry.mistakes.length;
      put(this.worst, wrong === 0 ? "No validation image is named wrongly." : shown < wrong
        ? `The ${shown} worst of ${wrong} mistakes, the largest loss first: what it is → what the network says, and how sure it is`
        : `${wrong === 1 ? "The one mistake" : `All ${wrong} mistakes, the largest loss first`}: what it is → what the network says, and how sure it is`);
      this.pictures();
      this.drawing.show(at);
    }

    pictures() {
      const { classes, size, epochs } = this.data, { mistakes } = epochs[this.state.tr_epoch - 1];
      const ready = this.sprite.complete && this.sprite.naturalWidth > 0;
      this.tiles.forEach(({ item, context, text, small }, i) => {
        const mistake = mistakes[i];
        if (item.hidden !== !mistake) item.hidden = !mistake;
        if (!mistake) return;
        const [tile, label, predicted, probability] = mistake;
        put(text, `${classes[label]} → ${classes[predicted]}`);
        put(small, `${Math.round(100 * probability)} %`);
        if (ready && context.shown !== tile) {
          context.shown = tile;
          context.drawImage(this.sprite, tile * size, 0, size, size, 0, 0, size, size);
        }
      });
    }

    words() {
      const entry = this.data.epochs[this.state.tr_epoch - 1];
      return `After epoch ${entry.epoch}: ${entry.right} of ${this.data.images} right, validation loss ${entry.validation_loss.toFixed(2)}.`;
    }
  }

  // Three panels on one axis of epochs: losses, accuracy, learning rate. A cursor marks the epoch.
  class Drawing {
    constructor(svg, data, choose) {
      Object.assign(this, { svg, data, choose, width: 0 });
      const add = (kind, className, text = "") => {
        const node = svg.appendChild(document.createElementNS(SVG, kind));
        node.setAttribute("class", className);
        node.textContent = text;
        return node;
      };
      this.frame = add("path", "frame");
      this.cursor = add("path", "cursor");
      this.noise = add("path", "noise");
      this.train = add("path", "train");
      this.validation = add("path", "validation");
      this.accuracy = add("path", "accuracy");
      this.rate = add("path", "rate");
      this.dots = ["train", "validation", "accuracy", "rate"].map((name) => add("circle", `dot ${name}`));
      this.titles = ["loss", "right", "learning rate"].map((name) => add("text", "title", name));
      this.keys = ["training", "validation"].map((name) => add("text", `key ${name}`, name));
      this.scales = Array.from({ length: 6 }, () => add("text", "scale"));
      this.axis = [add("text", "axis", "0"), add("text", "axis", `epoch ${data.total}`)];
      const drag = (event) => {
        const box = svg.getBoundingClientRect(), time = ((event.clientX - box.left) / box.width * this.width - this.left) / this.reach * data.total;
        const near = data.epochs.reduce((best, one, i) => Math.abs(one.epoch - time) < Math.abs(data.epochs[best].epoch - time) ? i : best, 0);
        choose(near + 1);
      };
      svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); drag(event); });
      svg.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
    }

    rateAt(epoch) {
      let rate = 0;
      for (const [time, , lr] of this.data.steps) { if (time > epoch + 1e-9) break; rate = lr; }
      return rate;
    }

    resize(width) {
      if (width === this.width) return;
      const { epochs, steps, images, total } = this.data;
      this.width = width;
      this.left = 38;
      this.reach = width - this.left - 10;
      const tops = [22, 152, 250], highs = [100, 70, 50];
      this.height = 326;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
      const x = (time) => this.left + (time / total) * this.reach;
      // The axis is the training loss's; the validation loss may be far above it at first.
      const most = this.most = 1.1 * Math.max(...steps.map((s) => s[1]), ...epochs.map((e) => e.train_loss));
      const fast = Math.max(...steps.map((s) => s[2]));
      const y = (panel, share) => tops[panel] + highs[panel] * (1 - share);
      const path = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
      const series = {
        train: epochs.map((e) => [x(e.epoch), y(0, e.train_loss / most)]),
        validation: epochs.map((e) => [x(e.epoch), y(0, Math.min(1, e.validation_loss / most))]),
        accuracy: epochs.map((e) => [x(e.epoch), y(1, e.right / images)]),
        rate: epochs.map((e) => [x(e.epoch), y(2, this.rateAt(e.epoch) / fast)]),
      };
      this.series = series;
      for (const name of ["train", "validation", "accuracy"]) this[name].setAttribute("d", path(series[name]));
      this.noise.setAttribute("d", path(steps.map(([time, loss]) => [x(time), y(0, loss / most)])));
      this.rate.setAttribute("d", path(steps.map(([time, , lr]) => [x(time), y(2, lr / fast)])));
      this.frame.setAttribute("d", tops.map((top, i) => `M${this.left} ${top}V${top + highs[i]}H${this.left + this.reach}`).join(""));
      this.dots.forEach((dot) => dot.setAttribute("r", 4.5));
      const place = (node, a, b, anchor, text) => {
        node.setAttribute("x", a); node.setAttribute("y", b); node.style.textAnchor = anchor;
        if (text !== undefined) put(node, text);
      };
      this.titles.forEach((title, i) => place(title, this.left, tops[i] - 7, "start"));
      place(this.keys[0], this.left + this.reach - 108, tops[0] - 7, "end");
      place(this.keys[1], this.left + this.reach, tops[0] - 7, "end");
      const tops3 = [most.toFixed(1), "100 %", String(Number(fast.toPrecision(2)))];
      tops3.forEach((text, i) => {
        place(this.scales[2 * i], this.left - 4, tops[i] + 9, "end", text.replace(" %", "%"));
        place(this.scales[2 * i + 1], this.left - 4, tops[i] + highs[i], "end", "0");
      });
      place(this.axis[0], this.left, this.height - 8, "middle");
      place(this.axis[1], this.left + this.reach, this.height - 8, "end");
      this.span = `${tops[0]}V${tops[2] + highs[2]}`;
      if (this.at !== undefined) this.draw();
    }

    show(at) {
      this.at = at;
      if (this.width) this.draw();
    }

    draw() {
      const names = ["train", "validation", "accuracy", "rate"], entry = this.data.epochs[this.at];
      this.cursor.setAttribute("d", `M${this.series.train[this.at][0]} ${this.span}`);
      names.forEach((name, i) => {
        const [x, y] = this.series[name][this.at];
        this.dots[i].setAttribute("cx", x);
        this.dots[i].setAttribute("cy", y);
      });
      put(this.keys[1], entry.validation_loss > this.most ? "validation: above" : "validation");
      const label = `Curves over ${this.data.total} epochs. After epoch ${entry.epoch}: training loss ${entry.train_loss.toFixed(2)}, ` +
        `validation loss ${entry.validation_loss.toFixed(2)}, ${percent(entry.right / this.data.images)} right.`;
      if (this.svg.getAttribute("aria-label") !== label) this.svg.setAttribute("aria-label", label);
    }
  }

  EffnetExplorer.define("effnet-training-explorer", TrainingExplorer);
})();
