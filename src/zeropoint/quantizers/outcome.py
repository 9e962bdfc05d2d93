"""Sums up the records of a quantization: by kind of tensor, as a result, and as evidence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from zeropoint.plans import Choice
from zeropoint.plans.formats.inventory import kind_of
from zeropoint.quantizers.records import TensorWritten
from zeropoint.results.quantize import (
    QuantizedTensorResult,
    QuantizeError,
    WorstBlock,
    WorstTensor,
)
from zeropoint.results.run_checks import ArrayRule
from zeropoint.results.run_store import RunFolder


@dataclass(frozen=True)
class KindSummary:
    """The tensors of one kind, such as blk.*.attn_v, with the same formats before and after."""

    kind: str
    tensors: int
    source_format: str
    format: str
    source_bytes: int
    nbytes: int
    relative_error: float | None  # None if they were copied
    worst: str | None  # the tensor with the largest relative error


def summarize_by_kind(records: Iterable[TensorWritten]) -> list[KindSummary]:
    """Return the sums over tensors of each kind, the largest in bytes first."""
    groups: dict[tuple[str, str, str], list[TensorWritten]] = {}
    for record in records:
        key = (kind_of(record.name), record.source_format, record.format)
        groups.setdefault(key, []).append(record)
    kinds = [
        KindSummary(
            kind=kind,
            tensors=len(group),
            source_format=source,
            format=format,
            source_bytes=sum(record.source_bytes for record in group),
            nbytes=sum(record.nbytes for record in group),
            relative_error=relative_error(group) if group[0].encoded else None,
            worst=max(group, key=lambda r: r.relative_error).name if group[0].encoded else None,
        )
        for (kind, source, format), group in groups.items()
    ]
    return sorted(kinds, key=lambda kind: -kind.nbytes)


def summarize_errors(records: Iterable[TensorWritten]) -> QuantizeError:
    """Return the relative error of all encoded tensors together, and the worst of them."""
    encoded = [record for record in records if record.encoded]
    worst = max(encoded, key=lambda record: record.relative_error, default=None)
    return QuantizeError(
        relative_error(encoded),
        WorstTensor(worst.name, worst.relative_error) if worst else None,
    )


def relative_error(records: Iterable[TensorWritten]) -> float:
    """Return Σ error / Σ power over the tensors that were encoded; 0 if there are none.

    With an importance matrix, tensors that it does not cover have errors in other units. The
    figure then compares recipes, and is a weak measure of quality.
    """
    encoded = [record for record in records if record.encoded]
    power = sum(record.power for record in encoded)
    return sum(record.error for record in encoded) / power if power else 0.0


# Shapes and types of the arrays of hist.npz; `tensors` is the number of encoded tensors.
HISTOGRAM_RULES = {
    "names": ArrayRule(("tensors",), np.str_),
    "weights": ArrayRule(("tensors", 256), np.integer, 0),
    "weights_limit": ArrayRule(("tensors",), np.floating, 0),
    "errors": ArrayRule(("tensors", 256), np.integer, 0),
    "errors_limit": ArrayRule(("tensors",), np.floating, 0),
}


def save_evidence(
    run: RunFolder, records: Sequence[TensorWritten], choices: Iterable[Choice]
) -> None:
    """Write tensors.json and hist.npz into a run folder.

    hist.npz: `names` of the encoded tensors and, in their order, `weights` and `errors`
    (tensors, 256) with the counts of w and of w − ŵ in equal bins from −limit to limit, and
    `weights_limit` and `errors_limit` (tensors,).
    """
    reasons = {choice.name: choice.reason for choice in choices}
    rows = [tensor_result(record, reasons.get(record.name)) for record in records]
    run.save_table("tensors", [row.to_json() for row in rows])
    detailed = [(r.name, r.details) for r in records if r.details is not None]
    run.save_arrays(
        "hist",
        {
            "names": np.array([name for name, _ in detailed], dtype=np.str_),
            "weights": np.array([d.weights.counts for _, d in detailed], np.int64).reshape(-1, 256),
            "weights_limit": np.array([d.weights.limit for _, d in detailed], np.float64),
            "errors": np.array([d.errors.counts for _, d in detailed], np.int64).reshape(-1, 256),
            "errors_limit": np.array([d.errors.limit for _, d in detailed], np.float64),
        },
    )


def tensor_result(record: TensorWritten, reason: str | None = None) -> QuantizedTensorResult:
    """Return the result for one tensor, with its worst block if details were collected."""
    worst = record.details.worst if record.details else None
    return QuantizedTensorResult(
        name=record.name,
        shape=tuple(record.shape),
        source_format=record.source_format,
        format=record.format,
        source_bytes=record.source_bytes,
        bytes=record.nbytes,
        error=record.error,
        relative_error=record.relative_error if record.encoded else None,
        weighted=record.weighted,
        reason=reason,
        feedback=record.feedback,
        worst_block=WorstBlock(
            row=worst.row,
            column=worst.column,
            error=worst.error,
            weights=worst.weights,
            decoded=worst.decoded,
            bytes=worst.data.hex(),
        )
        if worst
        else None,
    )
