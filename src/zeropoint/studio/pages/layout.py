"""The studio's pages: the rail on the left, and what the report and the walk show, on live files.

A page is HTML written here and JSON data in an island; its figures are the same modules as in the
files that open from a disk (page.py). Whatever comes out of a file is escaped (html.py).
"""

import re
import time
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from zeropoint.errors import CheckpointError
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.runs import Run, read_head, read_run
from zeropoint.studio.data import measure_runs as evidence
from zeropoint.studio.data import walk, weights
from zeropoint.studio.data.open_model import Opened
from zeropoint.studio.http.library import Entry, Library
from zeropoint.studio.report.bundle import GENERATOR, PageData, pack, static_text
from zeropoint.studio.report.html import Raw, figure, number, section, size, table, text
from zeropoint.studio.report.report import report_of

# What a block can be opened in: what files hold, and plain integers and tables beside it.
CODES = (
    "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 NVFP4 TQ1_0 TQ2_0 "
    "INT2_SYM_G32 INT3_SYM_G32 INT4_SYM_G32 INT4_ASYM_G32 INT8_SYM_G32 INT4_SYM_ROW NF4_G64"
).split()

FOOT = (
    "<footer><p>This page is served by zeropoint on this machine, to this browser alone. It reads "
    "files below the folder on the left and sends nothing anywhere.</p></footer>"
)


def page(title: str, rail: str, body: str, data: object = None, entry: str = "studio") -> str:
    """Return a served page: style and scripts by address, data in an island."""
    island = "" if data is None else pack(data)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR}<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} · zeropoint</title>\n"
        '<link rel="stylesheet" href="/static/entries/app.css">\n'
        '<link rel="stylesheet" href="/static/entries/studio.css">\n'
        '<link rel="icon" href="data:,">\n'
        f'</head>\n<body class="studio">\n{rail}\n<div id="content">{body}</div>\n'
        f'<script type="application/gzip" id="data">{island}</script>\n'
        f'<script type="module" src="/static/entries/{entry}.js"></script>\n</body>\n</html>\n'
    )


def rail(library: Library, here: str, model: Entry | None = None) -> str:
    """Return the way around: home, and the pages of the model that is open."""
    main = ("/", "Models and runs"), ("/long-run", "Long run"), ("/chat", "Chat"), ("/jobs", "Jobs")
    do = ("/plan", "Plan"), ("/speed", "Speed"), ("/size", "Size vs bits")
    groups = [("", [*main]), ("Do", [*do])]
    if model is not None:
        base = f"/models/{model.id}"
        groups += [
            ("Look", [(f"{base}/map", "Model map"), (f"{base}/weights", "Weights lab"),
                      (f"{base}/multiply", "Multiply")]),
            ("Learn", [(f"{base}/lab", "Number and quantizer lab"), (f"{base}/walk", "The walk")]),
        ]  # fmt: skip
    parts = [
        '<a class="skip" href="#content">Skip to the page</a>',
        '<nav class="rail" aria-label="Studio"><p class="brand">zeropoint</p>',
        f'<p class="root" title="the folder that is shown">{text(library.root)}</p>',
        f'<p class="model">{text(model.name)}</p>' if model else "",
    ]
    for name, links in groups:
        parts.append(f"<p>{escape(name)}</p><ul>" if name else "<ul>")
        for to, told in links:
            current = ' aria-current="page"' if to == here else ""
            parts.append(f'<li><a href="{escape(to)}"{current}>{escape(told)}</a></li>')
        parts.append("</ul>")
    return "".join(parts) + "</nav>"


def top(kicker: str, title: object, lead: str) -> str:
    """Return the head of a page: what it is and what it is for."""
    return (
        f'<header class="top"><p class="kicker">{escape(kicker)}</p><h1>{text(title)}</h1>'
        f'<p class="lead">{escape(lead)}</p>'
        "<noscript><p>PageData of the studio need scripts.</p></noscript></header>"
    )


def home(library: Library) -> str:
    """Return the first page: the models and the runs below the root."""
    listing = library.listing()
    models, runs = listing.of("model"), listing.of("run")
    cut = "<p>There are more files than were looked at: choose a narrower --root.</p>"
    body = top("studio", "Models and runs", "What lies below the folder that was opened.")
    body += f"<main>{models_of(models)}{runs_of(runs)}{cut if listing.cut else ''}</main>{FOOT}"
    return page("Models and runs", rail(library, "/"), body)


