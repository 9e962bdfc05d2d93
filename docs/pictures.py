"""Take the pictures of the README, of the project's own pages.

    python docs/pictures.py REPORT.html STUDIO

REPORT.html is a report of Gemma 3 270M (`zeropoint report`), STUDIO the address that `zeropoint
studio gemma-3-270m-Q4_K_M.gguf` prints. Needs playwright and chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"


def take(page: Page, address: str, name: str, *figures: str) -> None:
    """Open a page and take what lies between the first and the last of these elements."""
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")
    boxes = [page.locator(figure).first.bounding_box() for figure in figures]
    top = min(box["y"] for box in boxes if box) - 24
    bottom = max(box["y"] + box["height"] for box in boxes if box) + 24
    page.screenshot(
        path=PICTURES / f"{name}.png",
        full_page=True,
        clip={"x": 80, "y": top, "width": 1040, "height": bottom - top},
    )


def take_multiply(page: Page, studio: str) -> None:
    """Enter the studio and take its model's first dot product, at the sums."""
    page.goto(studio)
    page.goto(page.locator("a[href*='/multiply']").first.evaluate("a => a.href"))
    figure = page.locator("#f-multiply")
    figure.get_by_text("32-bit sums", exact=True).click()
    figure.get_by_text("without rounding").wait_for()
    figure.screenshot(path=PICTURES / "studio.png")


def main(report: str, studio: str) -> None:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        walk, path = (HERE / "walk.html").as_uri(), Path(report).resolve().as_uri()
        for name, scheme, address, figures in (
            ("walk", "light", walk, ("#s10 h2", "#f10")),
            ("report", "dark", path, ("#text h2", "#f-text")),
        ):
            page = browser.new_page(
                viewport={"width": 1200, "height": 900},
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            take(page, address, name, *figures)
            page.close()
        take_multiply(browser.new_page(viewport={"width": 1200, "height": 900}), studio)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
