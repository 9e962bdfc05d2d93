"""`search`: which format each tensor gets, so that the loss is least within a budget."""

import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from zeropoint.allocation.budget import SizeBudget, SizeOf, file_size_of, weights_of
from zeropoint.allocation.menu import recipe_for
from zeropoint.allocation.recipe_finder import SHARES
from zeropoint.allocation.refine import Candidate, Refinement
from zeropoint.calibration import read_imatrix
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.atomic import check_target, write_file
from zeropoint.errors import OutputError
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.metrics.divergence.run import FloorStarted, MeasureProgress
from zeropoint.metrics.identity import identify
from zeropoint.metrics.tasks.evaluate import TaskProgress
from zeropoint.quantizers import WriteOptions
from zeropoint.results.allocation import Evaluated, SearchPoint, SearchResult
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.model_identity import ReferenceIdentity
from zeropoint.verbs.arguments import as_path
from zeropoint.verbs.budgets import NO_BUDGET, open_budgets
from zeropoint.verbs.checkpoint_input import CheckpointInput, opened
from zeropoint.verbs.options.budget import Profile
from zeropoint.verbs.options.quantize import Effort
from zeropoint.verbs.options.search import Prediction, SearchOptions
from zeropoint.verbs.options.tasks import AnswerOptions
from zeropoint.verbs.own_text import TaskJudge, open_texts, own_domain
from zeropoint.verbs.recipe_search import (
    BudgetStarted,
    RecipeSearch,
    SearchProgress,
    check_feasible,
    open_search,
    prediction_notices,
    search_settings,
)
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain
from zeropoint.verbs.reference import proxy_notices
from zeropoint.verbs.work_folder import state_folder

SearchRecord: TypeAlias = (
    Notice | SearchProgress | MeasureProgress | FloorStarted | TaskProgress | SearchResult
)
#: Bytes of a file's header for facts about its importance and rounding, which a recipe leaves open.
FACTS_BYTES = 2048


