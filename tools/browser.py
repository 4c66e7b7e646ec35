"""Find a browser that the tests can drive, or install one; without one there are no tests.

    playwright.chromium.launch(executable_path=ensure_browser())
"""

import functools
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tools.progress import ROOT, run_logged

LOG = ROOT / "_build" / "browser.log"

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_APPLICATIONS = (
    "Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "Applications/Chromium.app/Contents/MacOS/Chromium",
)

# Opens a file of this project: a browser shut into its own folders cannot do even that.
TRIAL = """
import sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=sys.argv[1] or None)
    page = browser.new_page()
    page.goto(sys.argv[2])
    assert "torch" in page.inner_text("body")
"""


class NoBrowser(Exception):
    """There is no browser to test with; the message says what to do."""


@functools.lru_cache
def ensure_browser():
    """The path of a browser that works, or None for playwright's own; installs one if need be."""
    browser = find_browser()
    if browser or works(None):
        return browser
    print("No Chrome or Chromium is here: installing one for the browser tests", flush=True)
    LOG.parent.mkdir(exist_ok=True)
    for command in installation():
        run_logged(command, LOG, [(r"^(Get:.*|Unpacking.*|Downloading.*)", "{}")])
    browser = find_browser()
    if browser or works(None):
        return browser
    driver = subprocess.run(
        [sys.executable, "-m", "playwright", "--version"], capture_output=True, text=True
    )
    if driver.returncode:  # on a small Linux it wants for libatomic1
        raise NoBrowser(f"The browser tests need playwright: {driver.stderr.splitlines()[0]}")
    raise NoBrowser(
        "The browser tests need Chrome or Chromium, and none could be installed (the log: "
        f"{LOG.relative_to(ROOT)}): install one, or say where: make test EFFNET_BROWSER=/path"
    )


def find_browser():
    """The path of an installed Chrome or Chromium that works, or None."""
    chosen = os.environ.get("EFFNET_BROWSER")
    if chosen and not works(chosen):
        raise NoBrowser(f"EFFNET_BROWSER={chosen} is not a browser that the tests can drive")
    places = [chosen] + [shutil.which(command) for command in COMMANDS]
    if platform.system() == "Darwin":
        places += [root / name for root in (Path("/"), Path.home()) for name in MAC_APPLICATIONS]
    return next((str(path) for path in places if path and works(path)), None)


def works(browser):
    """Whether playwright can open a file with this browser; None stands for its own."""
    if browser and not os.access(browser, os.X_OK):
        return False
    page = (ROOT / "requirements.txt").as_uri()
    command = [sys.executable, "-c", TRIAL, str(browser or ""), page]
    try:
        return subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def installation():
    """The commands that install a browser here."""
    can_apt = os.geteuid() == 0 and shutil.which("apt-get")
    if can_apt and linux_distribution() == "debian":
        apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
        packages = ["chromium", "libatomic1"]  # the second for playwright itself
        install = ["install", "--yes", "--no-install-recommends"]
        return [[*apt, "update"], [*apt, *install, *packages]]
    playwright = [sys.executable, "-m", "playwright", "install"]
    return [[*playwright, *(["--with-deps"] if can_apt else []), "chromium"]]


def linux_distribution():
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:
        return ""


if __name__ == "__main__":
    try:
        print("Browser tests use", ensure_browser() or "playwright's own Chromium")
    except NoBrowser as error:
        sys.exit(str(error))
