// The explorer of a network that runs: a worker made of this page's own text computes it. Until the reader
// asks for the network, answers that Python recorded stand here.
(function () {
  const { put, short } = EffnetExplorer;
  const FOR = [184, 74, 0], AGAINST = [0, 114, 178]; // orange speaks for the class, blue against it
  const SHADES = [[0, 34, 78], [87, 93, 109], [165, 156, 116], [254, 232, 56]]; // of cividis
  const REACH = 3; // a third of the whole fills a cell, of cost as of time
  const percent = (share) => `${share < 0.0995 ? (100 * share).toFixed(1) : Math.round(100 * share)}%`;
  const mega = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const PALETTE = Uint32Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (SHADES.length - 1), i = Math.min(Math.floor(at), SHADES.length - 2);
    const [r, g, b] = SHADES[i].map((from, c) => Math.round(from + (SHADES[i + 1][c] - from) * (at - i)));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });

  // What goes wrong, as a sentence for the reader.
  class Trouble extends Error {}

  class LiveExplorer extends EffnetExplorer {
    get defaults() {
      return { resolution: this.data.resolution };
    }

    template() {
      const { photographs, network, stages, resolutions, classes } = this.data;
      const sample = ({ name, title, picture }) =>
        `<button type="button" data-sample="${name}" aria-pressed="false"><img src="${picture}" width="64" height="64" alt="${title}"></button>`;
      const row = ([stage, operator]) => `
        <tr data-stage="${stage}"><th scope="row"><button type="button" aria-pressed="false" disabled><b>${stage}</b> ${operator}</button></th>
          <td data-field="size"></td><td data-field="stage_cost"></td><td data-field="time"></td></tr>`;
      return `
        <div class="live-body">
          <div>
            <div class="live-view" role="img" aria-label=""><img alt="The photo"><canvas class="photo" hidden></canvas><canvas class="map"></canvas><span></span></div>
            <div class="live-photos" role="group" aria-label="Sample photos">${photographs.map(sample).join("")}</div>
            <div class="live-buttons">
              <label class="effnet-button">Your photo<input type="file" accept="image/*" aria-label="Choose a photo of your own"></label>
              <button type="button" class="effnet-button" data-action="camera" aria-pressed="false">Camera</button>
              <button type="button" class="effnet-button effnet-reset">Reset</button>
            </div>
          </div>
          <div>
            <p class="live-title"></p>
            <ol class="live-answers" data-field="predictions"></ol>
            <div class="live-load">
              <button type="button" data-action="load">Run it here</button>
              <span>${network.title}, ${short(network.parameters)} parameters, ${mega(network.bytes)}, on your processor.</span>
              <progress hidden aria-label="Loading the network"></progress>
            </div>
            <p class="effnet-note" role="alert"></p>
            ${this.slider("resolution", "Resolution of the input in pixels", ...resolutions, "Resolution")}
            <div class="effnet-cards live-cards">
              ${this.card("milliseconds", "Time", "width")}${this.card("cost", "Multiply-adds")}
            </div>
            <p class="effnet-hint live-private">Drop or paste an image anywhere here. It stays on your machine: this page sends nothing.</p>
          </div>
        </div>
        <div class="live-maps" hidden><p></p><div></div></div>
        <table class="live-stages">
          <caption>Cost is not time: the bars are each stage's share of all multiply-adds, and of the time on your processor. Choose a stage to see its feature maps.</caption>
          <thead><tr><th scope="col">Stage</th><th scope="col">Output</th><th scope="col">Multiply-adds</th><th scope="col">Time</th></tr></thead>
          <tbody>${stages.map(row).join("")}</tbody>
        </table>
        <details class="live-credits"><summary>Weights and photos</summary>
          <p>${network.title}: ${network.source}, ${network.licence}. Weights of 8 bits, some of 16. ${photographs.map((p) => p.credit).join(". ")}.</p></details>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector), all = (selector) => [...this.live.querySelectorAll(selector)];
      this.dataset.state = "idle";
      this.view = find(".live-view");
      this.parts = {
        picture: find(".live-view img"), photo: find(".photo"), map: find(".map"), title: find(".live-title"), answers: find(".live-answers"),
        box: find(".live-load"), load: find("[data-action=load]"), progress: find("progress"), camera: find("[data-action=camera]"),
        maps: find(".live-maps"), tiles: find(".live-maps div"), file: find("input[type=file]"),
      };
      this.samples = all("[data-sample]");
      this.rows = all("tr[data-stage]").map((row) => ({
        row, button: row.querySelector("button"), size: row.querySelector("[data-field=size]"),
        cost: row.querySelector("[data-field=stage_cost]"), time: row.querySelector("[data-field=time]"),
      }));
      this.stage = 0;
      this.chosen = 0;
      this.calls = new Map();
      this.samples.forEach((button) => button.addEventListener("click", () => this.sample(button.dataset.sample)));
      this.parts.load.addEventListener("click", () => (this.loading ? this.stop() : this.wish(this.photograph)));
      this.parts.camera.addEventListener("click", () => (this.stream ? this.stopCamera() : this.startCamera()));
      this.parts.file.addEventListener("change", ({ target }) => { if (target.files[0]) this.openFile(target.files[0]); target.value = ""; });
      this.rows.forEach(({ button }, i) => button.addEventListener("click", () => this.chooseStage(i)));
      this.parts.answers.addEventListener("click", ({ target }) => {
        const button = target.closest("button");
        if (button) this.chooseClass(Number(button.closest("li").dataset.rank));
      });
      find(".effnet-reset").addEventListener("click", () => this.reset());
      this.takeDrops();
      this.shownName = this.data.first;
    }

    // Images that are dropped here, or pasted while the pointer or the focus is here.
    takeDrops() {
      const drop = (event) => {
        event.preventDefault();
        this.classList.toggle("live-over", event.type === "dragover");
        if (event.type === "drop") this.take(event.dataTransfer);
      };
      for (const type of ["dragover", "dragleave", "drop"]) this.addEventListener(type, drop);
      this.pasted ??= (event) => { if (this.matches(":hover, :focus-within")) this.take(event.clipboardData); };
      document.addEventListener("paste", this.pasted);
    }

    take(transfer) {
      const file = [...(transfer?.files ?? [])][0];
      if (file) this.openFile(file);
      else if (transfer?.types.includes("text/uri-list")) this.note("An image from another page cannot be read here: save it, then drop the file.");
    }

    disconnectedCallback() {
      super.disconnectedCallback();
      document.removeEventListener("paste", this.pasted);
      if (this.live) this.stop();
    }

    follow() {
      super.follow();
      if (this.pasted) document.addEventListener("paste", this.pasted); // moved to another place
    }

    reset() {
      this.stop();
      this.shownName = this.data.first;
      this.stage = this.chosen = 0;
      this.answer = this.logits = this.input = undefined;
      this.dataset.state = "idle";
      this.parts.maps.hidden = true;
      this.rows.forEach(({ row, button, time }) => {
        delete row.dataset.milliseconds;
        button.setAttribute("aria-pressed", "false");
        put(time, "");
        time.style.removeProperty("--share");
      });
      this.set(this.defaults);
    }

    // Loading

    // A file that comes with this page, or lies in the book's folder. From a disk only a script can be read.
    async file(name, signal, progress) {
      const inside = this.querySelector(`script[data-file="${name}"]`);
      if (inside) return JSON.parse(inside.textContent);
      if (window.EffnetFiles?.[name]) return window.EffnetFiles[name];
      const address = new URL(`${document.documentElement.dataset.content_root ?? "./"}_static/live/${name}.js`, document.baseURI);
      const missing = new Trouble("The network does not lie beside this page. In a notebook, write live_explorer(inline=True).");
      if (address.protocol !== "file:") {
        const response = await fetch(address, { signal }).catch(() => null);
        if (signal.aborted) throw new DOMException("", "AbortError");
        if (!response?.ok) throw missing;
        const reader = response.body.getReader(), parts = [];
        for (let part = await reader.read(), got = 0; !part.done; part = await reader.read()) {
          parts.push(part.value);
          progress((got += part.value.length));
        }
        const text = await new Blob(parts).text();
        return ((window.EffnetFiles ??= {})[name] = JSON.parse(text.slice(text.indexOf("\n") + 1, text.lastIndexOf(";"))));
      }
      await new Promise((done, fail) => {
        const script = document.createElement("script");
        script.src = address;
        script.onload = done;
        script.onerror = () => fail(missing);
        document.head.append(script);
        script.remove();
      });
      return window.EffnetFiles[name];
    }

    // The worker with the network in it; one at a time.
    load() {
      this.loading ??= this.begin().catch((error) => {
        this.stop();
        throw error;
      });
      return this.loading;
    }

    async begin() {
      const { progress, load } = this.parts, { bytes } = this.data.network;
      this.dataset.state = "loading";
      this.abort = new AbortController();
      progress.hidden = false;
      progress.removeAttribute("value");
      put(load, "Cancel");
      const signal = this.abort.signal;
      const file = await this.file(this.data.network.name, signal, (got) => (progress.value = Math.min(1, got / bytes)));
      this.originals = await this.file("photographs", signal, () => {});
      this.categories = file.categories;
      signal.throwIfAborted();
      const url = URL.createObjectURL(new Blob([this.data.worker], { type: "text/javascript" }));
      this.worker = new Worker(url);
      this.worker.onmessage = ({ data: { id, result, error } }) => {
        const { done, fail } = this.calls.get(id) ?? {};
        this.calls.delete(id);
        if (error) fail?.(error === "unreadable" ? new Error(error) : new Trouble(error === "memory" ? "There is not enough memory for this image at this resolution: choose a lower one." : `The network stopped: ${error}`));
        else done?.(result);
      };
      this.worker.onerror = (event) => {
        event.preventDefault();
        this.failAll(new Trouble("The network stopped. Press “Run it here” to start it again."));
        this.stop();
      };
      const { engine } = await this.call("load", { file });
      URL.revokeObjectURL(url);
      signal.throwIfAborted();
      this.engine = engine;
      this.parts.box.hidden = true;
      this.rows.forEach(({ button }) => (button.disabled = false));
      progress.hidden = true;
    }

    call(type, data = {}, transfer = []) {
      const id = (this.last = (this.last ?? 0) + 1);
      return new Promise((done, fail) => {
        this.calls.set(id, { done, fail });
        this.worker.postMessage({ id, type, ...data }, transfer);
      });
    }

    failAll(error) {
      for (const { fail } of this.calls.values()) fail(error);
      this.calls.clear();
    }

    // Back to the beginning: everything that was taken is given back.
    stop() {
      this.abort?.abort();
      this.stopCamera();
      this.worker?.terminate();
      this.failAll(new DOMException("", "AbortError"));
      this.worker = this.loading = this.wanted = undefined;
      this.busy = false;
      clearTimeout(this.timing);
      this.parts.box.hidden = false;
      this.parts.progress.hidden = true;
      put(this.parts.load, "Run it here");
      this.rows.forEach(({ button }) => (button.disabled = true));
      if (this.dataset.state !== "error") this.dataset.state = "idle";
    }

    // Running

    // What the reader wishes to see next; of wishes that come while the network runs, the latest. `open` makes
    // the bitmap of a new image.
    async wish({ open, title = this.shownTitle, name, unreadable } = {}) {
      this.wanted = { ...this.wanted, ...(open && { open, title, name, unreadable }) };
      if (this.busy) return;
      this.busy = true;
      clearTimeout(this.timing);
      let said;
      try {
        await this.load();
        this.note("");
        while (this.wanted) {
          const { open, title, name, unreadable } = this.wanted;
          this.wanted = undefined;
          said = unreadable;
          this.dataset.state = "running";
          const source = open && (await open());
          if (open && !source) continue;
          const asked = { source, resolution: this.state.resolution, stage: this.stage, classes: this.data.classes };
          const answer = await this.call("run", asked, source?.bitmap ? [source.bitmap] : []).catch(async (error) => {
            if (error.message !== "unreadable" || !source?.blob) throw error;
            return this.call("run", { ...asked, source: await this.decode(source.blob) });
          });
          if (title) this.shownTitle = title;
          if (open) this.shownName = name;
          this.showAnswer(answer);
          if (this.stream) this.nextFrame();
        }
        this.dataset.state = "ready";
        if (!this.stream) {
          this.announce();
          this.timing = setTimeout(() => this.measure(), 250);
        }
      } catch (error) {
        if (error.name !== "AbortError") this.trouble(error.message === "unreadable" ? new Trouble(said) : error);
      } finally {
        this.busy = false;
        if (this.wanted && this.worker) this.wish();
      }
    }

    trouble(error) {
      this.stopCamera();
      this.dataset.state = "error";
      this.note(error instanceof Trouble ? error.message : `The network could not be run here: ${error.message}`);
    }

    // Once the reader rests, the same again, for a median that does not hang on one run.
    async measure() {
      if (this.busy || !this.worker) return;
      this.busy = true;
      try {
        const { resolution, milliseconds } = await this.call("time", { repeats: 7 });
        if (resolution === this.state.resolution) this.showTimes(milliseconds);
      } catch (error) {
        if (error.name !== "AbortError") this.trouble(error);
      }
      this.busy = false;
      if (this.wanted) this.wish();
    }

    // Images

    get photograph() {
      const { name, title } = this.data.photographs.find((p) => p.name === this.shownName) ?? this.data.photographs.find((p) => p.name === this.data.first);
      return { title, name, open: async () => this.source(this.blob(this.originals[name])) };
    }

    sample(name) {
      this.stopCamera();
      this.shownName = name;
      this.note("");
      if (this.loading) return void this.wish(this.photograph);
      this.answer = undefined;
      this.showRecord();
      this.announce();
    }

    // The bytes behind a data address, without a request.
    blob(address) {
      const text = atob(address.slice(address.indexOf(",") + 1));
      return new Blob([Uint8Array.from(text, (letter) => letter.charCodeAt(0))], { type: "image/jpeg" });
    }

    // The worker decodes it, or, where a worker has no canvas, this page.
    async source(blob) {
      return typeof OffscreenCanvas !== "undefined" ? { blob } : this.decode(blob);
    }

    // In this page: WebKit reads no image in the worker of a page from a file.
    async decode(blob) {
      const bitmap = await createImageBitmap(blob).catch(() => { throw new Error("unreadable"); });
      const { width, height } = bitmap, canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d", { alpha: false });
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
      context.drawImage(bitmap, 0, 0);
      return { pixels: context.getImageData(0, 0, width, height).data, width, height };
    }

    openFile(file) {
      this.stopCamera();
      const shown = file.name ? `“${file.name.slice(0, 40)}”` : "The image";
      const heic = /hei[cf]/.test(file.type) || /\.hei[cf]$/i.test(file.name);
      const unreadable = heic ? `This browser cannot read HEIC photos such as ${shown}: save it as JPEG or PNG.` : `${shown} cannot be read as an image.`;
      this.wish({ open: () => this.source(file), title: file.name || "Your image", name: null, unreadable });
    }

    async startCamera() {
      let loading;
      try {
        await (loading = this.load());
        if (!navigator.mediaDevices?.getUserMedia) throw new Trouble("A camera can be used only on a page from https or this machine.");
        const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "environment" } });
        this.stream = stream;
        if (this.loading !== loading) return this.stopCamera(); // the reader has turned away meanwhile
        this.video = Object.assign(document.createElement("video"), { srcObject: stream, muted: true, playsInline: true });
        await this.video.play();
        put(this.parts.camera, "Stop the camera");
        this.parts.camera.setAttribute("aria-pressed", "true");
        this.nextFrame();
      } catch (error) {
        if (error.name === "AbortError" || (loading && this.loading !== loading && this.loading)) return;
        const reasons = { NotAllowedError: "The camera was not allowed.", NotFoundError: "There is no camera.", NotReadableError: "The camera is in use elsewhere." };
        this.trouble(error instanceof Trouble ? error : new Trouble(`${reasons[error.name] ?? "The camera cannot be used."} Choose a photo instead.`));
      }
    }

    nextFrame() {
      const { video } = this;
      this.wish({ title: "Camera", name: null, open: async () => {
        await new Promise((done) => (document.hidden ? setTimeout(done, 200) : requestAnimationFrame(done)));
        return this.video === video ? { bitmap: await createImageBitmap(video) } : null;
      } });
    }

    stopCamera() {
      if (!this.stream) return;
      this.stream.getTracks().forEach((track) => track.stop());
      this.stream = this.video = undefined;
      put(this.parts.camera, "Camera");
      this.parts.camera.setAttribute("aria-pressed", "false");
    }

    // Showing

    show() {
      if (this.answer) {
        if (this.answer.resolution !== this.state.resolution) this.wish();
      } else this.showRecord();
    }

    // What Python recorded, at the nearest resolution that it recorded.
    showRecord() {
      const { photographs, costs, labels, resolutions: [low, , step] } = this.data;
      const side = low + step * Math.round((this.state.resolution - low) / step), grid = costs[side].at(-1)[1];
      const { title, picture, answers } = photographs.find((p) => p.name === this.shownName);
      this.shownTitle = title;
      if (this.parts.picture.src !== picture) this.parts.picture.src = picture;
      this.parts.picture.hidden = false;
      this.parts.photo.hidden = true;
      this.showPredictions(answers[side].map((one) => ({ ...one, label: labels[one.index] })), [grid, grid]);
      this.showStages(costs[side].map((cost) => cost[0]), side);
      this.setCard("milliseconds", "", "–", "measured when it runs here");
    }

    showAnswer(answer) {
      this.answer = answer;
      this.logits = answer.logits;
      this.input = answer.input;
      const { photo, picture } = this.parts, side = answer.resolution;
      photo.width = photo.height = side;
      const image = new ImageData(side, side);
      for (let p = 0, from = 0, to = 0; p < side * side; p++) {
        for (let c = 0; c < 3; c++) image.data[to++] = answer.bytes[from++];
        image.data[to++] = 255;
      }
      photo.getContext("2d").putImageData(image, 0, 0);
      photo.hidden = false;
      picture.hidden = true;
      const named = answer.answers.map((one) => ({ ...one, label: this.categories?.[one.index] ?? `class ${one.index}` }));
      this.showPredictions(named, answer.grid);
      this.showStages(this.byStage(answer.multiplyAdds), side);
      this.showTimes(answer.milliseconds);
      this.showMaps(answer.maps);
    }

    // The classifier, which comes last, belongs to the head's row.
    byStage(values) {
      return values.slice(0, -1).map((value, i) => (i === values.length - 2 ? value + values.at(-1) : value));
    }

    showPredictions(answers, grid) {
      const list = this.parts.answers;
      put(this.parts.title, this.shownTitle);
      while (list.children.length < answers.length) {
        list.insertAdjacentHTML("beforeend", `<li data-rank="${list.children.length}"><button type="button"><b></b><i><u></u></i><em></em></button></li>`);
      }
      answers.forEach(({ index, label, probability }, rank) => {
        const item = list.children[rank], [name, bar, share] = item.querySelectorAll("b, u, em");
        item.dataset.index = index;
        item.dataset.probability = probability;
        put(name, label);
        put(share, percent(probability));
        bar.style.width = `${100 * probability}%`;
      });
      this.answers = answers;
      this.grid = grid;
      this.samples.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.sample === this.shownName)));
      if (!this.stream) this.chosen = 0;
      this.showClass();
    }

    chooseClass(rank) {
      this.chosen = rank === this.chosen ? -1 : rank;
      this.showClass();
    }

    // Where the network sees the chosen class.
    showClass() {
      const { map } = this.parts, [rows, columns] = this.grid, answer = this.answers[this.chosen];
      [...this.parts.answers.children].forEach((item, rank) => item.firstChild.setAttribute("aria-pressed", String(rank === this.chosen)));
      this.view.classList.toggle("covered", Boolean(answer));
      const label = `${this.shownTitle}. ${answer ? `Over it where the network sees ${answer.label}: orange speaks for it, blue against it.` : ""}`;
      if (this.view.getAttribute("aria-label") !== label) this.view.setAttribute("aria-label", label);
      if (!answer) return;
      map.width = columns;
      map.height = rows;
      const reach = Math.max(...Array.from(answer.map, Math.abs)), context = map.getContext("2d"), image = context.createImageData(columns, rows);
      answer.map.forEach((value, i) => image.data.set([...(value > 0 ? FOR : AGAINST), Math.round((230 * Math.abs(value)) / reach)], 4 * i));
      context.putImageData(image, 0, 0);
    }

    showStages(costs, resolution) {
      const all = costs.reduce((a, b) => a + b, 0), { stages, costs: recorded, resolution: own } = this.data;
      this.rows.forEach(({ row, cost, size }, i) => {
        const side = Math.ceil(resolution / (own / recorded[own][i][1]));
        row.dataset.multiplyAdds = costs[i];
        put(cost, short(costs[i]));
        cost.style.setProperty("--share", (REACH * costs[i]) / all);
        put(size, `${stages[i][3]} × ${side} × ${side}`);
      });
      this.setCard("cost", all, short(all), `at ${resolution} × ${resolution} px`);
    }

    showTimes(milliseconds) {
      const times = this.byStage(milliseconds), all = times.reduce((a, b) => a + b, 0);
      this.rows.forEach(({ row, time }, i) => {
        row.dataset.milliseconds = times[i];
        put(time, `${times[i].toFixed(1)} ms`);
        time.style.setProperty("--share", all ? (REACH * times[i]) / all : 0);
      });
      const engines = { relaxed: "WebAssembly", simd: "WebAssembly", plain: "JavaScript" };
      const rate = this.stream && all ? `, ${(1000 / all).toFixed(0)} images per second` : "";
      this.setCard("milliseconds", all, `${all.toFixed(all < 10 ? 1 : 0)}\u00a0ms`, `${engines[this.engine]}, one core of yours${rate}`);
    }

    async chooseStage(stage) {
      this.stage = stage;
      if (this.busy) return void this.wish();
      try {
        this.showMaps((await this.call("maps", { stage })).maps);
      } catch (error) {
        if (error.name !== "AbortError") this.trouble(error);
      }
    }

    showMaps({ stage, rows, columns, channels, shown }) {
      const { maps, tiles } = this.parts;
      maps.hidden = false;
      this.rows.forEach(({ button }, i) => button.setAttribute("aria-pressed", String(i === stage)));
      put(maps.firstChild, `Stage ${stage + 1}: the ${shown.length} of its ${channels.toLocaleString("en")} channels that vary most within the image, ${rows} × ${columns} values each. Dark is a channel's least value, bright its greatest.`);
      while (tiles.children.length < shown.length) tiles.insertAdjacentHTML("beforeend", `<span><canvas role="img"></canvas><b></b></span>`);
      shown.forEach(({ channel, bytes }, i) => {
        const [canvas, name] = tiles.children[i].children;
        canvas.width = columns;
        canvas.height = rows;
        const image = new ImageData(columns, rows), pixels = new Uint32Array(image.data.buffer);
        for (let p = 0; p < pixels.length; p++) pixels[p] = PALETTE[bytes[p]];
        canvas.getContext("2d").putImageData(image, 0, 0);
        canvas.setAttribute("aria-label", `Channel ${channel + 1} of stage ${stage + 1}`);
        put(name, String(channel + 1));
      });
    }

    announce() {
      this.status.textContent = this.words();
    }

    words() {
      const [first, second] = this.answers;
      return `${this.shownTitle}, at ${this.state.resolution} pixels: ${first.label}, ${percent(first.probability)}` + (second ? `; then ${second.label}, ${percent(second.probability)}.` : ".");
    }
  }

  EffnetExplorer.define("effnet-live-explorer", LiveExplorer);
})();
