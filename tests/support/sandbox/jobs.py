"""Runs jobs of `contained.py` in a process without the threads and files of the tests."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from zeropoint.metrics.tasks.sandbox import parent as sandbox

_USERS = [False, True] if os.getuid() == 0 else [False]
as_each_user = pytest.mark.parametrize(
    "ordinary", _USERS, ids=["root", "nobody"] if os.getuid() == 0 else ["the user of the tests"]
)


def run_jobs(
    jobs: Sequence[dict[str, Any]], *, ordinary: bool, program: bytes
) -> list[dict[str, Any]]:
    """Return the outcome of each job. Skips the test where this machine contains no code."""
    asked = {
        "child": str(Path(sandbox.__file__).with_name("child.py")),
        "ordinary": ordinary,
        "filter": program.hex(),
        "jobs": jobs,
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("contained.py"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "SandboxUnavailable" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
