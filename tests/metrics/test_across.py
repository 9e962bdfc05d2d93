"""Models beside each other whatever their tokenizers: the same bytes after the same bytes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from support.hf_folders import make_folder
from support.tiny_models import write_model
from zeropoint.calibration.corpus import Corpus
from zeropoint.checkpoints import open_checkpoint, open_model
from zeropoint.cli import main
from zeropoint.errors import MeasurementError
from zeropoint.metrics.cross_model import (
    CONTEXT_BYTES,
    SCORED_BYTES,
    ScoringWindow,
    cut_windows,
    kv_cache_bytes,
    score_windows,
    text_scores,
)
from zeropoint.models import load_model

LINES = "".join(f"the rain {n} in späin\n" for n in range(400))


def test_windows_are_whole_lines_of_every_domain() -> None:
    windows = cut_windows(Corpus({"a": LINES, "b": "x\n" * 3000, "c": "short\n"}))
    assert [window.domain for window in windows[:4]] == ["a", "b", "a", "b"]
    assert "".join(w.before + w.scored for w in windows if w.domain == "a") in LINES
    for window in windows:
        assert window.before.endswith("\n") and window.scored.endswith("\n")
        assert CONTEXT_BYTES <= len(window.before.encode()) < CONTEXT_BYTES + 40
        assert SCORED_BYTES <= window.nbytes < SCORED_BYTES + 40
    assert len(cut_windows(Corpus({"a": LINES}), limit=2)) == 2
    with pytest.raises(MeasurementError, match="shorter than one window"):
        cut_windows(Corpus({"c": "short\n"}))


def test_a_line_without_end_fills_no_window_alone() -> None:
    windows = cut_windows(Corpus({"data": "word " * 2000}))
    assert len(windows) == 4 and {len(window.before) for window in windows} == {1024}
    assert {window.nbytes for window in windows} == {1024}


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary(tmp_path: Path) -> None:
    """All logits equal: log(vocabulary) nats a token, whatever the text."""
    from support.tiny_models import vocabulary_size

    nothing = {"output.weight": np.zeros((vocabulary_size(), 128), np.float32)}
    path = write_model(tmp_path / "m.gguf", columns=128, changes=nothing)
    model = load_model(open_checkpoint(path), threads=1)
    windows = [
        ScoringWindow("a", "the rain\n", "in the other\n" * 3),
        ScoringWindow("a", "an\n", "tin\n"),
    ]
    nats: list[float] = []
    *_, last = score_windows(model, windows, nats)
    sizes = [[len(model.tokenizer.encode(text)) for text in (w.before, w.before + w.scored)]
             for w in windows]  # fmt: skip
    tokens = [whole - before for before, whole in sizes]  # no space before what follows a line
    assert nats == pytest.approx([n * math.log(vocabulary_size()) for n in tokens])
    assert last.done == 2
    assert last.nats_per_byte == pytest.approx(sum(nats) / sum(w.nbytes for w in windows))


def test_figures_tell_models_apart_only_where_they_differ() -> None:
    random = np.random.default_rng(0)
    windows = [ScoringWindow("ab"[n % 2], "", "x" * 1000) for n in range(20)]
    base = 800 + 50 * random.standard_normal(20)
    noise = base + random.standard_normal(20)
    worse = base + 30 + 5 * random.standard_normal(20)
    found = text_scores(windows, [one.tolist() for one in (base, noise, worse)])
    assert found[0].nats_per_byte.mean == pytest.approx(base.sum() / 20_000)
    assert found[0].group == found[1].group != found[2].group
    assert found[2].difference.low > 0 and found[2].p < 0.001
    assert found[0].difference.mean == 0 and found[0].p == 1
    assert set(found[0].by_domain) == {"a", "b"}


def test_the_cache_is_counted_as_runtimes_hold_it(tmp_path: Path) -> None:
    """Two layers, two heads of 64 for keys and for values, 16 bits; gemma's window ends at 256."""
    llama = open_checkpoint(write_model(tmp_path / "a.gguf", columns=256))
    model = load_model(llama, threads=1)
    assert kv_cache_bytes(model.architecture, 1000) == 2 * 2 * (64 + 64) * 1000 * 2


def test_models_of_different_tokenizers_stand_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(write_model(tmp_path / "a.gguf", columns=128))
    other = str(make_folder("qwen2", tmp_path / "folder"))
    assert open_model(Path(other)).metadata
    text, tasks = tmp_path / "text.txt", tmp_path / "tasks.jsonl"
    text.write_text(LINES[:4400])
    tasks.write_text(json.dumps({"prompt": "the", "choices": ["rain", "spain"], "answer": 0}))
    words = ["compare", one, other, "--text", str(text), "--tasks", str(tasks), "--threads", "1"]
    words += ["--run", str(tmp_path / "run")]
    assert main([*words, "--json", "-q"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in first["results"]] == sorted(
        (r["name"] for r in first["results"]),
        key=lambda name: next(r["memory_bytes"] for r in first["results"] if r["name"] == name),
    )
    for result in first["results"]:
        assert 0 < result["text"]["nats_per_byte"]["mean"] < 10
        assert result["tasks"]["tasks"] == 1
        assert result["memory_bytes"] == result["file_bytes"] + result["cache_bytes"]
        kinds = result["cache"]
        kept = [k["layers"] * k["bytes"] * min(4096, k["window"] or 4096) for k in kinds]
        assert sum(kept) == result["cache_bytes"] and result["tasks"]["cache"] == kinds
        with open_model(Path(one if result["name"] == "a.gguf" else other)) as source:
            weights = sum(info.elements for info in source.tensors.values())
        assert result["weights"] == weights and "layers of" in result["shape"]
    assert main([*words, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    page = tmp_path / "page.html"
    assert main([*(w for w in words if w != "--json"), "--report", str(page)]) == 0
    said = capsys.readouterr().out
    assert "a.gguf" in page.read_text()
    for told in ("Nats per byte", "Memory", "compared with a.gguf", "Chains, last step"):
        assert told in said
    assert main(["compare", one, "--ref", one, "--tasks", str(tasks)]) == 2
    assert "without --ref" in capsys.readouterr().err
