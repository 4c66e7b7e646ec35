"""What the tests of the built pages share: the pages, a server, a browser, an ear.

The pages are those found in ``_build/html``, not a list kept by hand. Every page that is
opened is listened to: a request that would leave, a message on the console, an error or a
failed request fails the test that opened it.
"""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
for place in (ROOT, ROOT / "tools"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

BOOK = ROOT / "_build" / "html"
# Lists made by Sphinx, with nothing of ours in them; they are opened and linked all the same.
MADE = ("404.html", "genindex.html", "search.html", "py-modindex.html")


def pages(made: bool = True) -> list[str]:
    """The built pages, as paths below the book; ``made`` adds index and search page."""
    found = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
    found = [page for page in found if not page.startswith("_static/")]
    return found if made else [page for page in found if page not in MADE]


def pytest_generate_tests(metafunc) -> None:
    """``page_path``: one test a page; ``chapter_path``: one test a page that we wrote."""
    for name, made in (("page_path", True), ("chapter_path", False)):
        if name in metafunc.fixturenames:
            # Without a build one case stays, so that the book fixture can fail and say so.
            metafunc.parametrize(name, pages(made) or ["no-page"])


@pytest.fixture(scope="session")
def book() -> Path:
    if not (BOOK / "index.html").exists():
        pytest.fail("there is no built book: run `make book` first", pytrace=False)
    return BOOK


@pytest.fixture(scope="session")
def server(book):
    """The address of the book on a server of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.fixture(scope="session")
def driver():
    with sync_playwright() as playwright:
        yield playwright


def launch(driver, **options):
    from tools.browser import ensure_browser

    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    return driver.chromium.launch(executable_path=ensure_browser(), args=arguments, **options)


@pytest.fixture(scope="session")
def browser(driver):
    browser = launch(driver)
    yield browser
    browser.close()


class Visit:
    """A page in a browser, with the network shut, and all that it had to say."""

    def __init__(self, browser, book: Path, server: str, **options):
        self.bases = {"file": book.as_uri() + "/", "http": server}
        options.setdefault("viewport", {"width": 1280, "height": 900})
        self.scripts = options.get("java_script_enabled", True)
        self.context = browser.new_context(**options)
        self.said: list[str] = []
        self.loaded: list[str] = []
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.said.append(f"console {m.type}: {m.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"script error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def _route(self, route) -> None:
        url = route.request.url
        if url.startswith(tuple(self.bases.values()) + ("data:", "blob:")):
            self.loaded.append(url)
            route.continue_()
        else:
            self.said.append(f"a request that leaves: {url}")
            route.abort()

    def _failed(self, request) -> None:
        # The icon comes last, and pictures when they come near: a test that goes on to the next page cuts them off.
        if request.resource_type != "image" and "favicon" not in request.url or "ABORTED" not in request.failure:
            self.said.append(f"failed: {request.url} {request.failure}")

    def _response(self, response) -> None:
        if response.status >= 400:
            self.said.append(f"status {response.status}: {response.url}")

    def open(self, path: str, scheme: str = "file"):
        self.page.goto(self.bases[scheme] + path, wait_until="load")
        if self.scripts:
            self.page.evaluate("document.fonts.ready.then(() => true)")
        return self.page

    def silent(self) -> None:
        assert not self.said, "\n".join(self.said)


@pytest.fixture
def visit(browser, book, server):
    """Makes visits; at the end of the test every one of them must have been silent."""
    visits: list[Visit] = []

    def make(**options) -> Visit:
        visits.append(Visit(browser, book, server, **options))
        return visits[-1]

    yield make
    for each in visits:
        each.context.close()
    for each in visits:
        each.silent()


#: Moves sliders and makes choices, by the names of their controls, as a reader would.
SET = """(values) => {
  for (const [name, value] of Object.entries(values)) {
    const radio = document.querySelector(`[data-control=${name}] input[type=radio][value="${value}"]`);
    if (radio) { radio.click(); continue; }
    const range = document.querySelector(`input[type=range][name=${name}]`);
    range.value = value;
    range.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


#: Puts elements around every text, as a browser does that translates the page.
WRAP = """(explorer) => {
  const words = document.createTreeWalker(explorer.live, NodeFilter.SHOW_TEXT), found = [];
  while (words.nextNode()) if (words.currentNode.data.trim()) found.push(words.currentNode);
  for (const text of found) {
    const outer = document.createElement("font"), inner = outer.appendChild(document.createElement("font"));
    text.replaceWith(outer);
    inner.append(text.data);
  }
}"""


@pytest.fixture
def open_saved(browser):
    """Opens the page of its own that an explorer saved; what it says or asks for fails the test."""
    contexts, said = [], []

    def open_saved(address, hash="", besides=(), **options):
        options.setdefault("viewport", {"width": 1000, "height": 900})
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: r.url.startswith((address, *besides)) or said.append(f"request: {r.url[:80]}"))
        page.goto(address + hash)
        if options.get("java_script_enabled", True):
            # Observers of sizes answer after the first frame, and may draw anew.
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return page

    yield open_saved
    for context in contexts:
        context.close()
    assert not said, said
