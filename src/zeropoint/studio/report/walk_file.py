"""The walk as one HTML file: text from static/entries/walk.html, data from data/walk.py."""

from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.report.bundle import self_contained
from zeropoint.studio.report.html import element, figures_of, fragment, literal, static_html
from zeropoint.studio.static_files import STATIC

STORIES = "entries/stories.safetensors"  # the small language model of two figures
WITH_STORIES = ("stammer", "answer")
TITLE = "How many bits until it stops making sense?"
DESCRIPTION = (
    "A language model that writes inside this page while you take its bits away, and the whole way"
    " from one bit to the verdict: quantization on the weights of a real model."
)
PREVIEW = "pictures/walk.png"  # beside the page on the site


def render_walk(data: PageData) -> str:
    """Return the walk with this data (see `data.walk.Walk`) as one HTML file."""
    named = {"og:title": TITLE, "og:description": DESCRIPTION, "og:image": PREVIEW}
    head = fragment(
        element("meta", name="description", content=DESCRIPTION),
        *(element("meta", property=name, content=text) for name, text in named.items()),
        literal("\n"),
    )
    return self_contained(
        TITLE, static_html("entries/walk.html"), "walk", data, files=_stories(), head=head
    )


def figure_ids() -> list[str]:
    """Return the ids of the walk's figures, in the order of the page."""
    return list(figures_of(static_html("entries/walk.html")))


def render_figure(data: PageData, figure: str) -> str:
    """Return one figure of the walk as an HTML file of its own, to be embedded in another page.

    Raises KeyError if the walk has no figure of this id.
    """
    body = element("main", figures_of(static_html("entries/walk.html"))[figure])
    files = _stories() if figure in WITH_STORIES else {}
    return self_contained(TITLE, body, "walk", data, files=files)


def _stories() -> dict[str, bytes]:
    return {"stories": (STATIC / STORIES).read_bytes()}
