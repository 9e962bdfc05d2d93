"""The picture and the model card of a file: what they show, and that any file gives valid ones."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from zeropoint.results.interval import Interval
from zeropoint.results.inventory import (
    FileKindSummary,
    FormatShare,
    ModelInventory,
    ModelOutline,
    TensorEntry,
)
from zeropoint.results.predictions import ChangedPrediction
from zeropoint.results.proof import FileProof, StoredLoss, TextLoss
from zeropoint.studio.report.card_markdown import CardEntry, facts_of, model_card
from zeropoint.studio.report.card_picture import (
    MAX_LAYERS,
    MAX_PICTURE_BYTES,
    PLOT,
    PLOT_END,
    RIGHT,
    WIDTH,
    card_picture,
)
from zeropoint.studio.report.svg_parts import RAMP, colour_of, colour_of_bits

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<img src=x onerror='alert(1)'>\"&\x00\x1b[2J|`]](http://evil)\n# *x* \ud800"
KINDS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
EXAMPLE = ChangedPrediction(
    text="prose", context="the rain in", reference=" Spain", quant=" France",
    reference_probability=0.75, quant_probability=0.5, kl=1.5,
)  # fmt: skip
LOSS = StoredLoss(
    kl=Interval(0.25, 0.2, 0.3), tokens=2040, text_sha256="ab" * 32, reference="ref.gguf",
    verdict="NOTICEABLE", top1=0.875,
    by_text={"prose": TextLoss(0.1, 0.05, 0.4, 1020), "code": TextLoss(0.4, None, None, 1020)},
    examples=(EXAMPLE,),
)  # fmt: skip


def entries(layers: int, formats: Sequence[str]) -> tuple[TensorEntry, ...]:
    """The matrices of a model; neighbouring layers have different formats."""
    inside = [
        TensorEntry(
            name=f"blk.{layer}.{kind}.weight", format=formats[(layer + at) % len(formats)],
            shape=(64, 64), bytes=4096,
        )
        for layer in range(layers)
        for at, kind in enumerate(KINDS)
    ]  # fmt: skip
    head = TensorEntry(name="token_embd.weight", format="Q8_0", shape=(99, 64), bytes=8192)
    return (head, *inside)


def inventory(
    loss: StoredLoss | None = LOSS, layers: int = 4, formats: Sequence[str] = ("Q4_K", "Q6_K")
) -> ModelInventory:
    tensors = entries(layers, formats)
    size = sum(tensor.bytes for tensor in tensors)
    names = {tensor.format for tensor in tensors}
    return ModelInventory(
        kind=FileKindSummary(name="model", described="a model"), files=("quant.gguf",),
        container="gguf", file_bytes=size, elements=2 * size, bits_per_weight=4.0,
        model=ModelOutline(
            name="Tiny", architecture="llama", layers=layers, width=64, heads=1,
            key_value_heads=1, context=32, vocabulary=99, experts=None, experts_used=None,
        ),
        formats=tuple(FormatShare(name, 1, 1, size // len(names), 4.0) for name in sorted(names)),
        origin={"zeropoint.source.file": "ref.gguf"}, tensors=tensors,
        proof=FileProof(
            tensors_sha256="cd" * 32, method={"rounding": "nearest"}, has_fields=True, loss=loss
        ),
    )  # fmt: skip


def hostile() -> ModelInventory:
    """A file with as much as a file may hold, and with markup in every text."""
    texts = {f"{n} {EVIL}"[:32]: TextLoss(0.5 + n, 0.1, 9e9, 10**6) for n in range(60)}
    example = replace(EXAMPLE, text=EVIL, context=EVIL * 9, reference=EVIL, quant="語" * 80)
    loss = replace(
        LOSS, by_text=texts, examples=(example,) * 9, reference="語" * 42 + EVIL,
        verdict=EVIL[:24],
    )  # fmt: skip
    model = inventory(loss, MAX_LAYERS, ("IQ1_S", "F32", "Q4_K", "IQ4_XS", "Q6_K"))
    more = [replace(one, name=f"blk.{n % 9}.{EVIL}{n}") for n, one in enumerate(model.tensors)]
    return replace(
        model,
        model=replace(model.model, name=EVIL * 20, architecture=EVIL),
        origin={"zeropoint.version": EVIL, "general.license": EVIL, "general.quantized_by": EVIL},
        tensors=(*model.tensors, *more),
        proof=replace(model.proof, method={"method": EVIL * 20, "rounding": EVIL}, loss=loss),
    )


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture.encode("utf-8"))


def texts_in(picture: str) -> list[str]:
    return ["".join(one.itertext()) for one in parsed(picture).iter(f"{SVG}text")]


@pytest.mark.parametrize("model", [inventory(), inventory(None), hostile()])
def test_a_picture_is_small_valid_and_self_contained(model: ModelInventory) -> None:
    picture = card_picture("q" * 300 + ".gguf", model)
    root = parsed(picture)
    assert len(picture.encode()) <= MAX_PICTURE_BYTES
    assert root.get("role") == "img" and root.get("aria-labelledby") == "title desc"
    assert [root.find(f"{SVG}{tag}").text for tag in ("title", "desc")] != [None, None]  # type: ignore[union-attr]
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "g", "text", "line", "path", "circle",
    }  # fmt: skip
    names = {name for one in root.iter() for name in one.attrib}
    assert not {name for name in names if name.startswith("on") or "href" in name}
    assert "url(" not in picture and "@import" not in picture and "@font-face" not in picture


def test_a_picture_shows_the_loss_in_proportion() -> None:
    root = parsed(card_picture("quant.gguf", inventory()))
    dots = [float(one.get("cx", "nan")) for one in root.iter(f"{SVG}circle")]
    # The largest end of an interval and of a mean is 0.4, so 0.4 is the end of the axis.
    scale = (PLOT_END - PLOT) / 0.4
    assert dots == pytest.approx([PLOT + value * scale for value in (0.25, 0.1, 0.4)], abs=0.06)
    bars = [one for one in root.iter(f"{SVG}rect") if one.get("class") == "mark"]
    ends = [(float(one.get("x", "")), float(one.get("width", ""))) for one in bars]
    intervals = ((0.2, 0.3), (0.05, 0.4))
    expected = [(PLOT + low * scale, (high - low) * scale) for low, high in intervals]
    assert [value for pair in ends for value in pair] == pytest.approx(
        [value for pair in expected for value in pair], abs=0.06
    )
    said = texts_in(card_picture("quant.gguf", inventory()))
    assert "0.250 (0.200 … 0.300)" in said and "0.100 (0.0500 … 0.400)" in said and "0.400" in said
    assert any(one.startswith("NOTICEABLE: the two models often") for one in said)
    assert "reference: “␣Spain” 75 % → this file: “␣France” 50 %" in said


def test_bars_are_in_proportion_to_bytes_and_every_layer_has_its_format() -> None:
    model = inventory()
    root = parsed(card_picture("quant.gguf", model))
    bars = [one for one in root.iter(f"{SVG}rect") if one.get("height") == "13"]
    widths = {}
    for one in bars:
        widths[one.get("y")] = widths.get(one.get("y"), 0.0) + float(one.get("width", "")) + 1
    embedding, attention, feed_forward = widths.values()
    assert attention == pytest.approx(PLOT_END - PLOT, abs=0.2)  # 16 matrices, the most bytes
    assert feed_forward == pytest.approx(attention * 12 / 16, abs=0.2)
    assert embedding == pytest.approx(attention * 2 / 16, abs=0.2)
    paths = {one.get("fill"): one.get("d", "") for one in root.iter(f"{SVG}path")}
    assert {fill: d.count("M") for fill, d in paths.items()} == {
        colour_of("Q4_K"): 14, colour_of("Q6_K"): 14
    }  # fmt: skip


def test_the_description_names_the_figures_of_the_picture() -> None:
    described = parsed(card_picture("quant.gguf", inventory())).findtext(f"{SVG}desc") or ""
    for part in ("quant.gguf", "NOTICEABLE", "0.250 (0.200 … 0.300)", "code 0.400", "Attention"):
        assert part in described


def test_a_file_without_a_loss_says_how_to_measure_it() -> None:
    model = inventory(None)
    command = "zeropoint measure quant.gguf --ref ref.gguf --store"
    assert command in texts_in(card_picture("quant.gguf", model))
    page = model_card([CardEntry("quant.gguf", model, "quant.svg")], facts_of(model))
    assert "The loss of this file is not measured." in page and command in page
    assert "not measured" in next(line for line in page.splitlines() if "| `quant.gguf`" in line)
    described = parsed(card_picture("quant.gguf", model)).findtext(f"{SVG}desc") or ""
    assert "not measured" in described
    other = replace(model, proof=None, origin={})  # of another program: it has no fields
    command = "zeropoint measure quant.gguf --ref REFERENCE"
    assert command in texts_in(card_picture("quant.gguf", other))


def luminance(colour: Sequence[float]) -> float:
    """The relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_all_colours_of_formats_stand_out_on_both_backgrounds() -> None:
    for quarter in range(int(4 * RAMP[0][0]), int(4 * RAMP[-1][0]) + 1):
        bits = quarter / 4
        colour = mixed(bits)
        for background in ((1.0, 1.0, 1.0), (0x0D / 255, 0x11 / 255, 0x17 / 255)):
            light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, (bits, background)