def models_of(models: Sequence[Entry]) -> str:
    """Return the table of models; scripts fill in what only the headers tell."""
    if not models:
        return section(
            "models", "", "Models",
            "<p>No model here: put a .gguf file or a folder with config.json and .safetensors "
            "below it, or start <code>zeropoint studio MODEL</code>.</p>",
        )  # fmt: skip
    rows = [
        (
            Raw(f'<a href="/models/{model.id}/map">{text(model.name)}</a>'),
            Raw(f'<span data-model="{model.id}" data-key="architecture">…</span>'),
            Raw(f'<span data-model="{model.id}" data-key="parameters">…</span>'),
            size(model.bytes),
            Raw(f'<span data-model="{model.id}" data-key="bits_per_weight">…</span>'),
            when(model.changed),
        )
        for model in models
    ]
    columns = ("File", "Architecture", ">Parameters", ">Size", ">Bits per weight", "Changed")
    return section("models", "", "Models", f'<div class="wide">{table(columns, rows)}</div>')


def runs_of(runs: Sequence[Entry]) -> str:
    """Return the table of runs, with what to put into one report."""
    if not runs:
        return section(
            "runs", "", "Runs",
            "<p>No run here: <code>--run DIR</code> of measure, quantize, ladder, drift and tasks "
            "keeps one.</p>",
        )  # fmt: skip
    rows = [run_row(run) for run in runs]
    columns = ("In the report", "Folder", "Verb", "Of", ">KL, nats per token", "Verdict", "Changed")
    return section(
        "runs", "", "Runs",
        f'<form class="wide" method="get" action="/report">{table(columns, rows)}'
        '<p class="choices"><button type="submit">Report of the chosen runs</button> '
        '<button type="submit" formaction="/measure">Token by token</button> '
        '<button type="submit" formaction="/compare">Compare them</button> '
        '<button type="submit" formaction="/long-run">Over many steps</button></p></form>',
    )  # fmt: skip


def run_row(entry: Entry) -> tuple[object, ...]:
    """Return a run's line; a damaged one says so and cannot be chosen."""
    link: object = entry.name
    box = ""
    verb = of = verdict = ""
    kl = None
    try:
        head = read_head(entry.path)
        verb, of = head.verb, head.subject
        if not head.folder.results:
            verdict = "not finished"
        elif verb in evidence.VERBS:
            result = read_run(entry.path).result
            box = (
                f'<input type="checkbox" name="run" value="{entry.id}" '
                f'aria-label="{escape(entry.name)}">'
            )
            link = Raw(f'<a href="/report?run={entry.id}">{text(entry.name)}</a>')
            if isinstance(result, MeasureResult):
                kl, verdict = number(result.kl.mean, 3), result.verdict.word
    except CheckpointError as error:
        verdict = str(error)
    return Raw(box), link, verb, of, kl or "", verdict, when(entry.changed)


