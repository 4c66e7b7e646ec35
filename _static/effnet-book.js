// What a page of the book does by itself; the theme's own scripts are not loaded.
// Everything readable is readable without this file: it adds switches and comforts.
"use strict";
{
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const first = (selector) => document.querySelector(selector);

  // Colours: follow the system, or stay light or dark; remembered if storage is allowed.
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* forget */ } };
  const setMode = (mode) => {
    const dark = mode === "auto" ? prefersDark.matches : mode === "dark";
    Object.assign(root.dataset, { mode, theme: dark ? "dark" : "light" });
    for (const button of all('[data-do="theme"]')) {
      const says = { auto: "as the system has them", light: "light", dark: "dark" }[mode];
      button.title = `Colours: ${says}`;
      button.setAttribute("aria-label", button.title);
    }
  };
  const nextMode = () => {
    // From "auto" the first step is always one that can be seen.
    const order = prefersDark.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
    const mode = order[(order.indexOf(root.dataset.mode) + 1) % 3];
    remember("mode", mode);
    setMode(mode);
  };
  prefersDark.addEventListener("change", () => setMode(root.dataset.mode));
  setMode(root.dataset.mode);

  // Search: a field over the page, opened by a button or Ctrl+K, closed by Escape.
  const searchBox = first(".search-button__wrapper");
  let searchOpener = null;
  const toggleSearch = () => {
    const onPage = first(".bd-search-container input");
    if (onPage) { onPage.focus(); onPage.select(); return; }
    if (!searchBox.classList.toggle("show")) { searchOpener?.focus(); return; }
    searchOpener = document.activeElement;
    searchBox.querySelector("input").focus();
  };
  first(".search-button__overlay")?.addEventListener("click", toggleSearch);
  document.addEventListener("keydown", (event) => {
    const command = navigator.platform.startsWith("Mac") ? event.metaKey : event.ctrlKey;
    if (command && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      toggleSearch();
    } else if (event.key === "Escape" && searchBox.classList.contains("show")) {
      toggleSearch();
    }
  });
  if (!new URLSearchParams(location.search).has("q")) first(".bd-search-container input")?.focus();
  // A result's summary is fetched, which a browser refuses for pages read from a disk.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  // The tables of contents at both sides: drawers on small screens, closed by Escape.
  let closeDrawer = null;
  const toggleDrawer = (id, button) => {
    const box = document.getElementById(id);
    const drawer = first(id.includes("primary") ? ".bd-sidebar-primary" : ".bd-sidebar-secondary");
    box.checked = !box.checked;
    if (!box.checked || getComputedStyle(drawer).position !== "fixed") return;
    closeDrawer = () => { box.checked = false; button.focus(); closeDrawer = null; };
    for (const link of all('a[href^="#"]', drawer)) link.onclick = () => closeDrawer?.();
    setTimeout(() => drawer.querySelector("a, button").focus(), 100); // once it is visible
  };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeDrawer?.(); });

  const fullScreen = () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen());
  const actions = { theme: nextMode, search: toggleSearch, print: () => window.print(), "full-screen": fullScreen };
  for (const button of all("[data-do]:not(.effnet-live *)")) { // explorers have buttons of their own
    const name = button.dataset.do;
    button.addEventListener("click", actions[name] ?? (() => toggleDrawer(name, button)));
  }

  // The section being read is marked in the page's table of contents.
  const links = all(".bd-toc-nav a[href^='#']").filter((link) => link.hash.length > 1);
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  const markSection = () => {
    let current = -1;
    headings.forEach((heading, i) => { if (heading?.getBoundingClientRect().top < innerHeight / 3) current = i; });
    links.forEach((link, i) => {
      link.classList.toggle("active", i === current);
      link.parentElement.classList.toggle("active", i === current || link.parentElement.contains(links[current]));
    });
  };
  if (links.length) {
    let waiting = false;
    const soon = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; markSection(); }); } };
    addEventListener("scroll", soon, { passive: true });
    markSection();
  }

  // A box that scrolls can be reached, and so scrolled, by keyboard. The observer
  // speaks up when a box is first laid out and whenever its size changes.
  const reachable = new ResizeObserver((entries) => {
    for (const { target: box } of entries) {
      if (box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  });
  for (const box of all("article pre, .math-box, .pst-scrollable-table-container, .cell_output > .output")) reachable.observe(box);

  // Hidden solutions: a link into one opens it, and paper shows them all.
  const openTarget = () => {
    let node = null;
    try { node = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { /* malformed: no place of ours */ }
    for (; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  };
  addEventListener("hashchange", openTarget);
  openTarget();
  let closed = [];
  addEventListener("beforeprint", () => { closed = all("details:is(.admonition, .hide):not([open])"); for (const d of closed) d.open = true; });
  addEventListener("afterprint", () => { for (const d of closed) d.open = false; });
}
