"""HTML of results in a notebook."""

from dataclasses import dataclass
from html.parser import HTMLParser

import pytest

from zeropoint.results.divergence import KL, LadderLevel, LadderResult, MeasureResult, Verdict
from zeropoint.results.html import MAX_ROWS, register_figure
from zeropoint.results.interval import Interval
from zeropoint.results.schema import Record

MEASURED = MeasureResult(kl=KL(0.125, 0.1, 0.15), tokens=512, verdict=Verdict("SMALL", "little"))


class Cells(HTMLParser):
    """Collects the text of table cells and the attributes of frames."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.frames: list[dict[str, str | None]] = []
        self.open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag in ("td", "th")
        if self.open:
            self.cells.append("")
        if tag == "iframe":
            self.frames.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        if self.open:
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.open = False


def test_a_notebook_shows_the_figures_of_a_measurement_as_a_table() -> None:
    cells = Cells(MEASURED._repr_html_()).cells
    assert cells[: cells.index("everything")] == [
        "name", "group", "tokens", "chunks", "kl.mean", "kl.low", "kl.high",
    ]  # fmt: skip
    assert cells[cells.index("everything") :] == [
        "everything", "", "512", "0", "0.125", "0.1", "0.15",
    ]  # fmt: skip


def test_a_ladder_has_one_row_for_each_level() -> None:
    levels = tuple(
        LadderLevel(level=name, format=name, bytes=size, bits_per_weight=4.5, measured=MEASURED)
        for name, size in (("Q4_K", 900), ("Q3_K", 700))
    )
    cells = Cells(LadderResult(levels=levels)._repr_html_()).cells
    width = cells.index("Q4_K")
    assert [cells[width], cells[2 * width]] == ["Q4_K", "Q3_K"]
    assert len(cells) == 3 * width


def test_names_from_files_cannot_add_markup() -> None:
    name = '<script>alert("x")</script>'
    level = LadderLevel(level=name, format=name, bytes=1, bits_per_weight=4.5, measured=MEASURED)
    html = LadderResult(levels=(level,))._repr_html_()
    assert "<script" not in html
    assert name in Cells(html).cells


def test_a_long_table_says_how_many_rows_it_leaves_out() -> None:
    measured = MeasureResult(
        kl=KL(1.0), by_position={str(i): MEASURED.whole for i in range(MAX_ROWS)}
    )
    html = measured._repr_html_()
    assert html.count("<tr>") == MAX_ROWS + 1
    assert "<p>1 more rows; rows() has all.</p>" in html


@dataclass(frozen=True)
class Drawn(Record):
    mean: float


@pytest.mark.parametrize(("page", "frames"), [("<p class='a'>figure & more</p>", 1), ("", 0)])
def test_a_registered_figure_is_shown_in_a_frame_of_its_own(page: str, frames: int) -> None:
    register_figure(Drawn, lambda record: page)
    shown = Cells(Drawn(1.0)._repr_html_()).frames
    assert [frame["srcdoc"] for frame in shown] == [page] * frames
    assert all(frame["sandbox"] == "allow-scripts" for frame in shown)


def test_a_kind_without_a_figure_is_a_table_alone() -> None:
    assert Cells(Interval(0.5)._repr_html_()).frames == []
