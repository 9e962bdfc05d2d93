"""What `quantize` and `demo` share: choose, caution, write, and say what came of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zeropoint.cli.output import Output, ProgressStyle, in_bytes, in_count, in_seconds
from zeropoint.cli.progress import track

if TYPE_CHECKING:
    from zeropoint.calibration import Calibration
    from zeropoint.checkpoints import Checkpoint
    from zeropoint.formats import Format
    from zeropoint.plans import Choice, Recipe
    from zeropoint.quantizers import TensorWritten, WriteOptions
    from zeropoint.results.quantize import Fallback, QuantizeResult


@dataclass(frozen=True)
class Plan:
    """What is to be written, and from what."""

    source: "Checkpoint"
    choices: "Sequence[Choice]"
    calibration: "Calibration | None"
    options: "WriteOptions"

    @property
    def fallbacks(self) -> "list[Choice]":
        """The tensors whose shape forces another format than the one wanted."""
        return [choice for choice in self.choices if choice.fallback]

    @property
    def tied(self) -> bool:
        """Whether the token embedding is the output matrix too."""
        return "output.weight" not in self.source.tensors

    def predicted_bytes(self) -> int:
        """Return the size of the output, exactly."""
        from zeropoint.plans import predict_size
        from zeropoint.quantizers import output_metadata

        metadata = output_metadata(self.source, self.choices, self.calibration, self.options)
        limit = self.options.max_shard_bytes
        return predict_size(self.choices, metadata, max_shard_bytes=limit)

    def recipe(self) -> str:
        """Return the recipe that gives these formats again."""
        from zeropoint.plans import recipe_of

        architecture = str(self.source.metadata.get("general.architecture", ""))
        return str(recipe_of(self.choices, architecture)).rstrip("\n")


def choose(
    source: "Checkpoint",
    to: "str | Recipe",
    imatrix: Path | None,
    *,
    tensor_types: Sequence[str] = (),
    max_shard: str | None = None,
    requantize: bool = False,
    details: bool = False,
    overwrite: bool = False,
    made_by: str | None = None,
    **rules: Any,
) -> Plan:
    """Choose a format for each tensor; `rules` are those of `choose_formats`."""
    from zeropoint.calibration import read_imatrix
    from zeropoint.plans import TensorType, check_importance, choose_formats, parse_size
    from zeropoint.quantizers import WriteOptions, check_storable

    calibration = read_imatrix(imatrix) if imatrix else None
    types = [TensorType.parse(text) for text in tensor_types]
    choices = choose_formats(source, to, imatrix=imatrix is not None, tensor_types=types, **rules)
    check_storable(choices)
    check_importance(choices, calibration.statistics if calibration else ())
    options = WriteOptions(
        to=to if isinstance(to, str) else None,
        requantize=requantize,
        details=details,
        max_shard_bytes=parse_size(max_shard) if max_shard else None,
        importance_file=imatrix,
        overwrite=overwrite,
        made_by=made_by,
    )
    return Plan(source, choices, calibration, options)


def show_cautions(out: Output, plan: Plan) -> None:
    """Say what a person would not expect: stand-ins for formats that do not fit, thin evidence."""
    groups: dict[tuple[str, str, int], list[Choice]] = {}
    for choice in plan.fallbacks:
        key = (choice.wanted.name, choice.format.name, choice.shape[-1])
        groups.setdefault(key, []).append(choice)
    for (wanted, format, row), group in groups.items():
        block = group[0].wanted.block_size
        out.warn(
            f"{len(group)} tensors get {format} instead of {wanted}: their rows of {row} weights"
            f" are no multiple of {block}"
        )
    if plan.calibration:
        from zeropoint.calibration import coverage

        encoded = [choice for choice in plan.choices if choice.changes]
        found = coverage(plan.calibration, encoded, tied=plan.tied)
        counts = {s: found.count(s) for s in ("missing", "empty", "partial", "thin")}
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        if said:
            out.warn(f"importance of {len(encoded)} tensors: {said}; ones stand in where it lacks")


def dry_run_of(out: Output, plan: Plan) -> None:
    """Print each tensor's format with its reason, the exact size and the recipe."""
    from zeropoint.kernels import has_encoder
    from zeropoint.plans import bits_per_weight

    size = plan.predicted_bytes()
    bits = bits_per_weight(size, plan.choices)
    out.table(
        ("Tensor", "From", "To", ">Size", "Why"),
        (
            (c.name, c.source.name, c.format.name, in_bytes(c.nbytes), c.reason)
            for c in plan.choices
        ),
    )
    out.say(f"\nRecipe\n{indented(plan.recipe())}\n")
    out.say(
        f"{size:,} bytes ({in_bytes(size)}), {bits:.2f} bits per weight,"
        f" {size / plan.source.file_bytes:.0%} of {in_bytes(plan.source.file_bytes)}",
        style="bold",
    )
    if any(choice.requantizes for choice in plan.choices) and not plan.options.requantize:
        out.warn("the model is quantized already: writing this needs --requantize")
    unable = {c.format.name for c in plan.choices if c.changes and not has_encoder(c.format.name)}
    if unable:
        out.warn(f"this cannot be written yet: there is no encoder for {', '.join(sorted(unable))}")
    out.finish(
        "quantize",
        {
            "dry_run": True,
            "output_bytes": size,
            "bits_per_weight": bits,
            "source_bytes": plan.source.file_bytes,
            "recipe": plan.recipe(),
            "fallbacks": [one.to_json() for one in fallbacks_of(plan)],
            "tensors": [
                {
                    "name": c.name,
                    "shape": c.shape,
                    "source_format": c.source.name,
                    "format": c.format.name,
                    "bytes": c.nbytes,
                    "reason": c.reason,
                }
                for c in plan.choices
            ],
        },
    )


