"""Plans and writes a GGUF file, for `quantize` with formats that are named or searched."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from zeropoint.calibration import read_imatrix
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.portability import find_unread_keys
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.plans import Recipe, TensorType, bits_per_weight, parse_size
from zeropoint.quantizers import (
    OutputWritten,
    RowsWritten,
    TensorWritten,
    WriteOptions,
    check_writable,
    save_evidence,
    summarize_errors,
    tensor_result,
    write_quantized,
)
from zeropoint.quantizers.export import TensorExported
from zeropoint.quantizers.quantization_plan import QuantizationPlan, plan_quantization
from zeropoint.results.quantize import QuantizeResult
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_list, as_path
from zeropoint.verbs.options.quantize import QuantizeOptions
from zeropoint.verbs.records import Notice, StageStarted
from zeropoint.verbs.rounding import (
    NEAREST,
    RoundingPlan,
    uses_moments,
)
from zeropoint.verbs.second_moments import MomentRecord

if TYPE_CHECKING:
    pass

QuantizeRecord: TypeAlias = (
    MomentRecord | RowsWritten | TensorWritten | OutputWritten | TensorExported | QuantizeResult
)


def check_plan(plan: QuantizationPlan) -> None:
    """Raise FormatError for a plan that cannot be written."""
    check_writable(plan.source, plan.choices, plan.options)


def make_plan(
    source: Checkpoint,
    to: str | Recipe,
    options: QuantizeOptions,
    *,
    made_by: str | None = None,
    rounding: RoundingPlan = NEAREST,
) -> QuantizationPlan:
    """Choose a format for each tensor. `made_by` names a verb that may replace its own outputs.

    Without an imatrix in `options`, the importance is that of `rounding`.
    """
    imatrix = options.imatrix
    file = Path(imatrix) if isinstance(imatrix, str | Path) else None
    write_options = WriteOptions(
        to=to if isinstance(to, str) else None,
        requantize=options.requantize,
        details=options.run is not None,
        max_shard_bytes=parse_size(options.split_max_size) if options.split_max_size else None,
        importance_file=file,
        overwrite=options.overwrite,
        made_by=made_by,
        feedback=rounding.feedback,
    )
    calibration = imatrix if not isinstance(imatrix, str | Path) else read_imatrix(imatrix)
    if calibration is None:
        calibration = rounding.importance
    return plan_quantization(
        source,
        to,
        calibration,
        write_options,
        {
            "pure": options.pure,
            "tensor_types": [TensorType.parse(text) for text in as_list(options.tensor_type)],
            "output_tensor_type": options.output_tensor_type,
            "token_embedding_type": options.token_embedding_type,
            "leave_output": options.leave_output_tensor,
        },
        awaits_importance=uses_moments(options),
    )


def plan_notices(plan: QuantizationPlan) -> Iterator[Notice]:
    """Yield the notes of a plan for the user."""
    if unread := find_unread_keys(plan.source.metadata):
        yield Notice(
            f"llama.cpp does not read {', '.join(unread)}: it runs another model with this file"
        )
    for text in plan.warnings():
        yield Notice(text)


def write_plan(
    plan: QuantizationPlan,
    output: Path,
    *,
    threads: int | None = None,
    run: str | Path | None = None,
) -> Iterator[QuantizeRecord]:
    """Write a plan to a file; yield records of the progress, and the result last."""
    # Locked before the work; the run begins after it, when the hash of the source is known.
    folder = as_path(run)
    reserved = RunFolder.reserve(folder) if folder else None
    clock = QuantizationClock()
    written: list[TensorWritten] = []
    yield StageStarted(f"Writing {output.name}", plan.elements)
    steps = write_quantized(
        plan.source,
        plan.choices,
        output,
        calibration=plan.calibration,
        threads=threads,
        options=plan.options,
    )
    end: OutputWritten | None = None
    for record in steps:
        if isinstance(record, TensorWritten):
            written.append(record)
        elif isinstance(record, OutputWritten):
            end = record
        yield record
    assert end is not None, "writing ends with its output"
    seconds = clock.seconds()
    result = QuantizeResult(
        output=tuple(str(path) for path in end.files),
        output_bytes=end.file_bytes,
        bits_per_weight=bits_per_weight(end.file_bytes, plan.choices),
        source_bytes=plan.source.file_bytes,
        source_sha256=end.source_sha256,
        seconds=seconds,
        weights_per_second=plan.encoded_elements / seconds,
        peak_memory_bytes=peak_memory_bytes(),
        recipe=plan.recipe(),
        fallbacks=plan.fallbacks(),
    )
    if reserved:
        _save(reserved.path, plan, written, result)
    reasons = {choice.name: choice.reason for choice in plan.choices}
    yield replace(
        result,
        error=summarize_errors(written),
        tensors=tuple(tensor_result(record, reasons[record.name]) for record in written),
    )


class QuantizationClock:
    """Measures the seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._start


def _save(
    run: Path, plan: QuantizationPlan, written: Sequence[TensorWritten], result: QuantizeResult
) -> None:
    """Save the evidence in a run folder."""
    file = plan.options.importance_file
    inputs = {
        "source": [path.name for path in plan.source.files],
        "source_sha256": result.source_sha256,
        "imatrix": file.name if file else None,
    }
    settings = {"to": plan.options.to, "recipe": plan.recipe()}
    folder = RunFolder.start(run, "quantize", inputs, settings)
    save_evidence(folder, written, plan.choices)
    folder.finish(replace(result, output=None))
