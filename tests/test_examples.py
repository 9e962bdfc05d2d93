"""Every example runs as it stands, and its own assertions hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_without_arguments_and_without_warnings(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout and not done.stderr
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"


def test_examples_fit_on_a_screen() -> None:
    assert len(EXAMPLES) >= 3
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES)


def test_the_first_example_has_the_essays_numbers() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quantize_an_array.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    for part in (
        "0.12714286",
        "[-7  1  1 -1  1 -4]",
        "18.0%",
        "0.07",
        "[-8  7  6  3  7 -3]",
        "8.5%",
    ):
        assert part in done.stdout
