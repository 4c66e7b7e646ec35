"""The frame: first page, map, cover, previews, missing pages, glossary, notation, reference, paper."""

from __future__ import annotations

import functools
import http.server
import re
import statistics
import struct
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from effnet_book import colab
from tools import cover, serve

import effnet_lib
from effnet_lib import count_cost
from effnet_lib import train

from .conftest import pages

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))


def soup(book: Path, page: str) -> BeautifulSoup:
    return BeautifulSoup((book / page).read_text("utf-8"), "html.parser")


def listed(part: dict) -> list[str]:
    return [entry["file"] for entry in part["chapters"]]


# The first page -----------------------------------------------------------------------


def test_the_map_shows_every_page_and_how_long_it_takes(book):
    box = soup(book, "index.html").select_one(".book-map")
    links = {link["href"].removesuffix(".html"): link for link in box.select("p.page a")}
    assert list(links) == [page for part in TOC["parts"] for page in listed(part)]
    captions = [node.text for node in box.select("p.part:not(.to-come)")]
    assert captions == [part["caption"] for part in TOC["parts"]]
    for page, link in links.items():
        assert link.find_parent("li").select("p:not(.page)")[0].text
        head = soup(book, f"{page}.html").select_one(".chapter-head .reading-time")
        time = link.find_parent("p").select_one(".minutes")
        assert (head is None) == (time is None)
        if head:
            assert f"about {time.text.removesuffix(' min')} minutes" in head.text


def test_chapters_have_numbers_where_they_are_listed(book):
    numbers = {page: int(re.match(r"chapters/(\d+)_", page)[1])
               for part in TOC["parts"] for page in listed(part) if page.startswith("chapters/")}  # fmt: skip
    assert list(numbers.values()) == sorted(numbers.values())
    for where in (".book-map", ".bd-sidebar-primary"):
        for page, number in numbers.items():
            link = soup(book, "index.html").select_one(f"{where} a[href='{page}.html']")
            assert link.select_one(".chapter-number").text.strip() == str(number)
    for page, number in numbers.items():
        head = soup(book, f"{page}.html").select_one(".chapter-head")
        assert head.text.strip().startswith(f"Chapter {number}, about")


def test_an_explorer_is_the_first_thing_on_a_screen(visit):
    """On a laptop the slider is there without scrolling, and moves something; the button that runs the network, too."""
    page = visit(viewport={"width": 1280, "height": 720}).open("index.html")
    slider = page.locator("article input[type=range]").first
    for place in (slider, page.locator("article button[data-action=load]")):
        box = place.bounding_box()
        assert box["y"] + box["height"] < 720
    cost = page.locator("article output[data-field=cost]")
    before = cost.inner_text()
    slider.focus()
    page.keyboard.press("End")
    assert cost.inner_text() != before


def test_numbers_of_the_first_page_are_counted():
    text = (ROOT / "index.md").read_text("utf-8")
    b0, b7 = (count_cost(name).parameters for name in ("b0", "b7"))
    assert f"{b0:,} parameters" in text
    assert f"from {b0 // 10**6} to {round(b7 / 10**6)} million parameters" in text
    assert f"from {len(cover.layers('b0'))} layers to {len(cover.layers('b7'))}" in text


def test_the_address_is_said_once(book):
    address = CONFIG["repository"]["url"]
    for path in (*ROOT.glob("*.md"), *ROOT.glob("chapters/*.md"), *ROOT.glob("appendices/**/*.md")):
        assert address not in path.read_text("utf-8"), f"write {{{{ repository }}}} in {path.name}"
    for path in book.rglob("*.html"):
        assert not re.search(r"\{\{ (repository|version|pinned)", path.read_text("utf-8"))
    article = soup(book, "index.html").select_one("article").text
    assert f"git clone {address}" in article
    install = re.search(r"%pip .*?(?=\n\n|\Z)", article, re.S)[0].replace("\\\n", " ").splitlines()[0]
    assert install.endswith(f" git+{address}@v{effnet_lib.__version__}") and "torchinfo==" in install
    assert not list(colab.faults(install))


# Cover, icon, previews ------------------------------------------------------------------


@pytest.mark.parametrize("name", cover.VECTORS)
def test_drawings_are_drawn_from_the_counts(name):
    assert (cover.STATIC / name).read_text("utf-8") == cover.VECTORS[name](), "run python -m tools.cover"


@pytest.mark.parametrize("name", cover.PICTURES)
def test_pictures_are_fresh(name):
    draw, width, height = cover.PICTURES[name]
    data = (cover.STATIC / name).read_bytes()
    assert struct.unpack(">II", data[16:24]) == (width, height)
    assert b"made-from\0" + cover.digest(draw()).encode() in data, "run python -m tools.cover"
    assert len(data) < 100_000


