"""What a page lets its reader do: search, switch colours, answer, open, copy, print."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup

from effnet_lib.exercises import EXERCISES

from .conftest import pages


@pytest.fixture(scope="session")
def with_part(book):
    """The first page that holds a piece of HTML; the book has one of each."""

    def find(part: str) -> str:
        for path in pages(made=False):
            if part in (book / path).read_text("utf-8"):
                return path
        pytest.fail(f"no page of the book holds {part!r}", pytrace=False)

    return find


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_search_finds_a_word_of_a_chapter(visit, with_part, scheme):
    path = with_part("<h2>")
    page = visit().open(path, scheme)
    words = re.findall(r"[a-z]{9,}", page.locator("article").inner_text())
    word = max(set(words), key=words.count)
    page.keyboard.press("Control+k")
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    results = page.locator("#search-results ul.search li a")
    results.first.wait_for()
    page.get_by_text("Search finished").wait_for()
    name = path.rsplit("/", 1)[-1]
    assert any(name in (link.get_attribute("href") or "") for link in results.all())
    if scheme == "http":
        page.locator("#search-results .context").first.wait_for()
    results.first.click()
    page.wait_for_load_state()
    assert page.locator("article h1").is_visible()


def test_search_opens_by_button_and_closes_by_escape(visit):
    page = visit().open("index.html")
    button = page.locator(".bd-header-article [data-do=search]")
    button.click()
    field = page.locator(".search-button__wrapper input")
    assert field.is_visible()
    assert field.evaluate("node => node === document.activeElement")
    page.keyboard.press("Escape")
    assert not field.is_visible()
    assert button.evaluate("node => node === document.activeElement")


def test_colours_switch_and_are_remembered(visit, with_part):
    seen = visit(color_scheme="light")
    page = seen.open("index.html", "http")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    button = page.locator(".bd-header-article [data-do=theme]")
    assert "as the system has them" in button.get_attribute("aria-label")
    button.click()
    assert page.evaluate(paper) != light
    assert button.get_attribute("aria-label") == "Colours: dark"
    seen.open(with_part("<h2>"), "http")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator(".bd-header-article [data-do=theme]").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.locator(".bd-header-article [data-do=theme]").click()
    page.emulate_media(color_scheme="dark")  # back on auto, it follows the system
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


#: A browser in which the reader has blocked storage: to mention it is an error.
BLOCKED = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
}"""


def test_pages_do_without_storage(visit, page_path):
    """Silent, and with colours that switch: remembered or not, they are there."""
    seen = visit(color_scheme="light")
    seen.context.add_init_script(BLOCKED)
    page = seen.open(page_path, "http")
    button = page.locator(".bd-header-article [data-do=theme]")
    if button.count():
        button.click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    seen.silent()


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_search_does_without_storage(visit, scheme):
    seen = visit()
    seen.context.add_init_script(BLOCKED)
    page = seen.open("search.html?q=resolution", scheme)
    page.get_by_text("Search finished").wait_for()
    page.locator("#search-results ul.search > li > a").first.click()
    page.wait_for_load_state()
    assert page.locator("article h1").is_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_questions_are_answered_by_keyboard(visit, with_part, scripts):
    """Each choice shows its own explanation and verdict, with and without scripts."""
    page = visit(java_script_enabled=scripts).open(with_part('<fieldset class="question"'))
    for question in page.locator("fieldset.question").all():
        choices = question.locator(".choice")
        assert question.locator(".why:visible").count() == 0
        question.locator("input").first.focus()
        page.keyboard.press("Space")
        for index in range(choices.count()):
            if index:
                page.keyboard.press("ArrowDown")
            assert choices.nth(index).locator("input").is_checked()
            assert question.locator(".why:visible").count() == 1
            why = choices.nth(index).locator(".why")
            assert why.is_visible()
            right = "right" in choices.nth(index).get_attribute("class").split()
            assert why.inner_text().startswith(("Right." if right else "Not right."))
            assert why.locator("xpath=..").get_attribute("aria-live") == "polite"
        assert question.locator("legend").inner_text().strip()


def test_questions_and_solutions_are_whole_on_paper(visit, with_part):
    page = visit().open(with_part('<details class="solution'))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for box in page.locator("article details.admonition").all():
        assert box.locator("> :not(summary)").first.is_visible()
    assert page.locator(".why:visible").count() == page.locator(".why").count()
    assert not page.locator(".bd-sidebar-primary").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.admonition[open]").count() == 0


def test_every_check_has_a_solution_that_it_calls_right(book):
    solved = set()
    for path in sorted((book / "chapters").glob("*.html")):
        for box in BeautifulSoup(path.read_text("utf-8"), "html.parser").select("details.solution"):
            for number in re.findall(r'^check\("([\d.]+)"', box.text, re.M):
                assert f"Exercise {number}: right." in box.text, number
                solved.add(number)
    assert solved == set(EXERCISES)


def test_solutions_open_by_keyboard_and_by_link(visit, with_part):
    path = with_part('<details class="solution')
    seen = visit()
    page = seen.open(path)
    box = page.locator("details.solution").first
    box.locator("summary").focus()
    page.keyboard.press("Enter")
    assert box.locator("> :not(summary)").first.is_visible()
    seen.open(f"{path}#{box.get_attribute('id')}")
    page.reload()
    assert page.locator("details.solution").first.get_attribute("open") is not None


def test_code_is_copied(visit, with_part):
    seen = visit(permissions=["clipboard-read", "clipboard-write"])
    page = seen.open(with_part('class="cell_input'), "http")
    block = page.locator(".cell_input .highlight").first
    block.hover()
    block.locator("button.copybtn").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == block.locator("pre").inner_text().strip()


def test_the_table_of_the_book_is_a_drawer_on_a_phone(visit):
    page = visit(viewport={"width": 360, "height": 740}).open("index.html")
    link = page.locator(".bd-sidebar-primary nav a").last
    button = page.locator("[data-do=pst-primary-sidebar-checkbox]").first
    button.click()
    page.wait_for_timeout(400)  # the drawer slides
    link.scroll_into_view_if_needed()
    assert link.is_visible()
    page.keyboard.press("Escape")
    page.wait_for_function("!document.getElementById('pst-primary-sidebar-checkbox').checked")
    button.click()
    page.wait_for_timeout(400)
    link.click()
    page.wait_for_load_state()
    assert page.locator("article h1").is_visible()


def test_pages_follow_one_another(visit):
    """From the first page by "next" to the last, with each page met once."""
    seen = visit()
    page = seen.open("index.html")
    met = [page.url]
    while page.locator("a.right-next").count():
        page.locator("a.right-next").click()
        page.wait_for_load_state()
        assert page.url not in met
        met.append(page.url)
    assert len(met) == len(pages(made=False))
