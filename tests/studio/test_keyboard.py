"""The main action of every page, from Home, with the keyboard alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.required import axe
from support.studio_pages import until, violations
from support.studio_server import Studio, running
from support.tiny_models import write_model

MAX_TABS = 60
FOCUSED = """() => { const e = document.activeElement;
  return (e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent).trim(); }"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio of two files of one model, without any run."""
    root = tmp_path_factory.mktemp("keyboard")
    write_model(root / "tiny-Q8_0.gguf", format="Q8_0")
    write_model(root / "tiny-F16.gguf", format="F16")
    (root / "book.txt").write_text("the rain in spain 42\n" * 600)
    with running(root) as found:
        yield found


@pytest.fixture
def go(own: Studio, open_studio: Any) -> Callable[[str], Any]:
    """Opens pages of the studio of two files."""
    opened: Callable[[str], Any] = open_studio(own)
    return opened


def ready(page: Any) -> None:
    page.wait_for_selector("html[data-ready]", state="attached")


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the focus is on an element whose name begins with this text."""
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).startswith(name):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {name} is not visible"
            return
    raise AssertionError(f"{MAX_TABS} tabs from the start do not reach {name} on {page.url}")


def follow(page: Any, name: str) -> None:
    """Go to a link or button by Tab, and press Enter."""
    tab_to(page, name)
    page.keyboard.press("Enter")
    ready(page)


def test_a_model_is_found_measured_and_compared(own: Studio, go: Callable[[str], Any]) -> None:
    page = go("/")
    tab_to(page, "Name or path of a model")
    page.keyboard.type(f"{own.root}/tiny-Q8")
    page.locator(".matches a", has_text="tiny-Q8_0.gguf").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/models/{own.id_of('tiny-Q8_0.gguf')}")
    ready(page)
    assert page.locator("h1").inner_text() == "tiny-Q8_0.gguf"
    follow(page, "Measure")
    assert page.locator('[data-control="model"]').input_value() == own.id_of("tiny-Q8_0.gguf")
    assert page.locator('[data-control="reference"]').input_value() == own.id_of("tiny-F16.gguf")
    tab_to(page, "Chunks of text")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("2")
    follow(page, "Measure")
    page.locator('.job[data-state="done"]', has_text="nats per token").wait_for(timeout=60_000)
    card = page.locator(".job").first.inner_text()
    assert "KL" in card and "nats per token" in card and "Done in" in card
    assert page.locator(".job .chip").inner_text() in (
        "INDISTINGUISHABLE", "SMALL, MEASURABLE", "NOTICEABLE", "BROKEN", "UNDECIDED"
    )  # fmt: skip
    page.evaluate(axe())
    assert [told for _, told in violations(page) if told] == []
    follow(page, "Compare")
    follow(page, "Show these runs")
    assert "tiny-Q8_0.gguf" in page.locator("#compared").inner_text()
    assert page.locator("a.primary, button.primary").count() <= 1


def test_a_smaller_file_is_written_and_a_failure_is_text(
    own: Studio, go: Callable[[str], Any]
) -> None:
    page = go("/")
    tab_to(page, "Name or path of a model")
    page.keyboard.type("Q8")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/*")
    ready(page)
    follow(page, "Make smaller")
    follow(page, "Write the smaller file")
    problem = page.locator('.job[data-state="failed"] .problem')
    problem.wait_for(timeout=60_000)
    assert "already quantized" in problem.inner_text(), "without opening anything"
    tab_to(page, "Allow a model that is already quantized")
    page.keyboard.press("Space")
    follow(page, "Write the smaller file")
    page.locator('.job[data-state="done"] .finding', has_text="bits per weight").wait_for(
        timeout=60_000
    )
    assert len(list(own.root.glob("tiny-Q8_0-Q4_K_M.gguf"))) == 1


def test_two_models_answer_and_a_reload_keeps_the_conversation(go: Callable[[str], Any]) -> None:
    page = go("/")
    follow(page, "Chat")
    tab_to(page, "Message to both models")
    page.keyboard.type("the rain")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("in spain")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#f-chat').dataset.busy === 'no'"
                " && document.querySelectorAll('.answer').length === 2")  # fmt: skip
    assert page.locator(".message").inner_text() == "the rain\nin spain"
    answers = page.locator(".answer").all_inner_texts()
    assert all("No chat template" in answer for answer in answers)
    assert page.locator("textarea").input_value() == ""
    page.evaluate(axe())
    assert [told for _, told in violations(page) if told] == []
    page.reload()
    ready(page)
    assert page.locator(".answer").all_inner_texts() == answers
    tab_to(page, "New chat")
    page.keyboard.press("Enter")
    assert page.locator(".answer").count() == 0
    assert page.locator('[data-control="earlier"] option').count() == 2, "it is still there"


@pytest.mark.parametrize(
    ("link", "title", "shown"),
    [("Plan", "What fits on which machine", "#f-plan[data-answer=answered] svg"),
     ("Learn", "Learn", "a.primary"), ("Jobs", "Jobs", "#f-jobs button.primary")],
)  # fmt: skip
def test_the_other_pages_of_the_sidebar(
    go: Callable[[str], Any], link: str, title: str, shown: str
) -> None:
    page = go("/")
    follow(page, link)
    assert page.locator("h1").inner_text() == title
    page.locator(shown).first.wait_for()
    assert page.locator("a.primary, button.primary").count() <= 1


def test_a_narrow_screen_folds_the_sidebar_into_a_menu(go: Callable[[str], Any]) -> None:
    page = go("/")
    page.set_viewport_size({"width": 360, "height": 780})
    assert not page.locator("#menu").is_visible()
    follow(page, "Menu")
    assert page.locator("#menu").is_visible()
    follow(page, "Plan")
    assert page.locator("h1").inner_text() == "What fits on which machine"


def test_lists_are_cards_on_a_narrow_screen(go: Callable[[str], Any]) -> None:
    page = go("/")
    page.set_viewport_size({"width": 360, "height": 780})
    page.wait_for_selector("html[data-filled]", state="attached")
    row = page.locator("#models tbody tr").first
    left, right = (row.locator("td").nth(i).bounding_box() for i in (0, 1))
    assert right["y"] >= left["y"] + left["height"] - 1, "cells are below each other"
    assert page.locator("#models .tablewrap").evaluate("e => e.scrollWidth <= e.clientWidth")


def test_names_are_never_broken_inside_a_word(go: Callable[[str], Any], own: Studio) -> None:
    """The parts of a name, between its separators, are on one line each."""
    page = go("/")
    broken = page.evaluate(
        """() => [...document.querySelectorAll("#models .name")].filter((name) => {
          const words = [...name.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE);
          return words.some((word) => { const range = document.createRange();
            range.selectNodeContents(word);
            return range.getClientRects().length > 1; }); }).length"""
    )
    assert broken == 0


def test_a_page_that_is_gone_leads_home(own: Studio, go: Callable[[str], Any]) -> None:
    path: Path = write_model(own.root / "moved.gguf")
    page = go(f"/models/{own.id_of('moved.gguf')}")
    path.unlink()
    answer = own.get(page.url.split(own.host)[1])
    assert answer.status == 404 and b"moved, renamed or deleted" in answer.body
    assert b'href="/" class="primary"' in answer.body
