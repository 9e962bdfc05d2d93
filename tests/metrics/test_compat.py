"""llama-perplexity's protocol over our logits; its base files go out and come in unchanged."""

import json
from pathlib import Path

import numpy as np
import pytest

from support.rounded_models import store_as_q8_0
from support.tiny_models import write_model
from zeropoint.checkpoints import open_model
from zeropoint.cli import main
from zeropoint.metrics.peers import llama_base_file as llama
from zeropoint.metrics.peers import llama_perplexity as compat
from zeropoint.models import load_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    reference = write_model(folder / "reference.gguf", format="BF16")
    return reference, store_as_q8_0(reference, folder / "quant.gguf")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    words = np.random.default_rng(1).choice(["the", "rain", "in", "spain", "42"], 900)
    path.write_text(" ".join(words))
    return path


def test_a_base_file_gives_the_figures_of_the_run_that_wrote_it(
    models: tuple[Path, Path], text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base.kld"
    common = ["measure", str(models[1]), "--llama-compat", "--json", "--threads", "1"]
    words = ["--text", str(text), "--ctx", "64", "--chunks", "5", "--llama-base", str(base)]
    assert main([*common, "--ref", str(models[0]), *words]) == 0
    written = json.loads(capsys.readouterr().out)
    assert main([*common, "--llama-base", str(base)]) == 0
    read = json.loads(capsys.readouterr().out)
    assert written["statistics"] == read["statistics"]
    opened = llama.open_base(base)
    assert opened.context == 64 and len(opened.tokens) == 5
    assert base.stat().st_size == opened.nbytes
    figures = {f["name"].strip(): f["value"] for t in read["statistics"].values() for f in t}
    assert figures["Mean    KLD"] > 0 and 0 < figures["Same top p"] < 1


def test_the_figures_agree_with_the_exact_ones(models: tuple[Path, Path], text: Path) -> None:
    """The codec's step is at most 16 / 65535 nats; what it drops has p < exp(−16)."""
    reference, quant = (load_model(open_model(path), threads=1) for path in models)
    tokens = compat.read_tokens([text], quant, 64, 4)
    scores = compat.score_models(reference, quant, tokens, None)
    kld = np.concatenate([s.kld for s in scores])
    expected = []
    for row in tokens:
        row[0] = quant.tokenizer.vocabulary.bos
        a, b = (model.logits(row)[32:63].astype(np.float64) for model in (reference, quant))
        a -= np.log(np.exp(a).sum(1, keepdims=True))
        b -= np.log(np.exp(b).sum(1, keepdims=True))
        expected.append((np.exp(a) * (a - b)).sum(1))
    np.testing.assert_allclose(kld, np.concatenate(expected), atol=3e-4)


def test_what_cannot_be_done_is_one_sentence(
    models: tuple[Path, Path], text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.kld"
    bad.write_bytes(b"_logits_" + b"\0" * 5)
    other = tmp_path / "other.kld"
    tokens = np.zeros((2, 16), np.int32)
    with other.open("wb") as file:
        llama.write_base_header(file, 50, tokens)
        file.write(llama.encode_rows(np.zeros((14, 50), np.float32)).tobytes())
    text.write_text("the rain")
    quant = str(models[1])
    for words, told in (
        ([], "--llama-base"),
        (["--llama-base", str(bad)], "base file"),
        (["--llama-base", str(other)], "50 tokens"),
        (["--ref", str(models[0]), "--text", str(text)], "two chunks"),
    ):
        assert main(["measure", quant, "--llama-compat", *words]) == 2
        said = capsys.readouterr().err
        assert told in said and said.count("\n") == 1


def test_an_interrupted_base_file_never_appears(models: tuple[Path, Path], tmp_path: Path) -> None:
    reference, quant = (load_model(open_model(path), threads=1) for path in models)
    tokens = np.arange(128, dtype=np.int32).reshape(4, 32)
    steps = compat.score_models(reference, quant, tokens, tmp_path / "base.kld")
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []
