"""The studio's pages in a browser, on files that change: nothing is drawn that was not read."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.studio_pages import Example, choose, number, rows, turn, until
from support.studio_server import Studio
from support.tiny_models import write_model
from zeropoint import kernels
from zeropoint.checkpoints import open_model
from zeropoint.formats import find_format
from zeropoint.quantizers import quantize

TENSOR = "blk.1.ffn_down.weight"


def weights_of(path: Path, name: str) -> np.ndarray:
    with open_model(path) as model:
        stored = model.read(name)
        return kernels.decode(stored.format, stored.data).reshape(stored.shape)


def test_home_lists_what_lies_below_the_root(visit: Any, studio: Studio, example: Example) -> None:
    page = visit("/")
    page.wait_for_selector("html[data-filled]", state="attached")
    models = page.locator("#models").inner_text()
    assert example.model.name in models and example.quant.name in models
    assert page.locator('#models [data-key="architecture"]').all_inner_texts() == ["llama"] * 2
    runs = page.locator("#runs tbody tr").all_inner_texts()
    assert len(runs) >= 3 and any("quantize" in line for line in runs)
    page.locator(f'input[value="{studio.id_of("measured", "run")}"]').check()
    page.locator(f'input[value="{studio.id_of("made", "run")}"]').check()
    page.locator("button", has_text="Report").click()
    page.wait_for_selector("html[data-ready]", state="attached")
    shown = {figure.get_attribute("id") for figure in page.locator("figure[data-visual]").all()}
    assert shown >= {"f-bytes", "f-loss", "f-text", "f-tensors", "f-why"}
    assert page.locator("#verdict").count() == 1 and page.locator(".rail").count() == 1


def test_the_map_has_every_tensor_and_its_outliers(
    visit: Any, studio: Studio, example: Example
) -> None:
    page = visit(f"/models/{studio.id_of(example.quant.name)}/map")
    with open_model(example.quant) as model:
        sizes = {info.name: info.nbytes for info in model.tensors.values()}
    assert {row[0]: int(row[3]) for row in rows(page, "#f-bytes")} == sizes
    page.wait_for_selector("#f-heat[data-drawn=read]")
    choose(page, "#f-heat", "colour", "outliers")
    turn(page, "#f-heat", "tensor", TENSOR)
    weights = weights_of(example.quant, TENSOR).astype(np.float64)
    ratio = np.abs(weights).max() / np.sqrt(np.square(weights).mean())
    assert number(page, "#f-heat", "outliers") == pytest.approx(ratio, rel=1e-6)
    assert "heat.colour" not in page.url or "outliers" in page.url
    assert f"tensor={TENSOR}" in page.url
    page.reload()
    page.wait_for_selector("#f-heat[data-drawn=read]")
    assert number(page, "#f-heat", "outliers") == pytest.approx(ratio, rel=1e-6)
    assert "general.architecture" in page.locator("#metadata").inner_text()


def opened(page: Any, name: str = TENSOR) -> None:
    page.wait_for_selector(f'#f-weights[data-drawn="{name} outliers block"]')


def test_the_weights_lab_shows_what_is_in_the_file(
    visit: Any, studio: Studio, example: Example
) -> None:
    weights = weights_of(example.model, TENSOR)
    base = f"/models/{studio.id_of(example.model.name)}/weights"
    page = visit(f"{base}#tensor={TENSOR}")
    opened(page)
    assert number(page, "#f-weights", "count") == weights.size
    assert number(page, "#f-weights", "largest") == weights.flat[np.abs(weights).argmax()]
    counts = np.array([row[2] for row in rows(page, "#f-weights")], int)
    assert counts.sum() == weights.size
    edges = np.array([row[0] for row in rows(page, "#f-weights")], float)
    limit = -edges[0]
    expected = np.histogram(weights.astype(np.float64), 256, (-limit, limit))[0]
    assert counts.tolist() == expected.tolist()
    turn(page, "#f-weights", "codes", "Q4_0")
    turn(page, "#f-weights", "row", 3)
    turn(page, "#f-weights", "column", 70)
    opened(page)
    row = weights[3:4].astype(np.float32)
    stored = quantize(row, find_format("Q4_0"), threads=1)
    decoded = kernels.decode(stored.format, stored.data).reshape(-1)
    until(page, "document.querySelector('#f-weights [data-name=row-error]')?.value > 0")
    assert number(page, "#f-weights", "levels") == np.unique(decoded[64:96]).size
    error = np.linalg.norm(decoded.astype(np.float64) - row[0]) / np.linalg.norm(
        row[0].astype(float)
    )
    assert number(page, "#f-weights", "row-error") == pytest.approx(error, rel=1e-9)
    assert page.locator("#f-weights .code-tick").count() == np.unique(decoded[64:96]).size
    order = np.argsort(-np.abs(weights).reshape(-1), kind="stable")
    first = page.locator('#f-weights [data-control="outlier"]').first
    place = divmod(int(order[0]), weights.shape[1])
    assert first.get_attribute("data-mark") == f"o{place[0]}-{place[1]}"
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    row_, column = divmod(int(order[1]), weights.shape[1])
    until(page, f"location.hash.includes('weights.row={row_}')")
    assert f"weights.column={column}" in page.url
    choose(page, "#f-weights", "view", "layers")
    until(page, "document.querySelector('#f-weights [data-name=tensors]')?.value == 2")
    page.go_back()
    opened(page)


def test_a_changed_block_shows_everywhere(
    visit: Any, studio: Studio, example: Example, tmp_path: Path
) -> None:
    weights = weights_of(example.model, TENSOR).astype(np.float32).copy()
    path = write_model(example.model.parent / "changed.gguf", changes={TENSOR: weights})
    id = studio.id_of(path.name)
    place = f"tensor={TENSOR}&weights.row=5&weights.column=64"
    page = visit(f"/models/{id}/weights#{place}")
    opened(page)
    before = number(page, "#f-weights", "largest")
    weights[5, 64:96] = 7.0 * np.abs(weights).max()
    write_model(path, changes={TENSOR: weights})
    changed = float(np.float16(weights[5, 64]))
    assert before != changed
    page = visit(f"/models/{id}/weights?2#{place}")
    opened(page)
    assert number(page, "#f-weights", "largest") == changed
    page = visit(f"/models/{id}/map?2#tensor={TENSOR}&heat.colour=outliers")
    page.wait_for_selector("#f-heat[data-drawn=read]")
    exact = weights_of(path, TENSOR).astype(np.float64)
    ratio = changed / np.sqrt(np.square(exact).mean())
    assert number(page, "#f-heat", "outliers") == pytest.approx(ratio, rel=1e-6)
    with open_model(path) as model:
        index = list(model.tensors).index(TENSOR)
    page = visit(f"/models/{id}/lab?tensor={index}&row=5&column=64#symmetric.count=16")
    assert {float(row[1]) for row in rows(page, "#f-quantizer")} == {changed}
    page = visit(f"/models/{id}/multiply?2#{place}&multiply.kind=seed&multiply.step=5")
    page.wait_for_selector("#f-multiply[data-drawn]:not([data-drawn=''])")
    x = np.random.default_rng(1).standard_normal(weights.shape[1]).astype(np.float32)
    after = float(exact[5] @ x.astype(np.float64))
    assert number(page, "#f-multiply", "exact") == pytest.approx(after, rel=1e-12)
    assert {float(row[1]) for row in rows(page, "#f-multiply")} == {changed}
    path.unlink()


def test_the_walk_is_of_this_model_and_these_runs(
    visit: Any, studio: Studio, example: Example
) -> None:
    run = studio.id_of("measured", "run")
    model = studio.id_of(example.model.name)
    while b'"ready":true' not in studio.get(f"/api/models/{model}/scan").body:
        time.sleep(0.05)  # until then the page waits, and opens itself again
    page = visit(f"/models/{model}/walk?run={run}")
    page.wait_for_selector("#f1 .plot > *")
    assert number(page, "#f1", "parameters") == example.data["model"]["parameters"]
    for index in (3, 7, 9, 12, 14, 15, 19):
        assert page.locator(f"#f{index} .plot > *").count() > 0, index
    assert page.locator("#f14 .borrowed, #f15 .borrowed, #f7 .borrowed").count() == 0


def test_token_drift_is_of_the_run_and_keeps_its_place(
    visit: Any, studio: Studio, example: Example
) -> None:
    run = studio.id_of("measured", "run")
    levels = [e.id for e in studio.library.listing().of("run") if e.name.startswith("ladder/")]
    words = "&".join(f"run={id}" for id in [run, *levels[:1]])
    page = visit(f"/measure?{words}#at=5")
    text = next(t for t in example.data["texts"] if t["domain"] == "prose")
    assert number(page, "#f-text", "kl") == pytest.approx(float(text["kl"][5]), rel=1e-6)
    if levels:
        page.locator(".switch a").last.click()
        page.wait_for_selector("html[data-ready]", state="attached")
        assert "shown=1" in page.url and page.url.endswith("#at=5")


def test_quants_are_compared_as_the_command_line_does(
    visit: Any, studio: Studio, example: Example
) -> None:
    runs = [e for e in studio.library.listing().of("run") if e.name == "measured"]
    page = visit(f"/compare?run={runs[0].id}&run={runs[0].id}")
    cells = page.locator("#compared tbody tr td").all_inner_texts()
    assert cells[0] == "measured" and cells[6] == "a"