def test_the_cover_shows_every_layer():
    for name in cover.NAMES:
        variant = effnet_lib.get_variant(name)
        sides = cover.layers(name)
        assert len(sides) == variant.layers + 2  # stem and head
        assert sides[0] == variant.resolution and sides == sorted(sides, reverse=True)
    drawing = cover.cover("light")
    assert drawing.count("M") == sum(len(cover.layers(name)) for name in cover.NAMES)


def test_previews_for_other_sites(book):
    owner, name = CONFIG["repository"]["url"].split("/")[-2:]
    base = CONFIG.get("html", {}).get("baseurl") or f"https://{owner}.github.io/{name}/"
    for page in pages(made=False):
        found = {tag.get("property") or tag.get("name"): tag["content"]
                 for tag in soup(book, page).select("head meta[content]")}  # fmt: skip
        assert found["og:url"] == base + page
        assert found["og:title"] and found["og:site_name"] == CONFIG["title"]
        assert found["description"] == found["og:description"] and 20 < len(found["description"]) <= 200
        assert found["twitter:card"] == "summary_large_image"
        assert found["og:image"].startswith(base)
        assert (book / found["og:image"].removeprefix(base)).read_bytes()[:4] == b"\x89PNG"


def test_titles_differ(book):
    titles = [soup(book, page).title.text for page in pages()]
    assert len(set(titles)) == len(titles)
    assert all(title.count(CONFIG["title"]) == 1 for title in titles)


# A page that is missing --------------------------------------------------------------------


