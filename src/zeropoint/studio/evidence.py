"""What a page shows of runs: read from run folders, summed up for figures, nothing invented.

A run is told by its verb: `measure` (tokens, divergences, both top tens), `quantize` (per-tensor
errors, histograms, worst blocks), `ladder` (a table of levels, each a run of its own), and `drift`,
`tasks` and `across` (`compare` without --ref), which step_evidence reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.metrics.record import read_chunk
from zeropoint.plans import inventory
from zeropoint.quantizers.outcome import HISTOGRAM_RULES
from zeropoint.results.run_checks import DAMAGE
from zeropoint.results.run_store import RunFolder

SHOWN_POSITIONS = 1200  # of the texts, token by token, with both top tens
HISTOGRAM_BINS = 64

VERBS = ("measure", "quantize", "ladder", "drift", "tasks", "across")

# Figures of a mark of the frontier: of a ladder's level, and of anything that was measured.
OF_LEVEL = ("level", "kind", "format", "bytes", "bits_per_weight", "prompt_tokens_per_second",
            "generation_tokens_per_second")  # fmt: skip
OF_LOSS = ("kl", "perplexity", "top1", "top1_low", "top1_high", "flips", "floor", "verdict",
           "tokens")  # fmt: skip

Figures = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run folder that is finished, or far enough to be shown."""

    path: Path
    verb: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    results: Mapping[str, Any]
    folder: RunFolder


def open_runs(paths: Sequence[Path]) -> list[Run]:
    """Open runs; a folder that is none but holds some stands for them (`--run` of several quants).

    Raises CheckpointError for what is none, or has no results yet.
    """
    runs = []
    for path in [run for given in paths for run in _runs_in(given)]:
        folder = RunFolder.open(path)
        identity, results = folder.identity, folder.results
        verb = str(identity.get("verb"))
        if verb not in VERBS:
            raise CheckpointError(path, f"is a run of {verb!r}, which a report does not show")
        if not results:
            raise CheckpointError(path, "is not finished; the same command goes on from there")
        inputs, settings = identity.get("inputs"), identity.get("settings")
        if not isinstance(inputs, dict) or not isinstance(settings, dict):
            raise CheckpointError(path / "run.json", "has no inputs and settings")
        runs.append(Run(path, verb, inputs, settings, results, folder))
    return runs


def _runs_in(path: Path) -> list[Path]:
    if not path.is_dir() or (path / "run.json").exists():
        return [path]
    return sorted(head.parent for head in path.glob("*/run.json")) or [path]


def readable(made: Callable[[], T]) -> T:
    """Return what `made` makes of runs. Raises MeasurementError where a run.json says nonsense."""
    try:
        return made()
    except DAMAGE as error:
        told = "a run is damaged, or of another version: measure or quantize it again"
        raise MeasurementError(told) from error


