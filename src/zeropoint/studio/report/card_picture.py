"""The picture of a model file: verdict, loss by kind of text, bytes, changed predictions.

It is one SVG without scripts, fonts or references, so that it can be shown anywhere.
"""

from collections.abc import Callable, Mapping, Sequence

from zeropoint.formatting import format_bytes, format_count
from zeropoint.results.interval import Interval
from zeropoint.results.inventory import ModelInventory
from zeropoint.results.predictions import ChangedPrediction
from zeropoint.results.proof import StoredLoss
from zeropoint.studio.data.byte_groups import LayerRow, by_bits, byte_groups, layer_rows
from zeropoint.studio.report.card_text import (
    NOT_MEASURED,
    how_to_measure,
    loss_of,
    loss_sentence,
    nats,
    verdict_of,
    with_interval,
)
from zeropoint.studio.report.html import Html, element, fragment, percent
from zeropoint.studio.report.svg_parts import (
    box,
    cells,
    colour_of,
    document,
    fit,
    label,
    line,
    plain,
    wrapped,
)

MAX_PICTURE_BYTES = 60_000
WIDTH = 820
LEFT, RIGHT = 28, WIDTH - 28  # of all content
PLOT, PLOT_END = 170, 590  # of bars and intervals
LINE_COLUMNS = 104  # characters of a line of text
KINDS_SHOWN = 12  # kinds of text
FORMATS_SHOWN = 24
ROWS_SHOWN = 10  # kinds of matrix in the map over layers
MAX_LAYERS = 160  # of the map; a model with more gets none
EXAMPLES_SHOWN = 3
CONTEXT_COLUMNS = 84
TOKEN_COLUMNS = 20


class Drawing:
    """Parts of a picture, from top to bottom."""

    def __init__(self) -> None:
        self.y = 0.0  # where the next part begins
        self.parts: list[Html] = []

    def add(self, height: float, *parts: Html) -> None:
        """Add parts, which take this much height."""
        self.parts += parts
        self.y += height

    def text(
        self, text: str, classes: str = "", height: float = 19, columns: int = LINE_COLUMNS
    ) -> None:
        """Add text in as many lines as it needs."""
        for one in wrapped(text, columns):
            self.add(height, label(LEFT, self.y + height - 5, one, classes))

    def heading(self, text: str, note: str = "") -> None:
        """Add the heading of a section."""
        self.y += 16
        self.add(24, line(LEFT, self.y, RIGHT, self.y))
        self.add(8, label(LEFT, self.y, text, "head"), label(RIGHT, self.y, note, "soft small end"))


def card_picture(name: str, model: ModelInventory) -> str:
    """Return the picture of a file as SVG, of at most MAX_PICTURE_BYTES."""
    drawing = Drawing()
    title = fit(model.model.name or name, 60)
    _draw_header(drawing, title, name, model)
    loss = loss_of(model)
    if loss:
        _draw_loss(drawing, loss)
    else:
        drawing.text(f"{NOT_MEASURED} This command measures it:")
        drawing.text(fit(how_to_measure(name, model), LINE_COLUMNS), "mono")
    _draw_groups(drawing, model)
    _draw_layers(drawing, layer_rows(model.tensors, ROWS_SHOWN))
    if loss and loss.examples:
        _draw_examples(drawing, loss.examples[:EXAMPLES_SHOWN])
    _draw_origin(drawing, model, loss)
    described = description(name, model)
    picture = document(
        WIDTH, drawing.y + 20, f"{title}: {fit(name, 100)}", described, *drawing.parts
    )
    assert len(picture.encode()) <= MAX_PICTURE_BYTES, "the limits above bound the picture"
    return picture + "\n"


def description(name: str, model: ModelInventory) -> str:
    """Return what the picture shows in words, for screen readers."""
    sentences = [
        f"{fit(name, 100)} has {format_bytes(model.file_bytes)}, {model.bits_per_weight:.2f} bits"
        " per weight."
    ]
    loss = loss_of(model)
    if loss is None:
        sentences.append(NOT_MEASURED)
    else:
        sentences += [fit(verdict_of(loss), 200), fit(loss_sentence(loss), 400)]
        texts = list(loss.by_text.items())[:KINDS_SHOWN]
        if texts:
            found = "; ".join(f"{fit(text, 40)} {with_interval(one)}" for text, one in texts)
            sentences.append(f"By kind of text: {found}.")
    groups = ", ".join(
        f"{one.name} {format_bytes(one.nbytes)}" for one in byte_groups(model.tensors)
    )
    return " ".join([*sentences, f"Bytes: {groups}."])


def _draw_header(drawing: Drawing, title: str, name: str, model: ModelInventory) -> None:
    facts = (
        fit(name, 60),
        fit(model.model.architecture or "", 20),
        f"{format_count(model.elements)} weights",
        format_bytes(model.file_bytes),
        f"{model.bits_per_weight:.2f} bits per weight",
    )
    drawing.add(42, label(LEFT, 40, title, "title"))
    drawing.add(26, label(LEFT, 61, " · ".join(fact for fact in facts if fact), "soft"))


