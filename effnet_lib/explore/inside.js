// The explorer of the inside: a photograph on its way through Lite0. Python has computed the
// feature maps (as pictures), the answers and the class activation maps (as numbers).
(function () {
  const { put } = EffnetExplorer;
  const FOR = [184, 74, 0], AGAINST = [0, 114, 178]; // orange speaks for the class, blue against it
  const percent = (share) => `${share < 0.0995 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`;

  const Inside = {
    // The logit is the mean of the activation map plus the bias.
    logit: ({ map, bias }) => map.reduce((sum, value) => sum + value, 0) / map.length + bias,
    // The square of the picture that belongs to a place of the map, [left, top, side].
    cell: ([row, column], size, side) => [(column * side) / size, (row * side) / size, side / size],
    // The square that the value has seen, about the middle of its cell.
    field: ([row, column], size, side, field) => [
      ((column + 0.5) * side) / size - field / 2, ((row + 0.5) * side) / size - field / 2, field,
    ],
    strongest: (map, grid) => {
      const at = map.indexOf(Math.max(...map));
      return [Math.floor(at / grid), at % grid];
    },
  };

  class InsideExplorer extends EffnetExplorer {
    get defaults() {
      return { in_photograph: this.data.photographs[0].name, in_stage: 1, in_channel: "0", in_class: "0", in_over: "map", in_strength: 60 };
    }

    template() {
      const { photographs, places } = this.data;
      const radios = (name, legend, kind, options) => `
        <fieldset class="inside-${kind}" data-control="${name}"><legend>${legend}</legend><div>${options.map(([value, inner]) => `
          <label><input type="radio" name="${this.uid}-${name}" value="${value}">${inner}</label>`).join("")}</div></fieldset>`;
      const thumb = ({ name, title, picture }) => [name, `<span><img src="${picture}" width="64" height="64" alt="${title}"></span>`];
      const tile = (_, i) => [String(i), `<span><canvas width="1" height="1" aria-hidden="true"></canvas><b></b></span>`];
      const row = (_, i) => [String(i), `<span><b></b><i><u></u></i><em></em></span>`];
      return `
        ${radios("in_photograph", "Photograph", "photos", photographs.map(thumb))}
        ${this.slider("in_stage", "Place in the network: row of its stage table, from the stem (1) to the head (9)", 1, places.length, 1, "Place in the network")}
        <p class="effnet-note" role="alert"></p>
        <div class="inside-body">
          <div class="inside-left">
            <div class="inside-view" role="img" aria-label="">
              <img alt="The photograph as the network sees it" width="${this.data.side}" height="${this.data.side}">
              <canvas class="map"></canvas><canvas class="evidence" width="${this.data.grid}" height="${this.data.grid}"></canvas>
              <svg viewBox="0 0 ${this.data.side} ${this.data.side}" aria-hidden="true"><rect class="field"/><rect class="cell"/></svg>
            </div>
            ${this.choice("in_over", "Over the picture", [["map", "a feature map"], ["class", "evidence for a class"]])}
            ${this.slider("in_strength", "How strongly it covers, in per cent", 0, 100, 5, "How strongly it covers, in per cent")}
          </div>
          <div class="inside-right">
            ${radios("in_channel", "", "tiles", places[0].shown.map(tile))}
            ${radios("in_class", "What the network answers (press one for its evidence)", "answers", photographs[0].answers.map(row))}
            <div class="inside-buttons"><button type="button" class="effnet-button effnet-reset">Reset</button></div>
          </div>
        </div>
        <p class="inside-words"></p>
        <details class="inside-credits"><summary>The photographs</summary><p>${photographs.map((p) => p.credit).join(". ")}.</p></details>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      const all = (selector) => [...this.live.querySelectorAll(selector)];
      this.view = find(".inside-view");
      this.photo = find(".inside-view img");
      [this.map, this.evidence] = all(".inside-view canvas");
      [this.field, this.cell] = all(".inside-view rect");
      this.legend = find(".inside-tiles legend");
      this.tiles = all(".inside-tiles label").map((label) => ({ canvas: label.querySelector("canvas"), name: label.querySelector("b"), input: label.querySelector("input") }));
      this.rows = all(".inside-answers label").map((label) => ({ name: label.querySelector("b"), bar: label.querySelector("u"), share: label.querySelector("em") }));
      this.sentence = find(".inside-words");
      this.sheets = this.data.photographs.map(({ sheets }) => sheets.map(() => undefined));
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      // To press a map or a class, or to move on, is to ask for it to lie over the picture.
      // (A click comes before the change of a radio button, which setting anything else would undo.)
      const over = (name, kind) => all(`[data-control=${name}] input`).forEach((input) =>
        input.addEventListener("click", () => this.set({ [name]: input.value, in_over: kind })));
      over("in_channel", "map");
      over("in_class", "class");
      all("[data-control=in_stage] input").forEach((input) => input.addEventListener(input.type === "range" ? "input" : "change", () =>
        this.state.in_over !== "map" && this.set({ in_over: "map" })));
    }

    // The picture that holds the maps of a place, decoded when it is first wanted.
    sheet(photograph, place) {
      const made = this.sheets[photograph][place];
      if (made) return made;
      const image = new Image();
      image.addEventListener("load", () => { this.drawn = undefined; this.show(); });
      image.src = this.data.photographs[photograph].sheets[place].image;
      return (this.sheets[photograph][place] = image);
    }

    show() {
      const { photographs, places, side, grid } = this.data, { state } = this;
      const at = Math.max(0, photographs.findIndex((p) => p.name === state.in_photograph));
      const stage = Math.min(places.length, Math.max(1, Math.round(state.in_stage))) - 1;
      const photograph = photographs[at], place = places[stage], { size } = place;
      const channel = Number(state.in_channel), answer = photograph.answers[Number(state.in_class)];
      const isMap = state.in_over === "map", sheet = this.sheet(at, stage);
      const ready = sheet.complete && sheet.naturalWidth > 0;

      if (this.shownPhotograph !== at) {
        this.shownPhotograph = at;
        this.photo.src = photograph.picture;
        this.photo.alt = photograph.title;
        const most = photograph.answers[0].probability;
        photograph.answers.forEach(({ label, probability }, i) => {
          put(this.rows[i].name, label);
          put(this.rows[i].share, percent(probability));
          this.rows[i].bar.style.width = `${(100 * probability).toFixed(1)}%`;
        });
        this.reach = Math.max(...photograph.answers.flatMap(({ map }) => map.map(Math.abs)));
        places.forEach((_, i) => this.sheet(at, i)); // so that dragging finds them decoded
      }
      const drawn = `${at} ${stage}`;
      if (ready && this.drawn !== drawn) {
        this.drawn = drawn;
        this.tiles.forEach(({ canvas, name, input }, i) => {
          canvas.width = canvas.height = size;
          canvas.getContext("2d").drawImage(sheet, i * size, 0, size, size, 0, 0, size, size);
          put(name, String(place.shown[i]));
          input.setAttribute("aria-label", `Channel ${place.shown[i]} of ${place.name}`);
        });
        this.drawnMap = undefined;
      }
      if (this.shownStage !== stage) {
        this.shownStage = stage;
        put(this.legend, `${place.name}: ${CHANNELS(this.tiles.length)} of its ${place.channels.toLocaleString("en")} channels, ${size} × ${size} values each (dark: its least, bright: its greatest)`);
        this.controls.in_stage.range.setAttribute("aria-valuetext", `${place.name}, ${place.operator}`);
      }
      this.map.hidden = !isMap;
      this.evidence.hidden = isMap;
      this.photo.classList.toggle("grey", !isMap); // or orange would be lost on an orange cup
      const strength = String(state.in_strength / 100);
      let where;
      if (isMap) {
        where = photograph.sheets[stage].strongest[channel];
        if (ready && this.drawnMap !== `${drawn} ${channel}`) {
          this.drawnMap = `${drawn} ${channel}`;
          this.map.width = this.map.height = size;
          this.map.getContext("2d").drawImage(sheet, channel * size, 0, size, size, 0, 0, size, size);
        }
        this.map.style.opacity = strength;
      } else {
        where = Inside.strongest(answer.map, grid);
        if (this.drawnClass !== `${at} ${state.in_class}`) {
          this.drawnClass = `${at} ${state.in_class}`;
          const context = this.evidence.getContext("2d"), image = context.createImageData(grid, grid);
          answer.map.forEach((value, i) => image.data.set([...(value > 0 ? FOR : AGAINST), Math.round((255 * Math.abs(value)) / this.reach)], 4 * i));
          context.putImageData(image, 0, 0);
        }
        this.evidence.style.opacity = strength;
      }
      const put4 = (node, [x, y, length]) => {
        for (const [name, value] of Object.entries({ x, y, width: length, height: length })) node.setAttribute(name, value.toFixed(2));
      };
      put4(this.cell, Inside.cell(where, isMap ? size : grid, side));
      put4(this.field, isMap ? Inside.field(where, size, side, place.field) : [0, 0, 0]);

      const spot = Inside.inWords(where, isMap ? size : grid);
      const text = isMap
        ? `Channel ${place.shown[channel]} of ${place.name} (${place.operator}) is strongest ${spot}. One value there has seen ${
          place.field < 2 * side ? `${place.field} × ${place.field} pixels (dashed)` : "the whole picture"} of ${side} × ${side}.`
        : `What speaks most for ${answer.label} lies ${spot}. The ${answer.map.length} values have the mean ${(answer.logit - answer.bias).toFixed(2)}; ` +
          `with the bias of ${answer.bias.toFixed(2)} that is the logit, ${answer.logit.toFixed(2)}. Orange speaks for the class, blue against it.`;
      put(this.sentence, text);
      const label = `${photograph.title}. Over it ${isMap ? `channel ${place.shown[channel]} of ${place.name}` : `the evidence for ${answer.label}`}, strongest ${spot}`;
      if (this.view.getAttribute("aria-label") !== label) this.view.setAttribute("aria-label", label);
    }

    words() {
      const { photographs } = this.data;
      const { title, answers } = photographs.find((p) => p.name === this.state.in_photograph) ?? photographs[0];
      return `${title}: ${answers[0].label}, ${percent(answers[0].probability)}. ${this.sentence.textContent}`;
    }
  }

  const CHANNELS = (count) => ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][count] ?? count;

  Inside.inWords = ([row, column], size) => {
    const third = (i) => (i + 0.5) / size;
    const down = third(row) < 1 / 3 ? "above" : third(row) > 2 / 3 ? "below" : "";
    const across = third(column) < 1 / 3 ? "left" : third(column) > 2 / 3 ? "right" : "";
    return [down, across].filter(Boolean).join(" ") || "in the middle";
  };

  window.EffnetInside = Inside;
  EffnetExplorer.define("effnet-inside-explorer", InsideExplorer);
})();
