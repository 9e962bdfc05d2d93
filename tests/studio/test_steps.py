"""Over many steps, in report and studio: what is shown is what the run folders hold."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.studio_pages import TASKS, Example, choose, fits, number, press, rows, turn
from support.studio_server import Studio, running
from support.tiny_models import vocabulary_size, write_model
from zeropoint.cli import main
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.data import drift_runs
from zeropoint.studio.data.drift_runs import run_names, short_names, steps_of
from zeropoint.studio.data.measure_runs import open_runs

HOSTILE = '</script><img src=x onerror="document.title=1"><b>\u2028{{'
FEW = ["--count", "5", "-n", "8", "--chains", "2", "--steps", "3", "--level", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of drift of two quants, and of tasks."""
    path = tmp_path_factory.mktemp("steps")
    random = np.random.default_rng(5)
    head = random.standard_normal((vocabulary_size(), 256)).astype(np.float32)
    other = write_model(path / "tiny-other.gguf", columns=256, changes={"token_embd.weight": head})
    model, quant = str(example.model), str(example.quant)
    (path / "tasks.jsonl").write_text("\n".join(map(json.dumps, TASKS)))
    drift = ["drift", quant, str(other), "--ref", model, *FEW, "--run", str(path / "drift"), "-q"]
    assert main(drift) == 0
    tasks = ["tasks", model, quant, str(other), "--tasks", str(path / "tasks.jsonl"), "-n", "6"]
    assert main([*tasks, "--run", str(path / "tasks"), "--threads", "1", "-q"]) == 0
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    page = folder / "report.html"
    runs = str(folder / "drift"), str(folder / "tasks")
    assert main(["report", *runs, "-o", str(page), "-q"]) == 0
    return page


def drifts(folder: Path) -> list[RunFolder]:
    return [RunFolder.open(path) for path in sorted((folder / "drift").iterdir())]


def test_the_figures_show_what_the_runs_hold(report: Path, folder: Path, new_page: Any) -> None:
    page = new_page(report)
    for place, run in enumerate(drifts(folder)):
        turn(page, "#f-survival", "quant", str(place))
        for way in ("greedy", "sampled"):
            choose(page, "#f-survival", "way", way)
            found: Any = run.results["free_run"][way]  # type: ignore[index]
            shown = np.array(rows(page, "#f-survival"), float)
            curve = found["survival"]
            np.testing.assert_array_equal(shown[:, 1], curve["share"])
            np.testing.assert_array_equal(shown[:, 4], curve["predicted"])
            page.locator("#f-survival g[data-mark='s4']").focus()
            assert number(page, "#f-survival", "share") == curve["share"][3]
            page.keyboard.press("ArrowLeft")
            assert number(page, "#f-survival", "share") == curve["share"][1]
            factors = [row[7] for row in rows(page, "#f-compounding")]
            wanted = [point["factor"]["mean"] for point in found["compounding"]]
            assert [None if x == "–" else float(x) for x in factors] == wanted
        chains: Any = run.results["chains"]
        for family, told in chains["families"].items():
            turn(page, "#f-chains", "family", family)
            cells = np.array(rows(page, "#f-chains"), float)
            means = [step["mean"] for step in told["quant"]["accuracy"]]
            np.testing.assert_array_equal(cells[:, 4], means)
    assert page.locator("#f-survival .curve.ghost").count() == 1