@pytest.mark.parametrize("root", ["/", "/effnet-hands-on/"])
def test_a_missing_page_gets_one_that_works(browser, book, tmp_path, root):
    """At whatever depth, and whether the book is at the root of its site or below."""
    site = tmp_path
    if root == "/":
        site = book
    else:
        (tmp_path / root.strip("/")).symlink_to(book)
        (tmp_path / "404.html").symlink_to(book / "404.html")  # as GitHub Pages shows it
    handler = functools.partial(serve.Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        failed = []
        page.on("response", lambda found: failed.append(found.url) if found.status >= 400 else None)
        address = f"http://127.0.0.1:{server.server_port}{root}chapters/deep/nowhere.html"
        page.goto(address)
        assert failed == [address]
        assert page.locator("article h1").inner_text() == "There is no such page"
        assert page.locator("article svg:visible").count() == 1
        page.locator("article a").first.click()
        page.wait_for_load_state()
        assert urlsplit(page.url).path == f"{root}index.html"
        assert failed == [address]
        page.close()
        server.shutdown()


# Glossary and notation ------------------------------------------------------------------------

TERMS = """activation function; activations; arithmetic intensity; augmentation; batch normalisation;
channel; class activation map; compound coefficient; convolution; standard convolution; pointwise convolution;
depthwise convolution; depthwise separable convolution; depth; DropConnect; dropout; exponential moving average;
expansion ratio; feature map; fine-tuning; FLOPs; Fused-MBConv; gate; global average pooling; head;
inverted residual; label smoothing; latency; linear bottleneck; MBConv; multiply-adds;
neural architecture search; output stride; padding; parameters; progressive learning; projection;
receptive field; squeeze ratio; reduction ratio; ReLU6; residual branch; resolution; roofline; SiLU; Swish;
skip connection; squeeze channels; squeeze-and-excitation; stage; stem; stochastic depth; stride; throughput;
top-1 accuracy; variant; warm-up; weight decay; width"""


def test_the_glossary(book):
    page = soup(book, "appendices/glossary.html")
    terms = [re.sub(r"#$", "", node.text).strip() for node in page.select("dl.glossary > dt")]
    assert set(re.split(r";\s+", TERMS)) <= set(terms)
    for meaning in page.select("dl.glossary > dd"):
        sentences = re.findall(r"[.?](?=\s|$)", re.sub(r"et al\.|\[[^]]*\]", "", meaning.text))
        assert 1 <= len(sentences) <= 3, meaning.text
    firsts = [node.text.casefold() for node in page.select("dl.glossary > dt")
              if node.find_previous_sibling() is None or node.find_previous_sibling().name == "dd"]  # fmt: skip
    assert firsts == sorted(firsts)


def test_names_of_the_notation_exist(book):
    known = {"multiply_adds", "x.sigmoid()", f"{statistics.__name__}.{statistics.stdev.__name__}"}
    for name in effnet_lib.__all__ + train.__all__:
        value = getattr(effnet_lib if name in effnet_lib.__all__ else train, name)
        known.add(name)
        known.update(f"{name}.{field}" for field in getattr(value, "__dataclass_fields__", ()))
        known.update(label for member, kept in getattr(value, "__dict__", {}).items() if isinstance(kept, property) for label in (member, f"{name}.{member}"))
        code = getattr(getattr(value, "__init__", None), "__code__", None) or getattr(value, "__code__", None)
        known.update(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ())
        known.update(getattr(value, "__dataclass_fields__", ()))
    rows = soup(book, "appendices/notation.html").select("table tbody tr")
    assert len(rows) > 15
    for row in rows:
        symbol, meaning, code, place = row.find_all("td")
        assert symbol.find("math") and meaning.text
        assert place.find("a") or place.text == "to come"
        for name in code.find_all("code"):
            # "output_stride" is a property of Variant
            assert name.text in known or hasattr(effnet_lib.Variant, name.text), name.text


# The reference -----------------------------------------------------------------------------------


def test_every_public_name_is_in_the_reference(book):
    ids = {node["id"] for path in book.glob("appendices/api/*.html")
           for node in soup(book, path.relative_to(book).as_posix()).select("dt.sig[id]")}  # fmt: skip
    names = [f"effnet_lib.{module}.{name}" for module, names in effnet_lib._PUBLIC.items() for name in names]
    names += [f"effnet_lib.train.{module}.{name}" for module, names in train._PUBLIC.items() for name in names]
    assert not set(names) - ids
    linked = {unquote(link["href"]).split("#")[-1]
              for link in soup(book, "appendices/api/index.html").select("article li a[href*='#']")}  # fmt: skip
    assert not set(names) - linked


def test_the_reference_says_what_names_are(book):
    """No docstring of ours is shown as raw markup, and none is empty."""
    for path in book.glob("appendices/api/*.html"):
        page = soup(book, path.relative_to(book).as_posix())
        for code in page.select("code, pre, .math"):
            code.extract()
        text = page.select_one("article").text
        assert not re.findall(r":(?:class|func|meth|attr):|``|\.\. \w+::", text), path.name
        assert not page.select(".system-message, .problematic")
        for signature in page.select("dl.py > dt.sig"):
            assert signature.find_next_sibling("dd").text.strip(), signature["id"]


# Paper -----------------------------------------------------------------------------------------------


def on_paper(visit, path: str, **options):
    page = visit(**options).open(path)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    return page


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_explorers_are_tables_on_paper_black_on_white(visit, book, colours):
    for path in pages(made=False):
        if "effnet-explorer" not in (book / path).read_text("utf-8"):
            continue
        page = on_paper(visit, path, color_scheme=colours)
        for explorer in page.locator("article .effnet-explorer").all():
            assert not explorer.locator(".effnet-live").is_visible()
            assert explorer.locator(".effnet-static").is_visible()
            tones = explorer.evaluate("""node => [...node.querySelectorAll('.effnet-static :is(td, th)')]
                .map(cell => getComputedStyle(cell).color)""")
            assert set(tones) <= {"rgb(0, 0, 0)"}, path


def test_links_say_on_paper_where_they_lead(visit):
    page = on_paper(visit, "appendices/deviations.html")
    link = page.locator("article a.external").first
    after = link.evaluate("node => getComputedStyle(node, '::after').content")
    assert link.get_attribute("href") in after
    for part in (".bd-sidebar-primary", ".bd-header-article", ".prev-next-footer", "button.copybtn"):
        assert not page.locator(part).first.is_visible()


def test_the_title_page_is_for_paper_only(visit):
    page = visit().open("index.html")
    assert not page.locator(".title-page").is_visible()
    page.emulate_media(media="print")
    assert page.locator(".title-page").is_visible()
    assert "cover-light" in page.locator(".title-page img").get_attribute("src")


#: What no sheet may cut off, and does: A4 less its margins is 174 mm wide, 660 pixels.
CUT_OFF = """() => [...document.querySelectorAll(':is(pre, table, math, img)')]
    .filter(node => node.getBoundingClientRect().right > innerWidth + 1
                    && getComputedStyle(node).clipPath === 'none'
                    && node.getClientRects().length)
    .map(node => node.outerHTML.slice(0, 100))"""


def test_nothing_is_cut_off_on_paper(visit):
    """No code, table or formula is wider than a sheet of A4."""
    for path in pages(made=False):
        page = on_paper(visit, path, viewport={"width": 660, "height": 960})
        assert not page.evaluate(CUT_OFF), path


# A phone -----------------------------------------------------------------------------------------------


def test_tables_of_sentences_stack_on_a_phone(visit):
    page = visit(viewport={"width": 360, "height": 740}).open("appendices/notation.html")
    widths = page.evaluate("""() => [...document.querySelectorAll('table.stack td:not(:empty)')]
        .map(cell => cell.getBoundingClientRect().width)""")
    assert min(widths) > 250