def search(
    model: CheckpointInput,
    output: str | Path | None = None,
    *,
    bits: float | str | None = None,
    budget: str | None = None,
    runtime_memory: str | None = None,
    device: str | None = None,
    context: int = 4096,
    profile: Profile = "any",
    text: str | Path | Sequence[str | Path] | None = None,
    for_folder: str | Path | None = None,
    imatrix: str | Path | None = None,
    weight: str | Sequence[str] | None = None,
    objective: str = "kl",
    allow_code: bool = False,
    prediction: Prediction = "auto",
    effort: Effort = "normal",
    evaluations: int | None = None,
    tie_fused: bool = False,
    requantize: bool = False,
    run: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> SearchResult:
    """Find the format of each tensor with which a model loses least within a budget.

    `output` is the .recipe file, or with several budgets the folder for them; None writes no file.
    `SearchOptions` explains the other options. A search that was stopped continues, and ends with
    the same recipe.

    Raises InfeasibleBudget, with the smallest possible size, for a budget that no recipe meets,
    RecipeError for one that is not a budget, MeasurementError for a text that cannot be used,
    FormatError for a model that is already quantized (unless `requantize`), UnsupportedModel
    without torch or for a model that transformers does not run, and CheckpointError if `run` holds
    another run.
    """
    options = SearchOptions(
        bits=bits, budget=budget, runtime_memory=runtime_memory, device=device, context=context,
        profile=profile, text=text, for_folder=as_path(for_folder), imatrix=as_path(imatrix),
        weight=weight, objective=objective, allow_code=allow_code, prediction=prediction,
        effort=effort, evaluations=evaluations, tie_fused=tie_fused, requantize=requantize,
        run=as_path(run), overwrite=overwrite, threads=threads,
    )  # fmt: skip
    return drain(search_records(model, output, options), SearchResult, progress)


def search_records(
    model: CheckpointInput, output: str | Path | None, options: SearchOptions
) -> Iterator[SearchRecord]:
    """Run `search`; yield progress records, and the result last.

    Stopping between two records is safe: the same search continues from its folder.
    """
    started = time.perf_counter()
    if not options.given:
        raise OutputError(NO_BUDGET)
    output = as_path(output)
    with opened(model, "run") as source, _state_folder(output, options) as path:
        # Wrong budgets are errors before anything is read.
        budgets = open_budgets(source, options, file_size(source))
        targets = _targets(source, output, budgets)
        for place in filter(None, targets):
            check_target(place, source.files, overwrite=options.overwrite)
        own, parts = open_texts(options)
        yield from own.notices if own else ()
        yield from proxy_notices(identify(source))
        yield from prediction_notices(options)
        imatrix = read_imatrix(options.imatrix) if options.imatrix else None
        menu, _ = search_settings(source, options)
        for limit in budgets:
            check_feasible(limit, menu)
        search = open_search(source, options, path, parts, calibration=imatrix)
        tasks = TaskJudge(own.held_out, AnswerOptions(threads=options.threads)) if own else None
        yield search.planned(len(budgets))
        yield from search.predict()
        points = []
        for index, (limit, target) in enumerate(zip(budgets, targets, strict=True)):
            yield BudgetStarted(index, len(budgets), limit.limit, limit.subject)
            found = yield from find_recipe(search, limit)
            reference = search.open_reference()
            quant = search.finder.judge().model(found[0].assignment)
            measured = yield from search.measure(reference, quant)
            point = _point(search, limit, found, measured, target)
            if tasks and tasks.tasks:
                answered = yield from tasks.answer(reference.model, quant)
                point = replace(point, tasks=answered)
            if target:
                text = recipe_text(source, point, options)
                write_file(target, text.encode(), may_replace=lambda _: options.overwrite)
            points.append(point)
        result = SearchResult(
            reference=ReferenceIdentity.of(identify(source)),
            objective=options.objective,
            effort=options.effort,
            profile=options.profile,
            texts=search.texts(),
            weights=search.finder.settings.weights,
            points=tuple(points),
            seconds=time.perf_counter() - started,
            peak_memory_bytes=peak_memory_bytes(),
        )
        search.folder.finish(result)
        yield result


def file_size(source: Checkpoint) -> SizeOf:
    """Return the function that predicts the bytes of a file, with room for facts in its header."""
    file_bytes = file_size_of(source, None, WriteOptions())
    return lambda assignment: file_bytes(assignment) + FACTS_BYTES


def find_recipe(
    search: RecipeSearch, limit: SizeBudget
) -> Generator[SearchProgress, None, tuple[Candidate, Refinement]]:
    """Find the recipe for one budget; yield the progress of the evaluations."""
    domain = own_domain(search.options)
    if domain:
        yield StageStarted("evaluating recipes", len(SHARES) * len(search.finder.chunks))
        return (yield from search.finder.find_for(limit, domain))
    evaluations = search.finder.evaluations
    if evaluations:
        total = evaluations * len(search.finder.chunks)
        yield StageStarted("evaluating recipes", total)
    return (yield from search.finder.find(limit))


def _point(
    search: RecipeSearch,
    limit: SizeBudget,
    found: tuple[Candidate, Refinement],
    measured: MeasureResult,
    target: Path | None,
) -> SearchPoint:
    chosen, refinement = found
    source = search.finder.source
    nbytes = file_size(source)(chosen.assignment)
    return SearchPoint(
        budget_bytes=limit.limit,
        file_bytes=nbytes,
        bits_per_weight=8 * nbytes / weights_of(source),
        predicted=chosen.predicted,
        recipe=str(recipe_for(source, chosen.assignment)),
        formats=dict(chosen.assignment),
        output=str(target) if target else None,
        evaluations=tuple(evaluated(search, refinement, one) for one in refinement.candidates),
        measured=measured,
    )


def evaluated(search: RecipeSearch, refinement: Refinement, one: Candidate) -> Evaluated:
    """Return the result of one evaluation."""
    assert one.losses is not None
    kinds: dict[str, list[float]] = {}
    for chunk, loss in zip(search.finder.chunks, one.losses.mean, strict=True):
        kinds.setdefault(chunk.domain, []).append(float(loss))
    return Evaluated(
        change=one.change,
        tensor_bytes=one.tensor_bytes,
        predicted=one.predicted,
        loss=refinement.loss(one),
        tail=float(one.losses.tail.mean()),
        by_kind={kind: sum(losses) / len(losses) for kind, losses in kinds.items()},
        accepted=one.accepted,
    )


def recipe_text(source: Checkpoint, point: SearchPoint, options: SearchOptions) -> str:
    """Return the text of a recipe file: what it is in comments, and the rules."""
    loss = point.measured.kl if point.measured else None
    lines = [
        f"{source.path.name}: the least loss that was found within {point.budget_bytes:,} bytes",
        f"at most {point.file_bytes:,} bytes, {point.bits_per_weight:.4f} bits per weight",
        f"effort {options.effort}, {len(point.evaluations)} recipes evaluated",
    ]
    if loss:
        lines.append(f"KL {loss!r} nats per token, each weight rounded to the nearest code")
    return "".join(f"# {line}\n" for line in lines) + point.recipe.rstrip("\n") + "\n"


def _targets(
    source: Checkpoint, output: Path | None, budgets: Sequence[SizeBudget]
) -> list[Path | None]:
    """Return the file of each budget's recipe: `output`, or a name in the folder `output`."""
    if output is None or len(budgets) == 1:
        return [output] * len(budgets)
    output.mkdir(exist_ok=True)
    weights = weights_of(source)
    name = source.path.name.removesuffix(".gguf")
    return [output / f"{name}-{8 * one.limit / weights:.2f}-bits.recipe" for one in budgets]


@contextmanager
def _state_folder(output: Path | None, options: SearchOptions) -> Iterator[Path]:
    """Yield the folder of the search's state; one of our own is deleted when it is complete."""
    if output or options.run:
        with state_folder(options.run, output or Path()) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="zeropoint-") as temporary:
        yield Path(temporary) / "search"
