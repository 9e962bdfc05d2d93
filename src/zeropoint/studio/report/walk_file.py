"""The walk as one HTML file: text from static/entries/walk.html, data from data/walk.py."""

from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.report.bundle import self_contained
from zeropoint.studio.report.html import static_html
from zeropoint.studio.static_files import STATIC

STORIES = "entries/stories.safetensors"  # the small language model of the first figure
TITLE = "Quantization, on a real model"


def render_walk(data: PageData) -> str:
    """Return the walk with this data (see `data.walk.Walk`) as one HTML file."""
    files = {"stories": (STATIC / STORIES).read_bytes()}
    return self_contained(TITLE, static_html("entries/walk.html"), "walk", data, files)
