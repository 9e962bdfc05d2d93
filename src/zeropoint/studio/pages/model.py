"""The pages of one model's actions: its overview, Make smaller, and Measure."""

from collections.abc import Sequence

from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.model_pairs import header_of, pair_of
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.data.run_summary import summarize
from zeropoint.studio.data.weights import describe_model
from zeropoint.studio.pages.layout import MODEL_PAGES, content, header, model_header, page, sidebar
from zeropoint.studio.pages.lists import outermost, run_row, when
from zeropoint.studio.pages.start_run import start_here
from zeropoint.studio.report.html import (
    Html,
    element,
    facts,
    fragment,
    names_broken,
    paragraph,
    section,
    size,
    table,
    text,
    wide,
)

SHOWN_RUNS = 50  # latest runs, of which those of the model are listed
LOOKED_AT = {
    "/map": "Every tensor by layer, format and bytes.",
    "/weights": "How the weights of a tensor are distributed, and how codes approximate them.",
    "/recipe": "The format of every tensor, changed by hand, with size and predicted loss.",
    "/multiply": "One dot product of this file, step by step, on this and other machines.",
    "/lab": "Bits, scales and codes on weights of this model.",
    "/walk": "The explanation from a bit to the verdict, with this model's numbers.",
}


def overview(library: Library, entry: LibraryEntry, model: OpenedModel) -> str:
    """Return the overview of a model: its size, its actions, its runs, and what can be seen."""
    models = library.listing().of("model")
    pair = pair_of(models, entry)
    is_quant = pair is not None and pair.quant == entry
    own = header_of(entry)
    quantized = own is not None and own.quantized
    base = f"/models/{entry.id}"
    other = (pair.reference if is_quant else pair.quant) if pair else entry
    sides = (other, entry) if is_quant or not pair else (entry, other)
    chat = f"/chat#chat.reference={sides[0].id}&chat.quant={sides[1].id}"
    measured = f"Against {other.path.name}." if pair else "Needs a second file of the same model."
    actions = [
        (f"{base}/make", "Make smaller", "Write a quantized copy, by a preset or a recipe."),
        (f"{base}/measure", "Measure", measured),
        (chat, "Chat", f"Beside {other.path.name}." if pair else "With this model."),
        (f"/plan#plan.models={entry.id}", "Plan", "Memory and speed on the machines you have."),
    ]
    first = 1 if quantized and pair else 2 if quantized else 0
    parts = [
        element("ul", *(_action(*one, first=i == first) for i, one in enumerate(actions)),
                class_="actions"),
        section("facts", "This file", facts(_facts(model))),
        section("look", "Look inside", element("ul", *(
            element("li", element("a", words, href=base + to), " ", LOOKED_AT[to])
            for to, words in MODEL_PAGES if to in LOOKED_AT), class_="plain")),
        *_runs_of(library, entry),
    ]  # fmt: skip
    lead = fragment(text(size(entry.bytes)), text(", changed "), when(entry.changed))
    body = header(element("a", "Home", href="/"), names_broken(entry.name), lead)
    return page(entry.name, sidebar(library, base, entry), content(body, *parts))


def _action(to: str, words: str, told: str, *, first: bool) -> Html:
    inside = fragment(element("b", words), element("span", names_broken(told)))
    return element("li", element("a", inside, href=to, class_="primary" if first else None))


def _facts(model: OpenedModel) -> list[tuple[str, object]]:
    told = describe_model(model.checkpoint)
    formats = ", ".join(f"{row['tensors']} × {row['format']}" for row in told["formats"])
    return [
        ("Name", told["title"] or "–"),
        ("Architecture", told["architecture"] or "–"),
        ("Parameters", f"{told['parameters']:,}"),
        ("Layers", told["layers"]),
        ("Bits per weight", f"{told['bits_per_weight']:.2f}"),
        ("Tensors by format", formats),
    ]


def _runs_of(library: Library, entry: LibraryEntry) -> Sequence[Html]:
    runs = [
        (run, summarize(run.path)) for run in outermost(library.listing().of("run"))[:SHOWN_RUNS]
    ]
    own = [run_row(*run)[1:] for run in runs if entry.path.name in run[1].subject.split(", ")]
    if not own:
        return []
    columns = ("Run", "Verb", "Of", ">KL", "Result", "Changed")
    return [section("runs", "Runs of this model", wide(table(columns, own, cards=True)))]


def make_page(library: Library, entry: LibraryEntry) -> str:
    """Return the page that writes a smaller copy of a model, or looks for its best recipe."""
    verbs = ("quantize", "search", "ladder")
    start, data = start_here(library, verbs, "Choose a size, and write the file", entry)
    lead = "Quantize this model. The original file is not changed."
    by_hand = element("a", "edit the recipe", href=f"/models/{entry.id}/recipe")
    hint = paragraph("To choose the format of single tensors, ", by_hand, ".")
    body = content(model_header(entry, "Make smaller", lead), start, hint)
    here = sidebar(library, f"/models/{entry.id}/make", entry)
    return page(f"Make {entry.name} smaller", here, body, data)


def measure_page(library: Library, entry: LibraryEntry) -> str:
    """Return the page that measures a model against its reference."""
    verbs = ("measure", "drift", "tasks", "compare")
    start, data = start_here(library, verbs, "Choose what to measure", entry)
    lead = "How far this model's answers are from those of its reference."
    here = sidebar(library, f"/models/{entry.id}/measure", entry)
    body = content(model_header(entry, "Measure", lead), start)
    return page(f"Measure {entry.name}", here, body, data)
