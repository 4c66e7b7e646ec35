"""The whole book as one PDF for paper, in _build/pdf.

The articles of the built pages stand one behind the other in one long page, which Chromium
prints twice: where the headings came to lie the first time are the page numbers of the
contents the second time. Links between pages become links within the PDF.
"""

import re
import sys
from pathlib import Path
from posixpath import dirname, join, normpath

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from tools.browser import NoBrowser, ensure_browser
from tools.progress import ROOT

HTML = ROOT / "_build" / "html"
PDF = ROOT / "_build" / "pdf" / "efficientnet-hands-on.pdf"
#: Attributes that name an element of the same page.
NAMES = ("id", "for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")

# A font may reach above its line: without room there a heading's place would lie on the page before.
STYLE = """
@page { size: A4; }
.bd-article h1 { padding-top: 0.2em; }
.bd-article h1:not(:has(+ .title-page)) { break-before: page; margin-top: 0; }
.print-part { break-before: page; margin: 0 0 1rem; font-family: var(--effnet-font-ui); letter-spacing: 0.06em; color: #444; }
.bd-article .print-part + h1, .bd-article .print-contents h1 { break-before: auto; }
.print-contents { break-after: page; }
.print-contents ol { list-style: none; margin: 0; padding: 0; }
.print-contents ol ol { padding-left: 1.5rem; margin-bottom: 0.4rem; }
.print-contents li { break-inside: avoid; margin: 0; }
.print-contents li.print-caption { margin: 0.9rem 0 0.2rem; font-weight: 650; break-after: avoid; }
.print-contents a { display: flex; align-items: baseline; gap: 0.4rem; text-decoration: none; }
.print-contents a::before { content: ""; order: 1; flex: 1; border-bottom: 1px dotted #999; }
.print-contents a b { order: 2; font-weight: 400; font-variant-numeric: tabular-nums; }
.print-chapter > a { font-weight: 600; margin-top: 0.3rem; }
"""


def reading_order() -> list[tuple[str | None, list[str]]]:
    """(caption, pages) of each part as in the table of contents; the first page has none."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))

    def files(entries: list[dict]) -> list[str]:
        return [name for entry in entries for name in (entry["file"], *files(entry.get("sections", [])))]

    return [(None, [toc["root"]]), *((part["caption"], files(part["chapters"])) for part in toc["parts"])]


def article(page: str, pages: set[str]) -> Tag:
    """A page's article, with names that no other page has and links that stay in the book."""
    soup = BeautifulSoup((HTML / f"{page}.html").read_text("utf-8"), "html.parser")
    body = soup.select_one("article.bd-article")
    for needless in body.select("script, .headerlink, button.copybtn, .effnet-live"):
        needless.decompose()
    for element in body.find_all(True):
        for name in NAMES:
            if name in element.attrs:
                value = element[name]
                element[name] = " ".join(anchor(page, one) for one in (value if isinstance(value, list) else value.split()))
        if "href" in element.attrs:
            link(element, page, pages)
        if "src" in element.attrs:
            element["src"] = asset(page, element["src"])
        if element.name == "details":
            element["open"] = ""
    body.find("h1").insert(0, soup.new_tag("span", id=anchor(page)))
    return body


def anchor(page: str, name: str = "") -> str:
    return f"{page}--{name}".replace("/", "-")


def link(element: Tag, page: str, pages: set[str]) -> None:
    href = element["href"]
    if re.match(r"[a-z]+:", href):
        return
    path, _, name = href.partition("#")
    target = normpath(join(dirname(page), path)).removesuffix(".html") if path else page
    if target in pages:
        element["href"] = "#" + anchor(target, name)
    else:  # a file or an index that the PDF does not hold
        del element["href"]


def asset(page: str, source: str) -> str:
    return source if re.match(r"[a-z]+:", source) else "../html/" + normpath(join(dirname(page), source))


