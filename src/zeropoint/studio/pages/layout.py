"""The layout of the studio's pages: the page itself, the sidebar, the header and the footer.

A page is HTML written in Python and JSON data in a block that no browser runs; its figures are the
same modules as in the files that open from a disk (report/bundle.py).
"""

from collections.abc import Sequence

from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.page_data import pack
from zeropoint.studio.report.bundle import served_page
from zeropoint.studio.report.html import Html, element, fragment, literal, names_broken

# Formats in which a block can be opened: those of files, and plain integers and tables.
BLOCK_FORMATS = (
    "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 NVFP4 TQ1_0 TQ2_0 "
    "INT2_SYM_G32 INT3_SYM_G32 INT4_SYM_G32 INT4_ASYM_G32 INT8_SYM_G32 INT4_SYM_ROW NF4_G64"
).split()


FOOTER = literal(
    "<footer><p>Served by zeropoint on this machine, to this browser only. It reads the files of "
    "the open folder, and sends nothing to any other machine.</p></footer>"
)


def page(title: str, sidebar: Html, body: Html, data: object = None, entry: str = "studio") -> str:
    """Return a served page: linked style sheets and scripts, and the data in a JSON block."""
    return served_page(title, sidebar, body, "" if data is None else pack(data), entry)


def content(top: Html, *main: Html) -> Html:
    """Return the body of a page: header, main part and footer."""
    return fragment(top, element("main", *main), FOOTER)


MAIN_PAGES = (
    ("/", "Home"),
    ("/compare", "Compare"),
    ("/plan", "Plan"),
    ("/chat", "Chat"),
    ("/jobs", "Jobs"),
    ("/learn", "Learn"),
)
# Pages that belong to one page of the sidebar are tabs of it.
COMPARE_TABS = (
    ("/compare", "Quantized versions"),
    ("/long-run", "Long texts and tasks"),
    ("/size", "Different models"),
    ("/search", "Recipes"),
)
PLAN_TABS = (("/plan", "What fits"), ("/speed", "Speed"))
AREAS = {address: "/compare" for address, _ in COMPARE_TABS} | {
    "/measure": "/compare", "/report": "/compare", "/speed": "/plan"
}  # fmt: skip
MODEL_PAGES = (
    ("", "Overview"),
    ("/make", "Make smaller"),
    ("/measure", "Measure"),
    ("/recipe", "Recipe"),
    ("/map", "Map"),
    ("/weights", "Weights"),
    ("/multiply", "Multiply"),
    ("/lab", "Labs"),
    ("/walk", "Walk"),
)


def sidebar(library: Library, here: str, model: LibraryEntry | None = None) -> Html:
    """Return the sidebar: links to the main pages and to the pages of the open model."""
    links = [link_in_list(to, words, _current(to, here)) for to, words in MAIN_PAGES]
    parts = [element("ul", *links)]
    if model is not None:
        base = f"/models/{model.id}"
        own = [(f"{base}{to}", words) for to, words in MODEL_PAGES]
        parts += [
            element("p", names_broken(model.name), class_="model"),
            element("ul", *(link_in_list(to, words, _current(to, here)) for to, words in own)),
        ]
    parts.append(
        element("p", names_broken(str(library.root)), class_="root", title="the open folder")
    )
    skip = element("a", "Skip to the page", class_="skip", href="#content")
    brand = element("a", "zeropoint", class_="brand", href="/")
    menu = element(
        "button", "Menu", class_="menu", type="button", aria_expanded="false", aria_controls="menu"
    )
    listed = element("div", *parts, id="menu")
    return fragment(skip, element("nav", brand, menu, listed, class_="rail", aria_label="Studio"))


def _current(to: str, here: str) -> str | None:
    """Return how a link of the sidebar is marked: as the page, as the area of it, or not."""
    if to == here:
        return "page"
    return "true" if to == AREAS.get(here) else None


def link_in_list(to: str, words: str, current: str | None) -> Html:
    """Return a link of the sidebar, or a tab."""
    return element("li", element("a", words, href=to, aria_current=current))


def tabs(pages: Sequence[tuple[str, str]], here: str, label: str) -> Html:
    """Return links to the pages that share one entry of the sidebar."""
    links = [link_in_list(to, words, "page" if to == here else None) for to, words in pages]
    return element("nav", element("ul", *links), class_="tabs", aria_label=label)


NEEDS_SCRIPTS = literal("<noscript><p>Pages of the studio need scripts.</p></noscript>")


def header(kicker: object, title: object, lead: object, *more: Html) -> Html:
    """Return the header of a page: where it belongs, its title, its purpose, and its tabs."""
    return element(
        "header",
        *([element("p", kicker, class_="kicker")] if kicker else []),
        element("h1", title),
        element("p", lead, class_="lead"),
        NEEDS_SCRIPTS,
        *more,
        class_="top",
    )


def model_header(entry: LibraryEntry, title: str, lead: str) -> Html:
    """Return the header of a page about one model, which links to the model's overview."""
    model = element("a", names_broken(entry.name), href=f"/models/{entry.id}")
    return header(model, title, lead)


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
        element("button", "Show these runs", type="submit"),
        class_="pick",
        method="get",
        action=action,
        aria_label=label or None,
    )


def refused(library: Library, status: int, message: str) -> str:
    """Return the page of an error, with the message of the command line."""
    title = "This could not be shown" if status != 404 else "Not here"
    home = element("p", element("a", "Go to Home", href="/", class_="primary"), class_="choices")
    return page("Not shown", sidebar(library, ""), content(header("", title, message), home))
