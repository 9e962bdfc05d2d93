"""`quantize --to best`: calibrate, search, round, write, measure and report, in one command.

    calibrate   second moments of the inputs, for importance and error feedback (not with quick)
    search      the format of each tensor (see `allocation.recipe_finder`)
    write       the file; quick rounds to nearest, normal and long with error feedback
    measure     the file against the model, on text that nothing else read
    report      the loss is stored in the file, and compared with a usual preset

The state of an unfinished command is in OUTPUT.work, and the same command continues there.
"""

import os
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from zeropoint.allocation.budget import weights_of
from zeropoint.allocation.menu import recipe_for
from zeropoint.allocation.problem import Assignment
from zeropoint.calibration.corpus import Corpus, Part
from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.checkpoints.files.atomic import check_target, write_file
from zeropoint.errors import CheckpointError, OutputError, RecipeError, ZeropointError
from zeropoint.metrics.divergence.run import FloorStarted, MeasureProgress, kl_sums
from zeropoint.metrics.statistics import estimate
from zeropoint.models import load_model
from zeropoint.quantizers.feedback_rounding import IMPROVED_FORMATS
from zeropoint.quantizers.in_memory import TensorReplaced, plan_in_memory, quantize_in_memory
from zeropoint.quantizers.proof import store_measurement
from zeropoint.quantizers.quantization_plan import QuantizationPlan
from zeropoint.quantizers.work_estimate import work_rates
from zeropoint.results.allocation import BestResult, PresetComparison, SearchPoint
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.results.quantize import QuantizeResult
from zeropoint.studio.report.card_picture import card_picture
from zeropoint.verbs.budgets import NO_BUDGET, open_budgets
from zeropoint.verbs.inspect import inspect
from zeropoint.verbs.options.budget import BudgetOptions
from zeropoint.verbs.options.quantize import EFFORT_TOKENS, QuantizeOptions
from zeropoint.verbs.options.search import SearchOptions
from zeropoint.verbs.own_text import open_texts
from zeropoint.verbs.recipe_search import (
    AMOUNTS,
    EVALUATE_TOKENS,
    RecipeSearch,
    SearchProgress,
    check_feasible,
    open_search,
    pass_weights,
    predict_seconds,
    prediction_notices,
    search_settings,
)
from zeropoint.verbs.records import Notice, StageStarted
from zeropoint.verbs.rounding import NEAREST, RoundingPlan, open_rounding, resumable
from zeropoint.verbs.search import evaluated, file_size, find_recipe
from zeropoint.verbs.second_moments import (
    CONTEXT,
    MomentRecord,
    RoundingPlanned,
    check_space,
    predict_work,
    reference_moments,
)
from zeropoint.verbs.work_folder import work_folder
from zeropoint.verbs.written_file import (
    QuantizeRecord,
    check_plan,
    make_plan,
    plan_notices,
    write_plan,
)

COMPARED_PRESET = "Q4_K_M"
#: The KL of a model with error feedback over that without: 0.69 to 0.87 in docs/rounding.md on text
#: like that of the calibration, and 0.95 to 1 on other text.
FEEDBACK_FACTOR = 0.8
# Options that choose formats, which the search does, or whose work it does itself.
_OTHER_OPTIONS = (
    "imatrix", "calibration", "pure", "tensor_type", "output_tensor_type", "token_embedding_type",
    "leave_output_tensor", "split_max_size",
)  # fmt: skip


@dataclass(frozen=True)
class BestPlanned:
    """What the command is going to do, before it starts."""

    limit: int  # bytes
    subject: str  # what has the limit
    feedback: bool
    effort: str
    seconds: float  # predicted, of the whole command
    quick_seconds: float  # the same with effort quick


BestRecord: TypeAlias = (
    BestPlanned | QuantizeRecord | SearchProgress | MomentRecord | MeasureProgress | FloorStarted
    | TensorReplaced
    | BestResult
)  # fmt: skip


