"""`measure --kv`, and `--kv` of the verbs that generate: what a cache in fewer bits costs."""

import json
from pathlib import Path

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.errors import MeasurementError, UnsupportedModel
from zeropoint.models import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "model.gguf", format="BF16")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("the rain in spain 42 " * 400)
    return path


def kl(model: Path, text: Path, kv: str, **options: object) -> float:
    plain = {"text": text, "context": 48, "chunks": 4, "floor_chunks": 0, "threads": 1}
    return zp.measure(model, kv=kv, **plain, **options).kl.mean  # type: ignore[arg-type]


def test_fewer_bits_lose_more(model: Path, text: Path) -> None:
    losses = [kl(model, text, kv) for kv in ("f16", "q8_0", "q4_0")]
    assert 0 < losses[0] < losses[1] < losses[2] < 1
    assert losses[1] < kl(model, text, "q8_0/q4_0") != kl(model, text, "q4_0/q8_0")
    assert kl(model, text, "q4_0", kv_rotation=False) != losses[2]


def test_the_loss_of_weights_and_of_the_cache_can_be_measured_together(
    model: Path, text: Path
) -> None:
    weights, cache = kl(model, text, "f32", to="Q8_0"), kl(model, text, "q4_0")
    both = kl(model, text, "q4_0", to="Q8_0")
    assert both > weights and both != cache
    beside = kl(model, text, "q4_0", ref=model)
    assert beside == cache


def test_what_cannot_be_measured_is_an_error(model: Path, text: Path) -> None:
    with pytest.raises(MeasurementError, match="either a reference, or a format"):
        kl(model, text, "f32")
    with pytest.raises(UnsupportedModel, match="'q3_0' is not a type of the KV cache"):
        kl(model, text, "q3_0")
    with pytest.raises(MeasurementError, match="leave out kv"):
        kl(model, text, "q8_0", store=True)


def test_the_command_names_the_cache(
    model: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["measure", str(model), "--kv", "q8_0/q4_0", "--no-kv-rotation", "--ctx", "48",
             "--chunks", "2", "--text", str(text), "--threads", "1", "--run", str(run)]  # fmt: skip
    assert main([*words, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["kv_cache"] == "q8_0/q4_0, not rotated"
    assert main(words) == 0
    assert "f32 in the reference, q8_0/q4_0, not rotated in the quant" in capsys.readouterr().out
    words[3] = "q8_0"
    assert main([*words, "-q"]) == 2  # another measurement than the run folder's
    assert main(["measure", str(model), "-q"]) == 2
    assert main(["measure", str(model), "--kv", "q8_0", "--llama-compat", "-q"]) == 2


def test_a_text_is_generated_with_a_cache_of_fewer_bits(model: Path) -> None:
    options = {"tokens": 6, "greedy": True, "mode": "exact", "threads": 1}
    loaded = load_model(model, threads=1)
    first = zp.generate(loaded, "the rain in", kv="q8_0", **options)  # type: ignore[arg-type]
    again = zp.generate(model, "the rain in", kv="q8_0", **options)  # type: ignore[arg-type]
    assert first.tokens == again.tokens and len(first.tokens) == 6
    with pytest.raises(UnsupportedModel, match="KV cache"):
        zp.generate(loaded, "x", kv="q9")