def when(seconds: float) -> str:
    """Return a time as a list has it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def model_map(library: Library, entry: Entry, model: Opened) -> str:
    """Return the Model map: where the bytes are, and what every tensor is."""
    data = {"model": weights.describe_model(model.checkpoint), "tensors": model.outline(),
            "id": entry.id}  # fmt: skip
    parts = [
        figure("bytes", "f-bytes", "Every tensor, as wide as its bytes",
               "Layers above, their tensors below, coloured by format. Arrow keys move."),
        figure("mapheat", "f-heat", "Layers and kinds of tensor",
               "By bits, by size and, once the weights have been read, by how far the largest "
               "stands out."),
        figure("model", "f-model", "The size of this model, at any number of bits",
               "Turn the bits, or pretend that the model were larger."),
        said(model.checkpoint.metadata),
    ]  # fmt: skip
    body = top("model map", entry.name, "What is in the file: tensors by layer, format and bytes.")
    return page(
        f"Map of {entry.name}",
        rail(library, f"/models/{entry.id}/map", entry),
        f"{body}<main>{''.join(parts)}</main>{FOOT}",
        data,
    )


def said(metadata: Any) -> str:
    """Return what the file says of itself; nobody vouches for it."""
    rows = [(key, shortly(value)) for key, value in metadata.items()]
    return section(
        "metadata", "", "What the file says",
        "<p>Written by whoever made the file; nothing here has been checked.</p>",
        f'<div class="wide">{table(("Key", "Value"), rows)}</div>',
    )  # fmt: skip


def shortly(value: object) -> str:
    """Return a metadata value, cut where it is long.

    >>> shortly([1, 2, 3]), shortly("x" * 500)[-1]
    ('1, 2, 3', '…')
    """
    if isinstance(value, str):
        return value if len(value) <= 300 else value[:300] + "…"
    if hasattr(value, "__len__") and hasattr(value, "__getitem__"):
        first = ", ".join(str(value[i])[:60] for i in range(min(len(value), 8)))
        return first if len(value) <= 8 else f"{first} … ({len(value)} values)"
    return str(value)[:300]


def weights_lab(library: Library, entry: Entry, model: Opened) -> str:
    """Return the Weights lab: any tensor's histogram, its outliers, a block with codes drawn in."""
    matrices = [row for row in model.outline() if row["name"] in model.matrices]
    for row in matrices:
        if row["name"] == model.usual():
            row["pieces"] = []  # the pickers of figures begin with a tensor that has them
    data = {"id": entry.id, "model": weights.describe_model(model.checkpoint),
            "tensors": matrices, "formats": CODES}  # fmt: skip
    body = top("weights lab", entry.name, "How the weights are spread, and what codes do to them.")
    drawn = figure(
        "weightslab", "f-weights", "The weights of a tensor",
        "Pick a tensor, then a row and a column to open the block there. The ticks are the values "
        "that this block stores. Every weight of the tensor is read when you pick it.",
    ) if matrices else "<p>This file has no matrices.</p>"  # fmt: skip
    drawn += figure(
        "ablate", "f-ablate", "The model without this weight",
        "Takes the weight of the row and column chosen above out of the model, and asks again.",
    ) if matrices else ""  # fmt: skip
    return page(
        f"Weights of {entry.name}",
        rail(library, f"/models/{entry.id}/weights", entry),
        f"{body}<main>{drawn}</main>{FOOT}",
        data,
    )


LAB = (
    ("quantizer", "f-quantizer", "Quantizer lab: weights, their codes, and what comes back",
     "Drag a weight, or the white handle that is the scale. Under “more to turn”, type your own."),
    ("number", "f-number", "Number lab: one number, bit by bit",
     "Type a number, press bits, change the type."),
    ("blocks", "f-blocks", "256 weights of a row, in blocks",
     "Change the block, grow an outlier, or take the largest weight away."),
    ("density", "f-density", "Where the numbers of a type lie, over the weights of the tensor", ""),
    ("strip", "f-strip", "One number in every float type", ""),
    ("formats", "f-formats", "Every format that these pages know, on the same weights",
     "Left is smaller, down is closer."),
)  # fmt: skip


def lab(library: Library, entry: Entry, model: Opened, index: int, row: int, column: int) -> str:
    """Return the labs on pieces of one tensor: the chosen one, the largest weight's, an ordinary.

    Raises IndexError for a place outside the tensor.
    """
    info = model.info(index)
    if not (0 <= row < info.rows and 0 <= column < info.columns):
        raise IndexError(f"{info.name} has {info.rows} rows of {info.columns} weights")
    seen = model.look_at(info)
    start = min(column, max(info.columns - weights.PIECE, 0))
    chosen = {"row": row, "column": start, "what": "chosen",
              "values": weights.read_row(model.checkpoint, info, row, start)}  # fmt: skip
    others = [p for p in weights.pieces(model.checkpoint, seen)
              if (p["row"], p["column"]) != (row, start)]  # fmt: skip
    tensor = {**seen, "counts": list(seen["counts"]), "pieces": [chosen, *others]}
    title = top("labs", entry.name, "Bits, scales and codes, on numbers of this model.")
    figures = "".join(figure(*words) for words in LAB)
    return page(
        f"Labs on {entry.name}",
        rail(library, f"/models/{entry.id}/lab", entry),
        f"{title}<main>{picker(entry, model, index, row, column)}{figures}</main>{FOOT}",
        {"id": entry.id, "tensors": [tensor]},
    )


