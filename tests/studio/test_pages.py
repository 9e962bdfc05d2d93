"""Pages of two tiny models, opened from the disk."""

from typing import Any

import pytest
from studio_pages import Example, number, rows


@pytest.mark.parametrize("which", ["example", "other"])
def test_every_figure_of_the_walk_is_drawn_and_has_its_table(
    which: str, request: pytest.FixtureRequest, new_page: Any
) -> None:
    made: Example = request.getfixturevalue(which)
    page = new_page(made.walk)
    figures = page.locator("figure[data-visual]")
    assert figures.count() == 19
    for index in range(1, 20):
        assert page.locator(f"#f{index} .plot > *").count() > 0, index
        assert len(rows(page, f"#f{index}")) > 1, index
    assert page.locator(".borrowed").count() == 0
    assert number(page, "#f1", "parameters") == made.data["model"]["parameters"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
