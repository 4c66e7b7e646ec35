"""Every page, whoever wrote it: opened in a browser, with the network shut."""

from __future__ import annotations

import gzip
from importlib import resources
from urllib.parse import unquote, urlsplit

import pytest
from effnet_book import styles
from effnet_book.gates import is_meaningful

LARGEST = 300_000  # bytes, compressed, a page with all it loads but its own pictures
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
COMPRESSED = (".woff2", *PICTURES)


def axe_script() -> str:
    files = resources.files("axe_playwright_python")
    return next(path for path in files.iterdir() if path.name == "axe.min.js").read_text("utf-8")


# preload: axe would fetch the styles once more, which a browser refuses for file://
AXE = """async () => (await axe.run('article', {preload: false})).violations.map(found =>
    `${found.id}: ${found.help}\\n` + found.nodes.map(
        node => `    ${node.html.slice(0, 160)}\\n    ${node.failureSummary}`).join('\\n'))"""


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_page_is_silent_whole_and_light(visit, book, page_path, scheme):
    """Nothing leaves, fails or is logged, and the page weighs little."""
    seen = visit()
    page = seen.open(page_path, scheme)
    # Down and up again: what is loaded late is loaded too.
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(100)
    page.evaluate("scrollTo(0, 0)")
    seen.silent()

    weight = {}
    for url in set(seen.loaded):
        if url.startswith(("data:", "blob:")) or "/_images/" in url:
            continue
        name = unquote(url.removeprefix(seen.bases[scheme])).split("?")[0].split("#")[0]
        data = (book / name).read_bytes()
        weight[name] = len(data) if name.endswith(COMPRESSED) else len(gzip.compress(data))
    heaviest = sorted(weight.items(), key=lambda item: -item[1])[:5]
    assert sum(weight.values()) < LARGEST, heaviest


#: Every declaration that the browser has read, those of scripts and style attributes among them.
DECLARED = """(property) => {
    const rules = (list) => [...list].flatMap((rule) => [rule.style?.[property], ...rules(rule.cssRules ?? [])]);
    const inline = [...document.querySelectorAll('[style]')].map((node) => node.style[property]);
    const drawn = [...document.querySelectorAll('*')].map((node) => getComputedStyle(node)[property]);
    return [...rules([...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])), ...inline, ...drawn].filter(Boolean); }"""


def test_no_text_is_wrapped_in_the_way_that_ends_webkit(visit, chapter_path):
    """WebKit's process dies of "pretty" beside code that does not wrap."""
    said = visit().open(chapter_path, "http").evaluate(DECLARED, "textWrapStyle")
    assert "auto" in said  # so a browser that does not know the property fails here
    assert [value for value in said if "pretty" in value] == []


def test_the_theme_may_not_wrap_so_either():
    css = "p{color:red;text-wrap:pretty}li{text-wrap-style: pretty ;margin:0}h1{text-wrap:balance}"
    assert styles.DEADLY.sub("", css) == "p{color:red;}li{margin:0}h1{text-wrap:balance}"


def test_formulas_are_drawn(visit, page_path):
    page = visit().open(page_path)
    # A formula in a closed solution has no box until the solution is open.
    page.evaluate("document.querySelectorAll('details').forEach(box => box.open = true)")
    page.evaluate("document.querySelectorAll('.why').forEach(why => why.style.display = 'block')")
    wrong = page.evaluate(r"""() => [...document.querySelectorAll('.math')].filter(box => {
        const math = box.querySelector('math');
        const size = math?.getBoundingClientRect();
        return !math || size.width < 2 || size.height < 2 || box.querySelector('merror')
            || /[\\${}]|undefined/.test(box.innerText.replace(/[{}]/g, ''));
    }).map(box => box.outerHTML.slice(0, 200))""")
    assert not wrong
    raw = page.evaluate(r"""() => {
        const words = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
        const found = [];
        while (words.nextNode()) {
            const node = words.currentNode;
            if (node.parentElement.closest('pre, code, script, style, .math')) continue;
            if (/\\[a-zA-Z]+[{_^]|\\\(|\\\[|\$[^$\s][^$]*\$/.test(node.data)) found.push(node.data.trim());
        }
        return found; }""")
    assert not raw, "raw LaTeX in the text"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_in_the_article(visit, page_path, colours):
    page = visit(color_scheme=colours).open(page_path)
    assert page.evaluate("document.documentElement.dataset.theme") == colours
    if not page.locator("article").count():
        return  # the search page has none
    page.evaluate("document.querySelectorAll('details').forEach(box => box.open = true)")
    page.evaluate("document.querySelectorAll('.choice input').forEach(i => i.click())")
    page.evaluate(axe_script())
    found = page.evaluate(AXE)
    assert not found, "\n".join(found)


