"""`quantize_checkpoint`: writes a model in the formats of a preset, a format or a recipe."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from zeropoint.calibration import read_imatrix
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.portability import find_unread_keys
from zeropoint.errors import OutputError, UnsupportedModel
from zeropoint.formats import Format
from zeropoint.kernels import default_threads
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.plans import Recipe, TensorType, bits_per_weight, parse_size
from zeropoint.plans.formats.names import target_format
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
from zeropoint.quantizers.export import FOLDER_FORMATS, TensorExported, export_folder
from zeropoint.quantizers.quantization_plan import QuantizationPlan, plan_quantization
from zeropoint.results.quantize import QuantizePreview, QuantizeResult
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_list, as_path
from zeropoint.verbs.checkpoint_input import CheckpointInput, opened
from zeropoint.verbs.options.budget import Profile
from zeropoint.verbs.options.quantize import Effort, Inputs, QuantizeOptions, Rounding
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain
from zeropoint.verbs.rounding import (
    NEAREST,
    RoundingPlan,
    open_sequential,
    prepare_moments,
    resumable,
    round_layers,
    uses_moments,
    work_folder,
)
from zeropoint.verbs.second_moments import MomentRecord

if TYPE_CHECKING:
    from zeropoint.calibration import Calibration

QuantizeRecord: TypeAlias = (
    MomentRecord | RowsWritten | TensorWritten | OutputWritten | TensorExported | QuantizeResult
)

NO_PREVIEW = (
    "the formats of --to best are known after the search; `zeropoint search` writes a recipe"
)
BEST = "best"  # the target whose formats a search finds
# Options that a Hugging Face folder, whose tensors all get one format, has no use for.
_FILE_OPTIONS = (
    "imatrix", "calibration", "text",
    "pure", "tensor_type", "output_tensor_type", "token_embedding_type",
    "leave_output_tensor", "split_max_size", "run",
)  # fmt: skip


def quantize_checkpoint(
    model: CheckpointInput,
    output: str | Path,
    *,
    to: str | Recipe,
    imatrix: "str | Path | Calibration | None" = None,
    calibration: str | Path | None = None,
    text: str | Path | Sequence[str | Path] | None = None,
    rounding: Rounding = "auto",
    inputs: Inputs = "reference",
    effort: Effort = "normal",
    threads: int | None = None,
    pure: bool = False,
    tensor_type: str | Sequence[str] | None = None,
    output_tensor_type: str | None = None,
    token_embedding_type: str | None = None,
    leave_output_tensor: bool = False,
    requantize: bool = False,
    split_max_size: str | None = None,
    run: str | Path | None = None,
    overwrite: bool = False,
    bits: float | str | None = None,
    budget: str | None = None,
    runtime_memory: str | None = None,
    device: str | None = None,
    context: int = 4096,
    profile: Profile = "any",
    progress: OnRecord | None = None,
) -> QuantizeResult:
    """Write a model to `output` in other formats, and return its size and the error of each tensor.

    `model` is a GGUF file, a folder, a hub id or an open checkpoint. `output` is a .gguf file; a
    name without a suffix is a new Hugging Face folder in F32, F16 or BF16. `to` is a preset, a
    format, a `Recipe`, a .recipe file, or "best": the formats with the least loss within a limit
    (`bits`, `budget`, `runtime_memory` or `device`), which gives a `BestResult`. `QuantizeOptions`
    explains the other options. The output appears when it is complete; its bytes do not depend on
    `threads`.

    Raises RecipeError for a name or a pattern that is wrong, FormatError for a model that is
    already quantized (unless `requantize`) or has weights that are not finite, CheckpointError for
    a damaged file or an output that exists (unless `overwrite`), and NotEnoughSpace before anything
    is written.
    """
    options = QuantizeOptions(
        imatrix=imatrix,
        calibration=calibration,
        text=text,
        rounding=rounding,
        inputs=inputs,
        effort=effort,
        threads=threads,
        pure=pure,
        tensor_type=tensor_type,
        output_tensor_type=output_tensor_type,
        token_embedding_type=token_embedding_type,
        leave_output_tensor=leave_output_tensor,
        requantize=requantize,
        split_max_size=split_max_size,
        run=run,
        overwrite=overwrite,
        bits=bits,
        budget=budget,
        runtime_memory=runtime_memory,
        device=device,
        context=context,
        profile=profile,
    )
    records = quantize_checkpoint_records(model, output, to, options)
    return drain(records, QuantizeResult, progress)


def quantize_checkpoint_records(
    model: CheckpointInput, output: str | Path, to: str | Recipe, options: QuantizeOptions
) -> Iterator[Any]:
    """Run `quantize_checkpoint`; yield progress records, and the result last.

    The records are `QuantizeRecord`, or with `to="best"` those of `best_records`.

    Whoever stops between two records gets no output; an existing file stays as it was.
    """
    output = Path(output)
    with opened(model, "run" if is_best(to) else "quantize") as source:
        if is_best(to):
            from zeropoint.verbs.best import best_records  # it writes its file with this module

            yield from best_records(source, output, options)
            return
        check_no_limit(options)
        if not output.suffix:
            yield from _folder_records(source, output, to, options)
            return
        plan, walk, work = make_plan(source, to, options), None, work_folder(output)
        check_plan(plan)
        if uses_moments(options):
            if options.inputs == "sequential":
                rounding, walk = open_sequential(source, work, options)
            else:
                rounding = yield from prepare_moments(plan, work, options)
            plan = make_plan(source, to, options, rounding=rounding)
            check_plan(plan)
        plan = resumable(plan, work)
        if walk:
            yield from round_layers(plan, walk, work, options)
        yield from plan_notices(plan)
        for record in write_plan(plan, output, threads=options.threads, run=options.run):
            if isinstance(record, QuantizeResult):
                shutil.rmtree(work, ignore_errors=True)
            yield record


def preview_quantization(
    model: CheckpointInput, *, to: str | Recipe, options: QuantizeOptions | None = None
) -> QuantizePreview:
    """Return the format of each tensor with the reason, and the exact size; write nothing.

    Raises what `quantize_checkpoint` raises for names, patterns and shapes.
    """
    with opened(model, "quantize") as source:
        if is_best(to):
            raise OutputError(NO_PREVIEW)
        check_no_limit(options or QuantizeOptions())
        return make_plan(source, to, options or QuantizeOptions()).preview()


def is_best(to: str | Recipe) -> bool:
    """Return whether the formats are to be found by a search."""
    return isinstance(to, str) and to.lower() == BEST


def check_no_limit(options: QuantizeOptions) -> None:
    """Raise OutputError for a limit without a search."""
    used = [f"--{name.replace('_', '-')}" for name in options.given]
    if used:
        raise OutputError(f"{' and '.join(used)} can only be used with --to {BEST}")


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
    clock = _Clock()
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


class _Clock:
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


def _folder_records(
    source: Checkpoint, folder: Path, to: str | Recipe, options: QuantizeOptions
) -> Iterator[QuantizeRecord]:
    """Write a Hugging Face folder; yield records of the progress, and the result last."""
    _check_folder_options(folder, options)
    elements = sum(info.elements for info in source.tensors.values())
    clock = _Clock()
    steps = export_folder(
        source,
        folder,
        _folder_format(folder, to),
        threads=options.threads or default_threads(),
        overwrite=options.overwrite,
    )
    yield StageStarted(f"Writing {folder.name}", elements)
    yield from steps
    seconds = clock.seconds()
    size = sum(path.stat().st_size for path in folder.iterdir())
    yield QuantizeResult(
        output=(str(folder),),
        output_bytes=size,
        bits_per_weight=8 * size / elements,
        source_bytes=source.file_bytes,
        seconds=seconds,
        weights_per_second=elements / seconds,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _check_folder_options(folder: Path, options: QuantizeOptions) -> None:
    """Raise OutputError for options that a Hugging Face folder has no use for."""
    unused = [f"--{name.replace('_', '-')}" for name in _FILE_OPTIONS if getattr(options, name)]
    if unused:
        raise OutputError(
            f"{folder}: a name without a suffix is a Hugging Face folder, whose tensors all get one"
            f" format, so {' and '.join(unused)} cannot be used; did you mean {folder}.gguf?"
        )


def _folder_format(folder: Path, to: str | Recipe) -> Format:
    """Return the format of a folder's weights. Raises UnsupportedModel for any other target."""
    name = to if isinstance(to, str) else "a recipe"
    for format in FOLDER_FORMATS:
        if name.upper() == format:
            return target_format(format)
    raise UnsupportedModel(
        f"{folder}: a name without a suffix is a Hugging Face folder, which holds"
        f" {', '.join(FOLDER_FORMATS[:-1])} or {FOLDER_FORMATS[-1]}, not {name}; did you mean"
        f" {folder}.gguf?"
    )
