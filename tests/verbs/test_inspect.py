"""`zeropoint.inspect` as a function: the same facts as the command, as a typed record."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.results.inventory import ModelInventory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def command(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The JSON object of the command, without what every command adds."""
    assert main(["inspect", *words, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result.pop("schema") == "zeropoint.inspect/1"
    assert result.pop("zeropoint") == zp.__version__
    return result


@pytest.mark.parametrize("names", ["", "blk.0.*"])
@pytest.mark.parametrize("outliers", [True, False])
def test_the_record_is_the_json_of_the_command(
    tiny: Path, names: str, outliers: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = zp.inspect(tiny, tensors=names, outliers=outliers)
    words = ["--tensors", names, "--outliers" if outliers else "--no-outliers"]
    result = command(capsys, str(tiny), *words)
    assert json.loads(json.dumps(inventory.to_json())) == result
    assert ModelInventory.from_json(result, "x").to_json() == inventory.to_json()


def test_an_open_checkpoint_is_inspected_and_stays_open(tiny: Path) -> None:
    with open_checkpoint(tiny) as checkpoint:
        inventory = zp.inspect(checkpoint)
        assert checkpoint.read("output_norm.weight").shape == (256,)
    assert inventory == zp.inspect(str(tiny))
    assert inventory.container == "gguf" and inventory.model.architecture == "llama"
    assert inventory.elements == sum(share.elements for share in inventory.formats)


def test_outliers_are_ordered_by_how_extreme_they_are(tiny: Path) -> None:
    inventory = zp.inspect(tiny, tensors="no such name")
    assert inventory.scanned and inventory.tensors == ()
    ratios = [entry.outlier.largest_over_sigma for entry in inventory.outliers if entry.outlier]
    assert len(ratios) == len(inventory.outliers) > 5
    assert ratios == sorted(ratios, reverse=True)
    assert zp.inspect(tiny, outliers=False).outliers == ()


def test_progress_reports_each_matrix(tiny: Path) -> None:
    records: list[Any] = []
    inventory = zp.inspect(tiny, progress=records.append)
    stage, *scans = records
    assert stage.total == scans[-1].done
    assert {scan.name for scan in scans} == {entry.name for entry in inventory.outliers}


def test_a_folder_that_cannot_be_converted_keeps_its_own_names(
    tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    assert main(["quantize", str(tiny), str(folder), "--to", "F16"]) == 0
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "unheard_of"}))
    with caplog.at_level(logging.WARNING, "zeropoint"):
        inventory = zp.inspect(folder)
    assert "keep their own names" in caplog.text
    assert any(entry.name == "model.embed_tokens.weight" for entry in inventory.tensors)


def test_a_notebook_shows_one_row_per_tensor(tiny: Path) -> None:
    inventory = zp.inspect(tiny)
    assert len(inventory.rows()) == len(inventory.tensors)
    assert "blk.0.attn_q.weight" in inventory._repr_html_()
    assert repr(inventory).startswith("<ModelInventory ") and "\n" not in repr(inventory)
