"""`calibrate`: collects an importance matrix (imatrix) while a model reads a text."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from zeropoint.calibration import write_imatrix
from zeropoint.calibration.chunks import read_chunks
from zeropoint.calibration.corpus import Corpus, open_corpus
from zeropoint.calibration.moments import MomentFolder, folder_bytes
from zeropoint.calibration.run import CalibrationRun, ChunkRead, datasets_of, input_shapes
from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.errors import OutputError
from zeropoint.models import LanguageModel, load_model
from zeropoint.results.calibrate import CalibrateResult
from zeropoint.verbs.arguments import as_path, as_paths
from zeropoint.verbs.default_count import (
    MIN_CALIBRATION_CHUNKS,
    CountChoice,
    CountChosen,
    FirstTimed,
    timed,
)
from zeropoint.verbs.loaded_model import ModelInput
from zeropoint.verbs.options.calibrate import CalibrateOptions
from zeropoint.verbs.options.checks import Count
from zeropoint.verbs.records import OnRecord, StageStarted, drain


@dataclass(frozen=True)
class MomentsStarted:
    """Second moments will be written to a folder."""

    folder: Path
    nbytes: int  # how large the folder will be


CalibrateRecord: TypeAlias = (
    FirstTimed | CountChosen | MomentsStarted | StageStarted | ChunkRead | CalibrateResult
)


def calibrate(
    model: ModelInput,
    output: str | Path,
    *,
    text: str | Path | Sequence[str | Path] | None = None,
    context: int = 512,
    chunks: Count = None,
    second_moments: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> CalibrateResult:
    """Let a model read a text, and write the importance of every input column as an imatrix.

    `output` is a .gguf file with llama.cpp's layout, for `quantize_checkpoint(…, imatrix=output)`
    and llama-quantize. `CalibrateOptions` explains the options. The importance of column j of a
    matrix is the mean of x_j² over its inputs x.

    Raises CheckpointError or UnsupportedModel for a model that cannot be run, and MeasurementError
    for a text that is missing or shorter than one chunk, and for inputs that are not finite.
    """
    options = CalibrateOptions(
        text=text,
        context=context,
        chunks=chunks,
        second_moments=second_moments,
        overwrite=overwrite,
        threads=threads,
    )
    return drain(calibrate_records(model, output, options), CalibrateResult, progress)


def calibrate_records(
    model: ModelInput, output: str | Path, options: CalibrateOptions
) -> Generator[CalibrateRecord, None, None]:
    """Run `calibrate`; yield progress records, and the result last.

    Stopping between two records is safe, and writes nothing. After a KeyboardInterrupt the chunks
    read so far are in `partial_path(output)`, and the output does not exist.
    """
    output = Path(output)
    if output.suffix != ".gguf":
        raise OutputError(f"{output}: the name of an importance matrix must end in .gguf")
    files = as_paths(options.text)
    source, loaded = _load(model, options.threads)
    corpus = open_corpus(files, "calibrate")
    folder = as_path(options.second_moments)
    choice = CountChoice("chunks", options.chunks, folder, minimum=MIN_CALIBRATION_CHUNKS)
    chunks = read_chunks(corpus, source, loaded.tokenizer, options.context, limit=choice.limit)
    available, seconds = len(chunks), None
    if choice.needs_time(available):
        yield FirstTimed(choice.unit, available)
        _, seconds = timed(partial(loaded.hidden, chunks[0].tokens))
    chosen = choice.choose(available, seconds)
    if chosen:
        chunks = chunks[: chosen.chosen.count]
        yield chosen
    moments = None
    if folder:
        shapes = input_shapes(loaded)
        yield MomentsStarted(folder, folder_bytes(shapes))
        moments = _open_moments(folder, source, corpus, len(chunks), options.context)
        if chosen:
            chosen.chosen.save(moments.run)
    run = CalibrationRun(loaded, chunks, moments=moments)
    datasets = datasets_of(files, corpus.domains)
    sources = [*source.files, *files]
    write = partial(write_imatrix, sources=sources)
    yield StageStarted("reading", run.total, "chunks", seconds)
    try:
        yield from run.steps()
    except KeyboardInterrupt:
        if run.read:
            write(partial_path(output), run.calibration(datasets, ""), planned=len(chunks))
        raise
    calibration = run.calibration(datasets, corpus.hash)
    write(output, calibration, overwrite=options.overwrite)
    coverage = run.coverage(source, calibration)
    yield CalibrateResult(
        output=str(output),
        chunks=calibration.chunks,
        tokens=calibration.tokens,
        context=options.context,
        corpus=corpus.hash,
        domains=tuple(corpus.domains),
        tensors=len(calibration.statistics),
        coverage=coverage.gaps,
        second_moments=str(options.second_moments) if options.second_moments else None,
        matrices=len(coverage.tensors),
        chosen_count=chosen.chosen if chosen else None,
    )


def partial_path(output: Path) -> Path:
    """Return where an interrupted calibration is kept.

    >>> str(partial_path(Path("model.imatrix.gguf")))
    'model.imatrix.partial.gguf'
    """
    return output.with_suffix(f".partial{output.suffix}")


def _load(model: ModelInput, threads: int | None) -> tuple[Checkpoint, LanguageModel]:
    if isinstance(model, str | Path):
        model = open_model(model, "calibrate")
    if isinstance(model, Checkpoint):
        return model, load_model(model, threads=threads)
    return model.checkpoint, model


def _open_moments(
    folder: Path, source: Checkpoint, corpus: Corpus, chunks: int, context: int
) -> MomentFolder:
    inputs = {"model": source.path.name, "corpus": corpus.hash}
    settings = {"chunks": chunks, "context": context}
    return MomentFolder.start(folder, inputs, settings)