def test_texts_stand_side_by_side_from_where_they_part(
    report: Path, folder: Path, new_page: Any
) -> None:
    page = new_page(report)
    run = drifts(folder)[1]
    turn(page, "#f-texts", "quant", "1")
    choose(page, "#f-texts", "way", "sampled")
    pairs: Any = run.load_table("pairs")
    places = [place for place, row in enumerate(pairs) if row["way"] == "sampled"]
    table = [pairs[place] for place in places]
    assert any(row["split"] is not None for row in table)
    for index, row in enumerate(table):
        turn(page, "#f-texts", "prompt", index)
        told = page.locator("#f-texts .answers > div").all()
        for side, box in zip(("reference", "quant"), told, strict=True):
            own = "".join(row[f"{side}_pieces"][row["split"] :]) if row["split"] is not None else ""
            marked = "".join(box.locator("mark").evaluate_all("e => e.map(m => m.textContent)"))
            assert "".join(row[f"{side}_pieces"]) == row[side]
            assert marked == own or (row["met_again"] and marked in own)
        chunk = run.load_chunk(places[index])
        kl = [float(cells[4]) for cells in rows(page, "#f-texts") if cells[4] != "–"]
        np.testing.assert_allclose(kl, np.float32(chunk["on_quant_kl"][:, 0]))
    press(page, "#f-texts", "before")
    address = page.url.partition("#")[2]
    again = new_page(report, fragment=f"#{address}")
    prompt = again.locator("#f-texts .asked-for").inner_text()
    assert table[len(table) - 2]["prompt"] in prompt


def test_flips_of_tasks_are_those_of_the_run(report: Path, folder: Path, new_page: Any) -> None:
    page = new_page(report)
    run = RunFolder.open(folder / "tasks")
    models: Any = run.results["models"]
    for place in (1, 2):
        turn(page, "#f-tasks", "model", str(place))
        assert number(page, "#f-tasks", "right") == models[place]["right"]
        assert number(page, "#f-tasks", "p") == models[place]["beside_first"]["p"]
        lost = models[place]["beside_first"]["lost"]
        assert number(page, "#f-tasks", "lost") == len(lost)
        answers: Any = run.load_table(f"answers-{place}")
        known = {row["task"]: row for row in answers}
        cells = {row[0]: row[2 + place] for row in rows(page, "#f-tasks")}
        assert {id: told == "right" for id, told in cells.items()} == {
            task["id"]: known[task["id"]]["right"] for task in TASKS
        }
        turn(page, "#f-tasks", "task", "town")
        assert known["town"]["text"] in page.locator("#f-tasks .answers > div").last.inner_text()
    assert "tasks.model=2" in page.url


def test_two_runs_of_one_quant_are_told_apart(
    example: Example, folder: Path, new_page: Any, tmp_path: Path
) -> None:
    quant, model = str(example.quant), str(example.model)
    few = ["--count", "4", "-n", "3", "--chains", "0", "--threads", "1", "-q"]
    assert main(["drift", quant, "--ref", model, *few, "--run", str(tmp_path / "short")]) == 0
    path, long = tmp_path / "report.html", drifts(folder)[0].path
    assert main(["report", str(long), str(tmp_path / "short"), "-o", str(path), "-q"]) == 0
    page = new_page(path)
    assert page.locator("#f-survival option").all_inner_texts() == [long.name, "short"]
    shown = page.locator("#f-survival svg text").all_text_contents()
    assert shown.count(long.name) == shown.count("short") == 1
    assert "grey: short" in page.locator("#f-survival .legend").inner_text()
    said = page.locator(".verdict").inner_text()
    assert f"{example.quant.name} · short: half" in said
    assert page.locator(".verdict li").count() >= 1  # one sentence leads, the others are listed
    ends = "t => t.getBBox().x"  # where the shorter line ends, not at the margin
    place = page.locator("#f-survival svg text", has_text="short").evaluate(ends)
    assert place < page.locator("#f-survival svg text.strong").evaluate(ends) - 100


def test_words_and_tables_need_no_script(report: Path, folder: Path, new_page: Any) -> None:
    page = new_page(report, java_script_enabled=False)
    said = page.locator("#steps").inner_text()
    run = drifts(folder)[0]
    found: Any = run.results["free_run"]["greedy"]  # type: ignore[index]
    assert f"{100 * found['survival']['share'][7]:.0f} %" in said
    for words in ("carry arithmetic", "each kind, reference", "exact McNemar test", "8 tokens"):
        assert words in said
    assert "half of the greedy texts" in page.locator(".verdict").inner_text()
    page.emulate_media(media="print")
    assert page.locator("#steps").is_visible()


def test_report_and_page_are_narrow_and_small(report: Path, new_page: Any) -> None:
    page = new_page(report, viewport={"width": 360, "height": 780}, color_scheme="dark")
    assert fits(page, 360)
    assert report.stat().st_size < 3_000_000
    assert page.locator("figure[data-ready]").count() == 7  # five, the tasks by memory, raw results


