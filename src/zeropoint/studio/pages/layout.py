"""The layout of the studio's pages: the page itself, the sidebar, the header and the footer.

A page is HTML written in Python and JSON data in a block that no browser runs; its figures are the
same modules as in the files that open from a disk (report/bundle.py).
"""

from collections.abc import Sequence

from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.page_data import pack
from zeropoint.studio.report.bundle import served_page
from zeropoint.studio.report.html import Html, element, fragment, literal, paragraph

# Formats in which a block can be opened: those of files, and plain integers and tables.
BLOCK_FORMATS = (
    "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 NVFP4 TQ1_0 TQ2_0 "
    "INT2_SYM_G32 INT3_SYM_G32 INT4_SYM_G32 INT4_ASYM_G32 INT8_SYM_G32 INT4_SYM_ROW NF4_G64"
).split()


FOOTER = literal(
    "<footer><p>This page is served by zeropoint on this machine, to this browser alone. It reads "
    "files below the folder on the left and sends nothing anywhere.</p></footer>"
)


def page(title: str, sidebar: Html, body: Html, data: object = None, entry: str = "studio") -> str:
    """Return a served page: linked style sheets and scripts, and the data in a JSON block."""
    return served_page(title, sidebar, body, "" if data is None else pack(data), entry)


def content(top: Html, *main: Html) -> Html:
    """Return the body of a page: header, main part and footer."""
    return fragment(top, element("main", *main), FOOTER)


def sidebar(library: Library, here: str, model: LibraryEntry | None = None) -> Html:
    """Return the sidebar: links to the home page and to the pages of the open model."""
    main = (
        ("/", "Models and runs"),
        ("/long-run", "Long run"),
        ("/chat", "Chat"),
        ("/jobs", "Jobs"),
    )
    do = ("/plan", "Plan"), ("/speed", "Speed"), ("/size", "Size vs bits"), ("/search", "Search")
    groups = [("", [*main]), ("Do", [*do])]
    if model is not None:
        base = f"/models/{model.id}"
        groups += [
            ("Look", [(f"{base}/map", "Model map"), (f"{base}/weights", "Weights lab"),
                      (f"{base}/multiply", "Multiply"), (f"{base}/recipe", "Recipe")]),
            ("Learn", [(f"{base}/lab", "Number and quantizer lab"), (f"{base}/walk", "The walk")]),
        ]  # fmt: skip
    parts = [
        element("p", "zeropoint", class_="brand"),
        element("p", library.root, class_="root", title="the folder that is shown"),
    ]
    if model:
        parts.append(element("p", model.name, class_="model"))
    for name, links in groups:
        if name:
            parts.append(paragraph(name))
        parts.append(element("ul", *(link_in_list(to, words, to == here) for to, words in links)))
    skip = element("a", "Skip to the page", class_="skip", href="#content")
    return fragment(skip, element("nav", *parts, class_="rail", aria_label="Studio"))


def link_in_list(to: str, words: str, current: bool) -> Html:
    """Return a link of the sidebar."""
    return element("li", element("a", words, href=to, aria_current="page" if current else None))


NEEDS_SCRIPTS = literal("<noscript><p>Pages of the studio need scripts.</p></noscript>")


def header(kicker: str, title: object, lead: str) -> Html:
    """Return the header of a page: its title and its purpose."""
    return element(
        "header",
        element("p", kicker, class_="kicker"),
        element("h1", title),
        element("p", lead, class_="lead"),
        NEEDS_SCRIPTS,
        class_="top",
    )


def run_chooser(
    runs: Sequence[LibraryEntry], chosen: Sequence[str], action: str, legend: str, label: str = ""
) -> Html:
    """Return a form that selects runs and submits them to `action`."""
    boxes = [
        element(
            "label",
            element("input", type="checkbox", name="run", value=run.id, checked=run.id in chosen),
            f" {run.name}",
        )
        for run in runs
    ]
    return element(
        "form",
        element("fieldset", element("legend", legend), *boxes),
        element("button", "Show them", type="submit"),
        class_="pick",
        method="get",
        action=action,
        aria_label=label or None,
    )


def refused(library: Library, status: int, message: str) -> str:
    """Return the page of an error, with the message of the command line."""
    title = "This could not be shown" if status != 404 else "Not here"
    return page("Not shown", sidebar(library, ""), content(header("studio", title, message)))
