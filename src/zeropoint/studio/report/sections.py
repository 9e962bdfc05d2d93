"""The sections of a report that show results: each has text, a figure and a table."""

from collections.abc import Sequence

from zeropoint.results.divergence import LadderLevel, MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.studio.data.measure_runs import FEW_TOKENS, TensorEvidence, WorstPosition
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.report.html import (
    Html,
    figure,
    folded,
    literal,
    number,
    paragraph,
    percent,
    section,
    size,
    table,
    wide,
)

FEW_NOTE = literal(
    "<p>Grey rows have fewer than 30 tokens. Their figures say little, whatever the interval.</p>"
)


def where_bytes(tensors: Sequence[TensorEvidence]) -> Html:
    """Return the section of bytes by kind of tensor and format."""
    groups: dict[tuple[str, str], list[int]] = {}
    for tensor in tensors:
        key = tensor.kind, tensor.result.format
        groups.setdefault(key, []).append(tensor.result.bytes)
    total = max(sum(tensor.result.bytes for tensor in tensors), 1)
    sums = [(*key, len(group), sum(group)) for key, group in groups.items()]
    rows = sorted(sums, key=lambda row: -row[3])
    return section(
        "bytes",
        "Where the bytes went",
        figure(
            "bytes",
            "f-bytes",
            "Every tensor, as wide as its bytes",
            "Layers above, their tensors below, coloured by format. Pick one to look into it.",
        ),
        folded(
            "By kind, as a table",
            table(
                ("Kind", "Format", ">Tensors", ">Size", ">Share"),
                (
                    (kind, format, count, size(n), percent(n / total, 1))
                    for kind, format, count, n in rows
                ),
            ),
        ),
    )


def how_much(result: MeasureResult) -> Html:
    """Return the section of figures with intervals, for the text, its domains and classes."""
    rows = [
        (
            name,
            group.tokens,
            number(group.kl.mean, 3),
            format_interval(group.kl),
            number(group.kl.median, 3),
            number(group.kl.p99, 3),
            number(group.kl.max, 3),
            percent(group.top1, 1),
            number(group.perplexity.ratio.mean),
            percent(group.flips.lost),
            percent(group.flips.won),
        )
        for name, group in result.groups.items()
    ]
    few = [i for i, group in enumerate(result.groups.values()) if group.tokens < FEW_TOKENS]
    columns = (
        "Text",
        ">Tokens",
        ">KL mean",
        ">95 %",
        ">Median",
        ">99 %",
        ">Max",
        ">Same token",
        ">Perplexity ratio",
        ">Right → wrong",
        ">Wrong → right",
    )
    floor = result.floor
    noise = (
        paragraph("The noise floor was not measured.")
        if floor is None
        else paragraph(
            f"Noise floor: {number(floor, 2)} nats, the reference against itself "
            f"({result.floor_arithmetic}). A loss below it cannot be distinguished from none."
        )
    )
    return section(
        "loss",
        "How much was lost",
        figure(
            "intervals",
            "f-loss",
            "Loss by text and by kind of token, with 95 % intervals",
            "In the band a loss cannot be distinguished from the noise of the reference itself.",
        ),
        noise,
        wide(table(columns, rows, "Everything that was measured", quiet=few)),
        *([FEW_NOTE] if few else []),
    )


def format_interval(figure: Interval) -> str:
    """Return an interval as text of a table cell."""
    if figure.ends is None:
        return "–"
    return f"{number(figure.ends[0], 3)} … {number(figure.ends[1], 3)}"


def on_what_text(texts: Sequence[PageData], worst: Sequence[WorstPosition]) -> Html:
    """Return the section of the text, and the positions with the largest KL divergence."""
    shown = sum(len(result["kl"]) for result in texts)
    rows = [(w.domain, w.context, w.target, number(w.kl, 3), w.reference, w.quant) for w in worst]
    return section(
        "text",
        "On what text",
        paragraph(
            f"{shown} positions of the text, token by token. Pick one to see what both models "
            "expected there."
        ),
        figure(
            "divergence",
            "f-text",
            "The text, shaded by what was lost",
            "Arrow keys move from token to token; n and p move to the next worse or better token.",
        ),
        folded(
            f"The {len(rows)} worst of all positions",
            table(
                (
                    "Text",
                    "Context",
                    "Next token",
                    ">KL, nats",
                    "Reference expected",
                    "Quant expected",
                ),
                rows,
            ),
        ),
    )