def test_what_a_page_cannot_hold_is_left_out_and_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_runs, "MAX_SHOWN_TOKENS", 200)
    monkeypatch.setattr(drift_runs, "MAX_SHOWN_CHARACTERS", 100)
    paths = [run.path for run in drifts(folder)]
    found = steps_of(open_runs([*paths, folder / "tasks"])).as_page_data()
    for one in found["drifts"]:
        ways = [text["way"] for text in one["texts"]]
        assert 0 < ways.count("greedy") < 5 and 0 < ways.count("sampled") < 5
        assert one["left_out"] == 10 - len(one["texts"])
        assert sum(len(side) for text in one["texts"] for side in text["pieces"]) <= 100
    (tasks,) = found["tasks"]
    assert tasks["left_out"] == 3 - len(tasks["tasks"]) > 0


def test_names_are_short_where_they_stay_apart() -> None:
    assert short_names(["a-Q4.gguf", "a-Q4-x.gguf"]) == ["Q4", "Q4-x"]
    assert short_names(["m.gguf", "m.gguf"]) == ["m", "m"]
    assert short_names(["a", "b"]) == ["a", "b"] and short_names([]) == []
    near, far = Path("/x/a"), Path("/y/a")
    assert run_names(["m", "m", "n"], [near, far, near]) == ["x", "y", ""]
    assert run_names(["m", "m"], [near, near]) == ["", ""]  # one run has both: nothing tells


def copied(folder: Path, to: Path) -> RunFolder:
    source = drifts(folder)[1].path
    shutil.copytree(source, to)
    return RunFolder.open(to)


def test_text_of_models_and_prompts_stays_text(folder: Path, tmp_path: Path, new_page: Any) -> None:
    run = copied(folder, tmp_path / "run")
    table: Any = run.load_table("pairs")
    for row in table:
        row |= {"prompt": HOSTILE, "quant_pieces": [HOSTILE] * len(row["quant_pieces"])}
    run.save_table("pairs", table)
    head = json.loads((run.path / "run.json").read_text())
    head["inputs"]["quant"]["name"] = HOSTILE
    head["results"]["chains"]["families"]["sums"]["title"] = HOSTILE
    (run.path / "run.json").write_text(json.dumps(head))
    path = tmp_path / "report.html"
    assert main(["report", str(run.path), "-o", str(path), "-q"]) == 0
    page = new_page(path)
    assert page.locator("img").count() == 0 and "What was lost" in page.title()
    assert "onerror" in page.locator("#f-texts .asked-for").inner_text()


DAMAGE = {
    "pairs.json": ["{", "{}", "[3]", "[[]]", '[{"way": "greedy"}]'],
    "run.json": ['{"schema": 1}', '{"schema": 1, "verb": "drift", "results": {"free_run": 3}}'],
    "chunks/00000.npz": ["", "no"],
}


