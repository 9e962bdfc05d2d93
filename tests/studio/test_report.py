"""The report: what is in it, that it stands alone, and that nothing in a file can act in it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.studio_pages import Example, choose, number, rows, shows, turn
from zeropoint.cli import main
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.data.page_data import pack
from zeropoint.studio.report.bundle import bundle, self_contained
from zeropoint.studio.report.html import text

HOSTILE = '</script><img src=x onerror="document.title=1"><b>\u2028{{'


@pytest.fixture(scope="module")
def report(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert main(["report", *map(str, example.runs), "-o", str(path), "-q"]) == 0
    return path


def results(example: Example, run: int) -> Any:
    return RunFolder.open(example.runs[run]).results


def test_a_report_says_the_verdict_and_every_figure_has_its_table(
    report: Path, example: Example, new_page: Any
) -> None:
    page = new_page(report)
    found = results(example, 0)
    assert found["verdict"]["word"] in page.locator(".verdict").inner_text()
    for name in ("bytes", "loss", "text", "tensors", "why", "frontier", "raw"):
        assert page.locator(f"#f-{name} .plot > *").count() > 0, name
        assert len(rows(page, f"#f-{name}")) > 1, name
    assert number(page, "#f-loss", "mean") == found["kl"]["mean"]
    choose(page, "#f-loss", "metric", "ratio")
    assert number(page, "#f-loss", "mean") == found["perplexity"]["ratio"]["mean"]
    page.locator('#f-loss [data-mark="r2"]').focus()
    second = list(found["by_domain"].values())[1]
    assert number(page, "#f-loss", "mean") == second["perplexity"]["ratio"]["mean"]


def test_the_same_tensor_opens_in_all_figures(
    report: Path, example: Example, new_page: Any
) -> None:
    page = new_page(report)
    table = RunFolder.open(example.runs[1]).load_table("tensors")
    assert isinstance(table, list)
    one = [row for row in table if "worst_block" in row][2]
    turn(page, "#f-bytes", "tensor", one["name"])
    assert number(page, "#f-bytes", "bytes") == one["bytes"]
    assert number(page, "#f-tensors", "error") == pytest.approx(one["relative_error"] ** 0.5)
    assert number(page, "#f-why", "row") == one["worst_block"]["row"]
    shown = np.array(rows(page, "#f-why"), float)
    np.testing.assert_array_equal(shown[:, 1], np.float32(one["worst_block"]["weights"]))
    np.testing.assert_array_equal(shown[:, 2], np.float32(one["worst_block"]["decoded"]))


def test_words_and_tables_need_no_script(report: Path, example: Example, new_page: Any) -> None:
    page = new_page(report, java_script_enabled=False)
    found = results(example, 0)
    said = page.locator("main").inner_text()
    assert found["verdict"]["word"] in said and f"{found['kl']['mean']:.3g}" in said
    for name in found["by_domain"]:
        assert name in page.locator("#loss table").inner_text()
    assert page.locator("table").count() >= 7
    assert page.locator("figure:visible").count() == 0  # nothing empty is shown


def test_a_report_is_one_small_file_that_asks_for_nothing(report: Path) -> None:
    html = report.read_text()
    assert len(html) < 3_000_000
    html, icons = re.subn(r'<link rel="icon" href="data:image/svg[^"]+">', "", html)
    assert icons == 1
    for outside in ("src=", "@import", "url(", "<link", "srcset"):
        assert outside not in html
    assert set(re.findall(r"https?://[\w./-]+", html)) == {"http://www.w3.org/2000/svg"}
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy and "default-src 'none'" in policy[1] and "unsafe" not in policy[1]


def test_what_is_shown_is_in_the_address(report: Path, new_page: Any) -> None:
    page = new_page(report)
    choose(page, "#f-tensors", "colour", "bits")
    turn(page, "#f-bytes", "tensor", "blk.1.ffn_up.weight")
    address = page.url.partition("#")[2]
    other = new_page(report, fragment=f"#{address}")
    assert other.locator('#f-tensors [data-control="colour=bits"]').is_checked()
    shows(other, "#f-tensors .reading", "blk.1.ffn_up")
    page.go_back()
    shows(page, "#f-tensors .reading", "blk.1.ffn_up", told=False)


def test_text_out_of_files_stays_text(example: Example, tmp_path: Path, new_page: Any) -> None:
    """A model's name, a tensor's name and a token are whatever somebody wrote into a file."""
    run = RunFolder.open(example.runs[0])
    inputs = {**run.identity["inputs"]}  # type: ignore[dict-item]
    inputs["quant"] = {**inputs["quant"], "name": HOSTILE}
    hostile = RunFolder.start(tmp_path / "hostile", "measure", inputs, {})
    for index in range(run.chunks_done()):
        hostile.save_chunk(index, run.load_chunk(index))
    pieces = run.load_table("pieces")
    assert isinstance(pieces, dict)
    hostile.save_table("pieces", dict.fromkeys(pieces, HOSTILE))
    hostile.finish(run.results)
    made = RunFolder.start(
        tmp_path / "made", "quantize", {"source": [HOSTILE]}, {"recipe": HOSTILE}
    )
    source = RunFolder.open(example.runs[1])
    table = [{**row, "name": HOSTILE + row["name"]} for row in source.load_table("tensors")]  # type: ignore[attr-defined]
    made.save_table("tensors", table)
    made.finish(source.results)
    path = tmp_path / "report.html"
    assert main(["report", str(hostile.path), str(made.path), "-o", str(path), "-q"]) == 0
    page = new_page(path)
    assert page.locator("img").count() == 0
    assert page.locator("main b:not(.chips b):not(.legend b):not(.card b)").count() == 0
    assert HOSTILE[:20] in page.locator("h1").inner_text()
    assert "What was lost" in page.title()
    assert page.locator("#f-text .tok:not(.context)", has_text="onerror").count() > 10


def test_a_report_of_each_run_alone(example: Example, tmp_path: Path, new_page: Any) -> None:
    for run in example.runs:
        path = tmp_path / f"{run.name}.html"
        assert main(["report", str(run), "-o", str(path), "-q"]) == 0
        page = new_page(path)
        assert page.locator(".verdict").inner_text()
        assert "Not in this report" in page.locator("#method").inner_text()


def test_what_is_no_run_is_refused(
    tmp_path: Path, example: Example, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "-o", str(tmp_path / "r.html")]) == 2
    assert "needs a run" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "r.html")]) == 2
    assert main(["report", str(example.model), "-o", str(tmp_path / "r.html")]) == 2
    unfinished = RunFolder.start(tmp_path / "half", "measure", {}, {})
    assert main(["report", str(unfinished.path), "-o", str(tmp_path / "r.html")]) == 2
    assert "not finished" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_data_that_is_not_finite_and_text_that_ends_scripts_is_carried() -> None:
    packed = pack({"a": float("nan"), "b": np.array([1.5, np.inf], np.float32), "</script>": 1})
    assert "<" not in packed
    page = self_contained("<T>", "<p>x</p>", "report", {})
    assert "<title>&lt;T&gt;</title>" in page and text("<") == "&lt;"


def test_bundled_modules_keep_to_themselves() -> None:
    script = bundle("entries/report")
    assert script.index("const lib_dom_module") < script.index("const figures_loss_bytes_module")
    assert not re.search(r"^\s*(import|export) ", script, re.MULTILINE)


def test_verbs_write_a_report_beside_their_answer(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, page = str(example.model), tmp_path / "page.html"
    few = ["--ctx", "32", "--chunks", "4", "--threads", "1", "-q", "--report", str(page)]
    text = ["--text", str(example.model.parent / "prose.txt")]
    assert main(["measure", model, "--as", "INT4_SYM_G32", *text, *few]) == 0
    assert "tiny-llama.gguf as INT4_SYM_G32" in page.read_text()
    assert main(["ladder", model, "--levels", "16,4", *text, *few]) == 0
    assert "INT4_ASYM_G32" in page.read_text()
    words = ["demo", model, "--to", "Q8_0", "--keep", str(tmp_path), "--chunks", "4", "--json"]
    capsys.readouterr()
    assert main([*words, "--threads", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    for section in ("verdict", "bytes", "loss", "text", "tensors", "why", "method"):
        assert f'<section id="{section}">' in html


def test_the_walk_alone_is_the_example_and_with_a_model_it_is_that_models(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "walk.html"
    words = ["report", "--walk", str(example.model), "-o", str(page), "--threads", "1"]
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["bytes"] == page.stat().st_size
    three = [str(example.model)] * 3
    assert main(["report", "--walk", *three, "-o", str(page)]) == 2
