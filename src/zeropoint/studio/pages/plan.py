"""The pages Plan, Speed and Size vs bits: memory, speed, and larger models at fewer bits."""

from zeropoint.studio.data.library import Library
from zeropoint.studio.data.memory_vs_loss import series_of
from zeropoint.studio.data.planner import Planner
from zeropoint.studio.pages.layout import content, header, page, sidebar
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
    "<p>This machine was not measured yet, so its speeds are not told: <code>zeropoint doctor"
    "</code> measures it, some seconds, and every <code>zeropoint bench</code> makes them better."
    "</p>"
)

PLAN_FIGURES = (
    (
        "planbars",
        "f-plan",
        "What fits where",
        "Each bar is what the model needs, the line is what the device lets it have. Pick a "
        "device.",
    ),
    (
        "planparts",
        "f-parts",
        "Where the memory goes, how that is known, and what to turn",
        "Of the answer that is picked.",
    ),
    ("planranks", "f-answers", "The answers, the best first", "What fits comes first."),
)


SPEED_FIGURES = (
    (
        "roofline",
        "f-roof",
        "How fast it is, and how far that is from what the device could do",
        "Lines: what a device could do. Points: what is expected. Turn the batch, pick a point.",
    ),
)


def plan_page(library: Library, planner: Planner) -> str:
    """Return the page Plan."""
    lead = "Weights, cache and buffers beside the limits of the machines that could run them."
    return _page(
        library, planner, "/plan", ("plan", "What fits on which machine", lead), PLAN_FIGURES
    )


def speed_page(library: Library, planner: Planner) -> str:
    """Return the page Speed."""
    lead = "What limits a model on a device: bytes that are read, or numbers that are multiplied."
    return _page(
        library, planner, "/speed", ("speed", "What limits the speed", lead), SPEED_FIGURES
    )


def size_page(library: Library, planner: Planner) -> str:
    """Return the page Size vs bits."""
    series = series_of(planner.earlier_results().runs, planner.shape_of)
    lead = "A larger model at fewer bits, or a smaller one at more: by what was measured."
    drawn = (
        figure(
            "sizebits",
            "f-size",
            "What models reach, by the memory that they take",
            "One line for each size of model, marks by bits. The ring is what is best in the "
            "budget.",
        )
        if series
        else NO_RUNS_NOTE
    )
    verbs = ("compare", "tasks", "measure")
    start, data = start_here(library, verbs, "Start a run that compares models")
    heading = header("size vs bits", "Bigger, or more bits?", lead)
    body = content(heading, drawn, start)
    return page("Size vs bits", sidebar(library, "/size"), body, {"sizes": series} | data)


NO_RUNS_NOTE = literal(
    "<p>No run here says yet how models compare. Start one below, or in a terminal, in a folder "
    "below the root:</p><pre>zeropoint compare A.gguf B.gguf --text book.txt --tasks python "
    "--allow-code --run DIR\nzeropoint tasks A.gguf B.gguf --tasks mine.jsonl --run DIR</pre>"
    "<p>Nats per byte of the same text, tasks and chains may be compared between models. Formats "
    "of one model are compared by KL, of two runs or more of the same reference and text:</p>"
    "<pre>zeropoint measure QUANT.gguf --ref REFERENCE.gguf --run DIR</pre>"
    "<p>KL is against a model's own reference: it never ranks one model against another.</p>"
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
    parts.append(paragraph("Devices are rows of data; yours go into ", own, "."))
    body = content(header(*head), *parts)
    return page(
        head[1], sidebar(library, address), body, offered | {"usual": list(DEFAULT_DEVICES)}
    )
