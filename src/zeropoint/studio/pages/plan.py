"""The pages Plan, Speed and Size vs bits: memory, speed, and larger models at fewer bits."""

from zeropoint.studio.data.library import Library
from zeropoint.studio.data.memory_vs_loss import series_of
from zeropoint.studio.data.planner import Planner
from zeropoint.studio.pages.layout import (
    COMPARE_TABS,
    PLAN_TABS,
    content,
    header,
    page,
    sidebar,
    tabs,
)
from zeropoint.studio.pages.start_run import start_here
from zeropoint.studio.report.html import element, figure, literal, paragraph

DEFAULT_DEVICES = (
    "here",
    "rtx3060-12gb",
    "rtx3090",
    "m1-max-64gb",
)  # devices, until others are chosen

OWN_DEVICES = "~/.config/zeropoint/devices.toml"  # rows that a person adds

NOT_MEASURED_NOTE = literal(
    "<p>The speeds of this machine are unknown until it is measured. <code>zeropoint doctor</code> "
    "measures it in a few seconds, and every <code>zeropoint bench</code> improves the estimate."
    "</p>"
)

PLAN_FIGURES = (
    (
        "planbars",
        "f-plan",
        "What fits where",
        "Each bar is the memory that the model needs; the line is the limit of the device. Pick "
        "a device.",
    ),
    (
        "planparts",
        "f-parts",
        "Where the memory goes, and what to change",
        "For the selected answer.",
    ),
    ("planranks", "f-answers", "All answers, best first", "What fits comes first."),
)


SPEED_FIGURES = (
    (
        "roofline",
        "f-roof",
        "Speed, beside the limits of the device",
        "Lines: what a device could do. Points: what is expected. Change the batch, pick a point.",
    ),
)


def plan_page(library: Library, planner: Planner) -> str:
    """Return the page Plan."""
    lead = "Weights, cache and buffers beside the limits of the machines that could run them."
    return _page(library, planner, "/plan", ("", "What fits on which machine", lead), PLAN_FIGURES)


def speed_page(library: Library, planner: Planner) -> str:
    """Return the page Speed."""
    lead = "What limits a model on a device: bytes that are read, or numbers that are multiplied."
    return _page(library, planner, "/speed", ("", "What limits the speed", lead), SPEED_FIGURES)


def size_page(library: Library, planner: Planner) -> str:
    """Return the page Size vs bits."""
    series = series_of(planner.earlier_results().runs, planner.shape_of)
    lead = "A larger model at fewer bits, or a smaller one at more bits: as measured."
    drawn = (
        figure(
            "sizebits",
            "f-size",
            "Quality of models by their memory",
            "One line for each size of model, marks by bits. The ring marks the best model in the "
            "budget.",
        )
        if series
        else NO_RUNS_NOTE
    )
    verbs = ("compare", "tasks", "measure")
    start, data = start_here(library, verbs, "Compare models")
    heading = header(
        "", "A larger model, or more bits?", lead, tabs(COMPARE_TABS, "/size", "Compare")
    )
    body = content(heading, drawn, start, SCALES_NOTE)
    return page("Different models", sidebar(library, "/size"), body, {"sizes": series} | data)


NO_RUNS_NOTE = literal(
    '<div class="empty"><p>No run compares models yet. Start one below: it takes models of any '
    "size and architecture.</p></div>"
)
SCALES_NOTE = literal(
    "<p>Models may be compared by nats per byte of the same text, by tasks and by chains: "
    "<code>zeropoint compare A.gguf B.gguf --run DIR</code> in a terminal does the same. KL, which "
    "<code>zeropoint measure</code> reports, is the divergence from a model's own reference. It "
    "ranks the quantized versions of one model, and never ranks one model against another.</p>"
)


def _page(
    library: Library,
    planner: Planner,
    address: str,
    head: tuple[str, str, str],
    figures: tuple[tuple[str, str, str, str], ...],
) -> str:
    offered = planner.offered()
    parts = [figure(*words) for words in figures]
    if not offered["measured"]:
        parts.insert(0, NOT_MEASURED_NOTE)
    own = element("code", OWN_DEVICES)
    parts.append(paragraph("To add a device of your own, describe it in ", own, "."))
    body = content(header(*head, tabs(PLAN_TABS, address, "Plan")), *parts)
    return page(
        head[1], sidebar(library, address), body, offered | {"usual": list(DEFAULT_DEVICES)}
    )
