"""Prepares the rounding of `quantize`: second moments from a folder, or collected from a text.

An unfinished command stores its work in OUTPUT.work next to the output: the second moments, unless
they come from a folder of the user's, and the rows that are rounded. The same command resumes
there, and the folder is deleted when the output is complete.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zeropoint.calibration import Calibration
from zeropoint.calibration.chunks import Chunk, read_chunks
from zeropoint.calibration.corpus import builtin_corpus, read_corpus
from zeropoint.calibration.moments import MomentFolder, folder_bytes
from zeropoint.calibration.run import CalibrationRun, ChunkRead, input_shapes
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.atomic import free_bytes
from zeropoint.errors import MeasurementError, NotEnoughSpace, OutputError
from zeropoint.formats import FORMATS
from zeropoint.formats.recode import can_recode
from zeropoint.metrics.identity import identify
from zeropoint.models import load_model
from zeropoint.quantizers import output_metadata
from zeropoint.quantizers.feedback_rounding import IMPROVED_FORMATS, FeedbackRounding
from zeropoint.quantizers.quantization_plan import QuantizationPlan
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_list
from zeropoint.verbs.options.quantize import EFFORT_TOKENS, QuantizeOptions
from zeropoint.verbs.records import StageStarted

CONTEXT = 512  # tokens of a chunk of calibration text


@dataclass(frozen=True)
class MomentsPlanned:
    """Second moments will be collected from a text before anything is quantized."""

    folder: Path
    nbytes: int  # how large the folder will be
    tokens: int  # of the text


@dataclass(frozen=True)
class RoundingPlan:
    """How codes are chosen, and the importance that second moments give."""

    #: None: every weight is rounded to the nearest code.
    feedback: FeedbackRounding | None = None
    #: The diagonals of the second moments; None without second moments.
    importance: Calibration | None = None


NEAREST = RoundingPlan()


def uses_moments(options: QuantizeOptions) -> bool:
    """Return whether a command needs second moments.

    Raises OutputError for options that exclude each other.
    """
    if options.calibration and options.text:
        raise OutputError("--calibration and --text both give second moments; use one of them")
    return bool(options.calibration or options.text) or options.rounding == "feedback"


def work_folder(output: Path) -> Path:
    """Return the folder of what an unfinished command has done."""
    return output.with_name(output.name + ".work")


def open_rounding(
    source: Checkpoint, moments: MomentFolder, options: QuantizeOptions
) -> RoundingPlan:
    """Return the rounding that second moments and options give."""
    tensors = source.tensors
    importance = moments.calibration({name: info.shape for name, info in tensors.items()})
    if not importance.statistics:
        raise MeasurementError(
            f"{moments.run.path} has no second moments of any tensor of {source.path}; they are of"
            " another model, or `calibrate` was interrupted"
        )
    if options.rounding == "nearest":
        return RoundingPlan(None, importance)
    formats: tuple[str, ...] = IMPROVED_FORMATS
    if options.rounding == "feedback":
        formats = tuple(name for name in FORMATS if can_recode(FORMATS[name]))
    return RoundingPlan(FeedbackRounding(moments, tensors, formats), importance)


def collect_moments(
    source: Checkpoint, folder: Path, options: QuantizeOptions
) -> Iterator[MomentsPlanned | StageStarted | ChunkRead]:
    """Collect second moments into `folder`; an interrupted collection is resumed.

    Raises NotEnoughSpace before the model reads anything, and MeasurementError for a text that is
    missing or shorter than one chunk.
    """
    text = [Path(file) for file in as_list(options.text)]
    corpus = read_corpus(text) if text else builtin_corpus("calibrate")
    model = load_model(source, threads=options.threads)
    wanted = EFFORT_TOKENS[options.effort] // CONTEXT
    chunks = spread(read_chunks(corpus, model.tokenizer, CONTEXT), wanted)
    needed = folder_bytes(input_shapes(model))
    check_space(folder, needed)
    model_id = identify(source).fingerprint
    inputs = {"model": source.path.name, "fingerprint": model_id, "corpus": corpus.hash}
    settings = {"chunks": len(chunks), "context": CONTEXT}
    moments = MomentFolder.start(folder, inputs, settings)
    run = CalibrationRun(model, chunks, moments=moments)
    if not any(run.groups):
        return
    yield MomentsPlanned(folder, needed, len(chunks) * CONTEXT)
    yield StageStarted("calibrating", run.total)
    yield from run.steps()


def open_moments(options: QuantizeOptions, work: Path) -> MomentFolder:
    """Open the second moments of a command: the user's folder, or what it has collected."""
    return MomentFolder.open(Path(options.calibration) if options.calibration else work / "moments")


def resumable(plan: QuantizationPlan, work: Path) -> QuantizationPlan:
    """Return a plan whose error feedback stores rows in `work`, and resumes from those there.

    Raises CheckpointError if `work` holds what a command with other settings has done.
    """
    feedback = plan.options.feedback
    if feedback is None:
        return plan
    metadata = output_metadata(plan.source, plan.choices, plan.calibration, plan.options)
    facts = {key: str(metadata[key]) for key in metadata if key.startswith(("zeropoint.", "quant"))}
    inputs = {"fingerprint": identify(plan.source).fingerprint}
    state = RunFolder.start(work / "rounded", "rounding", inputs, facts)
    options = replace(plan.options, feedback=replace(feedback, state=state))
    return replace(plan, options=options)


def spread(chunks: Sequence[Chunk], count: int) -> list[Chunk]:
    """Return at most `count` chunks, evenly spaced over all of them."""
    if len(chunks) <= count:
        return list(chunks)
    return [chunks[number * len(chunks) // count] for number in range(count)]


def check_space(folder: Path, needed: int) -> None:
    """Raise NotEnoughSpace if the disk has fewer bytes free than `folder` still needs."""
    present = sum(entry.stat().st_size for entry in folder.glob("*.npy"))
    free = free_bytes(folder)
    if needed - present > free:
        raise NotEnoughSpace(
            f"{folder}: the second moments need {needed} bytes and {free} bytes are free"
        )
