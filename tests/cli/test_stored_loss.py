"""`measure --store`: the loss in the file that was measured, and in no other file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.quantizers.proof import read_proof
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
    with open_checkpoint(quant) as checkpoint:
        proof = read_proof(checkpoint, verify=True)
    assert proof.verified and proof.loss is not None
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
