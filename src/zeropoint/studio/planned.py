"""The pages Plan and Speed: what fits where, how fast, and how far that is from what could be."""

from zeropoint.studio.html import figure, text
from zeropoint.studio.library import Library
from zeropoint.studio.pages import FOOT, page, rail, top
from zeropoint.studio.planner import Planner

USUAL = ("here", "rtx3060-12gb", "rtx3090", "m1-max-64gb")  # devices, until others are chosen

UNMEASURED = (
    "<p>This machine was not measured yet, so its speeds are not told: <code>zeropoint doctor"
    "</code> measures it, some seconds, and every <code>zeropoint bench</code> makes them better."
    "</p>"
)

PLAN = (
    ("planbars", "f-plan", "What fits where",
     "Each bar is what the model needs, the line is what the device lets it have. Pick a device."),
    ("planparts", "f-parts", "Where the memory goes, how that is known, and what to turn",
     "Of the answer that is picked."),
    ("planranks", "f-answers", "The answers, the best first", "What fits comes first."),
)  # fmt: skip


SPEED = (
    ("roofline", "f-roof", "How fast it is, and how far that is from what the device could do",
     "Lines: what a device could do. Points: what is expected. Turn the batch, pick a point."),
)  # fmt: skip


def plan_page(library: Library, planner: Planner) -> str:
    """Return the page Plan."""
    lead = "Weights, cache and buffers beside the limits of the machines that could run them."
    return _page(library, planner, "/plan", ("plan", "What fits on which machine", lead), PLAN)


def speed_page(library: Library, planner: Planner) -> str:
    """Return the page Speed."""
    lead = "What limits a model on a device: bytes that are read, or numbers that are multiplied."
    return _page(library, planner, "/speed", ("speed", "What limits the speed", lead), SPEED)


def _page(
    library: Library,
    planner: Planner,
    address: str,
    head: tuple[str, str, str],
    figures: tuple[tuple[str, str, str, str], ...],
) -> str:
    offered = planner.offered()
    told = "" if offered["measured"] else UNMEASURED
    note = f"<p>Devices are rows of data; yours go into <code>{text(own_rows())}</code>.</p>"
    drawn = "".join(figure(*words) for words in figures)
    body = f"{top(*head)}<main>{told}{drawn}{note}</main>{FOOT}"
    return page(head[1], rail(library, address), body, offered | {"usual": list(USUAL)})


def own_rows() -> str:
    """Return where a person's own devices are written down."""
    return "~/.config/zeropoint/devices.toml"