def write(
    out: Output,
    plan: Plan,
    output: Path,
    *,
    threads: int | None = None,
    progress: ProgressStyle = ProgressStyle.auto,
    run: Path | None = None,
    then: Callable[[], dict[str, object]] | None = None,
) -> None:
    """Write the output, and say what came of it; `then` adds to what `--json` prints."""
    from zeropoint.kernels.machine import peak_memory_bytes
    from zeropoint.plans import bits_per_weight
    from zeropoint.quantizers import OutputWritten, TensorWritten, write_quantized
    from zeropoint.results.quantize import QuantizeResult
    from zeropoint.results.run_store import RunFolder

    # Locked before the work; the run begins after it, when the hash of the source is known.
    reserved = RunFolder.reserve(run) if run else None
    start = time.perf_counter()
    steps = write_quantized(
        plan.source,
        plan.choices,
        output,
        calibration=plan.calibration,
        threads=threads,
        options=plan.options,
    )
    total = sum(choice.elements for choice in plan.choices)
    seen = list(track(steps, total, f"Writing {output.name}", progress))
    seconds = time.perf_counter() - start
    records = [step for step in seen if isinstance(step, TensorWritten)]
    written = next(step for step in seen if isinstance(step, OutputWritten))
    encoded = sum(choice.elements for choice in plan.choices if choice.changes)
    result = QuantizeResult(
        output=tuple(str(path) for path in written.files),
        output_bytes=written.file_bytes,
        bits_per_weight=bits_per_weight(written.file_bytes, plan.choices),
        source_bytes=plan.source.file_bytes,
        source_sha256=written.source_sha256,
        seconds=seconds,
        weights_per_second=encoded / seconds,
        peak_memory_bytes=peak_memory_bytes(),
        recipe=plan.recipe(),
        fallbacks=fallbacks_of(plan),
    )
    show_outcome(out, records, result)
    if reserved:
        keep(reserved.path, plan, records, result)
    more = then() if then else {}
    out.finish("quantize", finished(plan, records, result).to_json() | more)


def refuse_for_folder(folder: Path, options: Sequence[str]) -> None:
    """Refuse the options that a Hugging Face folder has no use for. Raises typer.BadParameter."""
    if options:
        raise typer.BadParameter(
            f"does not apply to '{folder}': a name without a suffix is a Hugging Face folder, whose"
            f" tensors all get one format; did you mean {folder}.gguf?",
            param_hint=" and ".join(options),
        )


def _folder_format(folder: Path, to: str) -> "Format":
    """Return the format of a folder's weights. Raises UnsupportedModel if a folder has no such."""
    from zeropoint.errors import FormatError, UnsupportedModel
    from zeropoint.formats import find_format
    from zeropoint.quantizers.export import WIDE

    try:
        format = find_format(to)
    except FormatError:  # a preset or a recipe
        format = None
    if format is None or format.name not in WIDE:
        raise UnsupportedModel(
            f"{folder}: a name without a suffix is a Hugging Face folder, which holds"
            f" {', '.join(WIDE[:-1])} or {WIDE[-1]}, not {to}; did you mean {folder}.gguf?"
        )
    return format


