"""The output of `inspect` is bounded, whatever the header holds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint
from zeropoint.cli import main
from zeropoint.formats import FORMATS

MIB = 1 << 20
LONG = 16 * MIB - 8
SHOWN_BYTES = 64 << 10


def gguf(path: Path, facts: dict[str, object], tensors: int = 1) -> Path:
    names = [f"blk.{index}.t.weight" for index in range(tensors)]
    entries = [NewTensor(name, (1,), FORMATS["F32"]) for name in names]
    with create_checkpoint(path, entries, {"general.architecture": "x"} | facts) as writer:
        for name in names:
            writer.write(name, np.zeros(4, np.uint8))
    return path


HEADERS: dict[str, dict[str, object]] = {
    "a recipe of many lines": {"zeropoint.recipe": "x\n" * (LONG // 2)},
    "a recipe of one line": {"zeropoint.recipe": "é" * (LONG // 2)},
    "a name and an architecture": {"general.name": "n" * LONG, "general.architecture": "a" * LONG},
    "a chat template": {"tokenizer.chat_template": "x" * LONG},
    "control characters": {"general.license": "\x1b" * LONG, "general.name": "\x1b" * LONG},
    "many source files": {"zeropoint.source.file": StringArray.of(["x"] * 1_000_000)},
    "an imatrix of numbers": {"quantize.imatrix.file": np.zeros(1_000_000, np.int32)},
    "an imatrix with a long name": {"quantize.imatrix.dataset": "d" * LONG},
    "arrays in arrays": {"general.source.url": [np.zeros(1, np.int32)] * 60_000},
    "text of four bytes per character": {f"general.{i}": "\U0001f600" * (LONG // 4) for i in "abc"},
}


@pytest.mark.parametrize("name", HEADERS)
def test_what_is_shown_of_a_header_is_bounded(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = gguf(tmp_path / "x.gguf", HEADERS[name])
    assert main(["inspect", str(path), "--no-outliers"]) == 0
    page = capfd.readouterr().out
    assert len(page.encode()) < SHOWN_BYTES
    assert main(["inspect", str(path), "--no-outliers", "--json"]) == 0
    text = capfd.readouterr().out
    found = json.loads(text)
    recipe = found.pop("recipe") or {}
    assert len(json.dumps(found)) < SHOWN_BYTES
    assert len(recipe.get("text", "")) <= MIB
    shown = page + text
    if "template" not in name and "four bytes" not in name:
        assert "left out" in shown or "more)" in shown


def test_a_recipe_of_usual_size_is_shown_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = "\n".join(f"blk.{index}.ffn_down.weight  Q4_K" for index in range(150))
    path = gguf(tmp_path / "x.gguf", {"zeropoint.recipe": recipe + "\n"})
    assert main(["inspect", str(path)]) == 0
    page = capfd.readouterr().out
    assert "blk.149." in page and "left out" not in page
    assert main(["inspect", str(path), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["recipe"]
    assert found == {"text": recipe, "from": "written by zeropoint", "characters_left_out": 0}


# Of this process alone: `ru_maxrss` would begin with what the test's process had.
MEASURE = (
    "import re, sys; from zeropoint.cli import main; code = main(sys.argv[1:]);"
    "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1];"
    "print(peak, file=sys.stderr); sys.exit(code)"
)
HAS_PEAK = Path("/proc/self/status").exists()


def peak_bytes(*words: str) -> int:
    """Run a command in a process of its own, and return its largest memory."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) << 10


@pytest.mark.skipif(not HAS_PEAK, reason="the peak is read from /proc")
@pytest.mark.parametrize("name", ["a recipe of many lines", "a name and an architecture"])
def test_inspect_takes_no_more_memory_than_promised(name: str, tmp_path: Path) -> None:
    path = gguf(tmp_path / "x.gguf", HEADERS[name])
    promised = 64 * MIB + 4 * path.stat().st_size
    assert peak_bytes("inspect", str(path), "--no-outliers") <= promised


@pytest.mark.skipif(not HAS_PEAK, reason="the peak is read from /proc")
def test_json_of_many_tensors_is_made_row_by_row(tmp_path: Path) -> None:
    few = gguf(tmp_path / "few.gguf", {}, 10)
    many = gguf(tmp_path / "many.gguf", {}, 20_000)
    base, found = (peak_bytes("inspect", str(p), "--no-outliers", "--json") for p in (few, many))
    assert found - base <= 4 * many.stat().st_size + 4 * MIB  # and the pieces of one buffer
