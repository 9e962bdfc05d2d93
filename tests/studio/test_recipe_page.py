"""The page Recipe: changes by hand, the exact size, the predicted loss, and the run."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from support.studio_pages import Example, number, press, rows, shows, turn, until
from support.studio_server import Studio, running
from support.tiny_models import write_model
from zeropoint.checkpoints import open_model
from zeropoint.cli import main
from zeropoint.errors import RecipeError
from zeropoint.studio.data.recipe_edits import RecipeEdit
from zeropoint.studio.data.search_runs import starts_for

EDITS = ["ffn_down@0-0=Q6_K", "token_embd=Q3_K", "*@1-1=Q5_K", "attn_q@1-1=IQ4_XS"]
SHOWN = "document.querySelector('#f-edit').dataset.drawn === 'answered'"


def post(studio: Studio, path: str, words: object) -> tuple[int, dict[str, Any]]:
    answer = studio.post(path, json.dumps(words).encode())
    return answer.status, json.loads(answer.body.splitlines()[-1])


def recipe_of(studio: Studio, name: str, start: str, edits: list[str]) -> dict[str, Any]:
    words = {"start": start, "edits": edits}
    status, found = post(studio, f"/api/models/{studio.id_of(name)}/recipe", words)
    assert status == 200, found
    return found


@pytest.mark.parametrize("start", ["Q4_K_M", "the file's own formats", "IQ4_NL", "4.29"])
def test_the_size_is_that_of_the_file_that_quantize_writes(
    start: str, example: Example, studio: Studio, tmp_path: Path
) -> None:
    if start == "4.29":  # a recipe that a search found
        with open_model(example.model) as source:
            name = next(iter(starts_for(studio.library, source)))
        assert name.endswith("bits of searched")
        start = name
    found = recipe_of(studio, example.model.name, start, EDITS)
    recipe, output = tmp_path / "mine.recipe", tmp_path / "out.gguf"
    recipe.write_text(found["recipe"])
    imatrix = []
    if found["importance"]:
        assert (
            main(
                [
                    "calibrate",
                    str(example.model),
                    "--chunks",
                    "1",
                    "-o",
                    str(tmp_path / "i.gguf"),
                    "-q",
                ]
            )
            == 0
        )
        imatrix = ["--imatrix", str(tmp_path / "i.gguf")]
    words = ["quantize", str(example.model), str(output), "--to", str(recipe), "-q"]
    assert main([*words, *imatrix]) == 0
    assert found["importance"] or found["bytes"] == output.stat().st_size
    assert abs(found["bytes"] - output.stat().st_size) < 1024


def test_later_changes_win_and_what_cannot_have_a_format_stays(
    example: Example, studio: Studio
) -> None:
    before = recipe_of(studio, example.model.name, "Q4_K_M", [])["formats"]
    found = recipe_of(studio, example.model.name, "Q4_K_M", [*EDITS, "*=F32", "attn_k=F16"])
    formats = found["formats"]
    assert formats["blk.0.ffn_down.weight"] == "Q6_K"
    assert formats["token_embd.weight"] == "Q3_K"
    assert formats["blk.1.ffn_up.weight"] == "Q5_K"
    assert formats["blk.1.attn_q.weight"] == "IQ4_XS"
    assert formats["blk.0.attn_q.weight"] == before["blk.0.attn_q.weight"]
    assert formats["blk.0.attn_k.weight"] == "F16", "the format of the source"
    assert found["skipped"] == [0, 0, 0, 0, len(formats), 0]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({"start": "Q9_K", "edits": []}, 422),
        ({"start": "Q4_K_M", "edits": ["ffn_down=Q99"]}, 422),
        ({"start": "Q4_K_M", "edits": ["rm -rf"]}, 422),
        ({"start": "Q4_K_M", "edits": ["*=Q4_K"] * 1001}, 400),
        ({"start": "Q4_K_M", "edits": [3]}, 400),
        ({"start": "", "edits": []}, 400),
    ],
)
def test_other_requests_are_refused(
    words: object, status: int, example: Example, studio: Studio
) -> None:
    path = f"/api/models/{studio.id_of(example.model.name)}/recipe"
    found = post(studio, path, words)
    assert found[0] == status and found[1]["error"]


def test_a_change_names_a_kind_and_layers() -> None:
    edit = RecipeEdit.parse("ffn_down@3-5=Q6_K")
    names = [f"blk.{layer}.ffn_down.weight" for layer in range(8)]
    assert [edit.applies(name) for name in names] == [3 <= layer <= 5 for layer in range(8)]
    assert not edit.applies("blk.4.ffn_up.weight") and not edit.applies("output.weight")
    assert RecipeEdit.parse("*=Q6_K").applies("output.weight")
    for wrong in ("ffn_down", "ffn_down@3=Q6_K", "=Q6_K", "a b=Q6_K", "x@1-2-3=Q6_K"):
        with pytest.raises(RecipeError):
            RecipeEdit.parse(wrong)


def formats_on(page: Any) -> dict[str, str]:
    until(page, SHOWN)
    return {row[0]: row[1] for row in rows(page, "#f-edit")}


def test_a_recipe_is_changed_undone_and_in_the_address(
    example: Example, studio: Studio, visit: Any
) -> None:
    page = visit(f"/models/{studio.id_of(example.model.name)}/recipe")
    before = formats_on(page)
    size = number(page, "#f-edit", "bytes")
    page.locator('#f-edit [data-mark="blk.1.ffn_up.weight"]').click()
    until(page, SHOWN)
    shows(page, "#f-edit .reading", "blk.1.ffn_up.weight is chosen, now Q4_K.")
    turn(page, "#f-edit", "format", "Q6_K")
    press(page, "#f-edit", "give")
    shows(page, "#f-edit .reading", "ffn_up of layer 1: Q6_K")
    assert formats_on(page) == before | {"blk.1.ffn_up.weight": "Q6_K"}
    changed = number(page, "#f-edit", "bytes")
    assert changed > size
    turn(page, "#f-edit", "kind", "attn_v")
    turn(page, "#f-edit", "layers", "0-1")
    press(page, "#f-edit", "give")
    shows(page, "#f-edit .reading", "attn_v of layers 0 to 1: Q6_K")
    link = page.url
    again = visit(link.partition(studio.host)[2])
    attn = {f"blk.{layer}.attn_v.weight": "Q6_K" for layer in (0, 1)}
    assert formats_on(again) == before | {"blk.1.ffn_up.weight": "Q6_K"} | attn
    press(again, "#f-edit", "undo")
    shows(again, "#f-edit .reading", "attn_v of layers 0 to 1", told=False)
    assert number(again, "#f-edit", "bytes") == changed
    press(again, "#f-edit", "undo")
    shows(again, "#f-edit .reading", "Nothing was changed yet.")
    assert formats_on(again) == before and number(again, "#f-edit", "bytes") == size


def test_the_predicted_loss_follows_the_changes(
    example: Example, studio: Studio, visit: Any
) -> None:
    pytest.importorskip("transformers")
    page = visit(f"/models/{studio.id_of(example.model.name)}/recipe")
    formats_on(page)
    page.set_default_timeout(60_000)
    press(page, "#f-edit", "predict")
    page.locator('#f-edit [data-name="predicted"]').wait_for()
    losses = [float(row[3]) for row in rows(page, "#f-edit")]
    assert min(losses) >= 0 and number(page, "#f-edit", "predicted") == pytest.approx(sum(losses))
    before = number(page, "#f-edit", "predicted")
    turn(page, "#f-edit", "format", "Q2_K")
    press(page, "#f-edit", "give")
    shows(page, "#f-edit .reading", "all tensors: Q2_K")
    until(page, SHOWN)
    assert number(page, "#f-edit", "predicted") > 2 * before
    assert number(page, "#f-edit", "error") > 0
    again = visit(f"/models/{studio.id_of(example.model.name)}/recipe")
    formats_on(again)
    assert number(again, "#f-edit", "predicted") == before, "it is remembered"
    page.set_default_timeout(10_000)


def test_the_run_of_a_recipe_leaves_the_recipe_and_a_file_of_the_shown_size(
    tmp_path: Path, open_studio: Any
) -> None:
    write_model(tmp_path / "tiny.gguf", columns=256, format="F16")
    with running(tmp_path) as studio:
        page = open_studio(studio)(f"/models/{studio.id_of('tiny.gguf')}/recipe")
        formats_on(page)
        turn(page, "#f-edit", "kind", "ffn_down")
        turn(page, "#f-edit", "format", "Q6_K")
        press(page, "#f-edit", "give")
        shows(page, "#f-edit .reading", "ffn_down: Q6_K")
        until(page, SHOWN)
        size = number(page, "#f-edit", "bytes")
        command = page.locator('#f-edit [data-name="command"]').text_content()
        assert command == ("zeropoint quantize tiny.gguf tiny-recipe.gguf --to tiny-recipe.recipe")
        press(page, "#f-edit", "write")
        shows(page, "#f-edit .reading", "Started as job 1: its progress")
        end = time.monotonic() + 60
        while (job := json.loads(studio.get("/api/jobs").body)[0])["state"] != "done":
            assert time.monotonic() < end and job["state"] != "failed", job
            time.sleep(0.05)
        assert job["command"].startswith(command)
        assert (tmp_path / "tiny-recipe.gguf").stat().st_size == size
        assert "Q6_K" in (tmp_path / "tiny-recipe.recipe").read_text()
        page.locator('#f-edit [data-control="importance"]').check()
        shows(page, '#f-edit [data-name="command"]', "tiny-recipe.recipe --text builtin")
        turn(page, "#f-edit", "format", "IQ2_XS")
        press(page, "#f-edit", "give")
        shows(page, "#f-edit .output", "Some of these formats need importance")
        words = {"verb": "recipe", "model": studio.id_of("tiny.gguf"), "recipe": "* Q4_0"}
        assert post(studio, "/api/jobs/start", words | {"name": "tiny-recipe"})[0] == 409
        for wrong in ("", "not a recipe at all", "* Q99"):
            refused = post(studio, "/api/jobs/start", words | {"recipe": wrong, "name": "new"})
            assert refused[0] == 400 and not (tmp_path / "new.recipe").exists()
        for name, more in (
            ("asked", {"importance": True}),
            ("needed", {"recipe": "output.weight Q6_K\n* IQ2_XS"}),
        ):
            job = post(studio, "/api/jobs/start", words | more | {"name": name})[1]
            assert "--text builtin" in job["command"]
            assert post(studio, f"/api/jobs/{job['id']}/cancel", {})[0] == 200
