"""Data of the pages about runs, read from run folders and summarized for figures.

The verb determines the data of a run: `measure` (tokens, divergences, the ten most likely tokens of
both models), `quantize` (per-tensor errors, histograms, worst blocks), `ladder` (a table of levels,
each a separate run), and `drift`, `tasks` and `across` (`compare` without --ref), which
drift_runs.py reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint.errors import CheckpointError
from zeropoint.metrics.divergence.recorded_chunks import read_chunk
from zeropoint.plans.formats import inventory
from zeropoint.quantizers.outcome import HISTOGRAM_RULES
from zeropoint.results.divergence import Divergence, LadderLevel, LadderResult, MeasureResult
from zeropoint.results.quantize import QuantizedTensorResult
from zeropoint.results.run_store import damaged
from zeropoint.results.runs import Run, read_run, results_of_type
from zeropoint.studio.data.page_data import PageData

MAX_SHOWN_POSITIONS = 1200  # of the texts, token by token, with both top tens
HISTOGRAM_BINS = 64
FEW_TOKENS = 30  # of a text or class; its figures are grey below that

VERBS = ("measure", "quantize", "ladder", "drift", "tasks", "across", "search", "train")

# Keys of a mark in the frontier figure, for a level of a ladder or for a measured quant.
LEVEL_KEYS = ("level", "kind", "format", "bytes", "file_bytes", "bits_per_weight",
            "prompt_tokens_per_second", "generation_tokens_per_second")  # fmt: skip
LOSS_KEYS = ("kl", "perplexity", "top1", "top1_low", "top1_high", "flips", "floor", "verdict",
           "tokens")  # fmt: skip


def open_runs(paths: Sequence[Path]) -> list[Run]:
    """Open runs. A folder of runs (`--run` of several quants) is replaced by the runs in it.

    Raises CheckpointError for a path that is not a run, and for a run without results.
    """
    runs = []
    for path in [run for given in paths for run in _runs_in(given)]:
        run = read_run(path)
        if run.verb not in VERBS:
            raise CheckpointError(path, f"is a run of {run.verb!r}, which a report does not show")
        runs.append(run)
    return runs


def _runs_in(path: Path) -> list[Path]:
    if not path.is_dir() or (path / "run.json").exists():
        return [path]
    return sorted(head.parent for head in path.glob("*/run.json")) or [path]


def text_of(run: Run, positions: int = MAX_SHOWN_POSITIONS) -> list[PageData]:
    """Return the texts of a measure run, one per domain: tokens, scores and both top tens.

    Each has `domain`, `tokens` (the pieces, context included), `first` (the position of the first
    score), and per score `kl`, `nll_reference`, `nll_quant` (n,), `ids` and `logp` (n, 2, 10).
    Chunks of a domain are taken until `positions` scores are reached over all domains.
    """
    pieces = _pieces(run)
    result: dict[str, PageData] = {}
    domains = list(run.result_as(MeasureResult).by_domain) or ["text"]
    each = max(positions // len(domains), 1)
    for index in range(run.folder.chunks_done()):
        arrays: Mapping[str, Any] = read_chunk(run.folder, index)
        domain = str(arrays["domain"])
        if domain in result:
            continue
        result[domain] = _cut_text(arrays, domain, each, pieces)
    return list(result.values())


def _cut_text(
    arrays: Mapping[str, Any], domain: str, count: int, pieces: Mapping[int, str]
) -> PageData:
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
    """Return the text of each token of the run; without a tokenizer, tokens are shown by number."""
    if not (run.path / "pieces.json").exists():
        return {}
    table = run.folder.load_table("pieces")
    texts = table if isinstance(table, dict) else {"": ""}
    if not all(_is_token(key) and isinstance(text, str) for key, text in texts.items()):
        raise damaged(run.path / "pieces.json", "expected a table of tokens")
    return {int(key): text for key, text in texts.items()}


def _is_token(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 12


def ladder_of(runs: Sequence[Run]) -> list[LadderLevel]:
    """Return the levels of the ladders that share the first ladder's text, each format once."""
    ladders = [
        (run, result) for run, result in results_of_type(runs, LadderResult) if result.levels
    ]
    like = [result for run, result in ladders if _same_text((run, result), ladders[0])]
    levels = {level.format: level for result in like for level in result.levels}
    return sorted(levels.values(), key=lambda level: -level.bits_per_weight)


def _same_text(one: tuple[Run, LadderResult], other: tuple[Run, LadderResult]) -> bool:
    """Return whether two ladders read the same text, so that one figure may show both."""
    tokens = [result.levels[0].measured.tokens for _, result in (one, other)]
    return one[0].inputs == other[0].inputs and tokens[0] == tokens[1]


def level_of(run: Run) -> LadderLevel:
    """Return a measured quant as a mark of the frontier, identified by its hash."""
    quant = run.quant
    return LadderLevel(
        level=quant.name,
        format=quant.name,
        bytes=quant.file_bytes,
        bits_per_weight=quant.bits_per_weight,
        measured=run.result_as(MeasureResult),
    )


