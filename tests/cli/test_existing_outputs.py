"""--overwrite lets a verb replace a model; without it only our pages; inputs are never replaced."""

import shutil
from pathlib import Path

import pytest

from support.messages import shown
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.studio.report.bundle import is_our_page

DOCS = Path(__file__).parents[2] / "docs"
FEW = ("--ctx", "16", "--chunks", "2", "-q")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def zeropoint(*words: str | Path) -> int:
    return main([str(word) for word in words])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    capsys.readouterr()
    assert zeropoint(*words) == 2
    return capsys.readouterr().err


def test_a_model_is_replaced_only_with_overwrite(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.gguf"
    quantize = ("quantize", tiny, output, "-q", "--to")
    assert zeropoint(*quantize, "BF16") == 0
    before = output.read_bytes()
    assert f"OUTPUT {shown(output)} exists; add --overwrite" in refused(capsys, *quantize, "Q8_0")
    assert output.read_bytes() == before
    assert zeropoint(*quantize, "Q8_0", "--dry-run") == 0
    assert zeropoint(*quantize, "Q8_0", "--overwrite") == 0
    assert output.stat().st_size < len(before)


def test_an_exported_folder_is_replaced_only_with_overwrite(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zeropoint("quantize", tiny, tmp_path / "new" / "folder", "-q", "--to", "BF16") == 0
    shutil.rmtree(tmp_path / "new")
    folder = tmp_path / "out"
    folder.mkdir()  # an empty folder holds nothing that could be lost
    export = ("quantize", tiny, folder, "-q", "--to")
    assert zeropoint(*export, "F32") == 0
    large = sum(path.stat().st_size for path in folder.iterdir())
    assert f"OUTPUT {shown(folder)} exists; add --overwrite" in refused(capsys, *export, "BF16")
    assert sum(path.stat().st_size for path in folder.iterdir()) == large
    assert zeropoint(*export, "BF16", "--overwrite") == 0
    assert sum(path.stat().st_size for path in folder.iterdir()) < large
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (folder / "notes.txt").write_text("mine")
    assert "holds notes.txt" in refused(capsys, *export, "BF16", "--overwrite")
    assert len(list(folder.iterdir())) == 5


def test_an_imatrix_is_replaced_only_with_overwrite(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.gguf"
    assert zeropoint("calibrate", tiny, "-o", output, *FEW) == 0
    before = output.read_bytes()
    again = ("calibrate", tiny, "-o", output, "--ctx", "32", "--chunks", "3", "-q")
    assert f"--output {shown(output)} exists; add --overwrite" in refused(capsys, *again)
    assert output.read_bytes() == before
    assert zeropoint(*again, "--overwrite") == 0
    assert output.read_bytes() != before


def test_a_base_file_is_replaced_only_with_overwrite_and_read_without_a_reference(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base"
    text = tmp_path / "text.txt"
    text.write_text("the cat and the hat went to the sea. " * 40)
    some = ("--ctx", "64", "--chunks", "4", "-q")
    measure = ("measure", tiny, "--text", text, *some, "--llama-compat", "--llama-base", base)
    assert zeropoint(*measure, "--ref", tiny) == 0
    before = base.read_bytes()
    short = tmp_path / "short"
    few = (*measure[:-1], short, "--ref", tiny, "--ctx", "16")
    assert "at least 100" in refused(capsys, *few)  # nothing is written for a run without tables
    assert not short.exists()
    assert f"--llama-base {shown(base)} exists" in refused(capsys, *measure, "--ref", tiny)
    assert zeropoint(*measure, "--ref", tiny, "--overwrite") == 0
    assert zeropoint(*measure) == 0
    assert base.read_bytes() == before


def test_a_page_replaces_only_a_page_that_zeropoint_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "walk.html"
    assert zeropoint("report", "--walk", "-o", page, "-q") == 0
    assert is_our_page(page)
    assert zeropoint("report", "--walk", "-o", page, "-q") == 0
    for other in ("", "<!doctype html>\n<title>mine</title>", "zeropoint"):
        page.write_text(other)
        said = refused(capsys, "report", "--walk", "-o", page)
        assert f"--output {shown(page)} is not a page that zeropoint wrote" in said
        assert page.read_text() == other


def test_a_page_written_before_there_was_a_generator_tag_is_known(tmp_path: Path) -> None:
    page = tmp_path / "old.html"
    text = (DOCS / "walk.html").read_text()
    assert text.count('<meta name="generator" content="zeropoint">\n') == 1
    page.write_text(text.replace('<meta name="generator" content="zeropoint">\n', ""))
    assert is_our_page(page)


@pytest.mark.parametrize("name", ["m.gguf", "m.safetensors", "M.GGUF", "m.html", "m"])
@pytest.mark.parametrize("content", [b"GGUF", b"\x02" + bytes(7) + b"{}", None])
def test_a_page_never_replaces_a_model(
    name: str, content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by its name, nor by its content, nor where nothing is there yet."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif not name.lower().endswith((".gguf", ".safetensors")):
        return
    assert "which a page never replaces" in refused(capsys, "report", "--walk", "-o", path)
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["measure", "M", "--as", "Q8_0", "--run", "r", "--keep", "r/kept"], "lies inside --run r"),
        (["measure", "M", "--as", "Q8_0", "--run", "r", "--report", "r/run.json"], "lies inside"),
        (["quantize", "M", "r/out.gguf", "--to", "BF16", "--run", "r"], "lies inside --run r"),
        (["report", "r", "-o", "none/page.html"], "its directory does not exist"),
        (["calibrate", "M", "-o", "none/i.gguf"], "its directory does not exist"),
        (["report", "r", "-o", "."], "is not a regular file"),
        (["measure", "folder", "--as", "Q8_0", "--keep", "folder"], "is the input QUANT folder"),
        (["measure", "folder", "--as", "Q8_0", "--keep", "."], "holds the input QUANT folder"),
        (["quantize", "folder", ".", "--to", "BF16"], "OUTPUT . holds the input MODEL folder"),
        (["quantize", "folder", "folder/", "--to", "BF16"], "is the input MODEL folder"),
        (
            ["tasks", "M", "--lm-eval", "x", "--include", "folder", "--report", "folder/t.yaml"],
            "--report folder/t.yaml is a file of the input --include folder",
        ),
        (["measure", "M", "--as", "Q8_0", "--run", "note.txt"], "is a file; a folder is written"),
        (["quantize", "M", "note", "--to", "BF16", "--overwrite"], "is a file; a folder"),
        (["demo", "M", "--keep", "note.txt"], "is a file; a folder is written"),
        (["quantize", ".", "out.gguf", "--to", "BF16"], "would become a file of the input MODEL ."),
        (["calibrate", ".", "-o", "./out.gguf"], "would become a file of the input MODEL ."),
        (["report", ".", "--walk", "-o", "config.json"], "would become a file of the input RUN ."),
        (["quantize", "M", "--to", "i.recipe", ".i.recipe.part"], ".i.recipe.part exists"),
        (["calibrate", "M", "-o", "i.gguf", "--text", ".i.gguf.part"], "is the input --text"),
    ],
)
def test_what_could_not_be_written_is_refused_before_anything_runs(
    words: list[str],
    said: str,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("M.gguf", "note.txt", "note", ".i.gguf.part", ".i.recipe.part"):
        (tmp_path / name).write_bytes(tiny.read_bytes() if name == "M.gguf" else b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "t.yaml").write_text("mine")
    before = content(tmp_path)
    assert said in refused(capsys, *("M.gguf" if word == "M" else word for word in words))
    assert content(tmp_path) == before


def test_what_lies_in_a_folder_that_is_read_may_still_be_written(
    tiny: Path, tmp_path: Path
) -> None:
    """A run and a page beside the files of a model, and a page in a run, replace nothing."""
    (tmp_path / "model").mkdir()
    model = tmp_path / "model" / "tiny.gguf"
    model.write_bytes(tiny.read_bytes())
    run, page = model.parent / "run", model.parent / "run" / "page.html"
    measure = ("measure", model.parent, "--as", "Q8_0", *FEW, "--run", run, "--report", page)
    assert zeropoint(*measure) == 0
    assert zeropoint(*measure) == 0  # the same run goes on, and the page is ours
    leftover = run / ".page.html.part"  # of a command that was killed
    leftover.write_text("cut short")
    assert zeropoint("report", run, "-o", page, "-q") == 0
    assert not leftover.exists()
    assert model.read_bytes() == tiny.read_bytes()


def test_names_that_are_no_paths_are_no_inputs(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Q8_0").write_text("a file that is called like a format")
    assert zeropoint("measure", tiny, "--as", "Q8_0", *FEW, "--run", "run") == 0


@pytest.mark.parametrize("text", ["org/name", "org/name:Q4_K_M", "org/name:m.gguf"])
def test_files_of_a_hub_model_in_the_cache_are_inputs(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    blob = tmp_path / "hub" / "models--org--name" / "blobs" / "0123"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"GGUF")
    link = tmp_path / "m.gguf"
    link.symlink_to(blob)
    for output in (link, blob):
        said = refused(capsys, "calibrate", text, "-o", output, "--overwrite")
        assert f"is a file of the input MODEL {shown(text)}" in said
    assert blob.read_bytes() == b"GGUF"


def test_demo_replaces_its_own_file_and_no_other_without_overwrite(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    demo = ("demo", tiny, "--to", "Q8_0", "--chunks", "0", "-q")
    assert zeropoint(*demo) == zeropoint(*demo) == 0
    kept = (*demo, "--keep", tmp_path / "kept")
    assert zeropoint(*kept) == zeropoint(*kept) == 0
    output = tmp_path / "kept" / "tiny-Q8_0.gguf"
    assert zeropoint("quantize", tiny, output, "--to", "Q8_0", "--overwrite", "-q") == 0
    assert "tiny-Q8_0.gguf exists; add --overwrite" in refused(capsys, *kept)
    assert zeropoint(*kept, "--overwrite") == 0
    assert open_checkpoint(output).metadata["zeropoint.made_by"] == "demo"
    page = tmp_path / "kept" / "report.html"
    page.write_text("mine")
    assert "report.html is not a page" in refused(capsys, *kept, "--overwrite")
    assert page.read_text() == "mine"