def in_which_tensors(tensors: Sequence[TensorEvidence]) -> Html:
    """Return the section of layers by kind of tensor, coloured by error or bits."""
    encoded = [(t.result.relative_error, t.result) for t in tensors]
    known = [(error, result) for error, result in encoded if error is not None]
    worst = sorted(known, key=lambda pair: -pair[0])[:30]
    return section(
        "tensors",
        "In which tensors",
        paragraph(
            "The error of the weights themselves. It explains a loss, and does not measure it: the "
            "loss of the model is above."
        ),
        figure(
            "heat",
            "f-tensors",
            "Layers and kinds of tensor",
            "Arrow keys move; the same tensor opens below.",
        ),
        folded(
            f"The {len(worst)} largest errors",
            table(
                ("Tensor", "Format", ">Relative error", ">Size", "Why this format"),
                (
                    (
                        result.name,
                        result.format,
                        number(error, 3),
                        size(result.bytes),
                        result.reason,
                    )
                    for error, result in worst
                ),
            ),
        ),
    )


def why(tensors: Sequence[TensorEvidence]) -> Html:
    """Return the section of histograms with the codes drawn in, and the worst block in detail."""
    opened = [(t.result.name, t.result.worst_block) for t in tensors]
    return section(
        "why",
        "Why",
        paragraph(
            "How the weights of a tensor are distributed, how large their errors are, and the "
            "block with the largest error."
        ),
        figure(
            "spread",
            "f-why",
            "One tensor: its weights, its errors, its worst block",
            "Ticks under the weights are the values that the worst block can store.",
        ),
        folded(
            "The worst block of each tensor",
            table(
                ("Tensor", ">Row", ">Column", ">Weights", ">Largest |weight|", ">Squared error"),
                (
                    (
                        name,
                        block.row,
                        block.column,
                        len(block.weights),
                        max(map(abs, block.weights)),
                        number(block.error, 3),
                    )
                    for name, block in opened
                    if block
                ),
            ),
        ),
    )


def frontier(levels: Sequence[LadderLevel], told: str = "") -> Html:
    """Return the section of loss by file size; `told` is which quants cannot be told apart."""
    columns = ("Format", ">Bits per weight", ">Size", ">KL", ">95 %", ">Same token", "Verdict")
    rows = [
        (
            level.format,
            f"{level.bits_per_weight:.2f}",
            size(level.file_bytes or level.bytes),
            number(level.measured.kl.mean, 3),
            format_interval(level.measured.kl),
            percent(level.measured.top1, 1),
            level.measured.verdict.word,
        )
        for level in levels
    ]
    return section(
        "frontier",
        "The frontier",
        figure(
            "ladder",
            "f-frontier",
            "Loss, by bits per weight or size",
            "Whiskers are 95 % intervals. Pick a mark.",
        ),
        *([paragraph(told)] if told else []),
        wide(table(columns, rows, "The levels")),
    )


def bigger_or_smaller(scales: Sequence[PageData]) -> Html:
    """Return the section of models by memory, on quality scales that compare models."""
    parts: list[Html] = []
    for scale in scales:
        share = scale["metric"] != "nats"
        order = sorted(scale["points"], key=lambda p: p["mean"] if scale["less"] else -p["mean"])
        rows = [
            (
                point["name"],
                point["line"],
                point["bits"],
                size(point["file_bytes"]),
                percent(point["mean"], 1) if share else number(point["mean"]),
                format_interval(Interval(point["mean"], point["low"], point["high"])),
                point["group"] or "–",
            )
            for point in order
        ]
        columns = ("Model", "Size of", ">Bits per weight", ">File", ">Reached", ">95 %", "Group")
        parts.append(wide(table(columns, rows, f"{scale['title']} ({scale['run']})")))
    return section(
        "size",
        "Bigger, or more bits",
        paragraph(
            "All of these models were evaluated on the same, so they may be compared with each "
            "other. KL is measured against a model's own reference, so it does not compare models. "
            "Models that share a letter do not differ significantly."
        ),
        figure(
            "sizebits",
            "f-size",
            "Quality of models by their memory",
            "One line for each size of model, marks by bits. The ring marks the best model in the "
            "budget.",
        ),
        *parts,
    )


def said_of_sizes(scales: Sequence[PageData]) -> str:
    """Return the best model on the first scale, and the models that tie with it."""
    if not scales:
        return ""
    scale = scales[0]
    order = sorted(scale["points"], key=lambda p: p["mean"] if scale["less"] else -p["mean"])
    best = order[0]
    alike = [p["name"] for p in order[1:] if set(p["group"]) & set(best["group"])]
    ties = f", not significantly different from {', '.join(alike)}" if alike else ""
    return f"Best of {len(order)} models by {scale['title']}: {best['name']}{ties}."
