"""`demo`: the main job on a model of one's own; the download is tested in checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def demo(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zeropoint", "demo", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
    )


def test_the_main_job_is_told_from_end_to_end(tiny: Path, tmp_path: Path) -> None:
    done = demo(tiny, "--keep", tmp_path, "--chunks", "1")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "tiny-Q4_K_M.gguf"
    shown = {
        "the name of the model": "tiny llama",
        "its largest matrices": "ffn_down",
        "the size of the file": "bits per weight",
        "a heading for the loss": "What quantization costs",
        "the divergence": "KL",
    }
    assert [what for what, text in shown.items() if text not in done.stdout] == []
    assert str(output) in done.stdout + done.stderr
    assert "already quantized" not in done.stdout
    with open_checkpoint(output) as written:
        assert written.tensors["blk.0.ffn_up.weight"].format.name == "Q4_K"


def test_the_json_has_the_size_and_the_loss(tiny: Path, tmp_path: Path) -> None:
    done = demo(tiny, "--to", "Q8_0", "--keep", tmp_path, "--chunks", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["output_bytes"] == (tmp_path / "tiny-Q8_0.gguf").stat().st_size
    assert 0 < found["loss"]["kl"]["mean"] < 1e-2


def test_a_quant_is_called_one(tiny: Path, tmp_path: Path) -> None:
    first = demo(tiny, "--to", "Q8_0", "--keep", tmp_path, "--chunks", "0")
    assert first.returncode == 0, first.stderr
    again = demo(tmp_path / "tiny-Q8_0.gguf", "--keep", tmp_path, "--chunks", "0")
    assert again.returncode == 0, again.stderr
    assert "This model is already quantized" in again.stdout
