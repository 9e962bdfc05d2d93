"""No mutated input makes any verb crash, hang, grow, change an input or leave a part behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
BATCH = 250
EVERY = {"gguf": 10_000, "folder": 5_000, "beside": 3_000, "run": 2_000}  # 20,000 inputs
FEW = {kind: 12 for kind in EVERY}


def failures_of(kind: str, first: int, count: int, folder: Path) -> tuple[list[str], int]:
    """Run trials in a process of their own; return what went wrong and the number of calls."""
    done = subprocess.run(
        [sys.executable, "-m", "support.malformed.trial", kind, str(first), str(count), folder],
        cwd=TESTS, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        at = (folder / "trial.json").read_text()
        return [*lines, f"the process ended with {done.returncode} at {at}"], 0
    return lines[:-1], json.loads(lines[-1])["calls"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
@pytest.mark.parametrize("kind", FEW)
def test_mutated_inputs_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    failures, calls = failures_of(kind, 10**6, FEW[kind], tmp_path)
    assert failures == [] and calls >= FEW[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_20_000_mutated_inputs_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    failures: list[str] = []
    for first in range(0, EVERY[kind], BATCH):
        failures += failures_of(kind, first, BATCH, tmp_path)[0]
    assert failures == []