def best_records(
    source: Checkpoint, output: Path, options: QuantizeOptions
) -> Iterator[BestRecord]:
    """Run `quantize --to best`; yield progress records, and the result last.

    Whoever stops between two records gets no output; the same command continues.
    """
    started = time.perf_counter()
    _check_options(output, options)
    check_target(output, source.files, overwrite=options.overwrite)
    limits = open_budgets(source, options, file_size(source))
    if len(limits) > 1:
        raise RecipeError(
            "--to best writes one file, so it needs one budget; `search` takes several"
        )
    limit = limits[0]
    check_feasible(limit, search_settings(source, _search_options(options))[0])
    parts = open_texts(_search_options(options))[1]
    work = work_folder(output)
    feedback = _uses_feedback(options)
    yield from prediction_notices(_search_options(options))
    planned = _planned(source, options)
    yield BestPlanned(
        limit.limit, limit.subject, feedback, options.effort, planned[options.effort],
        planned["quick"],
    )  # fmt: skip
    rounding = NEAREST
    if feedback:
        rounding = yield from _rounding(source, work, options, parts)
    search = open_search(
        source, _search_options(options), work / "search", parts, calibration=rounding.importance,
        rounding=dict.fromkeys(IMPROVED_FORMATS, FEEDBACK_FACTOR) if feedback else None,
    )  # fmt: skip
    yield search.planned(1)
    yield from search.predict()
    size_of = _SizeOfOutput(search, options, rounding)
    limit = open_budgets(source, options, size_of)[0]
    found = yield from find_recipe(search, limit)
    plan = size_of.plan(found[0].assignment)
    check_plan(plan)
    search.release()
    plan = resumable(plan, work)
    yield from plan_notices(plan)
    written: QuantizeResult | None = None
    # The file appears in its place when its loss is measured and stored.
    unfinished = work / output.name
    for record in write_plan(plan, unfinished, threads=options.threads, run=options.run):
        if isinstance(record, QuantizeResult):
            written = record
        else:
            yield record
    assert written is not None, "writing ends with its result"
    point = SearchPoint(
        budget_bytes=limit.limit,
        file_bytes=written.output_bytes,
        bits_per_weight=8 * written.output_bytes / weights_of(source),
        predicted=found[0].predicted,
        recipe=plan.recipe(),
        formats=dict(found[0].assignment),
        evaluations=tuple(evaluated(search, found[1], one) for one in found[1].candidates),
    )
    tensor_bytes = sum(choice.nbytes for choice in plan.choices)
    measured = yield from _measure(search, unfinished)
    comparison = yield from _compare(search, tensor_bytes)
    values = {one.name: getattr(written, one.name) for one in fields(QuantizeResult)}
    check_target(output, source.files, overwrite=options.overwrite)
    os.replace(unfinished, os.path.realpath(output))
    picture = yield from _draw(output, options)
    values |= {"output": (str(output),), "seconds": time.perf_counter() - started}
    result = BestResult(
        **values, search=point, measured=measured, comparison=comparison, picture=picture
    )
    shutil.rmtree(work, ignore_errors=True)
    yield result


class _SizeOfOutput:
    """Predicts the bytes of the output for an assignment, with everything in its header."""

    def __init__(
        self, search: RecipeSearch, options: QuantizeOptions, rounding: RoundingPlan
    ) -> None:
        self._source = search.finder.source
        self._rounding = rounding
        importance = None if rounding.feedback else search.finder.calibration
        self._options = replace(
            options, imatrix=importance, text=None, rounding="nearest", overwrite=True
        )
        amount = search.amount
        self._facts = {
            "method": (
                f"search, effort {options.effort}: losses predicted from"
                f" {search.finder.settings.prediction} of {amount.prediction_tokens} tokens, up to"
                f" {search.finder.evaluations} recipes evaluated"
            ),
            "texts": {part: corpus.hash for part, corpus in search.finder.parts.items()},
        }

    def plan(self, assignment: Assignment) -> QuantizationPlan:
        recipe = recipe_for(self._source, assignment)
        plan = make_plan(self._source, recipe, self._options, rounding=self._rounding)
        return replace(plan, options=replace(plan.options, **self._facts))  # type: ignore[arg-type]

    def __call__(self, assignment: Assignment) -> int:
        return self.plan(assignment).predicted_bytes()


def _check_options(output: Path, options: QuantizeOptions) -> None:
    """Raise OutputError for options that have no meaning here, and without a limit."""
    if not options.given:
        raise OutputError(NO_BUDGET)
    if not output.suffix:
        raise OutputError(f"{output}: --to best writes a GGUF file; did you mean {output}.gguf?")
    used = [f"--{name.replace('_', '-')}" for name in _OTHER_OPTIONS if getattr(options, name)]
    if options.inputs != "reference":
        used.append("--inputs")
    if used:
        raise OutputError(
            f"--to best chooses the formats and collects importance itself, so it cannot use"
            f" {' and '.join(used)}; use --bits, --budget, --text, --profile and --effort"
        )


def _uses_feedback(options: QuantizeOptions) -> bool:
    if options.rounding == "auto":
        return options.effort != "quick"
    return options.rounding == "feedback"


