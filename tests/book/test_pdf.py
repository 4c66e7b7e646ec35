"""The printed edition: whole, in order, its contents and links leading where they say."""

import re
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from tools.pdf import HTML, PDF, ROOT, page_numbers, reading_order

A4 = (595, 842)  # points


@pytest.fixture(scope="module")
def pdf(book):
    # In a process of its own, as `make pdf` runs it: a second Playwright beside the tests' browser would refuse.
    made = subprocess.run([sys.executable, "-m", "tools.pdf"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    reader = PdfReader(PDF)
    assert f"on {len(reader.pages)} pages" in made.stdout
    return reader


@pytest.fixture(scope="module")
def texts(pdf):
    return [plain(page.extract_text()) for page in pdf.pages]


def plain(text):
    return re.sub(r"\s+", " ", text)


def title(name):
    heading = BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser").select_one("article h1")
    heading.select_one(".headerlink").decompose()
    return plain(heading.get_text()).strip()


def test_pages_are_a4_and_numbered(pdf, texts):
    for number, (page, text) in enumerate(zip(pdf.pages, texts), 1):
        assert [abs(float(a) - b) < 2 for a, b in zip(page.mediabox[2:], A4)] == [True, True]
        # Chromium may draw the foot of a page before or after what stands on it.
        assert number == 1 or re.search(rf"(^{number}\b|\b{number} ?$)", text.strip()), (number, text[-80:])


def test_every_page_of_the_book_is_there_in_order(pdf, texts):
    starts = page_numbers(PDF)
    numbers = []
    for _, names in reading_order():
        for name in names:
            number = 1 if name == "index" else starts[f"{name}--".replace("/", "-")]
            assert title(name) in texts[number - 1], name
            numbers.append(number)
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)


def test_contents_name_the_pages(texts):
    starts = page_numbers(PDF)
    contents = " ".join(texts[1:6])
    for caption, names in reading_order()[1:]:
        assert caption in contents
        for name in names:
            assert re.search(rf"{re.escape(title(name))} {starts[f'{name}--'.replace('/', '-')]}\b", contents), name
    assert "PAGE-" not in contents


def test_solutions_stand_at_the_end(pdf, texts):
    start = page_numbers(PDF)["solutions--"]
    exercises = sum(len(re.findall(r'class="exercise ', (HTML / f"{name}.html").read_text("utf-8")))
                    for _, names in reading_order() for name in names)  # fmt: skip
    assert not any("Solution to" in text for text in texts[: start - 1])
    assert sum(text.count("Solution to") for text in texts[start - 1 :]) == exercises > 30


def test_links_lead_into_the_pdf_or_to_the_web(pdf):
    named, inner, outer = pdf.named_destinations, 0, 0
    for page in pdf.pages:
        for note in page.get("/Annots", []):
            note = note.get_object()
            if note["/Subtype"] != "/Link":
                continue
            if "/A" in note:
                assert re.match(r"https?://|mailto:", note["/A"]["/URI"]), note["/A"]["/URI"]
                outer += 1
            else:
                assert str(note["/Dest"]).removeprefix("/") in {name.removeprefix("/") for name in named}, note["/Dest"]
                inner += 1
    assert inner > 300 and outer > 20


def test_headings_make_an_outline(pdf):
    def titles(entries):
        for entry in entries:
            yield from titles(entry) if isinstance(entry, list) else [plain(entry.title)]

    found = " | ".join(titles(pdf.outline))
    for _, names in reading_order():
        for name in names:
            assert title(name) in found
    assert pdf.metadata.title == "EfficientNet, hands on"
