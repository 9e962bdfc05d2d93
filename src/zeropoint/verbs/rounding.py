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
from zeropoint.calibration.layer_walk import LayerProgress, LayerWalk
from zeropoint.calibration.moments import MomentFolder, folder_bytes, input_of
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.atomic import free_bytes
from zeropoint.errors import MeasurementError, NotEnoughSpace, OutputError
from zeropoint.formats import FORMATS
from zeropoint.kernels import default_threads
from zeropoint.metrics.identity import identify
from zeropoint.models import read_architecture, read_tokenizer
from zeropoint.quantizers import output_metadata
from zeropoint.quantizers.code_choice import can_choose
from zeropoint.quantizers.feedback_rounding import IMPROVED_FORMATS, FeedbackRounding
from zeropoint.quantizers.layer_rounding import LayerRounding
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
    if options.inputs == "sequential" and options.calibration:
        raise OutputError(
            "--inputs sequential collects second moments from a text while it quantizes, so it"
            " cannot use those of --calibration; give the text itself with --text"
        )
    if options.inputs == "sequential" and options.rounding == "nearest":
        raise OutputError("--inputs sequential has no effect with --rounding nearest; leave it out")
    asked = options.rounding == "feedback" or options.inputs == "sequential"
    return bool(options.calibration or options.text) or asked


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
    return RoundingPlan(_feedback(source, moments, options), importance)


def _feedback(
    source: Checkpoint, moments: MomentFolder, options: QuantizeOptions
) -> FeedbackRounding:
    formats: tuple[str, ...] = IMPROVED_FORMATS
    if options.rounding == "feedback":
        formats = tuple(name for name in FORMATS if can_choose(FORMATS[name]))
    return FeedbackRounding(moments, source.tensors, formats, inputs=options.inputs)


def start_walk(source: Checkpoint, folder: Path, options: QuantizeOptions) -> LayerWalk:
    """Read the text, and begin or resume a walk through the layers with its moments in `folder`.

    Raises MeasurementError for a text that is missing or shorter than one chunk.
    """
    text = [Path(file) for file in as_list(options.text)]
    corpus = read_corpus(text) if text else builtin_corpus("calibrate")
    chunks = read_chunks(corpus, read_tokenizer(source), CONTEXT)
    chunks = spread(chunks, EFFORT_TOKENS[options.effort] // CONTEXT)
    fingerprint = identify(source).fingerprint
    inputs = {"model": source.path.name, "fingerprint": fingerprint, "corpus": corpus.hash}
    settings = {"chunks": len(chunks), "context": CONTEXT}
    threads = options.threads or default_threads()
    moments = MomentFolder.start(folder, inputs, settings, threads=threads)
    return LayerWalk(source, read_architecture(source), chunks, moments, threads=threads)


def collect_moments(
    source: Checkpoint, folder: Path, options: QuantizeOptions
) -> Iterator[MomentsPlanned | StageStarted | LayerProgress]:
    """Collect second moments into `folder`; an interrupted collection is resumed.

    Raises NotEnoughSpace before the model reads anything, and MeasurementError for a text that is
    missing or shorter than one chunk.
    """
    walk = start_walk(source, folder, options)
    shapes = walk.matrices()
    if all(walk.moments.has(input_of(name, shapes)) for name in shapes):
        return
    needed = folder_bytes(shapes)
    check_space(folder, needed)
    yield MomentsPlanned(folder, needed, walk.tokens.size)
    yield StageStarted("calibrating", walk.layers * len(walk.tokens))
    yield from walk.collect_all()


def open_sequential(
    source: Checkpoint, folder: Path, options: QuantizeOptions
) -> tuple[RoundingPlan, LayerWalk]:
    """Return the rounding by layers, and the walk that collects the moments of each in `folder`."""
    walk = start_walk(source, folder, options)
    importance = walk.moments.calibration(walk.matrices(), complete=False)
    return RoundingPlan(_feedback(source, walk.moments, options), importance), walk


def round_layers(plan: QuantizationPlan, walk: LayerWalk) -> Iterator[StageStarted | LayerProgress]:
    """Round all layers of a plan with sequential inputs; the rows are stored for the writer."""
    rounding = LayerRounding(plan, walk)
    yield StageStarted("rounding", rounding.total)
    yield from rounding.steps()


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
