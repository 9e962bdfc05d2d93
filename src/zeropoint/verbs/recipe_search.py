"""Opens a search for a recipe: what it reads and evaluates, where it keeps its state, how long.

`search` and `quantize --to best` share it.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from zeropoint import kernels
from zeropoint.allocation.budget import SizeBudget
from zeropoint.allocation.judge import ChunkJudged
from zeropoint.allocation.menu import Menu, make_menu
from zeropoint.allocation.predicted_loss import SequencesRead, TensorPredicted
from zeropoint.allocation.recipe_finder import (
    SELECT_TOKENS,
    FinderSettings,
    RecipeFinder,
    later_evaluations,
)
from zeropoint.allocation.refine import RecipeJudged
from zeropoint.calibration import Calibration
from zeropoint.calibration.chunks import read_chunks, spread_over_domains
from zeropoint.calibration.corpus import Corpus, Part, is_built_in
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.provenance import file_sha256
from zeropoint.errors import FormatError, MeasurementError
from zeropoint.formats import UNQUANTIZED
from zeropoint.kernels import default_threads
from zeropoint.metrics.divergence.reference_pass import MeasureText, ReferencePass
from zeropoint.metrics.divergence.run import FloorStarted, MeasureProgress, MeasureRun
from zeropoint.metrics.divergence.score_chunks import ChunkScores
from zeropoint.metrics.identity import identify
from zeropoint.models import LanguageModel, load_model, read_architecture, read_tokenizer
from zeropoint.quantizers.work_estimate import work_rates
from zeropoint.results.allocation import SearchText
from zeropoint.results.divergence import MeasureResult, TextRead
from zeropoint.results.model_identity import ReferenceIdentity
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_list
from zeropoint.verbs.options.search import SearchOptions
from zeropoint.verbs.own_text import own_domain
from zeropoint.verbs.records import Notice, StageStarted

EVALUATE_TOKENS = 512  # of a chunk of the part evaluate, as in `measure`
#: The number of evaluations follows from a machine of this speed (multiply-adds per second), so
#: that it is the same on every machine.
NOMINAL_RATE = 6e10
MAX_EVALUATIONS = 64
# Multiply-adds that take as long as the rest of the work, per weight: encoding sampled rows in all
# formats of the menu, and encoding all rows in one format (Qwen2.5-Coder-1.5B, two cores).
SAMPLED_OPERATIONS = 6000
ENCODING_OPERATIONS = 4000
CHANGED_PART = 0.15  # of the weights, between two evaluations


@dataclass(frozen=True)
class SearchAmount:
    """How much a search reads and evaluates."""

    prediction_tokens: int
    #: Of the part select, SELECT_TOKENS tokens each.
    select_chunks: int
    #: Of all evaluations, on a machine with the NOMINAL_RATE.
    evaluation_seconds: float
    #: Of the part evaluate, EVALUATE_TOKENS tokens each.
    evaluate_chunks: int


AMOUNTS = {
    "quick": SearchAmount(1280, 10, 120.0, 5),
    "normal": SearchAmount(2560, 20, 1800.0, 20),
    "long": SearchAmount(5120, 40, 7200.0, 80),
}


@dataclass(frozen=True)
class SearchPlanned:
    """What a search is going to do."""

    tensors: int  # on the menu
    formats: tuple[str, ...]  # of the whole menu
    effort: str
    evaluations: int  # for the first budget, at most
    seconds: float  # predicted


@dataclass(frozen=True)
class BudgetStarted:
    """The search for one of several budgets begins."""

    index: int  # from 0
    budgets: int
    limit: int  # bytes
    subject: str  # what has the limit: the file, or the running model


SearchProgress: TypeAlias = (
    SearchPlanned
    | BudgetStarted
    | StageStarted
    | SequencesRead
    | TensorPredicted
    | ChunkJudged
    | RecipeJudged
)


@dataclass
class RecipeSearch:
    """An open search: the finder with its texts and menu."""

    finder: RecipeFinder
    amount: SearchAmount
    folder: RunFolder
    options: SearchOptions
    #: The importance to encode with; None: that of the prediction's text.
    calibration: Calibration | None
    #: The chunks that the final loss is measured on, spread over the part evaluate.
    evaluate_text: MeasureText = field(init=False)
    #: Of the last measurement.
    scores: list[ChunkScores] = field(default_factory=list, init=False)
    _reference: ReferencePass | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        source, parts = self.finder.source, self.finder.parts
        cut = read_chunks(parts["evaluate"], source, read_tokenizer(source), EVALUATE_TOKENS)
        chunks = spread_over_domains(cut, self.amount.evaluate_chunks)
        self.evaluate_text = MeasureText(
            chunks,
            EVALUATE_TOKENS,
            parts["evaluate"].hash,
            is_built_in(as_list(self.options.text)) and not own_domain(self.options),
        )

    def planned(self, budgets: int) -> SearchPlanned:
        """Return what the search is going to do."""
        menu = self.finder.menu
        formats = dict.fromkeys(f for names in menu.encodings().values() for f in names)
        seconds = predict_seconds(
            self.finder.source, menu, self.finder.settings, budgets=budgets,
            predicted=self.finder.is_predicted,
        )  # fmt: skip
        return SearchPlanned(
            len(menu.sources), tuple(formats), self.options.effort, self.finder.evaluations, seconds
        )

    def release(self) -> None:
        """Free the models in memory; they are loaded again when they are needed."""
        self.finder.release()
        self._reference = None

    def predict(self) -> Iterator[SearchProgress]:
        """Predict the losses of all tensors; yield the progress in two stages."""
        stage: type[object] | None = None
        for record in self.finder.predict(self.calibration):
            if type(record) is not stage:
                reading = isinstance(record, SequencesRead)
                label = "reading text" if reading else "predicting losses"
                yield StageStarted(label, record.total)
                stage = type(record)
            yield record

    def open_reference(self) -> ReferencePass:
        """Load the reference, to measure models against it on the part evaluate."""
        if self._reference is None:
            model = load_model(self.finder.source, threads=self.finder.settings.threads)
            self._reference = ReferencePass.for_several(model, self.evaluate_text, floor_chunks=0)
        return self._reference

    def measure(
        self, reference: ReferencePass, quant: LanguageModel, label: str = "measuring"
    ) -> Generator[StageStarted | MeasureProgress | FloorStarted, None, MeasureResult]:
        """Measure a model on the part evaluate; the result names its text and reference."""
        text = self.evaluate_text
        yield StageStarted(label, len(text.chunks))
        run = MeasureRun(reference, quant)
        result = yield from run.measure()
        self.scores = run.scores
        return replace(
            result,
            text=TextRead(text.corpus, text.built_in, text.context, len(text.chunks)),
            reference=ReferenceIdentity.of(identify(self.finder.source)),
        )

    def texts(self) -> tuple[SearchText, ...]:
        """Return what was read of each part."""
        tokens = {
            "calibrate": self.finder.settings.prediction_tokens,
            "select": sum(chunk.tokens.size for chunk in self.finder.chunks),
            "evaluate": self.evaluate_text.tokens,
        }
        return tuple(
            SearchText(part=part, corpus=corpus.hash, tokens=tokens[part],
                       kinds=tuple(corpus.domains))
            for part, corpus in self.finder.parts.items()
        )  # fmt: skip


def open_search(
    source: Checkpoint,
    options: SearchOptions,
    path: Path,
    parts: Mapping[Part, Corpus],
    *,
    calibration: Calibration | None = None,
    rounding: Mapping[str, float] | None = None,
) -> RecipeSearch:
    """Open or resume a search of `parts`, the texts of `options`, in the folder `path`.

    `calibration` is the importance to encode with; None: it is collected. `rounding` are the
    factors of error feedback by format. Raises MeasurementError for a text that cannot be used,
    FormatError for a model that is already quantized, and CheckpointError if the folder holds
    another search.
    """
    _check_source(source, requantize=options.requantize)
    menu, settings = search_settings(source, options, rounding)
    folder = _start(path, source, parts, options, calibration)
    finder = RecipeFinder(source, menu, parts, settings, folder)
    return RecipeSearch(finder, AMOUNTS[options.effort], folder, options, calibration)


def search_settings(
    source: Checkpoint, options: SearchOptions, rounding: Mapping[str, float] | None = None
) -> tuple[Menu, FinderSettings]:
    """Return the formats to choose from, and how much a search reads and evaluates."""
    amount = AMOUNTS[options.effort]
    menu = make_menu(source, options.profile, importance=True, tie_fused=options.tie_fused)
    evaluations = options.evaluations
    if evaluations is None:
        evaluations = _evaluations(source, menu, amount)
    return menu, FinderSettings(
        prediction_tokens=amount.prediction_tokens,
        prediction=options.prediction_used,
        select_chunks=amount.select_chunks,
        evaluations=evaluations,
        figure="tail" if options.objective == "tail" else "mean",
        weights=parse_weights(as_list(options.weight)),
        profile=options.profile,
        rounding=rounding or {},
        threads=options.threads or default_threads(),
    )


def prediction_notices(options: SearchOptions) -> Iterator[Notice]:
    """Yield a notice if losses are predicted in the second best way because torch is missing."""
    if options.prediction == "auto" and options.prediction_used == "outputs":
        yield Notice(
            "torch is not installed, so losses are predicted from the errors of outputs, which"
            ' ranks tensors less well; pip install "zeropoint[torch]" adds gradients'
        )


def check_feasible(limit: SizeBudget, menu: Menu) -> None:
    """Raise InfeasibleBudget, with the smallest possible size, if no choice is within a limit."""
    nothing = {name: dict.fromkeys(formats, 0.0) for name, formats in menu.encodings().items()}
    limit.solve(menu.groups(nothing))


def predict_seconds(
    source: Checkpoint,
    menu: Menu,
    settings: FinderSettings,
    *,
    budgets: int = 1,
    predicted: bool = False,
) -> float:
    """Predict the seconds of a search on this machine, without the final measurement.

    `predicted` is whether the losses are predicted already.
    """
    weights = sum(source.tensors[name].elements for name in menu.sources)
    operations = 0.0
    if not predicted:
        passes = 3.0 if settings.prediction == "gradients" else 1.0
        operations += weights * (passes * settings.prediction_tokens + SAMPLED_OPERATIONS)
    if settings.evaluations:
        text = settings.select_chunks * SELECT_TOKENS
        each = text * pass_weights(source, menu) + CHANGED_PART * weights * ENCODING_OPERATIONS
        later = later_evaluations(settings.evaluations) * (budgets - 1)
        operations += text * weights + weights * ENCODING_OPERATIONS
        operations += (settings.evaluations + later) * each
    return operations / work_rates(settings.threads).forward


def parse_weights(texts: list[str]) -> dict[str, float]:
    """Return the weights of kinds of text.

    >>> parse_weights(["code=2", "prose=0.5"])
    {'code': 2.0, 'prose': 0.5}

    Raises MeasurementError for any other text.
    """
    weights = {}
    for text in texts:
        kind, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not kind or not 0 <= value < float("inf"):
            raise MeasurementError(
                f"{text!r} is not the weight of a kind of text; write KIND=NUMBER, such as code=2"
            )
        weights[kind] = value
    return weights


def _check_source(source: Checkpoint, *, requantize: bool) -> None:
    """Raise FormatError for a source that is already quantized."""
    quantized = next(
        (info for info in source.tensors.values() if info.format.name not in UNQUANTIZED), None
    )
    if quantized is not None and not requantize:
        raise FormatError(
            f"{source.path}: {quantized.name} is already quantized ({quantized.format.name}); start"
            " from the 16-bit model, or add --requantize (in Python requantize=True)"
        )


def _start(
    path: Path,
    source: Checkpoint,
    parts: Mapping[Part, Corpus],
    options: SearchOptions,
    calibration: Calibration | None,
) -> RunFolder:
    inputs = {
        "reference": identify(source).to_json(),
        "texts": {part: corpus.hash for part, corpus in parts.items()},
        "imatrix": file_sha256(options.imatrix) if options.imatrix else None,
        "calibration": calibration.corpus if calibration and not options.imatrix else None,
    }
    settings = {
        "effort": options.effort,
        "profile": options.profile,
        "objective": options.objective,
        "prediction": options.prediction_used,
        "weights": parse_weights(as_list(options.weight)),
        "tie_fused": options.tie_fused,
        "for": own_domain(options),
        "instruction_set": kernels.variant(),
    }
    return RunFolder.start(path, "search", inputs, settings)


def pass_weights(source: Checkpoint, menu: Menu) -> int:
    """Return the multiply-adds of a token: all matrices once, and the reference's head."""
    architecture = read_architecture(source)
    used = 0
    for name in menu.sources:
        info = source.tensors[name]
        experts = info.shape[0] if len(info.shape) == 3 else 1
        active = max(
            (layer.experts.used for layer in architecture.layers if layer.experts), default=1
        )
        used += info.elements * (min(active, experts) if experts > 1 else 1) // experts
    return used + source.tensors[architecture.output].elements


def _evaluations(source: Checkpoint, menu: Menu, amount: SearchAmount) -> int:
    """Return the number of evaluations that the effort allows for a model of this size."""
    tokens = amount.select_chunks * SELECT_TOKENS
    seconds = tokens * pass_weights(source, menu) / NOMINAL_RATE
    return min(MAX_EVALUATIONS, int(amount.evaluation_seconds / seconds))