UNFOLD = """document.querySelectorAll('details').forEach(box => box.open = true);
    document.querySelectorAll('.why').forEach(why => why.style.display = 'block')"""
#: What is wider than the screen and does not scroll by itself.
WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = (node) => node && node.tagName !== 'BODY' &&
        (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(node).overflowX)
         || scrolls(node.parentElement));
    const wide = [...document.querySelectorAll('.bd-article-container *, .bd-footer-content *')]
        .filter(node => node.getBoundingClientRect().right > width + 1 && !scrolls(node.parentElement))
        .map(node => node.outerHTML.slice(0, 120));
    return document.documentElement.scrollWidth <= innerWidth ? wide : ["the page scrolls to the side", ...wide]; }"""


def test_nothing_is_wider_than_a_phone(visit, page_path):
    page = visit(viewport={"width": 360, "height": 740}).open(page_path)
    page.evaluate(UNFOLD)
    assert page.evaluate(WIDE) == []


def test_pictures_say_what_they_show(visit, page_path):
    page = visit().open(page_path)
    alts = page.evaluate("[...document.querySelectorAll('main img')].map(image => image.alt)")
    assert [alt for alt in alts if not is_meaningful(alt)] == []
    # Pictures further down come when a reader does; here all of them must.
    page.evaluate("""Promise.all([...document.images].map((image) => {
        image.loading = "eager";
        return image.decode().catch(() => null);
    }))""")
    empty = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
    assert page.evaluate(empty) == []


def test_page_reads_without_scripts(visit, chapter_path):
    """Text, tables, formulas and solutions are there; no control that does nothing is."""
    page = visit(java_script_enabled=False).open(chapter_path)
    assert page.locator("article h1").is_visible()
    for math in page.locator("article .math").all()[:40]:
        if not math.locator("xpath=ancestor::details | ancestor::*[@class='why']").count():
            assert math.is_visible()
    for table in page.locator("article table").all():
        if not table.locator("xpath=ancestor::details").count():
            assert table.is_visible()
    for box in page.locator("article details.admonition").all():
        box.locator("summary").first.click()
        assert box.get_attribute("open") is not None
        assert box.locator("> :not(summary)").first.is_visible()
    for button in page.locator("button").all():
        assert not button.is_visible(), f"a dead button: {button.inner_text()}"


def test_links_lead_somewhere(book):
    """Statically, for all pages: each internal link has its file, each anchor its element."""
    from bs4 import BeautifulSoup

    soups = {path: BeautifulSoup(path.read_text("utf-8"), "html.parser")
             for path in book.rglob("*.html")}  # fmt: skip
    anchors = {path: {tag.get("id") or tag.get("name") for tag in soup.find_all(True)}
               for path, soup in soups.items()}  # fmt: skip
    broken = []
    for path, soup in soups.items():
        for tag in soup.find_all(["a", "img", "script", "link", "iframe", "source"]):
            target = tag.get("href") or tag.get("src")
            if not target or urlsplit(target).scheme or target.startswith("//"):
                continue
            parts = urlsplit(target)
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if file.is_dir():
                file /= "index.html"
            anchor = unquote(parts.fragment)
            # An explorer keeps its state after the #: "phi=2.5" is no anchor.
            missing = anchor and "=" not in anchor and anchor not in anchors.get(file, {anchor})
            if not file.exists() or missing:
                broken.append(f"{path.relative_to(book)}: {target}")
    assert not broken, "\n".join(broken)


def test_ids_stand_once_on_a_page(visit, page_path):
    page = visit().open(page_path)
    twice = page.evaluate("""() => {
        const ids = [...document.querySelectorAll('[id]')].map(node => node.id);
        return ids.filter((id, place) => ids.indexOf(id) !== place); }""")
    assert twice == []