def mixed(bits: float) -> list[float]:
    text = colour_of_bits(bits)
    return [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def front_matter(page: str) -> tuple[dict[str, Any], str]:
    yaml: Any = pytest.importorskip("yaml")
    _, head, body = page.split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_front_matter_states_what_is_known_and_guesses_nothing() -> None:
    model = inventory()
    entry = CardEntry("quant.gguf", model, "quant.svg")
    head, _ = front_matter(model_card([entry], facts_of(model)))
    assert head == {
        "base_model_relation": "quantized", "library_name": "llama.cpp",
        "pipeline_tag": "text-generation", "tags": ["quantized", "zeropoint", "gguf"],
    }  # fmt: skip
    page = model_card([entry], facts_of(model))
    assert "# base_model: not stated" in page and "# license: not stated" in page
    stated = replace(
        model,
        imatrix={"file": "x"},
        origin={
            "general.repo_url": "https://huggingface.co/org/tiny",
            "general.base_model.0.repo_url": "https://huggingface.co/org/parent",
            "general.license": "Apache-2.0",
            "general.quantized_by": 'me: "x"',
            "general.languages": ["en", "de"],
        },
    )
    head, body = front_matter(model_card([replace(entry, model=stated)], facts_of(stated)))
    assert (head["base_model"], head["license"]) == ("org/tiny", "apache-2.0")
    assert (head["quantized_by"], head["language"]) == ('me: "x"', ["en", "de"])
    assert "imatrix" in head["tags"] and "(https://huggingface.co/org/tiny)" in body
    given = facts_of(stated, base_model="a/b", license="My own license", quantized_by="you")
    head, _ = front_matter(model_card([replace(entry, model=stated)], given))
    assert (head["base_model"], head["quantized_by"]) == ("a/b", "you")
    assert (head["license"], head["license_name"]) == ("other", "My own license")


def test_texts_from_a_file_are_no_markup_in_the_card() -> None:
    model = hostile()
    page = model_card([CardEntry(EVIL, model, "x.svg")], facts_of(model))
    head, body = front_matter(page)
    assert head["license"] == "other" and "alert(1)" in head["license_name"]
    outside = re.sub(r"```.*?```", "", body, flags=re.DOTALL)
    outside = re.sub(r"`[^`]*`", "", re.sub(r"\\.", "", outside))  # escapes, then inline code
    assert "<img" not in outside and "](http://evil" not in outside and "*x*" not in outside
    assert body.count("\n# ") == 1
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows[:3]}) == 1
    assert page.encode("utf-8")