def compose() -> tuple[str, list[str]]:
    """The long page, with PAGE-… where the contents want a page number, and what they ask for."""
    parts = reading_order()
    pages = {name for _, names in parts for name in names}
    shell = BeautifulSoup((HTML / f"{parts[0][1][0]}.html").read_text("utf-8"), "html.parser")
    for needless in shell.select("script, link:not([rel=stylesheet]), .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article"):
        needless.decompose()
    for sheet in shell.select("link[rel=stylesheet]"):
        sheet["href"] = asset(parts[0][1][0], sheet["href"])
    shell.head.append(shell.new_tag("style", string=STYLE))
    place = shell.select_one("article.bd-article")
    place.clear()
    contents, wanted = shell.new_tag("nav", attrs={"class": "print-contents"}), []
    contents.append(shell.new_tag("h1", string="Contents"))
    entries = shell.new_tag("ol")
    contents.append(entries)

    def entry(text: str, target: str, into: Tag, kind: str) -> Tag:
        wanted.append(target)
        item, a = shell.new_tag("li", attrs={"class": kind}), shell.new_tag("a", href=f"#{target}")
        a.append(shell.new_tag("span", string=text))
        a.append(shell.new_tag("b", string=f"PAGE-{target}-"))
        item.append(a)
        into.append(item)
        return item

    chapter, solutions = 0, []
    for number, (caption, names) in enumerate(parts):
        for position, name in enumerate(names):
            body = article(name, pages)
            if caption and position == 0:
                text = caption if caption == "Appendices" else f"Part {ROMAN[number - 1]} · {caption}"
                entries.append(shell.new_tag("li", string=text, attrs={"class": "print-caption"}))
                body.find("h1").insert_before(shell.new_tag("p", string=text, attrs={"class": "print-part"}))
            heading = body.find("h1")
            if re.match(r"chapters/\d", name):
                chapter += 1
                heading.insert(0, f"{chapter}  ")
            if caption:
                item = entry(heading.get_text(), anchor(name), entries, "print-chapter")
                if name.startswith("chapters/"):
                    inner = shell.new_tag("ol")
                    item.append(inner)
                    for section in body.select("section > section[id] > h2"):
                        entry(section.get_text(), section.parent["id"], inner, "print-section")
                    found = [solution.extract() for solution in body.select("details.solution")]
                    if found:
                        solutions.append((heading.get_text(), found))
            place.extend(list(body.contents))
            if not caption:  # behind the title, before the first words
                place.select_one(".title-page").insert_after(contents)
    if solutions:  # at the very end, out of sight of those who still think
        end = shell.new_tag("section", id=anchor("solutions"))
        end.append(shell.new_tag("h1", string="Solutions"))
        for title, found in solutions:
            end.append(shell.new_tag("h2", string=title))
            end.extend(found)
        place.append(end)
        entry("Solutions", end["id"], entries, "print-chapter")
    return str(shell), wanted


def page_numbers(pdf: Path) -> dict[str, int]:
    """Where each place lies that some link leads to; the first page is 1."""
    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def write_pdf(target: Path = PDF, browser_path: str | None = None) -> int:
    """Print the built book to ``target``; returns the number of pages."""
    text, wanted = compose()
    target.parent.mkdir(parents=True, exist_ok=True)
    source = ROOT / "_build" / "pdf" / "book.html"
    source.parent.mkdir(exist_ok=True)
    numbers: dict[str, int] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False).new_page()
        for _ in range(2):
            filled = re.sub(r"PAGE-(.*?)-(?=</b>)", lambda match: str(numbers.get(match[1], 888)), text)
            source.write_text(filled, "utf-8")
            page.goto(source.as_uri(), wait_until="load", timeout=120_000)
            page.emulate_media(media="print")
            page.pdf(path=str(target), prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
            numbers = page_numbers(target)
        browser.close()
    missing = [name for name in wanted if name not in numbers]
    if missing:
        raise ValueError(f"the contents name places that the PDF does not have: {', '.join(missing[:5])}")
    return len(PdfReader(target).pages)


def main() -> None:
    try:
        pages = write_pdf(browser_path=ensure_browser())
    except NoBrowser as error:
        sys.exit(str(error))
    print(f"The book on {pages} pages of A4: {PDF.as_uri()}")


if __name__ == "__main__":
    main()
