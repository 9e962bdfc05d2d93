"""The page of one dot product: its numbers are the kernel's, and the kernel's are right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.studio_pages import Example, choose, number, press, rows, turn
from support.studio_server import Studio
from zeropoint import kernels
from zeropoint.checkpoints import open_model
from zeropoint.formats import F32, QuantizedTensor, find_format
from zeropoint.models import load_model
from zeropoint.plans.machines.catalog import find_device
from zeropoint.plans.speed.multiply import multiplication
from zeropoint.quantizers import quantize
from zeropoint.studio.data.dot_product import ProductRequest, block_of, changes, inputs_of

TENSOR = "blk.1.attn_q.weight"
ROW, COLUMN, TOKEN = 9, 70, 7
LAST = 6  # the step that shows everything


def embedding_after_norm(path: Path) -> F32:
    """The activations that the page says it takes, from the file alone."""
    with open_model(path) as model:
        stored = model.read("token_embd.weight")
        x = kernels.decode(stored.format, stored.data).reshape(stored.shape)[TOKEN].astype(float)
        factor = model.read("blk.1.attn_norm.weight").data.reshape(-1).view("<f4")
    return np.asarray(x / np.sqrt(np.square(x).mean()) * factor, np.float32)


def stored(path: Path, format: str = "") -> QuantizedTensor:
    with open_model(path) as model:
        tensor = model.read(TENSOR)
    if not format:
        return tensor
    weights = kernels.decode(tensor.format, tensor.data).reshape(tensor.shape)
    return quantize(weights, find_format(format), threads=1)


def address(studio: Studio, path: Path, more: str = "") -> str:
    place = f"tensor={TENSOR}&weights.row={ROW}&weights.column={COLUMN}"
    words = f"multiply.step={LAST}&multiply.token=%23{TOKEN}{more}"
    return f"/models/{studio.id_of(path.name)}/multiply#{place}&{words}"


def drawn(page: Any, format: str) -> None:
    page.wait_for_selector(f'#f-multiply[data-drawn="{TENSOR} {ROW} {COLUMN} {format}"]')


@pytest.mark.parametrize("format", ["Q4_0", "Q6_K", "Q4_K", "IQ4_NL", "MXFP4", "TQ2_0"])
def test_every_number_is_the_kernels_own(
    visit: Any, studio: Studio, example: Example, format: str
) -> None:
    path = example.quant
    own = format == "Q4_0"
    page = visit(address(studio, path, "" if own else f"&multiply.format={format}"))
    drawn(page, format)
    x, tensor = embedding_after_norm(path), stored(path, "" if own else format)
    product = kernels.matmul(kernels.pack(tensor), x[None], mode="fast")[0, ROW]
    assert number(page, "#f-multiply", "result") == float(product)  # the same bits: both are f32
    weights = kernels.decode(tensor.format, tensor.data).reshape(tensor.shape)[ROW]
    exact = float(weights.astype(float) @ x.astype(float))
    assert number(page, "#f-multiply", "exact") == pytest.approx(exact, rel=1e-12)
    table = np.array(rows(page, "#f-multiply"), float)
    assert table[:, 0].tolist() == list(range(64, 96))
    np.testing.assert_array_equal(table[:, 1], weights[64:96])
    np.testing.assert_array_equal(table[:, 4], x[64:96])
    peak = np.abs(x[64:96]).max()
    np.testing.assert_array_equal(table[:, 5], np.rint(x[64:96] * (np.float32(127) / peak)))
    products = table[:, 3].astype(np.int64) * table[:, 5].astype(np.int64)
    np.testing.assert_array_equal(table[:, 6], products)
    groups = 2 if page.locator('#f-multiply [data-name="dot-2"]').count() else 1
    for g, part in enumerate(products.reshape(groups, -1).sum(axis=1)):
        assert number(page, "#f-multiply", f"dot{'-2' if g else ''}") == part
    # Codes less the zero point, times the scale (plus the minimum), are the weights.
    scales = [number(page, "#f-multiply", f"scale{'-2' if g else ''}") for g in range(groups)]
    least = [0.0] * groups
    if page.locator('#f-multiply [data-name="minimum"]').count():
        least = [number(page, "#f-multiply", f"minimum{'-2' if g else ''}") for g in range(groups)]
    again = table[:, 3].reshape(groups, -1) * np.array(scales)[:, None] + np.array(least)[:, None]
    np.testing.assert_array_equal(again.reshape(-1).astype(np.float32), weights[64:96])


def test_weights_that_are_floats_are_multiplied_as_floats(
    visit: Any, studio: Studio, example: Example
) -> None:
    page = visit(address(studio, example.model))
    drawn(page, "F16")
    x, tensor = embedding_after_norm(example.model), stored(example.model)
    product = kernels.matmul(kernels.pack(tensor), x[None], mode="fast")[0, ROW]
    assert number(page, "#f-multiply", "result") == float(product)
    assert page.locator('#f-multiply [data-stage="scales"]').count() == 0
    table = np.array(rows(page, "#f-multiply"), float)
    trace = kernels.trace(tensor, x, ROW, "exact")
    assert isinstance(trace, kernels.FloatTrace)
    np.testing.assert_array_equal(table[:, 3], trace.chains[COLUMN // 32])
    assert number(page, "#f-multiply", "dot") == trace.chains[COLUMN // 32, -1]


def test_steps_are_buttons_and_the_address_keeps_them(
    visit: Any, studio: Studio, example: Example
) -> None:
    page = visit(f"/models/{studio.id_of(example.quant.name)}/multiply#tensor={TENSOR}")
    page.wait_for_selector('#f-multiply [data-stage="memory"]')
    assert page.locator("#f-multiply .stage").count() == 1
    for count in (2, 3, 4):
        press(page, "#f-multiply", "next")
        page.wait_for_selector(f"#f-multiply .stage:nth-of-type({count})")
    assert "multiply.step=3" in page.url
    mark = page.locator('#f-multiply [data-stage="registers"] [data-mark="q0"]')
    mark.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('#f-multiply [data-stage="registers"] [data-mark="q1"].chosen')
    assert "weights.column=1" in page.url
    assert page.evaluate("document.activeElement.dataset.mark") == "q1"
    page.reload()
    page.wait_for_selector('#f-multiply [data-stage="registers"] [data-mark="q1"].chosen')
    assert page.locator("#f-multiply .stage").count() == 4
    choose(page, "#f-multiply", "step", 0)
    page.wait_for_selector('#f-multiply [data-stage="memory"].now')
    page.go_back()
    page.wait_for_selector('#f-multiply [data-stage="32-bit sums"].now')
    turn(page, "#f-multiply", "unit", 2)
    page.wait_for_selector(f'#f-multiply[data-drawn="{TENSOR} 0 64 Q4_0"]')
    assert "weights.column=64" in page.url
    # The Weights lab leads here, with the same row.
    page = visit(f"/models/{studio.id_of(example.quant.name)}/weights#weights.row=4")
    page.locator("#f-weights a", has_text="Multiply row 4").click()
    page.wait_for_selector('#f-multiply [data-stage="memory"]')
    assert "weights.row=4" in page.url


def test_another_token_seed_or_text_is_another_product(
    visit: Any, studio: Studio, example: Example
) -> None:
    page = visit(address(studio, example.quant))
    drawn(page, "Q4_0")
    found = {number(page, "#f-multiply", "result")}
    choose(page, "#f-multiply", "kind", "seed")
    turn(page, "#f-multiply", "seed", 5)
    source = "#f-multiply .source"
    page.locator(source, has_text="seed 5").wait_for()
    found.add(number(page, "#f-multiply", "result"))
    x = np.random.default_rng(5).standard_normal(256).astype(np.float32)
    product = kernels.matmul(kernels.pack(stored(example.quant)), x[None], mode="fast")[0, ROW]
    assert number(page, "#f-multiply", "result") == float(product)
    choose(page, "#f-multiply", "kind", "text")
    turn(page, "#f-multiply", "text", "the rain")
    page.locator(source, has_text="of the text").wait_for(timeout=60_000)
    with open_model(example.quant) as model:
        loaded = load_model(model)
        seen: list[F32] = []
        loaded.set_hook(TENSOR, lambda rows, _: seen.append(rows.copy()))
        loaded.hidden(np.array(loaded.tokenizer.encode("the rain", ends=True), np.int32))
    product = kernels.matmul(kernels.pack(stored(example.quant)), seen[0][-1:], mode="fast")[0, ROW]
    assert number(page, "#f-multiply", "result") == float(product)
    choose(page, "#f-multiply", "kind", "token")
    turn(page, "#f-multiply", "token", "<b>nothing</b>")
    page.locator("#f-multiply .problem", has_text="<b>nothing</b>").wait_for()
    assert len(found) == 2


def test_other_machines_do_what_explain_says(visit: Any, studio: Studio, example: Example) -> None:
    page = visit(f"/models/{studio.id_of(example.quant.name)}/multiply#tensor={TENSOR}")
    turn(page, "#f-ways", "device", "rtx3090")
    choose(page, "#f-ways", "phase", "prompt")
    page.wait_for_selector('#f-ways[data-drawn="rtx3090 Q4_0 llama.cpp prompt"]')
    told = multiplication(find_device("rtx3090"), find_format("Q4_0"))
    way = next(w for w in told.ways if (w.runtime, w.phase) == ("llama.cpp", "prompt"))
    said = page.locator("#f-ways ol.way").inner_text()
    for step in way.steps:
        assert step in said
    assert len(rows(page, "#f-ways")) == len(told.ways)
    turn(page, "#f-ways", "way-format", "MXFP4")
    page.wait_for_selector('#f-ways[data-drawn="rtx3090 MXFP4 llama.cpp prompt"]')
    assert page.locator('#f-ways [data-name="native"]').inner_text() == ", ".join(told.native)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_K", "Q6_K", "IQ4_NL", "F16", "Q2_K"])
def test_bits_belong_to_the_weights_that_they_change(name: str) -> None:
    """Each weight has its code's bits: as many as the format says, and nobody else's."""
    width = {"Q4_0": 4, "Q4_K": 4, "Q6_K": 6, "IQ4_NL": 4, "F16": 16, "Q2_K": 2}[name]
    weights = np.random.default_rng(1).standard_normal((1, 512)).astype(np.float32)
    tensor = quantize(weights, find_format(name), threads=1)
    seen: list[int] = []
    for unit in range(8):
        block = block_of(tensor, 32 * unit)
        assert block is not None and len(block["own"]) == 32
        own = [bit for bits in block["own"] for bit in bits]
        assert [len(bits) for bits in block["own"]] == [width] * 32
        assert len(set(own)) == len(own)
        if tensor.format.block_size == 256:
            seen += own
        assert (block["owners"][own] == 1).all()
    if seen:  # together the codes of all units are all bits that only one weight has
        assert sorted(seen) == np.flatnonzero(block["owners"] == 1).tolist()
    if tensor.format.block_size > 1:
        changed = changes(tensor, tensor.data[:1])
        assert changed.shape == (tensor.format.block_bytes * 8, tensor.format.block_size)


def test_what_is_asked_is_checked(studio: Studio, example: Example) -> None:
    with open_model(example.quant) as model:
        index = list(model.tensors).index(TENSOR)
    base = f"/api/models/{studio.id_of(example.quant.name)}/tensors/{index}/product"
    good = {"row": 0, "unit": 0, "seed": 1, "kind": "seed"}
    for words, status in (
        ({}, 200), ({"row": 10**6}, 400), ({"row": -1}, 400), ({"unit": 8}, 400),
        ({"unit": 1.5}, 400), ({"kind": "file"}, 400), ({"kind": 1}, 400), ({"seed": 2**32}, 400),
        ({"seed": None}, 400), ({"format": "x" * 65}, 400), ({"token": "x" * 300}, 400),
        ({"kind": "text", "text": ""}, 400), ({"text": "x" * 2001}, 400),
    ):  # fmt: skip
        answer = studio.post(base, json.dumps(good | words).encode())
        assert answer.status == status, words
    for words, told in (
        ({"format": "Q9"}, "no format"),
        ({"kind": "token", "token": "#99999999"}, "vocabulary"),
        ({"format": "INT4_SYM_G99999"}, "stores rows"),
    ):  # fmt: skip
        answer = studio.post(base, json.dumps(good | words).encode())
        assert answer.status == 200 and b'"error"' in answer.body, words
        assert told.encode() in answer.body, answer.body
    assert studio.get("/api/multiply?device=nothing").status == 422
    assert studio.get("/api/multiply?format=Q9").status == 422


def test_a_matrix_that_meets_no_embedding_gets_numbers_that_say_so(example: Example) -> None:
    asked = ProductRequest(0, 0, "", "token", "", 3, "")
    with open_model(example.quant) as model:
        found = inputs_of(model, model.tensors["blk.0.ffn_down.weight"], asked)
    assert "seed 3" in found.origin
