// The augmentation explorer: a way and a strength choose a row of a sheet of pictures that Python
// has made; a photograph is a window on the sheet.
(function () {
  const { put } = EffnetExplorer;

  class AugmentationExplorer extends EffnetExplorer {
    get defaults() {
      return { ag_way: "rand", ag_level: 3 };
    }

    template() {
      const { ways } = this.data, keys = Object.keys(ways);
      const columns = ways[keys[0]].labels[0].map(() => `
        <div class="ag-picture"><div class="ag-window"><img alt="" aria-hidden="true"></div><span></span></div>`);
      return `
        ${this.choice("ag_way", "Augmentation", keys.map((way) => [way, ways[way].name]))}
        ${this.slider("ag_level", "<span class=\"ag-said\">Strength</span>", 0, ways[keys[0]].levels.length - 1, 1, "strength, in steps")}
        <p class="effnet-note" role="alert"></p>
        <div class="ag-pictures" role="img" aria-label="">${columns.join("")}</div>
        <p class="ag-does"></p>
        <button type="button" class="effnet-button ag-reset">Reset</button>`;
    }

    ready() {
      const find = (selector) => this.live.querySelector(selector);
      const sheets = [...this.querySelectorAll(".effnet-static img")].map((img) => img.src);
      this.sheets = Object.fromEntries(Object.keys(this.data.ways).map((way, i) => [way, sheets[i]]));
      this.pictures = find(".ag-pictures");
      this.images = [...this.live.querySelectorAll(".ag-window img")];
      this.captions = [...this.live.querySelectorAll(".ag-picture span")];
      this.images.forEach((image, i) => image.style.setProperty("--column", i));
      this.said = find(".ag-said");
      this.does = find(".ag-does");
      find(".ag-reset").addEventListener("click", () => this.set(this.defaults));
    }

    show() {
      const { ag_way, ag_level } = this.state, way = this.data.ways[ag_way];
      if (this.way !== ag_way) {
        this.way = ag_way;
        this.images.forEach((image) => { image.src = this.sheets[ag_way]; });
        put(this.does, way.does);
      }
      this.pictures.style.setProperty("--row", ag_level);
      put(this.said, `${way.name}: ${way.levels[ag_level]}`);
      this.controls.ag_level.range.setAttribute("aria-valuetext", way.levels[ag_level]);
      this.labels = way.labels[ag_level].map((row) =>
        row.length === 1 ? row[0][0] : row.map(([name, share]) => `${name} ${share.toFixed(2)}`).join(", "));
      this.captions.forEach((caption, i) => put(caption, this.labels[i]));
      const label = `${way.name}, ${way.levels[ag_level]}. Labels: ${this.labels.join("; ")}.`;
      if (this.label !== label) this.pictures.setAttribute("aria-label", (this.label = label));
    }

    words() {
      return this.label;
    }
  }

  EffnetExplorer.define("effnet-augmentation-explorer", AugmentationExplorer);
})();
