"""Timings that `bench` took on this machine, one JSON object per line in the cache directory.

`plan` calibrates its speed estimates with them.
"""

import json
from contextlib import suppress

from zeropoint.cache import cache_directory
from zeropoint.errors import CheckpointError
from zeropoint.results.bench import BenchResult

HISTORY_FILE = "benches.jsonl"
MAX_LINES = 400  # the newest ones count
KEYS = ("model", "file_bytes", "threads", "kernels", "mode", "prompt_tokens", "generated_tokens",
        "prompt_tokens_per_second", "generation_tokens_per_second", "prompt", "generation",
        "work")  # fmt: skip


def load_bench_history() -> list[BenchResult]:
    """Return the timings, the oldest first. Damaged lines are left out."""
    path = cache_directory() / HISTORY_FILE
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []
    results = []
    for line in lines[-MAX_LINES:]:
        # A full disk or a killed process leaves an incomplete line.
        with suppress(ValueError, RecursionError, CheckpointError):
            results.append(BenchResult.from_json(json.loads(line), path))
    return results


def append_bench_history(result: BenchResult) -> None:
    """Append a timing. A failure to write the cache is ignored."""
    record = result.to_json()
    line = json.dumps({key: record[key] for key in KEYS if key in record})
    path = cache_directory() / HISTORY_FILE
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