def write_folder(
    out: Output,
    source: "Checkpoint",
    folder: Path,
    to: str,
    *,
    threads: int | None = None,
    progress: ProgressStyle = ProgressStyle.auto,
    overwrite: bool = False,
) -> None:
    """Write a Hugging Face folder, and say what came of it."""
    from zeropoint.kernels import default_threads
    from zeropoint.kernels.machine import peak_memory_bytes
    from zeropoint.quantizers.export import export_folder
    from zeropoint.results.quantize import QuantizeResult

    start = time.perf_counter()
    steps = export_folder(
        source,
        folder,
        _folder_format(folder, to),
        threads=threads or default_threads(),
        overwrite=overwrite,
    )
    total = sum(info.elements for info in source.tensors.values())
    written = list(track(steps, total, f"Writing {folder.name}", progress))
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in folder.iterdir())
    out.say(
        f"{folder}\n{in_bytes(size)}, {len(written)} tensors in {to}; {in_seconds(seconds)}."
        " transformers loads it by itself.",
        style="bold",
    )
    out.finish(
        "quantize",
        QuantizeResult(
            output=(str(folder),),
            output_bytes=size,
            bits_per_weight=8 * size / total,
            source_bytes=source.file_bytes,
            seconds=seconds,
            weights_per_second=total / seconds,
            peak_memory_bytes=peak_memory_bytes(),
        ).to_json(),
    )


def show_outcome(out: Output, records: "Sequence[TensorWritten]", result: "QuantizeResult") -> None:
    """Print what happened to each kind of tensor, and the file's own figures."""
    from zeropoint.quantizers import summarize_by_kind

    out.table(
        ("Kind", ">Tensors", "From", "To", ">Size before", ">after", ">Relative error"),
        (
            (k.kind, k.tensors, k.source_format, k.format, in_bytes(k.source_bytes),
             in_bytes(k.nbytes), in_error(k.relative_error))
            for k in summarize_by_kind(records)
        ),
    )  # fmt: skip
    size = result.output_bytes
    out.say(
        f"\n{' '.join(result.output or ())}\n"
        f"{in_bytes(size)}, {result.bits_per_weight:.2f} bits per weight,"
        f" {size / result.source_bytes:.0%} of the source; {in_seconds(result.seconds)},"
        f" {in_count(result.weights_per_second)} weights per second,"
        f" peak memory {in_bytes(result.peak_memory_bytes)}",
        style="bold",
    )


def finished(
    plan: Plan, records: "Sequence[TensorWritten]", result: "QuantizeResult"
) -> "QuantizeResult":
    """Return the result with the errors of all tensors."""
    from zeropoint.quantizers import relative_error, tensor_result
    from zeropoint.results.quantize import QuantizeError, WorstTensor

    encoded = [record for record in records if record.encoded]
    worst = max(encoded, key=lambda record: record.relative_error, default=None)
    reasons = {choice.name: choice.reason for choice in plan.choices}
    return replace(
        result,
        error=QuantizeError(
            relative_error(records),
            WorstTensor(worst.name, worst.relative_error) if worst else None,
        ),
        tensors=tuple(tensor_result(record, reasons[record.name]) for record in records),
    )


def keep(
    run: Path, plan: Plan, records: "Sequence[TensorWritten]", result: "QuantizeResult"
) -> None:
    """Save the evidence in a run folder."""
    from zeropoint.quantizers import save_evidence
    from zeropoint.results.run_store import RunFolder

    inputs = {
        "source": [path.name for path in plan.source.files],
        "source_sha256": result.source_sha256,
        "imatrix": plan.options.importance_file.name if plan.options.importance_file else None,
    }
    settings = {"to": plan.options.to, "recipe": plan.recipe()}
    folder = RunFolder.start(run, "quantize", inputs, settings)
    save_evidence(folder, records, plan.choices)
    folder.finish(replace(result, output=None))


def in_error(relative: float | None) -> str:
    """Return a relative error, the share of a tensor's power, as a person reads it."""
    return "copied" if relative is None else f"{relative:.2e}"


def fallbacks_of(plan: Plan) -> "tuple[Fallback, ...]":
    """Return the tensors that get another format than the one wanted."""
    from zeropoint.results.quantize import Fallback

    return tuple(
        Fallback(name=c.name, wanted=c.wanted.name, format=c.format.name, reason=c.reason)
        for c in plan.fallbacks
    )


def indented(text: str) -> str:
    """Set a text of several lines off from the margin."""
    return "\n".join("  " + line for line in text.splitlines())
