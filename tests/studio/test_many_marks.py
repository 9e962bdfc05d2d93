"""Figures of ten thousand marks: how long one change takes to be drawn.

The bound is what a hand feels (50 ms, ux.md's budget). What is held to it is the least of some
changes, layout included: what the change itself costs, without what else the machine was doing.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.studio_pages import BOUND, MEASURE
from zeropoint.studio.report.bundle import self_contained

MARKS = 10_000
LAYERS = 100


def tensors() -> list[dict[str, Any]]:
    """A file of many tensors: experts that were not stacked."""
    rng = np.random.default_rng(1)
    return [
        {
            "name": f"blk.{i % LAYERS}.ffn_down.{i // LAYERS}.weight", "index": i,
            "kind": f"ffn_down.{i // LAYERS}", "shape": [256, 512],
            "format": ("Q4_K", "Q6_K", "IQ4_XS")[i % 3], "bytes": int(rng.integers(50_000, 99_000)),
            "relative_error": float(rng.uniform(0, 0.1)), "rms": 1.0, "largest": float(i % 40),
        }
        for i in range(MARKS)
    ]  # fmt: skip


def texts() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 500, (MARKS, 2, 10)).astype(np.int32)
    logp = -np.sort(rng.exponential(2, (MARKS, 2, 10)).astype(np.float32))
    nll = rng.exponential(2, (2, MARKS)).astype(np.float32)
    return [
        {
            "domain": "prose", "first": 0, "pieces": {str(i): f" w{i}" for i in range(500)},
            "tokens": rng.integers(0, 500, MARKS + 1).astype(np.int32),
            "kl": rng.exponential(0.1, MARKS).astype(np.float32),
            "nll_reference": nll[0], "nll_quant": nll[1],
            "ids": ids.reshape(-1), "logp": logp.reshape(-1),
        }
    ]  # fmt: skip


# Each change is one that a reader makes: another tensor, the next token, another colour.
NEXT = "() => document.querySelector('[data-control={}]').click()"
ARROW = """() => { const mark = document.querySelector('figure [tabindex="0"][data-mark]');
  mark.focus();
  mark.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })); }"""
MENU = """() => { const box = document.querySelector("[data-control=tensor]");
  const names = (window.names ??= [...box.list.options].map((option) => option.value));
  box.value = names[(names.indexOf(box.value) + 37) % names.length];
  box.dispatchEvent(new Event("change")); }"""
FIGURES = {
    "bytes": {"arrow": ARROW, "menu": MENU},
    "heat": {"arrow": ARROW, "menu": MENU},
    "divergence": {"token": NEXT.format("forward"), "worst": NEXT.format("next-worst")},
    "perplexity": {"token": NEXT.format("forward")},
    "flips": {"flip": NEXT.format("next-flip")},
}


def page_of(visual: str, folder: Path) -> Path:
    data = {"tensors": tensors()} if visual in ("bytes", "heat") else {"texts": texts(), "run": "r"}
    entry = "walk" if visual in ("perplexity", "flips") else "report"
    figure = f'<figure data-visual="{visual}" id="f"><figcaption>Many</figcaption></figure>'
    path = folder / f"{visual}.html"
    path.write_text(self_contained("Many marks", f"<main>{figure}</main>", entry, data))
    return path


@pytest.mark.parametrize("visual", FIGURES)
def test_a_change_among_ten_thousand_marks_is_drawn_at_once(
    visual: str, new_page: Any, tmp_path: Path
) -> None:
    """Also with the table of all of them open."""
    page = new_page(page_of(visual, tmp_path), bypass_csp=True)
    page.set_default_timeout(60_000)
    page.locator("figure .plot > *").first.wait_for()

    def check(table: str) -> None:
        for name, change in FIGURES[visual].items():
            took = page.evaluate(MEASURE, change)
            assert min(took) < BOUND, (name, table, took)

    check("closed")
    page.locator("details.numbers summary").click()
    page.locator("details.numbers table").wait_for()
    check("open")


def test_many_marks_have_one_stop_that_moves(new_page: Any, tmp_path: Path) -> None:
    """Ten thousand rectangles are a few paths; keys, pointer and names are those of elements."""
    page = new_page(page_of("heat", tmp_path), bypass_csp=True)
    stop = page.locator("figure rect.stop")
    assert page.locator("figure svg *").count() < 500
    first = stop.get_attribute("data-mark")
    stop.focus()
    page.keyboard.press("ArrowRight")
    second = stop.get_attribute("data-mark")
    assert second != first and second in page.url
    page.keyboard.press("ArrowDown")
    assert stop.get_attribute("data-mark").split(".")[1] == second.split(".")[1]  # its layer
    page.keyboard.press("End")
    last = stop.get_attribute("data-mark")
    page.keyboard.press("Home")
    home = stop.get_attribute("data-mark")
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("figure svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 6, box["y"] + 12)
    clicked = stop.get_attribute("data-mark")
    assert clicked not in (home, last) and clicked in page.url
    assert page.evaluate("document.activeElement.classList.contains('stop')")
    assert clicked in stop.get_attribute("aria-label")
    page.locator("[data-control=tensor]").fill("nothing of this name")
    page.keyboard.press("Enter")
    assert page.locator("[data-control=tensor]").get_attribute("aria-invalid") == "true"
    assert stop.get_attribute("data-mark") == clicked