@pytest.mark.parametrize(("name", "content"), [(n, c) for n, cs in DAMAGE.items() for c in cs])
def test_a_damaged_run_is_one_sentence(
    folder: Path, tmp_path: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(folder, tmp_path / "run")
    (run.path / name).write_text(content)
    assert main(["report", str(run.path), "-o", str(tmp_path / "r.html"), "-q"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_verbs_write_a_report_and_leave_nothing_else(
    example: Example, folder: Path, tmp_path: Path
) -> None:
    page, model, quant = tmp_path / "page.html", str(example.model), str(example.quant)
    words = ["drift", quant, "--ref", model, *FEW[:4], "--chains", "0", "--threads", "1", "-q"]
    assert main([*words, "--report", str(page)]) == 0
    assert 'id="f-survival"' in page.read_text() and 'id="f-chains"' not in page.read_text()
    words = ["tasks", model, "--tasks", str(folder / "tasks.jsonl"), "-n", "3", "--threads", "1"]
    assert main([*words, "--report", str(page), "-q"]) == 0
    assert 'id="f-tasks"' in page.read_text()
    assert list(tmp_path.iterdir()) == [page]


def test_models_of_other_tokens_are_shown_by_character(
    example: Example, tmp_path: Path, new_page: Any
) -> None:
    from support.hf_folders import make_folder

    other = make_folder("qwen2", tmp_path / "other")
    run = tmp_path / "run"
    words = ["drift", str(other), "--ref", str(example.model), *FEW[:4], "--chains", "0"]
    assert main([*words, "--threads", "1", "--run", str(run), "-q"]) == 0
    path = tmp_path / "r.html"
    assert main(["report", str(run), "-o", str(path), "-q"]) == 0
    page = new_page(path)
    found: Any = RunFolder.open(run).results["texts"]
    shown = [float(row[1]) for row in rows(page, "#f-survival")]
    assert shown == [point["mean"] for point in found["survival_characters"]]
    assert page.locator("#f-compounding").count() == 0
    table: Any = RunFolder.open(run).load_table("pairs")
    assert (
        page.locator("#f-texts .answers > div").last.inner_text().endswith(table[0]["quant"][-5:])
    )


def test_scores_of_the_harness_are_a_table(tmp_path: Path, new_page: Any) -> None:
    side = {"name": "a.gguf", "file_bytes": 10, "formats": {"F16": 1}, "fingerprint": "0" * 64}
    run = RunFolder.start(tmp_path / "run", "tasks", {"models": [side], "harness": ["t"]}, {})
    results = {"t": {"alias": "t", "acc,none": 0.625, "acc_stderr,none": 0.1}}
    run.finish({"harness": "lm-evaluation-harness", "models": [{"name": "a.gguf", "file_bytes": 10,
                "results": results}]})  # fmt: skip
    path = tmp_path / "r.html"
    assert main(["report", str(run.path), "-o", str(path), "-q"]) == 0
    page = new_page(path)
    assert page.locator("#steps td").all_inner_texts() == ["t", "acc", "0.625"]


@pytest.fixture(scope="module")
def studio(folder: Path) -> Iterator[Studio]:
    with running(folder) as found:
        yield found


def test_the_long_run_page_shows_the_chosen_runs(
    studio: Studio, folder: Path, open_studio: Any
) -> None:
    page = open_studio(studio)("/long-run")
    assert page.locator(".rail a[aria-current]").inner_text() == "Compare"
    assert page.locator(".tabs a[aria-current]").inner_text() == "Long texts and tasks"
    assert page.locator(".pick input:checked").count() == 1  # the latest
    for box in page.locator(".pick input").all():
        box.check()
    page.locator(".pick button").click()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.locator("figure[data-ready]").count() == 6  # five, and one that starts others
    names = [Path(path).name for path in page.locator("#f-survival option").all_inner_texts()]
    assert sorted(names) == ["other", "small"] or len(names) == 2
    choose(page, "#f-survival", "way", "sampled")
    assert "way=sampled" in page.url
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.locator('#f-texts [data-control="way=sampled"]').is_checked()
    narrow = open_studio(studio)("/long-run", width=360)
    assert fits(narrow, 360)
    assert narrow.locator("figure[data-ready]").count() > 0


def test_the_first_page_offers_runs_of_many_steps(studio: Studio, open_studio: Any) -> None:
    page = open_studio(studio)("/")
    box = page.locator(f'input[value="{studio.id_of("tasks", "run")}"]')
    box.check()
    page.locator("button", has_text="Long texts and tasks").click()
    page.wait_for_selector("html[data-ready]", state="attached")
    shown = [figure.get_attribute("id") for figure in page.locator("figure").all()]
    assert shown == ["f-tasks", "f-jobs"]


def test_without_runs_the_page_says_which_command_makes_one(tmp_path: Path, example: Example,
                                                            open_studio: Any) -> None:  # fmt: skip
    with running(tmp_path) as empty:
        page = open_studio(empty)("/long-run")
        assert "zeropoint drift QUANT.gguf --ref" in page.locator("main").inner_text()
    with running(example.model.parent) as other:
        id = other.id_of("measured", "run")
        answer = other.get(f"/long-run?run={id}")
        assert answer.status == 422 and b"this page shows runs of drift" in answer.body