def test_files_that_were_measured_differently_are_not_compared() -> None:
    one = CardEntry("a.gguf", inventory(), "a.svg")
    same = CardEntry("b.gguf", inventory(replace(LOSS, kl=Interval(0.5, 0.4, 0.6))), "b.svg")
    other = CardEntry("c.gguf", inventory(replace(LOSS, text_sha256="ef" * 32)), "c.svg")
    fair = model_card([one, same], facts_of(one.model))
    assert "0.500 (0.400 … 0.600)" in fair and "Measured on 2,040 positions" in fair
    assert "cannot be compared" not in fair
    assert "cannot be compared" in model_card([one, other], facts_of(one.model))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("model", [inventory(), hostile()])
def test_no_text_of_a_picture_is_cut_or_covers_another(
    tabs: Any, scheme: str, model: ModelInventory
) -> None:
    page, _ = tabs.take("card")
    page.emulate_media(color_scheme=scheme)
    page.set_content(card_picture("quant.gguf", model))
    boxes = page.evaluate(
        "[...document.querySelectorAll('text')].map(t => {const b = t.getBBox();"
        " return [t.textContent, b.x, b.y, b.width, b.height]})"
    )
    assert len(boxes) > 10
    for text, x, _, width, _ in boxes:
        assert 0 <= x and x + width <= WIDTH - (WIDTH - RIGHT) / 2, text
    for at, (text, x, y, width, height) in enumerate(boxes):
        for other, x2, y2, width2, height2 in boxes[:at]:
            beside = x + width <= x2 or x2 + width2 <= x
            assert beside or y + height / 2 <= y2 or y2 + height2 / 2 <= y, (text, other)