def _search_options(options: QuantizeOptions) -> SearchOptions:
    limits = {one.name: getattr(options, one.name) for one in fields(BudgetOptions)}
    return SearchOptions(
        **limits, text=options.text, for_folder=options.for_folder, effort=options.effort,
        requantize=options.requantize, threads=options.threads,
    )  # fmt: skip


def _planned(source: Checkpoint, options: QuantizeOptions) -> dict[str, float]:
    """Return the predicted seconds of the command with the effort of `options`, and with quick."""
    seconds: dict[str, float] = {}
    for effort in dict.fromkeys((options.effort, "quick")):
        one = replace(options, effort=effort)
        seconds[effort] = _seconds(source, one)
    return seconds


def _seconds(source: Checkpoint, options: QuantizeOptions) -> float:
    amount = AMOUNTS[options.effort]
    menu, settings = search_settings(source, _search_options(options))
    total = predict_seconds(source, menu, settings)
    # Both files and the preset read the text once, and the reference's head reads it twice.
    passes = 3 * amount.evaluate_chunks * EVALUATE_TOKENS * pass_weights(source, menu)
    total += passes / work_rates(settings.threads).forward
    if _uses_feedback(options):
        work = predict_work(source, options)
        chunks = EFFORT_TOKENS[options.effort] // CONTEXT
        total += chunks * sum(layer.forward + layer.moments for layer in work)
        total += sum(sum(layer.rounding.values()) for layer in work)
    return total


def _rounding(
    source: Checkpoint, work: Path, options: QuantizeOptions, parts: Mapping[Part, Corpus]
) -> Generator[MomentRecord, None, RoundingPlan]:
    """Collect second moments on the part calibrate, and return the rounding with them."""
    options = replace(options, rounding="auto")
    seconds = sum(sum(layer.rounding.values()) for layer in predict_work(source, options))
    nbytes = sum(info.nbytes for info in source.tensors.values()) // 2
    check_space(work / "rounded", nbytes)
    planned = RoundingPlanned(work, nbytes, seconds)
    moments = yield from reference_moments(
        source, work / "moments", options, planned, parts["calibrate"]
    )
    return open_rounding(source, moments, options)


def _measure(
    search: RecipeSearch, output: Path
) -> Generator[StageStarted | MeasureProgress | FloorStarted, None, MeasureResult]:
    """Measure the file, and store the loss in it."""
    quant = load_model(output, threads=search.finder.settings.threads)
    result = yield from search.measure(search.open_reference(), quant)
    store_measurement(output, result)
    return result


def _draw(output: Path, options: QuantizeOptions) -> Generator[Notice, None, str | None]:
    """Write the picture of `card` beside the file, and return its path."""
    target = picture_of(output)
    with open_checkpoint(output) as written:
        picture = card_picture(output.name, inspect(written, outliers=False))
    try:
        write_file(target, picture.encode(), may_replace=lambda _: options.overwrite)
    except CheckpointError as error:
        yield Notice(f"the file is complete, and its picture was not written: {error}")
        return None
    return str(target)


def picture_of(output: Path) -> Path:
    """Return the path of the picture of a file: best.gguf has best.svg."""
    return output.with_suffix(".svg")


def _compare(
    search: RecipeSearch, tensor_bytes: int
) -> Generator[
    StageStarted | MeasureProgress | FloorStarted | TensorReplaced | Notice,
    None,
    PresetComparison | None,
]:
    """Measure the preset in memory on the text of the last measurement, which is the file's.

    Returns None if the model cannot have the preset.
    """
    finder, source, own = search.finder, search.finder.source, search.scores
    try:
        plan = plan_in_memory(source, COMPARED_PRESET, finder.calibration, requantize=True)
    except ZeropointError as error:
        yield Notice(f"there is no comparison with {COMPARED_PRESET}: {error}")
        return None
    later = {choice.name for choice in plan.changing}
    preset = load_model(source, threads=finder.settings.threads, later=later)
    yield StageStarted(f"quantizing to {COMPARED_PRESET}", plan.elements)
    yield from quantize_in_memory(preset, plan)
    label = f"measuring {COMPARED_PRESET}"
    measured = yield from search.measure(search.open_reference(), preset, label)
    sums, counts = kl_sums(own)
    others, _ = kl_sums(search.scores)
    difference = estimate(sums - others, counts)
    ends = (None, None) if np.isnan(difference.low) else (difference.low, difference.high)
    return PresetComparison(
        preset=COMPARED_PRESET,
        preset_bytes=plan.tensor_bytes,
        tensor_bytes=tensor_bytes,
        kl=measured.kl,
        difference=Interval(difference.mean, *ends),
    )
