"""`quantize_checkpoint`: writes a model in the formats of a preset, a format or a recipe."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import OutputError, UnsupportedModel
from zeropoint.formats import Format
from zeropoint.kernels import default_threads
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.plans import Recipe
from zeropoint.plans.formats.names import target_format
from zeropoint.quantizers.export import FOLDER_FORMATS, export_folder
from zeropoint.results.quantize import QuantizePreview, QuantizeResult
from zeropoint.verbs.arguments import as_path
from zeropoint.verbs.best import best_records
from zeropoint.verbs.checkpoint_input import CheckpointInput, opened
from zeropoint.verbs.options.budget import Profile
from zeropoint.verbs.options.quantize import Effort, Inputs, QuantizeOptions, Rounding
from zeropoint.verbs.records import OnRecord, StageStarted, drain
from zeropoint.verbs.rounding import (
    open_sequential,
    prepare_moments,
    resumable,
    round_layers,
    uses_moments,
)
from zeropoint.verbs.work_folder import work_folder
from zeropoint.verbs.written_file import (
    QuantizationClock,
    QuantizeRecord,
    check_plan,
    make_plan,
    plan_notices,
    write_plan,
)

if TYPE_CHECKING:
    from zeropoint.calibration import Calibration


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
    for_folder: str | Path | None = None,
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
        for_folder=as_path(for_folder),
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
    used += ["--for"] if options.for_folder else []
    if used:
        raise OutputError(f"{' and '.join(used)} can only be used with --to {BEST}")


def _folder_records(
    source: Checkpoint, folder: Path, to: str | Recipe, options: QuantizeOptions
) -> Iterator[QuantizeRecord]:
    """Write a Hugging Face folder; yield records of the progress, and the result last."""
    _check_folder_options(folder, options)
    elements = sum(info.elements for info in source.tensors.values())
    clock = QuantizationClock()
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
