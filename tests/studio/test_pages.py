"""Pages of two tiny models, opened from the disk."""

from typing import Any

import pytest

from support.studio_pages import Example, number, press, rows, turn


def test_another_model_is_another_page(example: Example, other: Example, new_page: Any) -> None:
    """No number is drawn that was not read: where the data differ, every figure does."""
    pages = new_page(example.walk), new_page(other.walk)
    for page in pages:
        press(page, "#f4", "reset")  # it begins at 1.0
    same = [i for i in range(1, 20) if rows(pages[0], f"#f{i}") == rows(pages[1], f"#f{i}")]
    assert same == []


def test_links_inside_a_page_keep_what_is_shown(example: Example, new_page: Any) -> None:
    page = new_page(example.walk, "#model.bits=3")
    assert number(page, "#f1", "share") == 3 / 16
    page.locator('nav a[href="#s7"]').click()
    assert page.url.endswith("#s7&model.bits=3")
    assert number(page, "#f1", "share") == 3 / 16
    turn(page, "#f7", "tensor", example.data["tensors"][2]["name"])
    again = new_page(example.walk, "#" + page.url.partition("#")[2])
    assert number(again, "#f7", "largest") == example.data["tensors"][2]["largest"]
    assert again.evaluate("scrollY") > 500
    page.go_back()
    assert number(page, "#f7", "largest") != example.data["tensors"][2]["largest"]


def test_an_address_that_somebody_broke_opens_the_page(example: Example, new_page: Any) -> None:
    broken = (
        "#s3&number.type=%E0&model.bits=x&piece=gone&tensor=&toy.way=none&density.reach=-1&=&"
        "at=9e9&neuron.product=-3&blocks.size=0&symmetric.kind=No&speed.level=1e9&ladder.level=-7"
    )
    page = new_page(example.walk, broken)
    assert page.locator("figure[data-ready]").count() == 23
    for index in range(1, 20):
        assert page.locator(f"#f{index} .plot > *").count() > 0, index


@pytest.mark.parametrize("which", ["example", "other"])
def test_every_figure_of_the_walk_is_drawn_and_has_its_table(
    which: str, request: pytest.FixtureRequest, new_page: Any
) -> None:
    made: Example = request.getfixturevalue(which)
    page = new_page(made.walk)
    figures = page.locator("figure[data-visual]")
    assert figures.count() == 23
    for index in range(1, 20):
        assert page.locator(f"#f{index} .plot > *").count() > 0, index
        assert len(rows(page, f"#f{index}")) > 1, index
    assert page.locator(".borrowed").count() == 0
    assert number(page, "#f1", "parameters") == made.data["model"]["parameters"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
