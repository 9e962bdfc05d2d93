"""Prepares the rounding of `quantize`: from second moments, or layer by layer with them.

An unfinished command stores its work in OUTPUT.work next to the output: second moments, unless they
come from a folder of the user's or from the cache, and the rows that are rounded. The same command
resumes there, and the folder is deleted when the output is complete.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from zeropoint.calibration import Calibration
from zeropoint.calibration.layer_walk import LayerWalk
from zeropoint.calibration.moments import MomentFolder
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError, OutputError
from zeropoint.formats import FORMATS
from zeropoint.metrics.identity import identify
from zeropoint.quantizers import output_metadata
from zeropoint.quantizers.code_choice import can_choose
from zeropoint.quantizers.feedback_rounding import IMPROVED_FORMATS, FeedbackRounding
from zeropoint.quantizers.layer_rounding import LayerRounding
from zeropoint.quantizers.quantization_plan import QuantizationPlan
from zeropoint.quantizers.work_estimate import milliseconds, rounded_tensors
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.options.quantize import QuantizeOptions
from zeropoint.verbs.records import StageStarted
from zeropoint.verbs.second_moments import (
    MomentRecord,
    MomentsPlanned,
    RoundingPlanned,
    check_space,
    predict_work,
    read_text,
    reference_moments,
    sequential_bytes,
    start_walk,
)


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


def open_rounding(
    source: Checkpoint, moments: MomentFolder, options: QuantizeOptions
) -> RoundingPlan:
    """Return the rounding that second moments and options give."""
    importance = moments.calibration({name: info.shape for name, info in source.tensors.items()})
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
    return FeedbackRounding(
        moments,
        source.tensors,
        _feedback_formats(options),
        inputs=options.inputs,
        effort=None if options.calibration else options.effort,
    )


def _feedback_formats(options: QuantizeOptions) -> tuple[str, ...]:
    """Return the names of the formats whose codes are chosen again."""
    if options.rounding == "nearest":
        return ()
    if options.rounding == "auto":
        return IMPROVED_FORMATS
    return tuple(name for name in FORMATS if can_choose(FORMATS[name]))


def prepare_moments(
    plan: QuantizationPlan, work: Path, options: QuantizeOptions
) -> Generator[MomentRecord, None, RoundingPlan]:
    """Return the rounding with the second moments of the model that is not quantized.

    The moments are in the user's folder, in the cache, or collected from a text. `plan` has the
    formats of the tensors. Raises NotEnoughSpace before any work, and what `reference_moments` and
    `open_rounding` raise.
    """
    names = rounded_tensors(plan.choices, _feedback_formats(options))
    layers = predict_work(plan.source, options) if names else []
    nbytes = sum(choice.nbytes for choice in plan.choices if choice.name in names)
    planned = RoundingPlanned(work, nbytes, sum(layer.rounding_of(names) for layer in layers))
    check_space(work / "rounded", nbytes)
    if options.calibration:
        moments = MomentFolder.open(Path(options.calibration))
        yield planned
    else:
        moments = yield from reference_moments(plan.source, work / "moments", options, planned)
    return open_rounding(plan.source, moments, options)


def open_sequential(
    source: Checkpoint, work: Path, options: QuantizeOptions
) -> tuple[RoundingPlan, LayerWalk]:
    """Return the rounding by layers, and the walk that collects the moments of each in `work`."""
    walk = start_walk(source, read_text(options), work / "moments", options)
    importance = walk.moments.calibration(walk.matrices(), complete=False)
    return RoundingPlan(_feedback(source, walk.moments, options), importance), walk


def round_layers(
    plan: QuantizationPlan, walk: LayerWalk, work: Path, options: QuantizeOptions
) -> Iterator[MomentRecord]:
    """Round all layers of a plan with sequential inputs; the rows are stored for the writer.

    Raises NotEnoughSpace before any work.
    """
    rounding = LayerRounding(plan, walk, predict_work(plan.source, options))
    needed = sequential_bytes(walk, rounding.nbytes)
    check_space(work, needed)
    seconds = rounding.seconds()
    yield MomentsPlanned(work, needed, walk.tokens.size, seconds)
    yield StageStarted("rounding", milliseconds(seconds))
    yield from rounding.steps()


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
