"""`card`: the files that it writes, those that it leaves alone, and what it prints."""

import json
from pathlib import Path

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.errors import OutputError
from zeropoint.quantizers.proof import write_proof
from zeropoint.results.interval import Interval
from zeropoint.results.proof import StoredLoss
from zeropoint.verbs.quantize import quantize_checkpoint

LOSS = StoredLoss(
    kl=Interval(0.25, 0.2, 0.3), tokens=4096, text_sha256="ab" * 32, reference="tiny.gguf",
    verdict="NOTICEABLE", top1=0.875,
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A file with a stored loss, and one without."""
    source = write_model(tmp_path / "tiny.gguf")
    names = [tmp_path / f"tiny-{format}.gguf" for format in ("Q8_0", "Q4_0")]
    for name, format in zip(names, ("Q8_0", "Q4_0"), strict=True):
        quantize_checkpoint(source, name, to=format, threads=1)
    write_proof(names[0], LOSS)
    return names


def test_a_card_and_a_picture_of_each_file_are_written(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "card"
    words = [*map(str, files), "-o", str(folder), "--license", "mit", "--base-model", "a/b"]
    assert main(["card", *words, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "tiny-Q8_0.svg", "tiny-Q4_0.svg",
    }  # fmt: skip
    assert found["card"] == str(folder / "README.md")
    measured, other = found["files"]
    assert measured["proof"]["loss"]["kl"]["mean"] == 0.25 and other["proof"]["loss"] is None
    assert measured["picture_bytes"] == (folder / "tiny-Q8_0.svg").stat().st_size
    page = (folder / "README.md").read_text()
    assert 'license: "mit"' in page and 'base_model: "a/b"' in page
    assert "(<tiny-Q8_0.svg>)" in page and "0.250 (0.200 … 0.300)" in page
    assert "zeropoint measure tiny-Q4_0.gguf --ref tiny.gguf --store" in page
    assert "warning" not in printed.err
    again = zp.card(files, tmp_path / "other", license="mit", base_model="a/b")
    assert again.files[0].to_json()["proof"] == measured["proof"]
    assert (tmp_path / "other" / "README.md").read_text() == page


def test_missing_facts_are_a_warning(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", str(files[0]), "-o", str(tmp_path / "card")]) == 0
    printed = capsys.readouterr()
    assert "--license" in printed.err and "--base-model ORG/NAME" in printed.err
    assert "0.25000" in printed.out


def test_an_existing_card_is_replaced_only_on_request(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "README.md").write_text("my own words")
    words = ["card", str(files[0]), "-o", str(folder)]
    assert main(words) == 2
    assert "add --overwrite" in capsys.readouterr().err
    with pytest.raises(zp.CheckpointError, match="exists; add --overwrite"):
        zp.card(files[0], folder)
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    assert (folder / "README.md").read_text() == "my own words"
    assert main([*words, "--overwrite"]) == 0
    assert "my own words" not in (folder / "README.md").read_text()


def test_files_of_different_models_are_refused(files: list[Path], tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.gguf", columns=64)
    with pytest.raises(OutputError, match="one card for each model"):
        zp.card([files[0], other], tmp_path / "card")
    with pytest.raises(OutputError, match="given twice"):
        zp.card([files[0], files[0]], tmp_path / "card")
    with pytest.raises(OutputError, match="at least one file"):
        zp.card([], tmp_path / "card")
    assert not (tmp_path / "card").exists()