def marks_of(
    levels: Sequence[LadderLevel], alike: Mapping[str, Sequence[str]] | None = None
) -> list[PageData]:
    """Return levels as data of the frontier figure.

    `alike` names, for a format, those that a paired test cannot separate from it.
    """
    rows = [level.to_json() for level in levels]
    return [
        {key: row.get(key) for key in (*LEVEL_KEYS, *LOSS_KEYS)}
        | {"alike": (alike or {}).get(level.format)}
        for level, row in zip(levels, rows, strict=True)
    ]


def losses_of(result: MeasureResult) -> PageData:
    """Return the rows of the interval plot: the whole text, its domains, and classes of tokens."""
    groups: list[tuple[str, str, Divergence]] = [("everything", "", result)]
    groups += [(name, "text", group) for name, group in result.by_domain.items()]
    groups += [
        (f"{name} tokens", "kind of token", group) for name, group in result.by_class.items()
    ]
    return {
        "losses": [
            {
                "name": name,
                "group": title,
                "tokens": group.tokens,
                "few": group.tokens < FEW_TOKENS,
                "kl": group.kl.to_json(),
                "top1": group.top1,
                "top1_low": group.top1_low,
                "top1_high": group.top1_high,
                "ratio": group.perplexity.ratio.to_json(),
            }
            for name, title, group in groups
        ],
        "floor": result.floor,
    }


@dataclass(frozen=True)
class WorstPosition:
    """One scored position of a text, and the most likely tokens of both models there."""

    domain: str
    context: str  # the tokens before it
    target: str  # the token that came
    kl: float  # nats
    reference: str  # the most likely token of each model
    quant: str


def worst_of(run: Run, count: int) -> list[WorstPosition]:
    """Return the positions with the largest KL in all chunks, with the text before them."""
    pieces = _pieces(run)
    result: list[WorstPosition] = []
    for index in range(run.folder.chunks_done()):
        arrays: Mapping[str, Any] = read_chunk(run.folder, index)
        order = np.argsort(arrays["kl"])[::-1][:count]
        first, tokens = int(arrays["first"]), arrays["tokens"]
        for at in order:
            place = first + 1 + int(at)
            before = tokens[max(place - 12, 0) : place]
            result.append(
                WorstPosition(
                    domain=str(arrays["domain"]),
                    context="".join(pieces.get(int(t), f"<{t}>") for t in before),
                    target=pieces.get(int(tokens[place]), ""),
                    kl=float(arrays["kl"][at]),
                    reference=pieces.get(int(arrays["top_ids"][at, 0, 0]), ""),
                    quant=pieces.get(int(arrays["top_ids"][at, 1, 0]), ""),
                )
            )
    return sorted(result, key=lambda position: -position.kl)[:count]


@dataclass(frozen=True)
class Histograms:
    """The weights of a tensor and their errors, counted in HISTOGRAM_BINS equal bins each."""

    counts: list[int]
    limit: float  # of the outermost bins: ±limit
    errors: list[int]
    errors_limit: float


@dataclass(frozen=True)
class TensorEvidence:
    """One tensor of a quantize run, with its histograms if the run has them."""

    result: QuantizedTensorResult
    spread: Histograms | None

    @property
    def kind(self) -> str:
        """The tensor's kind, blk.*.attn_v."""
        return inventory.kind_of(self.result.name)

    def as_page_data(self) -> PageData:
        """Return the tensor as data of the figures."""
        row, block = self.result, self.result.worst_block
        data: PageData = {
            key: getattr(row, key)
            for key in ("name", "shape", "format", "source_format", "bytes", "relative_error",
                        "reason", "weighted")
        }  # fmt: skip
        data["kind"] = self.kind
        if self.spread:
            data |= vars(self.spread)
        if block:
            data["block"] = {
                "row": block.row,
                "column": block.column,
                "error": block.error,
                "weights": np.array(block.weights, np.float32),
                "decoded": np.array(block.decoded, np.float32),
            }
        return data


def tensors_of(run: Run) -> list[TensorEvidence]:
    """Return the tensors of a quantize run: sizes, errors, histograms, worst blocks."""
    rows = run.folder.load_records("tensors", QuantizedTensorResult)
    spread = _spreads(run)
    return [TensorEvidence(row, spread.get(row.name)) for row in rows]


def _spreads(run: Run) -> dict[str, Histograms]:
    if not (run.path / "hist.npz").exists():
        return {}
    arrays: Mapping[str, Any] = run.folder.load_arrays("hist", HISTOGRAM_RULES)
    return {
        str(name): Histograms(
            counts=_merged(arrays["weights"][i]),
            limit=float(arrays["weights_limit"][i]),
            errors=_merged(arrays["errors"][i]),
            errors_limit=float(arrays["errors_limit"][i]),
        )
        for i, name in enumerate(arrays["names"])
    }


def _merged(counts: Any) -> list[int]:
    return [int(n) for n in np.asarray(counts).reshape(HISTOGRAM_BINS, -1).sum(axis=1)]
