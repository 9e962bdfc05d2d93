"""Properties of every page of the studio. The route table names the pages, new ones included."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.required import axe
from support.studio_pages import Example, fits, violations
from support.studio_server import Studio, running
from zeropoint.studio.data.library import Library
from zeropoint.studio.http.app import StudioRoutes

NOT_PAGES = ("/api/", "/static/", "/report/file")
PAGES = sorted(
    route.path
    for route in StudioRoutes(Library(Path())).table()
    if "GET" in (route.methods or ()) and not route.path.startswith(NOT_PAGES)
)
# Figures that are the same whatever the model: formats and devices, the walk's own small model, and
# the neighbours of 1.0, with which the fourth figure begins, and a gradient that training adds.
ALIKE = {"f-ways", "stammer", "answer", "f4", "f20"}
# Lists of files, links and forms: they draw nothing of a model.
LISTS = ("/", "/chat", "/jobs", "/learn", "/models/{model}")
STILL = """() => document.documentElement.dataset.ready !== undefined
  && document.documentElement.dataset.busy === undefined
  && !document.querySelector("figure[data-visual=reading]")
  && [...document.querySelectorAll("figure[data-visual]")].every((f) => f.dataset.drawn !== ""
    && f.dataset.ready !== undefined && !/…\\s*$/.test(f.querySelector(".plot")?.innerText ?? "")
    && !/^Reading/m.test(f.querySelector(":scope > .note")?.innerText ?? ""))"""
CONTROLS = """() => [...document.querySelectorAll("figure [data-control]")].filter((e) => e.matches(
  "select, input")).map((e) => [e.dataset.control, e.type === "radio" ? e.checked : e.value])"""


def address(studio: Studio, path: str, example: Example) -> str:
    """A page of this example's model and runs; what needs no run does not mind one."""
    kinds = ["measured"] if path in ("/measure", "/compare") else ["measured", "made"]
    if path == "/long-run":
        kinds = ["followed", "asked"]
    if path == "/search":
        kinds = ["searched"]
    words = "&".join(f"run={studio.id_of(name, 'run')}" for name in kinds)
    return path.replace("{model}", studio.id_of(example.quant.name)) + f"?{words}"


def settled(page: Any) -> Any:
    """Wait until every figure has drawn what it asks the server for, and asks nothing more."""
    quiet = 0
    for _ in range(400):
        try:
            quiet = quiet + 1 if page.evaluate(STILL) else 0
            if quiet == 3:
                return page
        except Exception as error:  # the walk opens itself again when its model was read
            if "navigation" not in str(error):
                raise
        page.wait_for_timeout(50)
    raise AssertionError(f"{page.url} goes on drawing")


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(path: str, studio: Studio, example: Example, visit: Any) -> None:
    checker = axe()
    page = settled(visit(address(studio, path, example)))
    assert page.locator("h1").inner_text() not in ("Not here", "This could not be shown")
    page.locator("details.numbers summary").first.evaluate_all("all => all[0]?.click()")
    page.evaluate(checker)
    for scheme, told in violations(page, settled):
        assert told == [], f"{scheme}: {told}"


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_a_telephone(
    path: str, studio: Studio, example: Example, visit: Any
) -> None:
    page = settled(visit(address(studio, path, example), width=360))
    assert fits(page, 360)


@pytest.fixture(scope="module")
def others(other: Example) -> Iterator[Studio]:
    with running(other.model.parent) as found:
        yield found


@pytest.mark.parametrize("path", [path for path in PAGES if path not in LISTS])
def test_another_model_is_another_page(
    path: str, studio: Studio, others: Studio, example: Example, other: Example, open_studio: Any
) -> None:
    """No number is drawn that was not read: where the data differ, every figure does."""
    seen = []
    for where, what in ((studio, example), (others, other)):
        page = settled(open_studio(where)(address(where, path, what)))
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        figures = page.locator("figure[data-visual]:not(:has(.borrowed)), #compared").all()
        shown = "f => [...f.querySelectorAll('data[value], td')].map(e => e.value ?? e.textContent)"
        seen.append({f.get_attribute("id"): f.evaluate(shown) for f in figures})
    assert seen[0] and seen[0].keys() == seen[1].keys()
    same = {name for name in seen[0] if seen[0][name] and seen[0][name] == seen[1][name]}
    assert same - ALIKE == set()


@pytest.mark.parametrize("path", [path for path in PAGES if path not in LISTS])
def test_what_is_turned_is_in_the_address(
    path: str, studio: Studio, example: Example, visit: Any
) -> None:
    """A menu or a choice of every figure is changed; the address, opened anew, shows the same."""
    page = settled(visit(address(studio, path, example)))
    turned = page.evaluate(
        """() => [...document.querySelectorAll("figure[data-visual]")].map((f) => {
          const radio = f.querySelector("input[type=radio]:not(:checked)");
          const menu = [...f.querySelectorAll("select")].find((m) => m.options.length > 1
            && m.dataset.control !== "tensor");
          if (radio) radio.click();
          else if (menu) {
            menu.selectedIndex = menu.selectedIndex ? 0 : menu.options.length - 1;
            menu.dispatchEvent(new Event("change", { bubbles: true }));
          }
          return radio || menu ? 1 : 0; }).reduce((a, b) => a + b, 0)"""
    )
    settled(page)
    before, link = page.evaluate(CONTROLS), page.url
    assert not turned or "#" in link
    page.goto("about:blank")
    page.goto(link)
    for _ in range(200):  # some controls come with a later answer of the server
        if settled(page).evaluate(CONTROLS) == before:
            break
        page.wait_for_timeout(50)
    assert page.evaluate(CONTROLS) == before
