"""Home: one box for a path, the next step, and the latest models and runs of the open folder."""

from collections.abc import Sequence

from zeropoint.formatting import format_count
from zeropoint.studio.data.library import Kind, Library, LibraryEntry, LibraryListing
from zeropoint.studio.data.model_pairs import LibraryPair, known_header, pair_of
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.data.run_summary import RunSummary, summarize
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.pages.lists import NO_MODELS_NOTE, outermost, run_row, when
from zeropoint.studio.report.html import (
    Html,
    element,
    figure,
    fragment,
    literal,
    names_broken,
    paragraph,
    section,
    size,
    table,
    wide,
)

SHOWN_RUNS = 100  # latest runs, which are read for the table
CUT_NOTE = literal(
    "<p>The folder has more files than the studio lists. Start it with a narrower --root.</p>"
)
NO_RUNS_NOTE = literal(
    '<div class="empty"><p>Nothing was measured yet. A run of measure, quantize or another job '
    "appears here.</p></div>"
)
RUN_CHOICES = literal(
    '<p class="choices"><button type="submit">Report of the selected runs</button> '
    '<button type="submit" formaction="/compare">Compare the selected runs</button> '
    '<button type="submit" formaction="/long-run">Long texts and tasks</button></p>'
)


def home(library: Library) -> str:
    """Return the first page: what to do next, and the models and runs of the open folder."""
    listing = library.listing()
    models, runs = listing.of("model"), listing.of("run")
    shown = [(run, summarize(run.path)) for run in outermost(runs)[:SHOWN_RUNS]]
    parts = [figure("pathbox", "f-path", "Open a model or a run", PATH_NOTE)]
    if models:
        parts.append(next_step(models, shown))
    parts += [models_of(models), runs_of(shown)]
    if listing.cut:
        parts.append(CUT_NOTE)
    body = header("", "Home", "Make a model smaller, and see what that costs.")
    return page(
        "Home", sidebar(library, "/"), content(body, *parts), path_box_data(listing, library)
    )


PATH_NOTE = "Type a part of a name, or paste a path. Enter opens the first match."


def path_box_data(listing: LibraryListing, library: Library) -> PageData:
    """Return the entries that the path box offers: the browser searches them, no path is sent."""
    addresses: dict[Kind, str] = {"model": "/models/{}", "run": "/report?run={}"}
    entries = [
        {"kind": kind, "name": entry.name, "href": address.format(entry.id)}
        for kind, address in addresses.items()
        for entry in listing.of(kind)
    ]
    return {"root": str(library.root), "entries": entries}


def next_step(
    models: Sequence[LibraryEntry], runs: Sequence[tuple[LibraryEntry, RunSummary]]
) -> Html:
    """Return the card with the next step, which has the only filled button of the page."""
    told, label, address = _next_step(models, pair_of(models), runs)
    button = element("a", label, href=address, class_="primary")
    return element("section", element("h2", "Next step"), paragraph(told), element(
        "p", button, class_="choices"), class_="next", id="next")  # fmt: skip


def _next_step(
    models: Sequence[LibraryEntry],
    pair: LibraryPair | None,
    runs: Sequence[tuple[LibraryEntry, RunSummary]],
) -> tuple[str, str, str]:
    """Return what to do next, the label of its button, and the address that it opens."""
    if pair is None:
        name = models[0].path.name
        return (
            f"Write a smaller copy of {name}. Q4_K_M is a good first choice.",
            "Make it smaller",
            f"/models/{models[0].id}/make",
        )
    quant, reference = pair.quant, pair.reference
    measured = [run for run, one in runs if one.kl is not None and one.subject == quant.path.name]
    if not measured:
        return (
            f"{quant.path.name} is {quant.bytes / max(reference.bytes, 1):.0%} of the size of "
            f"{reference.path.name}. Measure what that cost.",
            "Measure the loss",
            f"/models/{quant.id}/measure",
        )
    return (
        f"The loss of {quant.path.name} has been measured. Talk to it and to its reference side by "
        "side.",
        "Chat with both",
        f"/chat#chat.reference={reference.id}&chat.quant={quant.id}",
    )


def models_of(models: Sequence[LibraryEntry]) -> Html:
    """Return the table of models; scripts fill in the values of headers that are not read yet."""
    if not models:
        return section("models", "Models", NO_MODELS_NOTE)
    columns = ("Model", ">Size", ">Bits per weight", "Changed", "")
    rows = [
        (
            fragment(
                element("a", names_broken(model.name), href=f"/models/{model.id}", class_="name"),
                element("small", later(model, "architecture"), ", ", later(model, "parameters"),
                        " parameters"),
            ),
            size(model.bytes),
            later(model, "bits_per_weight"),
            when(model.changed),
            actions_of(model),
        )
        for model in models
    ]  # fmt: skip
    return section("models", "Models", wide(table(columns, rows, cards=True)))


def actions_of(model: LibraryEntry) -> Html:
    """Return links to the actions of a model."""
    base = f"/models/{model.id}"
    links = (
        (f"{base}/make", "Make smaller"),
        (f"{base}/measure", "Measure"),
        (f"/chat#chat.quant={model.id}", "Chat"),
        (f"/plan#plan.models={model.id}", "Plan"),
    )
    return element("span", *(element("a", words, href=to) for to, words in links), class_="links")


def runs_of(runs: Sequence[tuple[LibraryEntry, RunSummary]]) -> Html:
    """Return the table of runs, with check boxes that select the runs of a report."""
    if not runs:
        return section("runs", "Runs", NO_RUNS_NOTE)
    columns = ("", "Run", "Verb", "Of", ">KL", "Result", "Changed")
    shown = table(columns, [run_row(*run) for run in runs], cards=True)
    form = element(
        "form", shown, RUN_CHOICES, class_="wide", method="get", action="/report", id="run-form"
    )
    return section("runs", "Runs", form)


def later(model: LibraryEntry, key: str) -> Html:
    """Return a value of the model's header, or a cell that scripts fill with it."""
    if header := known_header(model):
        shown = {
            "architecture": header.architecture or "–",
            "parameters": format_count(header.parameters),
            "bits_per_weight": f"{header.bits_per_weight:.2f}",
        }
        return element("span", shown[key], data_key=key)
    return element("span", "…", data_model=model.id, data_key=key, class_="later")
