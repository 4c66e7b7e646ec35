// What all explorers share: starting once, colours that follow the page, the position kept in
// the address, controls, cards, and words for a screen reader. An explorer extends this class
// and gives: defaults (name → value), template() (HTML), ready() (look up its parts once),
// show() (draw this.state; touch only what is new), words() (the state as a sentence). Its
// template holds an empty <p class="effnet-note" role="alert"> for what a reader should know.
(function () {
  if (window.EffnetExplorer) return;
  let count = 0;

  class EffnetExplorer extends HTMLElement {
    connectedCallback() {
      if (this.live) this.follow(); // moved to another place
      else this.start();
    }

    // A cell that runs again removes its old explorer, which must then let go of the page.
    disconnectedCallback() {
      this.leave?.abort();
      clearTimeout(this.later);
    }

    // Called when connected, and again by the script after the element: a parser connects an
    // element before it has read its children.
    start() {
      const data = this.querySelector('script[type="application/json"]');
      if (this.live || !data) return;
      this.uid = `effnet-${++count}`;
      this.data = JSON.parse(data.textContent);
      this.querySelectorAll(":scope > .effnet-live").forEach((copy) => copy.remove()); // of a saved page
      this.live = this.appendChild(document.createElement("div"));
      this.live.className = "effnet-live";
      this.live.innerHTML = this.template();
      this.status = this.live.appendChild(document.createElement("p"));
      this.status.className = "effnet-status";
      this.status.setAttribute("aria-live", "polite");
      this.controls = {};
      this.live.querySelectorAll("[data-control]").forEach((box) => this.control(box));
      this.state = { ...this.defaults };
      this.undoScrolls();
      this.ready();
      this.follow();
      this.readAddress();
      this.setAttribute("data-live", "");
    }

    // Follow the page's colours, width and address for as long as this stands in it.
    follow() {
      this.leave?.abort();
      this.leave = new AbortController();
      this.followTone();
      this.followSize();
      const named = () => Object.keys(this.controls).some((name) => location.hash.includes(`${name}=`));
      const read = () => (location.hash === "" || named()) && this.readAddress(); // not a heading's address
      window.addEventListener("hashchange", read, { signal: this.leave.signal });
    }

    // The address belongs to the first explorer of its kind on a page.
    get ownsAddress() {
      return document.querySelector(this.localName) === this;
    }

    // What the reader sets: a slider with its number field, or a choice among a few. `box` names
    // the value in data-control.
    control(box) {
      const name = box.dataset.control;
      const radios = [...box.querySelectorAll("input[type=radio]")];
      if (radios.length) {
        const values = radios.map((radio) => radio.value);
        this.controls[name] = { radios, accept: (text) => (values.includes(text) ? text : undefined) };
        radios.forEach((radio) => radio.addEventListener("change", () => this.set({ [name]: radio.value })));
        return;
      }
      const range = box.querySelector("input[type=range]");
      const number = box.querySelector("input[type=number]");
      const limits = () => [Number(range.min), Number(range.max)]; // an explorer may move them
      const whole = Number.isInteger(Number(range.step)); // blocks, channels, pixels
      const accept = (text) => {
        const typed = text.trim() === "" ? NaN : Number(text), value = whole ? Math.round(typed) : typed;
        const [low, high] = limits();
        return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : undefined;
      };
      this.controls[name] = { range, number, accept };
      range.addEventListener("input", () => this.set({ [name]: Number(range.value) }));
      number.addEventListener("change", () => {
        const value = accept(number.value) ?? this.state[name];
        const typed = number.value;
        this.set({ [name]: value });
        number.value = value;
        if (typed.trim() === "" || Number(typed) !== value) {
          const [low, high] = limits();
          this.note(`${number.getAttribute("aria-label")} goes from ${low} to ${high}${whole ? " in whole numbers" : ""}; it is now ${value}.`);
        }
      });
    }

    // A finger that scrolls the page begins on whatever lies there, and a slider or a drawing goes to it
    // at once. When the browser takes the touch for a scroll, all is again as it was before.
    undoScrolls() {
      let before = null;
      const begin = ({ target }) => { before = target.closest("input[type=range], svg, canvas") && { ...this.state }; };
      this.live.addEventListener("pointerdown", begin, { capture: true }); // before the drawing itself hears of it
      this.live.addEventListener("pointercancel", () => {
        if (before && Object.entries(before).some(([name, value]) => this.state[name] !== value)) this.set(before);
        before = null;
      });
    }

    // HTML of a slider; `label` may hold markup, `spoken` names the number field.
    slider(name, label, low, high, step, spoken = name) {
      return `
        <div class="effnet-control" data-control="${name}">
          <label for="${this.uid}-${name}">${label}</label>
          <input type="number" min="${low}" max="${high}" step="${step}" inputmode="decimal"
            aria-label="${spoken}" aria-invalid="false">
          <input type="range" id="${this.uid}-${name}" name="${name}" min="${low}" max="${high}" step="${step}">
        </div>`;
    }

    // HTML of a choice among [value, text] pairs; values are strings.
    choice(name, label, options) {
      const radio = ([value, text]) => `
        <label><input type="radio" name="${this.uid}-${name}" value="${value}"><span>${text}</span></label>`;
      return `
        <fieldset class="effnet-choice" data-control="${name}">
          <legend>${label}</legend><div>${options.map(radio).join("")}</div>
        </fieldset>`;
    }

    // HTML of a figure in large type with a note beneath it; setCard fills it.
    card(field, label, kind = "") {
      return `
        <div class="effnet-card ${kind}">
          <span>${label}</span>
          <output data-field="${field}" aria-live="off"></output>
          <small></small>
        </div>`;
    }

    setCard(field, value, text, small = "") {
      this.cards ??= {};
      const out = (this.cards[field] ??= this.live.querySelector(`output[data-field="${field}"]`));
      EffnetExplorer.put(out, text);
      out.dataset.value = value;
      if (out.nextElementSibling) EffnetExplorer.put(out.nextElementSibling, small);
    }

    // Take new values, show them, and remember them in the address a little later.
    set(values, remember = true) {
      Object.assign(this.state, values);
      for (const [name, { range, number, radios }] of Object.entries(this.controls)) {
        const value = this.state[name];
        if (radios) {
          radios.forEach((radio) => { if (radio.checked !== (radio.value === value)) radio.checked = !radio.checked; });
          continue;
        }
        if (Number(range.value) !== value) range.value = value;
        if (number.value === "" || Number(number.value) !== value) number.value = value;
      }
      this.note("");
      this.show();
      clearTimeout(this.later);
      this.later = setTimeout(() => {
        if (!remember) return;
        this.writeAddress();
        this.status.textContent = this.words();
      }, 250);
    }

    note(text) {
      const place = this.live.querySelector(".effnet-note");
      if (place.textContent !== text) place.textContent = text; // :empty hides it
    }

    readAddress() {
      const address = new URLSearchParams(this.ownsAddress ? location.hash.slice(1) : "");
      const values = { ...this.defaults };
      for (const [name, { accept }] of Object.entries(this.controls)) {
        const value = address.has(name) ? accept(address.get(name)) : undefined;
        if (value !== undefined) values[name] = value;
      }
      this.set(values, false);
    }

    writeAddress() {
      const changed = Object.entries(this.state).filter(([k, v]) => v !== this.defaults[k]);
      // What other explorers of the page keep there stays; the address of a heading has no "=".
      const kept = location.hash.includes("=") ? [...new URLSearchParams(location.hash.slice(1))] : [];
      const others = kept.filter(([name]) => !(name in this.controls));
      const hash = [...others, ...changed].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
      const ours = kept.length > others.length;
      if (!this.ownsAddress || (!hash && !ours)) return; // leave the address of a heading alone
      try {
        history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
      } catch (error) {
        // A sandboxed notebook output may not have an address.
      }
    }

    // Light or dark as the text around is dark or light, whatever the page calls its themes.
    followTone() {
      const follow = () => {
        const [r, g, b] = getComputedStyle(this.parentElement).color.match(/[\d.]+/g).map(Number);
        this.dataset.tone = 0.3 * r + 0.6 * g + 0.1 * b > 127 ? "dark" : "light";
      };
      follow();
      const options = { attributes: true, attributeFilter: ["class", "style", "theme", "data-theme", "data-jp-theme-light"] };
      const observer = new MutationObserver(follow);
      observer.observe(document.documentElement, options);
      observer.observe(document.body, options);
      const signal = this.leave.signal;
      signal.addEventListener("abort", () => observer.disconnect());
      const later = () => requestAnimationFrame(() => this.isConnected && follow());
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later, { signal });
    }

    // data-size, for the style: absent where there is room.
    followSize() {
      const follow = (width) => {
        if (width < 520) this.dataset.size = "narrow";
        else if (width < 720) this.dataset.size = "medium";
        else delete this.dataset.size;
      };
      follow(this.clientWidth);
      const observer = new ResizeObserver(([entry]) => follow(entry.contentRect.width));
      observer.observe(this);
      this.leave.signal.addEventListener("abort", () => observer.disconnect());
    }

    // Text into an element, touching the page only if it is new. A browser that translates the page
    // puts elements of its own around every text: the text is then theirs, and all of it is replaced.
    static put(element, text) {
      const node = element.firstChild;
      if (node?.nodeType === Node.TEXT_NODE && node === element.lastChild) {
        if (node.data !== text) node.data = text;
      } else if (element.textContent !== text) element.textContent = text;
    }

    static define(name, element) {
      if (!customElements.get(name)) customElements.define(name, element);
      document.querySelectorAll(name).forEach((explorer) => explorer.start());
    }

    // 5288548 → "5.29 M"
    static short(value) {
      const [unit, name] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([u]) => value >= 0.9995 * u) || [1, ""];
      const scaled = value / unit;
      if (unit === 1) return String(value);
      return `${scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)}\u00a0${name}`;
    }
  }

  window.EffnetExplorer = EffnetExplorer;
})();