def _draw_loss(drawing: Drawing, loss: StoredLoss) -> None:
    drawing.text(fit(verdict_of(loss), 200), "verdict", 26, 84)
    drawing.text(fit(loss_sentence(loss), 400))
    drawing.heading("Loss by kind of text", "mean KL divergence, nats per token, 95 % interval")
    rows: Mapping[str, Interval] = {"All text": loss.kl}
    if len(loss.by_text) > 1:
        rows = {**rows, **dict(list(loss.by_text.items())[:KINDS_SHOWN])}
    known = [end for row in rows.values() for end in (row.mean, *(row.ends or ())) if end == end]
    largest = max([*known, 0.0]) or 1.0

    def place(value: float) -> float:
        return PLOT + (PLOT_END - PLOT) * value / largest

    top = drawing.y
    for text, row in rows.items():
        drawing.add(21, _interval(fit(text, 20), row, drawing.y, place))
    axis = line(PLOT, top + 2, PLOT, drawing.y)
    drawing.add(14, axis, label(PLOT, drawing.y + 12, "0", "soft small mid"),
                label(PLOT_END, drawing.y + 12, nats(largest), "soft small mid"))  # fmt: skip
    if len(loss.by_text) > KINDS_SHOWN:
        drawing.text(f"{len(loss.by_text) - KINDS_SHOWN} more kinds of text are left out.", "soft")


def _interval(name: str, row: Interval, y: float, place: Callable[[float], float]) -> Html:
    """Return a row with a mean and its interval."""
    middle, parts = y + 11, []
    if row.ends:
        low, high = (place(end) for end in row.ends)
        parts.append(box(low, middle - 3, max(high - low, 1), 6, class_="mark", opacity="0.35"))
    if row.mean == row.mean:
        parts.append(
            element("circle", cx=plain(place(row.mean)), cy=plain(middle), r=4, class_="mark")
        )
    return fragment(
        label(LEFT, middle + 4, name), *parts, label(RIGHT, middle + 4, with_interval(row), "end")
    )


def _draw_groups(drawing: Drawing, model: ModelInventory) -> None:
    groups = byte_groups(model.tensors)
    if not groups:
        return
    drawing.heading("Where the bytes went", "by role of the tensors and by format")
    largest, total = max(group.nbytes for group in groups), sum(group.nbytes for group in groups)
    for group in groups:
        x, y = float(PLOT), drawing.y
        for format, nbytes in group.formats.items():
            width = (PLOT_END - PLOT) * nbytes / largest
            drawing.add(0, box(x, y + 4, max(width - 1, 0.5), 13, fill=colour_of(format)))
            x += width
        share = f"{format_bytes(group.nbytes)} · {percent(group.nbytes / total, 1)}"
        drawing.add(21, label(LEFT, y + 15, group.name), label(RIGHT, y + 15, share, "end"))
    _draw_legend(drawing, model)


def _draw_legend(drawing: Drawing, model: ModelInventory) -> None:
    shares = {share.label: share for share in model.formats}
    x = float(LEFT)
    drawing.y += 6
    for format in by_bits(shares)[:FORMATS_SHOWN]:
        text = f"{format} {percent(shares[format].nbytes / model.file_bytes, 1)}"
        width = 16 + 6.4 * len(text) + 14
        if x + width > RIGHT:
            x, drawing.y = float(LEFT), drawing.y + 18
        drawing.add(0, box(x, drawing.y + 3, 10, 10, fill=colour_of(format)),
                    label(x + 15, drawing.y + 12, text, "soft small"))  # fmt: skip
        x += width
    drawing.y += 18


def _draw_layers(drawing: Drawing, rows: Sequence[LayerRow]) -> None:
    layers = len(rows[0].formats) if rows else 0
    if not 0 < layers <= MAX_LAYERS:
        return
    drawing.heading("Formats over the layers", "colours as above; from few bits to many")
    step, height = (RIGHT - PLOT) / layers, 13.0
    gap = 1.0 if step > 6 else 0.0
    places: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        drawing.add(0, label(LEFT, drawing.y + 11, fit(row.kind, 20), "small"))
        for at, format in enumerate(row.formats):
            if format is not None:
                place = PLOT + at * step, drawing.y + 1, step - gap
                places.setdefault(format, []).append(place)
        drawing.y += height + 2
    for format in by_bits(places):
        drawing.add(0, cells(places[format], height, colour_of(format)))
    last = label(RIGHT, drawing.y + 11, f"layer {layers}", "soft small end")
    drawing.add(16, label(PLOT, drawing.y + 11, "layer 1", "soft small"), last)


def _draw_examples(drawing: Drawing, examples: Sequence[ChangedPrediction]) -> None:
    drawing.heading(
        "Predictions that changed", "the next token after the text, and its probability"
    )
    for one in examples:
        context = fit(one.context, CONTEXT_COLUMNS, keep_end=True)
        drawing.add(20, label(LEFT, drawing.y + 14, f"{context} ▁", "mono"))
        reference, quant = (_token(text, probability) for text, probability in (
            (one.reference, one.reference_probability), (one.quant, one.quant_probability)
        ))  # fmt: skip
        drawing.add(
            26,
            label(LEFT + 16, drawing.y + 14, f"reference: {reference} → this file: {quant}"),
            label(RIGHT, drawing.y + 14, f"{fit(one.text, 18)}, KL {nats(one.kl)}", "soft end"),
        )


def _token(text: str, probability: float) -> str:
    return f"“{fit(text.replace(' ', '␣'), TOKEN_COLUMNS)}” {percent(probability, 0)}"


def _draw_origin(drawing: Drawing, model: ModelInventory, loss: StoredLoss | None) -> None:
    """Draw how the file was made, and the digests."""
    proof = model.proof
    method = proof.method if proof else {}
    facts = [f"{key}: {method[key]}" for key in ("method", "rounding") if key in method]
    if loss:
        facts.append(f"text {loss.text_sha256[:12]}")
    if proof and proof.tensors_sha256:
        facts.append(f"tensors {proof.tensors_sha256[:12]}")
    version = model.origin.get("zeropoint.version")
    facts.append(f"zeropoint {fit(version, 20)}" if version else "drawn by zeropoint")
    drawing.y += 12
    drawing.add(8, line(LEFT, drawing.y, RIGHT, drawing.y))
    drawing.text(fit(" · ".join(facts), 240), "soft small", 16)
