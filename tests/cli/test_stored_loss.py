"""`measure --store`: the loss in the file that was measured, and in no other file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.verbs.inspect import inspect
from zeropoint.verbs.quantize import quantize_checkpoint

Store = Callable[..., tuple[int, dict[str, object], str]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_model(tmp_path / "source.gguf", format="BF16")


@pytest.fixture
def quant(source: Path) -> Path:
    quantize_checkpoint(source, source.with_name("quant.gguf"), to="Q4_0", threads=1)
    return source.with_name("quant.gguf")


@pytest.fixture
def store(source: Path, capsys: pytest.CaptureFixture[str]) -> Store:
    def run(model: Path, *words: object) -> tuple[int, dict[str, object], str]:
        text = source.with_name("words.txt")
        text.write_text("the rain in spain " * 300)
        options = ["--text", text, "--ctx", 32, "--chunks", 4, "--threads", 1, "--json", "--store"]
        code = main(["measure", str(model), *map(str, words), *map(str, options)])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else {}, said.err

    return run


def test_the_loss_that_is_printed_is_the_loss_that_is_stored(
    store: Store, source: Path, quant: Path
) -> None:
    unchanged = source.read_bytes()
    code, found, said = store(quant, "--ref", source)
    assert code == 0 and f"stored the loss in {quant}" in said
    proof = inspect(quant, verify=True).proof
    assert proof and proof.verified and proof.loss is not None
    assert found["kl"]["mean"] == proof.loss.kl.mean  # type: ignore[index]
    assert found["tokens"] == proof.loss.tokens
    assert proof.loss.reference == source.name and list(proof.loss.by_text) == ["words"]
    assert proof.loss.examples == ()  # the user's own text is not published
    assert source.read_bytes() == unchanged


def test_a_loss_is_stored_only_in_a_file_of_its_own(
    store: Store, source: Path, quant: Path
) -> None:
    before = source.read_bytes(), quant.read_bytes()
    for words, reason in (
        ((source, "--ref", quant), "no fields for a measured loss"),
        ((quant, "--ref", quant), "is the reference itself"),
        ((quant, "--as", "Q4_0"), "has no file to store a loss in"),
        ((quant, "--ref", source, "--llama-compat"), "--store cannot be used"),
    ):
        code, _, said = store(*words)
        assert code == 2 and reason in " ".join(said.replace("│", " ").split()), said
    assert (source.read_bytes(), quant.read_bytes()) == before


def test_inspect_shows_the_stored_loss_and_verifies_the_tensors(
    store: Store, source: Path, quant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(quant)]) == 0
    assert "not measured; `zeropoint measure FILE" in capsys.readouterr().out
    _, found, _ = store(quant, "--ref", source)
    assert main(["inspect", str(quant), "--verify"]) == 0
    said = capsys.readouterr().out
    assert f"KL {found['kl']['mean']:.5f} nats per token (" in said  # type: ignore[index]
    assert "rounding" in said and "nearest" in said and "verified: the tensors have" in said
    assert main(["inspect", str(quant), "--verify", "--json"]) == 0
    proof = json.loads(capsys.readouterr().out)["proof"]
    assert proof["verified"] is True and proof["loss"]["kl"]["mean"] == found["kl"]["mean"]  # type: ignore[index]
    with quant.open("r+b") as file:
        file.seek(-65, 2)
        last = file.read(1)
        file.seek(-65, 2)
        file.write(bytes([last[0] ^ 1]))
    assert main(["inspect", str(quant), "--json"]) == 0  # without --verify no tensor is read
    capsys.readouterr()
    assert main(["inspect", str(quant), "--verify", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["proof"]["verified"] is False
    assert "their digest differs" in printed.err


def test_only_a_file_with_a_digest_can_be_verified(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proof"] is None
    assert main(["inspect", str(source), "--verify"]) == 2
    assert "states no digest of its tensors" in capsys.readouterr().err
