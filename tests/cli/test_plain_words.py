"""Messages for what people type by mistake, and remarks that explain a surprising figure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.cli.views.bench import beyond_peaks
from zeropoint.cli.views.run import describe_loop
from zeropoint.results.bench import ModelSpeed
from zeropoint.results.generate import GenerateResult


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "notes.md"], "notes.md: byte 0 (magic): is not a model file"),
        (["report", "nofolder"], "nofolder: is not a run folder; `measure --run DIR`"),
        (["tasks", "x.gguf", "--tasks", "mine.jsonl"], 'an object such as {"prompt": "2 + 2 ="'),
    ],
)
def test_what_is_no_input_is_named(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.md").write_text("# Notes\n")
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_an_interrupted_imatrix_is_described_and_used_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from zeropoint.calibration import read_imatrix, write_imatrix

    path, text = write_model(tmp_path / "tiny.gguf"), tmp_path / "words.txt"
    text.write_text("to be or not to be, that is the question\n" * 60)
    whole, part = tmp_path / "i.gguf", tmp_path / "i.partial.gguf"
    zp.calibrate(path, whole, text=[text], context=16, chunks=2)
    write_imatrix(part, read_imatrix(whole), planned=9)
    assert "planned_chunks" not in whole.read_bytes().decode("latin-1")
    assert main(["inspect", str(part)]) == 0
    text_shown = capsys.readouterr().out
    assert text_shown.startswith("Importance matrix (imatrix), ")
    assert "imatrix.chunk_count" in text_shown and "zeropoint.planned_chunks" in text_shown
    words = ["quantize", str(path), str(tmp_path / "o.gguf"), "--to", "Q4_0", "-q"]
    assert main([*words, "--imatrix", str(part)]) == 0
    assert "i.partial.gguf: holds 2 of 9 chunks" in capsys.readouterr().err
    assert main([*words, "--imatrix", str(whole), "--overwrite"]) == 0
    assert "interrupted" not in capsys.readouterr().err


def test_a_text_that_ends_in_a_loop_gets_a_remark() -> None:
    result = GenerateResult(model="m.gguf", text="", tokens=(*range(5), *([7, 8] * 20)))
    assert "ends in a repetition" in describe_loop(result)
    assert describe_loop(replace(result, tokens=tuple(range(50)))) == ""


def test_more_than_a_peak_is_explained() -> None:
    slow = ModelSpeed(model="m.gguf", file_bytes=1, flops_fraction=0.9, bandwidth_fraction=1.0)
    assert beyond_peaks([slow]) == []
    fast = replace(slow, flops_fraction=1.7, bandwidth_fraction=1.06)
    operations, bandwidth = beyond_peaks([slow, fast])
    assert "8-bit" in operations and "cache" in bandwidth


def test_a_quantized_tensor_says_its_size() -> None:
    tensor = zp.quantize(np.ones((64, 256), np.float32), "q4_k")
    assert repr(tensor) == "<QuantizedTensor Q4_K, 64 × 256, 9,216 bytes, 4.5 bits per weight>"
    with pytest.raises(zp.FormatError, match="INT4_SYM_G32, INT4_ASYM_G32"):
        zp.quantize(np.ones((64, 256), np.float32), "int4")
