"""Draw the picture of the explorer that the README opens with.

    .venv/bin/python -m tools.picture

It is a picture of the explorer itself, at φ = 2.5, taken again whenever its looks change.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from effnet_lib import phi_explorer
from tools.browser import ensure_browser

PICTURE = Path(__file__).parents[1] / "_static" / "phi-explorer.png"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = phi_explorer().save(Path(folder) / "phi.html")
        browser = playwright.chromium.launch(executable_path=ensure_browser(), args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 900, "height": 900}, device_scale_factor=2, color_scheme="light"
        )
        page.goto(f"{page_file.as_uri()}#phi=2.5")
        page.wait_for_timeout(1000)
        top = page.locator(".effnet-live").bounding_box()
        end = page.locator(".effnet-why").bounding_box()
        height = end["y"] + end["height"] - top["y"] + 12
        page.screenshot(path=PICTURE, clip={**top, "height": height})
        browser.close()
    print(f"drawn: {PICTURE} ({PICTURE.stat().st_size // 1024} KB)")


if __name__ == "__main__":
    main()
