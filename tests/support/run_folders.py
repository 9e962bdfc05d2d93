"""Run folders as `compare`, `tasks` and `measure` leave them, made for the tests of pages."""

import json
from pathlib import Path
from typing import Any

LARGE = [{"layers": 24, "bytes": 512, "window": None}]
SMALL = [{"layers": 4, "bytes": 1280, "window": None}, {"layers": 20, "bytes": 1280, "window": 512}]
GEMMA, QWEN = "gemma3, 24 layers of 640", "qwen2, 24 layers of 896"
MODELS = [  # name, size, bits, shape, cache, nats per byte, letters, tasks, chains
    ("small-BF16.gguf", 540_000_000, 16.1, GEMMA, SMALL, 0.902, "c", 0.41, 0.5),
    ("small-Q8_0.gguf", 290_000_000, 8.6, GEMMA, SMALL, 0.903, "c", 0.40, 0.5),
    ("small-Q4_K_M.gguf", 250_000_000, 5.1, GEMMA, SMALL, 0.941, "d", 0.33, 0.3),
    ("large-Q8_0.gguf", 531_000_000, 8.5, QWEN, LARGE, 0.842, "a", 0.55, 0.7),
    ("large-Q4_K_M.gguf", 397_000_000, 6.2, QWEN, LARGE, 0.846, "a", 0.54, 0.7),
    ("large-Q2_K.gguf", 339_000_000, 4.4, QWEN, LARGE, 0.871, "b", 0.47, 0.4),
]  # fmt: skip


def between(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def across(folder: Path, *, steps: bool = True) -> Path:
    """Write the run folder of `compare` without --ref; without `steps`, only text scores."""
    rows = [
        {"name": name, "formats": "", "file_bytes": size, "bits_per_weight": bits, "shape": shape,
         "weights": round(8 * size / bits), "cache": cache, "cache_bytes": 0, "memory_bytes": size,
         "text": {"nats_per_byte": between(nats, 0.004), "group": letters, "bytes": 40_000,
                  "by_domain": {}, "windows": 40, "difference": between(nats - 0.9, 0.004), "p": 1},
         "tasks": {"accuracy": between(tasks, 0.06), "tasks": 56, "right": round(56 * tasks),
                   "tokens": {"mean": 9.0, "difference": between(0.0, 0.1)}, "cut": 0.0,
                   "name": name, "file_bytes": size, "formats": "", "by_kind": {},
                   "beside_first": {"lost": [], "won": [], "p": 1.0,
                                    "difference": between(0.0, 0.1)}},
         "chains": {"families": {}, "together": {"quant": {"accuracy": [
             between(0.9, 0.05), between(chains, 0.1)]}}}}
        for name, size, bits, shape, cache, nats, letters, tasks, chains in MODELS
    ]  # fmt: skip
    if not steps:
        rows = [row | {"tasks": None, "chains": None} for row in rows]
    sides = [{"name": name, "file_bytes": size, "bits_per_weight": bits, "formats": {"F16": 1},
              "fingerprint": "0" * 64} for name, size, bits, *_ in MODELS]  # fmt: skip
    inputs = {"models": sides, "text": {"corpus": "1" * 64, "windows": 40}, "tasks": "2" * 64}
    return _write(folder, "across", inputs, {}, {"context": 4096, "results": rows})


def measured(folder: Path, quant: str, size: int, kl: float, **more: Any) -> Path:
    """Write the parts of a run folder of `measure` that hold a size."""
    side = {"formats": {"F16": 1}, "fingerprint": "3" * 64, "bits_per_weight": 5.0}
    reference = side | {"name": "ref.gguf", "file_bytes": 10_000_000, "fingerprint": "4" * 64}
    inputs = {"quant": side | {"name": quant, "file_bytes": size}, "reference": reference | more,
              "text": {"corpus": "5" * 64}}  # fmt: skip
    return _write(
        folder, "measure", inputs, {"context": 512}, {"tokens": 900, "kl": between(kl, kl / 9)}
    )


def _write(folder: Path, verb: str, inputs: Any, settings: Any, results: Any) -> Path:
    folder.mkdir(parents=True)
    record = {"schema": 1, "verb": verb, "inputs": inputs, "settings": settings, "results": results}
    (folder / "run.json").write_text(json.dumps(record))
    return folder
