// The explorer of the families: accuracy over cost. What takes part, the frontier and the choice
// are computed here as effnet_lib.explore.family does; a test holds the two equal.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const { put } = EffnetExplorer;
  const [LOW, HIGH] = [73, 90]; // the vertical axis, in per cent
  const STEPS = 400; // positions of the budget's slider, evenly spaced in logarithms
  const digits = (value) => Number(value.toPrecision(3));
  const number = (value) => digits(value).toLocaleString("en", { maximumFractionDigits: 2 });
  const percent = (top1) => `${Number(top1.toFixed(1))} %`;

  const Family = {
    // The figure of a network in a view: [top-1, resolution, multiply-adds], its edition, and
    // whether the view has one of its own.
    seen(network, view) {
      const edition = view.editions.find((key) => network.figures[key]);
      return { edition: edition ?? network.own, figure: network.figures[edition ?? network.own], within: edition !== undefined };
    },
    // In units, operations or seconds; null where nobody counted or measured.
    cost(network, [, resolution, multiplyAdds], axis) {
      if (axis === "parameters") return network.parameters;
      if (axis === "multiply_adds") return multiplyAdds;
      const [measured, seconds] = network.times[axis] ?? [];
      return measured === resolution ? seconds : null;
    },
    points(networks, view, axis) {
      return networks.map((network) => {
        const { edition, figure, within } = Family.seen(network, view);
        return { network, edition, within, top1: figure[0], resolution: figure[1], cost: Family.cost(network, figure, axis) };
      });
    },
    taking: (points) => points.filter((point) => point.within && point.cost !== null),
    frontier(points) {
      let best = -Infinity;
      return [...points].sort((a, b) => a.cost - b.cost || b.top1 - a.top1).filter(({ top1 }) => top1 > best && ((best = top1), true));
    },
    error: (top1, images) => Math.sqrt((top1 * (100 - top1)) / images),
    choose(points, budget, images) {
      const within = points.filter((point) => point.cost <= budget);
      if (!within.length) return [null, null];
      const least = (list, before) => list.reduce((a, b) => (before(b, a) ? b : a));
      const best = least(within, (a, b) => a.top1 > b.top1 || (a.top1 === b.top1 && a.cost < b.cost));
      const error = (point) => Family.error(point.top1, images);
      const alike = within.filter((point) => best.top1 - point.top1 <= 2 * Math.hypot(error(best), error(point)));
      const cheapest = least(alike, (a, b) => a.cost < b.cost || (a.cost === b.cost && a.top1 > b.top1));
      return [best, cheapest === best ? null : cheapest];
    },
  };

  class FamilyExplorer extends EffnetExplorer {
    get defaults() {
      return { fam_view: "v5", fam_axis: "multiply_adds", fam_budget: this.data.axes[0].start, fam_network: "" };
    }

    template() {
      const { views, axes, networks } = this.data;
      const button = ({ key, mark, name, family }) =>
        `<button type="button" class="fam-point ${family}" data-network="${key}" tabindex="-1"><i><b>${mark}</b></i>${family === "other" ? `<span>${name}</span>` : ""}</button>`;
      return `
        ${this.choice("fam_view", "Accuracies of", views.map(({ key, name }) => [key, name]))}
        <p class="effnet-hint fam-what"></p>
        ${this.choice("fam_axis", "over", axes.map(({ key, name }) => [key, name]))}
        <div class="fam-views">
          <div class="fam-left">
            <figure class="fam-plot">
              <svg aria-hidden="true"></svg>
              <div role="toolbar" aria-label="Networks, by cost; arrow keys go from one to the next">${networks.map(button).join("")}</div>
            </figure>
            <div class="effnet-control" data-control="fam_budget" data-log>
              <input type="range" id="${this.uid}-fam_budget" name="fam_budget" min="0" max="${STEPS}" step="1">
              <label for="${this.uid}-fam_budget">Which one, with <b>at most</b> this many <span class="fam-unit"></span>?</label>
              <input type="number" step="any" inputmode="decimal" aria-label="Budget" aria-invalid="false">
            </div>
            <p class="effnet-note" role="alert"></p>
            <p class="fam-answer"></p>
          </div>
          <div class="fam-card">
            <p class="fam-name"></p><p class="fam-costs"></p>
            <ul class="fam-figures"></ul>
            <p class="effnet-hint fam-source"></p>
          </div>
        </div>
        <p class="fam-legend"><span class="v1">V1: B0 to B8, L2</span><span class="v2">V2: B0 to B3, S to XL</span><span class="lite">Lite 0 to 4</span><span class="other">others</span></p>
        <p class="effnet-hint fam-aside"></p>
        <p><button type="button" class="effnet-button effnet-reset">Reset</button></p>`;
    }

    // The budget's slider moves evenly in logarithms; its field holds the value itself.
    control(box) {
      if (!("log" in box.dataset)) return super.control(box);
      const range = box.querySelector("input[type=range]"), field = box.querySelector("input[type=number]");
      const value = (position) => {
        const { low, high } = this.axis();
        return digits(low * (high / low) ** (position / STEPS));
      };
      const position = (at) => {
        const { low, high } = this.axis();
        return Math.round((STEPS * Math.log(at / low)) / Math.log(high / low));
      };
      const accept = (text) => {
        const { low, high } = this.axis(), typed = text.trim() === "" ? NaN : Number(text);
        return Number.isFinite(typed) ? Math.min(high, Math.max(low, typed)) : undefined;
      };
      // What the base class sets like a slider.
      const even = { get value() { return this.at; }, set value(at) { this.at = at; range.value = position(at); } };
      this.controls.fam_budget = { range: even, number: field, accept };
      range.addEventListener("input", () => this.set({ fam_budget: value(Number(range.value)), fam_network: "" }));
      field.addEventListener("change", () => {
        const typed = field.value, budget = accept(typed) ?? this.state.fam_budget;
        this.set({ fam_budget: budget, fam_network: "" });
        field.value = budget;
        const { low, high, unit } = this.axis();
        if (typed.trim() === "" || Number(typed) !== budget) this.note(`The budget goes from ${low} to ${number(high)} ${unit}; it is now ${budget}.`);
      });
      this.budget = range;
    }

    axis() {
      return this.data.axes.find(({ key }) => key === this.state.fam_axis) ?? this.data.axes[0];
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      // A network that is pinned: kept in the address like the other controls.
      const keys = this.data.networks.map(({ key }) => key);
      this.controls.fam_network = { radios: [], accept: (text) => (keys.includes(text) ? text : undefined) };
      this.parts = Object.fromEntries(["what", "name", "costs", "figures", "source", "unit", "answer", "aside"].map((part) => [part, find(`.fam-${part}`)]));
      this.buttons = [...this.live.querySelectorAll(".fam-point")];
      this.plot = new Plot(find(".fam-plot"), this.buttons);
      find(".effnet-reset").addEventListener("click", () => this.set(this.defaults));
      const place = find(".fam-plot");
      const near = (event) => this.plot.nearest(event, 28);
      place.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.look(near(event)));
      place.addEventListener("pointerleave", () => this.look(null));
      place.addEventListener("click", (event) => {
        const key = event.detail === 0 ? event.target.closest("button")?.dataset.network : near(event);
        if (key) this.set({ fam_network: key });
      });
      const bar = find("[role=toolbar]");
      bar.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && this.look(event.target.dataset.network));
      bar.addEventListener("focusout", () => this.look(null));
      bar.addEventListener("keydown", (event) => {
        const order = this.order.map(({ network }) => network.key), at = order.indexOf(event.target.dataset.network);
        const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: order.length - 1 }[event.key];
        if (to === undefined || !order[to]) return;
        event.preventDefault();
        this.stop(order[to]);
        this.buttons[keys.indexOf(order[to])].focus();
      });
      new ResizeObserver(([entry]) => {
        this.plot.resize(entry.contentRect.width, this.axis());
        if (this.points) this.draw();
      }).observe(place);
    }

    // The one point that Tab stops at.
    stop(key) {
      for (const button of this.buttons) {
        const index = button.dataset.network === key ? 0 : -1;
        if (button.tabIndex !== index) button.tabIndex = index;
      }
    }

    // Another axis begins with a budget of its own.
    set(values, remember) {
      if ("fam_axis" in values && !("fam_budget" in values)) {
        const axis = this.data.axes.find(({ key }) => key === values.fam_axis);
        const same = axis.unit === this.axis().unit;
        values = { ...values, fam_budget: same ? this.state.fam_budget : axis.start, fam_network: this.state.fam_network };
      }
      // The field's limits before its value.
      const { low, high } = this.data.axes.find(({ key }) => key === (values.fam_axis ?? this.state.fam_axis)) ?? this.axis();
      this.state.fam_axis = values.fam_axis ?? this.state.fam_axis;
      if (values.fam_budget < low || values.fam_budget > high) values = { ...values, fam_budget: this.axis().start };
      super.set(values, remember);
    }

    show() {
      const { fam_view, fam_axis, fam_budget } = this.state, axis = this.axis(), { networks, views, images } = this.data;
      const view = views.find(({ key }) => key === fam_view);
      const setting = `${fam_view} ${fam_axis}`;
      if (this.setting !== setting) {
        this.setting = setting;
        this.points = Family.points(networks, view, fam_axis);
        this.taking = Family.taking(this.points);
        this.frontier = Family.frontier(this.taking);
        this.order = this.points.filter(({ cost }) => cost !== null).sort((a, b) => a.cost - b.cost);
        this.parts.what.textContent = `${view.what[0].toUpperCase()}${view.what.slice(1)}. ${this.moved(view)}`;
        put(this.parts.unit, axis.key === "multiply_adds" ? "billions of multiply-adds (G)" : axis.key === "parameters" ? "millions of parameters (M)" : "milliseconds");
        this.budget.setAttribute("min", 0);
        const field = this.controls.fam_budget.number;
        field.min = axis.low;
        field.max = axis.high;
        put(this.parts.aside, this.aside(axis));
        this.plot.scale(axis);
        this.draw();
        this.name(axis);
      }
      [this.best, this.alike] = Family.choose(this.taking, fam_budget * axis.size, images);
      this.plot.budget(fam_budget, this.best, this.alike, images);
      this.budget.setAttribute("aria-valuetext", `at most ${number(fam_budget)} ${axis.unit}`);
      put(this.parts.answer, this.answer(axis));
      this.parts.answer.classList.toggle("none", !this.best);
      this.look(null);
    }

    draw() {
      this.plot.show(this.points, this.frontier, this.home());
    }

    // Where the points stand by the last papers, to see how far a recipe moves them.
    home() {
      if (this.state.fam_view === "v5") return [];
      const view = this.data.views.find(({ key }) => key === "v5");
      return Family.points(this.data.networks, view, this.state.fam_axis);
    }

    name(axis) {
      for (const { network, edition, within, top1, cost } of this.points) {
        const button = this.buttons.find((one) => one.dataset.network === network.key);
        const words = cost === null ? "" : `${network.name}: ${percent(top1)}, ${number(cost / axis.size)} ${axis.unit}; ${this.data.editions[edition][0]}${within ? "" : ", no part of this view"}`;
        if (button.getAttribute("aria-label") !== words) button.setAttribute("aria-label", words);
      }
      this.stop((this.order.find(({ network }) => network.key === this.state.fam_network) ?? this.order[0]).network.key);
    }

    // How the chosen editions differ from the last papers', network by network.
    moved(view) {
      if (view.key === "v5") return "Hollow: without a figure of this kind.";
      const home = new Map(this.home().map((point) => [point.network.key, point]));
      const moves = this.points.filter(({ within, network }) => within && home.get(network.key).within)
        .map(({ network, top1 }) => [top1 - home.get(network.key).top1, network]);
      const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
      const [most, who] = moves.reduce((a, b) => (Math.abs(b[0]) > Math.abs(a[0]) ? b : a));
      const v1 = moves.filter(([, { family }]) => family === "v1").map(([change]) => change);
      const mean = v1.reduce((a, b) => a + b, 0) / v1.length;
      return `Beside the last papers (rings), V1 stands at ${signed(mean)} points on average; ${who.name} moves most, by ${signed(most)}. Hollow: without a figure of this kind.`;
    }

    aside(axis) {
      const absent = this.points.filter(({ cost }) => cost === null).map(({ network }) => network.name);
      const time = axis.unit === "ms" ? `Measured: ${this.data.measured}; each at its own resolution, its median over turns, corrected by the time of one B0 beside it. ` : "";
      const why = axis.unit === "ms" ? "not measured so, or not at this resolution" : "counted nowhere";
      return `${time}Line: the frontier, to which nothing is both cheaper and as accurate. Band: what 50,000 photographs cannot tell from the one chosen. ${absent.length ? `Not on this axis (${why}): ${absent.join(", ")}.` : ""}`;
    }

    answer(axis) {
      const { best, alike } = this;
      if (!best) return "Nothing here is that cheap.";
      const has = (point) => `${number(point.cost / axis.size)} ${axis.unit}`;
      const told = `${best.network.name}: ${percent(best.top1)} with ${has(best)}.`;
      const next = this.frontier.find(({ top1, cost }) => top1 > best.top1 && cost > best.cost);
      const more = next ? ` The next better, ${next.network.name}, takes ${(next.cost / best.cost).toFixed(1)} times as much for ${(next.top1 - best.top1).toFixed(1)} points.` : " Nothing here is more accurate.";
      const same = alike ? ` ${alike.network.name} (${percent(alike.top1)}, ${has(alike)}) cannot be told from it by 50,000 photographs.` : "";
      return told + more + same;
    }

    // Show a network beside the picture: the one looked at, else the pinned one, else the answer.
    look(key) {
      key ??= this.state.fam_network || this.best?.network.key || this.order[0].network.key;
      const showing = `${key} ${this.setting}`;
      this.plot.mark(key);
      if (this.showing === showing) return;
      this.showing = showing;
      const point = this.points.find(({ network }) => network.key === key), { network, edition } = point;
      const { images, editions } = this.data;
      put(this.parts.name, network.name);
      const [, resolution, multiplyAdds] = network.figures[edition];
      const seconds = network.times["as built"]?.[1], fast = network.times.optimised?.[1];
      put(this.parts.costs, `${number(network.parameters / 1e6)} M parameters; at ${resolution} pixels ${multiplyAdds ? `${number(multiplyAdds / 1e9)} G multiply-adds` : "uncounted multiply-adds"}` +
        (seconds ? `; ${number(1e3 * seconds)} ms${fast ? `, optimised ${number(1e3 * fast)} ms` : ""}` : ""));
      const top1 = network.figures[edition][0];
      put(this.parts.source, `${top1.toFixed(1)} ± ${Family.error(top1, images).toFixed(1)} (standard error). Source: ${editions[edition][1]}.`);
      if (this.listed === `${key} ${edition}`) return;
      this.listed = `${key} ${edition}`;
      const rows = Object.entries(network.figures).map(([name, [top1]]) => {
        const item = document.createElement("li");
        item.className = name === edition ? "now" : "";
        item.style.setProperty("--at", ((top1 - LOW) / (HIGH - LOW)).toFixed(4));
        item.innerHTML = "<b></b><span></span>";
        item.firstChild.textContent = top1.toFixed(1);
        item.lastChild.textContent = editions[name][0];
        return item;
      });
      this.parts.figures.replaceChildren(...rows);
    }

    words() {
      const axis = this.axis(), { fam_budget, fam_network } = this.state;
      const pinned = fam_network && this.points.find(({ network }) => network.key === fam_network);
      return `${this.parts.what.textContent} At most ${number(fam_budget)} ${axis.unit}: ${this.parts.answer.textContent}` +
        (pinned ? ` ${this.parts.name.textContent}: ${this.parts.costs.textContent}. ${this.parts.source.textContent}` : "");
    }
  }

  // The picture: an SVG for axes and lines, and a button for each network on top of it.
  class Plot {
    constructor(root, buttons) {
      this.root = root;
      this.buttons = new Map(buttons.map((button) => [button.dataset.network, button]));
      this.svg = root.querySelector("svg");
      const layer = (name) => {
        const group = this.svg.appendChild(document.createElementNS(SVG, "g"));
        group.setAttribute("class", name);
        return group;
      };
      this.grid = layer("grid");
      this.shade = layer("shade").appendChild(document.createElementNS(SVG, "rect"));
      this.band = layer("band").appendChild(document.createElementNS(SVG, "rect"));
      this.trails = layer("trails");
      this.line = layer("frontier").appendChild(document.createElementNS(SVG, "path"));
      this.limit = layer("limit").appendChild(document.createElementNS(SVG, "path"));
      this.width = 0;
    }

    resize(width, axis) {
      if (width === this.width || !width) return;
      this.width = width;
      this.height = Math.max(330, Math.min(440, width * 0.78));
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
      this.inner = { left: 30, right: width - 14, top: 12, bottom: this.height - 38 };
      this.scale(axis);
      if (this.limited) this.budget(...this.limited);
    }

    x(value) {
      const { low, high } = this.axis, { left, right } = this.inner;
      return left + ((right - left) * Math.log(value / low)) / Math.log(high / low);
    }

    y(top1) {
      const { top, bottom } = this.inner;
      return bottom - ((bottom - top) * (top1 - LOW)) / (HIGH - LOW);
    }

    scale(axis) {
      this.axis = axis;
      const drawn = `${axis.key} ${this.width}`;
      if (!this.width || this.drawn === drawn) return;
      this.drawn = drawn;
      const { left, right, top, bottom } = this.inner, parts = [];
      const text = (x, y, anchor, words) => parts.push(`<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${words}</text>`);
      let path = "";
      for (let top1 = 74; top1 <= 90; top1 += 2) {
        path += `M${left} ${this.y(top1).toFixed(1)}H${right}`;
        text(left - 5, this.y(top1) + 4, "end", top1);
      }
      const room = axis.ticks.length * 34 > right - left ? 2 : 1;
      axis.ticks.forEach((tick, i) => {
        path += `M${this.x(tick).toFixed(1)} ${top}V${bottom}`;
        if (i % room === 0) text(this.x(tick), bottom + 16, "middle", tick.toLocaleString("en"));
      });
      const words = { G: "multiply-adds, billions", M: "parameters, millions", ms: `milliseconds, ${axis.key}` }[axis.unit];
      text((left + right) / 2, bottom + 33, "middle", `${words} (logarithmic)`);
      text(left + 4, top + 3, "start", "top-1, %");
      this.grid.innerHTML = `<path d="${path}"/>${parts.join("")}`;
    }

    show(points, frontier, home) {
      if (!this.width) return;
      const { size } = this.axis, at = ({ cost, top1 }) => [this.x(cost / size), this.y(top1)];
      this.places = new Map();
      for (const point of points) {
        const button = this.buttons.get(point.network.key), shown = point.cost !== null;
        button.hidden = !shown;
        if (!shown) continue;
        const [x, y] = at(point);
        this.places.set(point.network.key, [x, y]);
        button.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
        button.classList.toggle("hollow", !point.within);
        button.classList.toggle("left", x > this.inner.right - 110);
      }
      const { right } = this.inner;
      let line = "";
      for (const point of frontier) {
        const [x, y] = at(point);
        line += line ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}`;
      }
      this.line.setAttribute("d", line ? `${line}H${right}` : "");
      const now = new Map(points.map((point) => [point.network.key, point]));
      this.trails.innerHTML = home.filter((old) => old.within && old.cost !== null && now.get(old.network.key).within && now.get(old.network.key).cost !== null).map((old) => {
        const [x, y] = at(old), [toX, toY] = at(now.get(old.network.key));
        return x === toX && y === toY ? "" : `<path d="M${x.toFixed(1)} ${y.toFixed(1)}L${toX.toFixed(1)} ${toY.toFixed(1)}"/><circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="3.5"/>`;
      }).join("");
    }

    budget(value, best, alike, images) {
      this.limited = [value, best, alike, images];
      if (!this.width) return;
      const { left, right, top, bottom } = this.inner, x = this.x(value);
      const set = (element, name, to) => element.getAttribute(name) !== to && element.setAttribute(name, to);
      set(this.shade, "x", x.toFixed(1));
      set(this.shade, "y", String(top));
      set(this.shade, "width", Math.max(0, right - x).toFixed(1));
      set(this.shade, "height", String(bottom - top));
      const apart = best ? 2 * Math.SQRT2 * Family.error(best.top1, images) : 0, top1 = best?.top1 ?? LOW;
      set(this.band, "x", String(left));
      set(this.band, "y", this.y(top1).toFixed(1));
      set(this.band, "width", Math.max(0, x - left).toFixed(1));
      set(this.band, "height", (this.y(top1 - apart) - this.y(top1)).toFixed(1));
      set(this.limit, "d", `M${x.toFixed(1)} ${top}V${bottom}` + (best ? `M${left} ${this.y(best.top1).toFixed(1)}H${x.toFixed(1)}` : ""));
      for (const [key, button] of this.buttons) {
        button.classList.toggle("best", best?.network.key === key);
        button.classList.toggle("alike", alike?.network.key === key);
      }
    }

    mark(key) {
      if (this.marked === key) return;
      this.buttons.get(this.marked)?.classList.remove("shown");
      this.buttons.get((this.marked = key)).classList.add("shown");
    }

    // The network nearest to the pointer, if it is near.
    nearest({ clientX, clientY }, reach) {
      const box = this.root.getBoundingClientRect();
      let found = null, best = reach ** 2;
      for (const [key, [x, y]] of this.places) {
        const away = (clientX - box.left - x) ** 2 + (clientY - box.top - y) ** 2;
        if (away < best) [found, best] = [key, away];
      }
      return found;
    }
  }

  window.EffnetFamily = Family;
  EffnetExplorer.define("effnet-family-explorer", FamilyExplorer);
})();