def picker(entry: Entry, model: Opened, index: int, row: int, column: int) -> str:
    """Return the form that chooses the numbers of the labs."""
    info = model.info(index)
    options = "".join(
        f'<option value="{i}"{" selected" if i == index else ""}>{text(name)}</option>'
        for i, name in enumerate(model.names)
        if name in model.matrices
    )
    return (
        f'<form class="pick" method="get" action="/models/{entry.id}/lab">'
        f'<label>Tensor <select name="tensor">{options}</select></label>'
        f'<label>Row <input type="number" name="row" min="0" max="{info.rows - 1}" '
        f'value="{row}"></label><label>Column <input type="number" name="column" min="0" '
        f'max="{info.columns - 1}" value="{column}"></label>'
        '<button type="submit">Take these weights</button></form>'
    )


def walk_page(
    library: Library, entry: Entry, model: Opened, runs: Sequence[Run], asked: str
) -> str:
    """Return the walk on this model and these runs, or a page that waits for its weights."""
    here = rail(library, f"/models/{entry.id}/walk", entry)
    if not model.scan():
        body = top("the walk", entry.name, "Every weight of the model is being read, once.")
        wait = figure(
            "reading", "f-reading", "Reading the model", "The walk opens when it is done."
        )
        return page("The walk", here, f"{body}<main>{wait}</main>{FOOT}", {"id": entry.id})
    data: PageData = {"model": weights.describe_model(model.checkpoint)}
    data["tensors"] = weights.finish(model.checkpoint, model.seen())
    data = walk.completed(data | walk.from_runs(runs))
    return page("The walk", here, asked + inside(static_text("entries/walk.html")), data, "walk")


def walk_runs(entry: Entry, runs: Sequence[Entry], chosen: Sequence[str]) -> str:
    """Return the form that puts runs into the walk."""
    if not runs:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox" name="run" value="{run.id}"'
        f"{' checked' if run.id in chosen else ''}> {text(run.name)}</label>"
        for run in runs
    )
    return (
        f'<form class="pick" method="get" action="/models/{entry.id}/walk" '
        'aria-label="Runs in the walk"><fieldset>'
        f"<legend>Texts and figures of these runs</legend>{boxes}</fieldset>"
        '<button type="submit">Show them</button></form>'
    )


def chat(library: Library, models: Sequence[Entry]) -> str:
    """Return the chat: two models, the same words, the same seed."""
    data = {"models": [{"id": model.id, "name": model.name} for model in models]}
    body = top("chat", "Talk to both", "The same words and the same seed, side by side.")
    drawn = figure(
        "chat", "f-chat", "Reference and quant, side by side",
        "Blind, the two are called A and B until you have voted. What the second says otherwise "
        "than the first is marked from where they part.",
    ) if models else "<p>There is no model below the root.</p>"  # fmt: skip
    return page("Chat", rail(library, "/chat"), f"{body}<main>{drawn}</main>{FOOT}", data)


def report_page(library: Library, runs: Sequence[Entry]) -> str:
    """Return the report of these runs, inside the studio. Raises CheckpointError for a bad one."""
    title, body, entry, data = report_of(evidence.open_runs([run.path for run in runs]))
    save = "/report/file?" + urlencode([("run", run.id) for run in runs])
    link = (
        f'<nav class="save" aria-label="This report"><a href="{escape(save)}" '
        'download="report.html">Save as one file</a></nav>'
    )
    return page(title, rail(library, "/report"), link + inside(body), data, entry)


def inside(body: str) -> str:
    """Return the body of a page of its own without its first link: the studio's page has one."""
    return re.sub('<a class="skip"[^>]*>[^<]*</a>', "", body)


def refused(library: Library, status: int, told: str) -> str:
    """Return the page of an error: what is wrong, in the words of the command line."""
    body = top("studio", "This could not be shown" if status != 404 else "Not here", told)
    return page("Not shown", rail(library, ""), f"{body}<main></main>{FOOT}")
