"""Every page for everybody: axe-core, keyboard, narrow and dark screens, paper."""

from pathlib import Path
from typing import Any

import pytest

from support.required import axe
from support.studio_pages import Example, fits, violations


@pytest.mark.parametrize("which", ["walk", "report"])
def test_axe_finds_nothing(which: str, request: Any, new_page: Any) -> None:
    checker = axe()
    page = new_page(request.getfixturevalue(f"{which}_page"), bypass_csp=True)
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    page.locator("details.numbers table").first.wait_for()
    page.add_script_tag(content=checker)
    for scheme, told in violations(page):
        assert told == [], f"{scheme}: {told}"


@pytest.fixture
def walk_page(example: Example) -> Path:
    return example.walk


@pytest.mark.parametrize("which", ["walk", "report"])
def test_a_page_is_as_narrow_as_a_telephone(which: str, request: Any, new_page: Any) -> None:
    path = request.getfixturevalue(f"{which}_page")
    page = new_page(path, viewport={"width": 360, "height": 780}, color_scheme="dark")
    assert fits(page, 360)


def test_every_control_can_be_reached_by_tab_and_is_seen(example: Example, new_page: Any) -> None:
    page = new_page(example.walk)
    wanted = page.evaluate(
        "[...document.querySelectorAll('#f1, #f3, #f9')].flatMap(f => [...f.querySelectorAll("
        "'[data-control]')]).filter(e => e.checkVisibility() && e.type !== 'radio').length"
    )
    page.locator("#s1").evaluate("e => { e.tabIndex = -1; e.focus(); }")
    seen = set()
    for _ in range(160):
        page.keyboard.press("Tab")
        place = page.evaluate(
            "() => { const e = document.activeElement, f = e.closest('figure');"
            " const ring = getComputedStyle(e);"
            " return [f?.id, e.dataset.control ?? null, ring.outlineStyle]; }"
        )
        if place[0] in ("f1", "f3", "f9") and place[1]:
            seen.add((place[0], place[1]))
            assert place[2] != "none" or "=" in place[1]
        if place[0] == "f10":
            break
    assert len({pair for pair in seen if "=" not in pair[1]}) >= wanted


def test_a_page_prints_with_all_its_sections(report_page: Path, new_page: Any) -> None:
    page = new_page(report_page)
    page.emulate_media(media="print")
    assert len(page.pdf()) > 20_000
    for name in ("verdict", "what", "bytes", "loss", "text", "tensors", "why", "method"):
        assert page.locator(f"#{name}").is_visible()


def test_forced_colours_keep_the_marks(report_page: Path, new_page: Any) -> None:
    page = new_page(report_page, forced_colors="active")
    fill = page.locator("#f-loss circle.dot").first.evaluate("e => getComputedStyle(e).fill")
    ground = page.locator("#f-loss").evaluate("e => getComputedStyle(e).backgroundColor")
    assert fill != ground


@pytest.fixture(scope="session")
def report_page(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from zeropoint.cli import main

    path = tmp_path_factory.mktemp("printed") / "report.html"
    assert main(["report", *map(str, example.runs), "-o", str(path), "-q"]) == 0
    return path