def text_of(run: Run, positions: int = SHOWN_POSITIONS) -> list[Figures]:
    """Return the texts of a measure run, one per domain: tokens, scores and both top tens.

    Each has `domain`, `tokens` (the pieces, context included), `first` (the position of the first
    score), and per score `kl`, `nll_reference`, `nll_quant` (n,), `ids` and `logp` (n, 2, 10).
    Chunks of a domain are taken until `positions` scores are reached over all domains.
    """
    pieces = _pieces(run)
    found: dict[str, Figures] = {}
    domains = list(run.results.get("by_domain", {})) or ["text"]
    each = max(positions // len(domains), 1)
    for index in range(run.folder.chunks_done()):
        arrays: Mapping[str, Any] = read_chunk(run.folder, index)
        domain = str(arrays["domain"])
        if domain in found:
            continue
        found[domain] = _cut_text(arrays, domain, each, pieces)
    return list(found.values())


def _cut_text(
    arrays: Mapping[str, Any], domain: str, count: int, pieces: Mapping[int, str]
) -> Figures:
    first, tokens = int(arrays["first"]), arrays["tokens"]
    count = min(count, int(arrays["kl"].size))
    ids = arrays["top_ids"][:count].astype(np.int32)
    stop = first + 1 + count
    known = {int(i) for i in np.unique(ids)} | {int(i) for i in tokens[:stop]}
    return {
        "domain": domain,
        "first": first,
        "tokens": [int(token) for token in tokens[:stop]],
        "pieces": {str(i): pieces.get(i, f"<{i}>") for i in sorted(known) if i >= 0},
        "kl": arrays["kl"][:count].astype(np.float32),
        "nll_reference": arrays["nll"][0][:count].astype(np.float32),
        "nll_quant": arrays["nll"][1][:count].astype(np.float32),
        "ids": ids,
        "logp": arrays["top_logp"][:count].astype(np.float32),
    }


def _pieces(run: Run) -> dict[int, str]:
    """Return the text of the tokens that the run met; without it they are shown by number."""
    if not (run.path / "pieces.json").exists():
        return {}
    table = run.folder.load_table("pieces")
    if not isinstance(table, dict):
        raise CheckpointError(run.path / "pieces.json", "is damaged; measure again")
    return {int(key): str(text) for key, text in table.items()}


def ladder_of(runs: Sequence[Run]) -> list[Figures]:
    """Return the levels of the ladders that read the text that the first read, each format once."""
    ladders = [run for run in runs if run.verb == "ladder"]
    like = [run for run in ladders if _same_text(run, ladders[0])]
    levels = {level["format"]: level for run in like for level in run.results["levels"]}
    order = sorted(levels.values(), key=lambda level: -level["bits_per_weight"])
    return [{key: level.get(key) for key in (*OF_LEVEL, *OF_LOSS)} for level in order]


def _same_text(run: Run, other: Run) -> bool:
    """Whether two ladders read the same text, so that their levels may stand in one figure."""
    count = [found.results["levels"][0].get("tokens") for found in (run, other)]
    return run.inputs == other.inputs and count[0] == count[1]


def level_of(run: Run) -> Figures:
    """Return a measured quant as a mark of the frontier; its name is not trusted, its hash is."""
    quant, found = run.inputs["quant"], run.results
    return {
        "level": quant["name"],
        "kind": "",
        "format": quant["name"],
        "bytes": quant["file_bytes"],
        "bits_per_weight": quant.get("bits_per_weight"),
        **{key: found.get(key) for key in OF_LOSS},
    }


def losses_of(run: Run) -> Figures:
    """Return the rows of the interval plot: everything, domains, classes of token."""
    found = run.results
    groups = [("everything", "", found)]
    for key, title in (("by_domain", "text"), ("by_class", "kind of token")):
        for name, figures in (found.get(key) or {}).items():
            groups.append((f"{name} tokens" if key == "by_class" else name, title, figures))
    return {
        "losses": [
            {
                "name": name,
                "group": title,
                "tokens": f["tokens"],
                "kl": f["kl"],
                "top1": f["top1"],
                "top1_low": f["top1_low"],
                "top1_high": f["top1_high"],
                "ratio": f["perplexity"]["ratio"],
            }
            for name, title, f in groups
        ],
        "floor": found.get("floor"),
    }


def worst_of(run: Run, count: int) -> list[Figures]:
    """Return the positions with the largest divergence, of all chunks, with what came before."""
    pieces = _pieces(run)
    found: list[Figures] = []
    for index in range(run.folder.chunks_done()):
        arrays: Mapping[str, Any] = read_chunk(run.folder, index)
        order = np.argsort(arrays["kl"])[::-1][:count]
        first, tokens = int(arrays["first"]), arrays["tokens"]
        for at in order:
            place = first + 1 + int(at)
            before = tokens[max(place - 12, 0) : place]
            found.append(
                {
                    "domain": str(arrays["domain"]),
                    "context": "".join(pieces.get(int(t), f"<{t}>") for t in before),
                    "target": pieces.get(int(tokens[place]), ""),
                    "kl": float(arrays["kl"][at]),
                    "reference": pieces.get(int(arrays["top_ids"][at, 0, 0]), ""),
                    "quant": pieces.get(int(arrays["top_ids"][at, 1, 0]), ""),
                }
            )
    return sorted(found, key=lambda position: -position["kl"])[:count]


def tensors_of(run: Run) -> list[Figures]:
    """Return the tensors of a quantize run: sizes, errors, histograms, worst blocks."""
    table = run.folder.load_table("tensors")
    if not isinstance(table, list):
        raise CheckpointError(run.path / "tensors.json", "is damaged; quantize again")
    spread = _histograms(run)
    return [
        {
            **{
                key: row.get(key)
                for key in (
                    "name",
                    "shape",
                    "format",
                    "source_format",
                    "bytes",
                    "relative_error",
                    "reason",
                    "weighted",
                )
            },
            "kind": inventory.kind_of(str(row["name"])),
            **spread.get(str(row["name"]), {}),
            **({"block": _block(row["worst_block"])} if "worst_block" in row else {}),
        }
        for row in table
    ]


def _histograms(run: Run) -> dict[str, Figures]:
    if not (run.path / "hist.npz").exists():
        return {}
    arrays: Mapping[str, Any] = run.folder.load_arrays("hist", HISTOGRAM_RULES)
    return {
        str(name): {
            "counts": _merged(arrays["weights"][i]),
            "limit": float(arrays["weights_limit"][i]),
            "errors": _merged(arrays["errors"][i]),
            "errors_limit": float(arrays["errors_limit"][i]),
        }
        for i, name in enumerate(arrays["names"])
    }


def _merged(counts: Any) -> list[int]:
    return [int(n) for n in np.asarray(counts).reshape(HISTOGRAM_BINS, -1).sum(axis=1)]


def _block(row: Mapping[str, Any]) -> Figures:
    return {
        "row": row["row"],
        "column": row["column"],
        "error": row["error"],
        "weights": np.array(row["weights"], np.float32),
        "decoded": np.array(row["decoded"], np.float32),
    }
