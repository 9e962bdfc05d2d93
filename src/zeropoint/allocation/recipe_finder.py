"""Finds the recipe for a budget: predicts losses, solves, and decides by true losses.

    calibrate part   gradients → predicted loss of each tensor in each format
    solver           predicted losses → the best recipe within the budget
    select part      true losses of some recipes → corrections of the prediction, and the decision

Everything that was computed is in the run folder, so a search that was stopped continues, and ends
with the same recipe. Predictions, encoded tensors and true losses serve all budgets.
"""

import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from zeropoint.allocation.budget import SizeBudget
from zeropoint.allocation.encoded_tensors import EncodedTensors
from zeropoint.allocation.factors import F64, NO_FACTORS, Factors, LossModel
from zeropoint.allocation.journal import EvaluationJournal
from zeropoint.allocation.judge import ChunkJudged, ChunkLosses, Judge, chunk_weights
from zeropoint.allocation.menu import Menu
from zeropoint.allocation.output_errors import predict_from_outputs
from zeropoint.allocation.predicted_loss import (
    PredictedLosses,
    PredictionText,
    SequencesRead,
    TensorPredicted,
    predict_losses,
)
from zeropoint.allocation.problem import Assignment, LossTable
from zeropoint.allocation.refine import Candidate, RecipeJudged, Refinement
from zeropoint.calibration import Calibration, read_imatrix, write_imatrix
from zeropoint.calibration.chunks import Chunk, read_chunks, spread_over_domains
from zeropoint.calibration.corpus import Corpus, Part
from zeropoint.checkpoints import Checkpoint
from zeropoint.models import read_tokenizer
from zeropoint.plans.speed.format_speed import relative_seconds
from zeropoint.results.run_checks import DAMAGE_EXCEPTIONS
from zeropoint.results.run_store import RunFolder, damaged

SELECT_TOKENS = 256  # of a chunk of the part select
#: By backward passes, which need torch, and by forward passes alone.
PREDICTIONS = {"gradients": predict_losses, "outputs": predict_from_outputs}
IMPORTANCE_FILE = "importance.gguf"
DOMAIN = "domain "  # before the name of a domain, in the table of predicted losses
#: Of a recipe for one domain: how much of the loss to solve for is that of the domain.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
OTHERS_LIMIT = 1.05  # maximum loss on the other domains, over that of the recipe for them
#: Budgets after the first one start from its corrections, and need fewer evaluations.
LATER_BUDGET_PART = 8


@dataclass(frozen=True, kw_only=True)
class FinderSettings:
    """How much a search reads and evaluates, and what it prefers."""

    prediction_tokens: int
    #: Chunks of SELECT_TOKENS tokens that an evaluation reads.
    select_chunks: int
    #: How losses are predicted, one of PREDICTIONS.
    prediction: str = "gradients"
    #: Recipes that are evaluated for the first budget; 0: predictions decide alone.
    evaluations: int
    #: "mean" or "tail" of the loss.
    figure: str = "mean"
    #: Weight of each kind of text that is not 1.
    weights: Mapping[str, float] = field(default_factory=dict)
    #: Whose speed decides between recipes of the same loss.
    profile: str = "any"
    #: By format: the predicted loss with error feedback over that without.
    rounding: Mapping[str, float] = field(default_factory=dict)
    threads: int = 1


class RecipeFinder:
    """The search for one model, with its state in a run folder. Call `predict` first."""

    def __init__(
        self,
        source: Checkpoint,
        menu: Menu,
        parts: Mapping[Part, Corpus],
        settings: FinderSettings,
        folder: RunFolder,
    ) -> None:
        self.source = source
        self.menu = menu
        self.parts = parts
        self.settings = settings
        self._folder = folder
        self._judge: Judge | None = None
        self._factors: Factors = NO_FACTORS
        self._budgets = 0
        #: The importance that tensors are encoded with; `predict` sets it.
        self.calibration: Calibration | None = None
        #: By tensor and format; `predict` sets it.
        self.table: LossTable = {}
        #: The same on the text of each domain alone.
        self.by_domain: Mapping[str, LossTable] = {}
        self.chunks = self._select_chunks()
        # Wrong names of weights are an error before anything is computed.
        self._weights = chunk_weights(self.chunks, settings.weights)

    @property
    def is_predicted(self) -> bool:
        """Whether the run folder has the predicted losses already."""
        return (self._folder.path / "predicted.json").exists()

    def predict(
        self, calibration: Calibration | None = None
    ) -> Iterator[SequencesRead | TensorPredicted]:
        """Predict the losses of all tensors, or read them from the run folder.

        `calibration` is the importance to encode with; None: that of the text of the prediction.
        """
        if not self.is_predicted:
            text = PredictionText(
                self.parts["calibrate"], self.settings.prediction_tokens,
                weights=self.settings.weights,
            )  # fmt: skip
            predict = PREDICTIONS[self.settings.prediction]
            records = predict(
                self.source, text, self.menu.encodings(),
                threads=self.settings.threads, calibration=calibration,
            )  # fmt: skip
            for record in records:
                if isinstance(record, PredictedLosses):
                    if calibration is None:
                        self._save_importance(record.calibration)
                    tables = {"all": record.table, **_prefixed(record.by_domain)}
                    self._folder.save_table("predicted", tables)
                else:
                    yield record
        self.table = self._load_table("all")
        domains = self.parts["calibrate"].domains
        self.by_domain = {name: self._load_table(DOMAIN + name) for name in domains}
        self.calibration = calibration or self._load_importance()

    def find(
        self, budget: SizeBudget
    ) -> Generator[ChunkJudged | RecipeJudged, None, tuple[Candidate, Refinement]]:
        """Return the recipe for a budget, and the refinement with all recipes that were tried.

        Raises InfeasibleBudget, with the smallest possible size, if no recipe is within it.
        """
        refinement = self._refinement(budget, self.table, self._weights)
        refinement.start = self._factors
        chosen = yield from refinement.run(self.evaluate, self.evaluations)
        if self.evaluations:
            self._factors = refinement.fitted()
        self._budgets += 1
        self.judge().start_count()
        return chosen, refinement

    def find_for(
        self, budget: SizeBudget, domain: str
    ) -> Generator[ChunkJudged | RecipeJudged, None, tuple[Candidate, Refinement]]:
        """Return the recipe with the least loss on one domain that loses little on the others.

        For each of SHARES, the predicted losses on the domain and on the others are mixed, solved,
        and judged. The first recipe is for the others alone. One that loses more than OTHERS_LIMIT
        times as much on them is refused. Raises InfeasibleBudget as `find` does.
        """
        names = [name for name in self.by_domain if name != domain]
        own = chunk_weights(self.chunks, dict.fromkeys(names, 0.0))
        others = chunk_weights(self.chunks, {domain: 0.0})
        decisions = self._refinement(budget, self.by_domain[domain], own)
        best: Candidate | None = None
        limit = 0.0
        for share in SHARES:
            weights = {name: (1 - share) / len(names) for name in names} | {domain: share}
            proposal = self._refinement(budget, mixed(self.by_domain, weights), own)
            change = f"{share:.0%} of the loss on {domain}"
            found = proposal.propose((change, NO_FACTORS, ()))
            losses = yield from self.evaluate(found.assignment)
            found = replace(found, losses=losses)
            elsewhere = float(losses.mean @ others)
            limit = limit or OTHERS_LIMIT * elsewhere
            better = best is None or decisions.loss(found).mean < decisions.loss(best).mean
            accepted = better and elsewhere <= limit
            found = replace(found, accepted=accepted)
            decisions.candidates.append(found)
            if accepted:
                best = found
            yield RecipeJudged(
                len(decisions.candidates) * len(self.chunks), change, len(decisions.candidates),
                len(SHARES), decisions.loss(found), found.tensor_bytes, accepted,
            )  # fmt: skip
        assert best is not None, "the first recipe is within the limit by definition"
        return best, decisions

    def _refinement(self, budget: SizeBudget, table: LossTable, weights: F64) -> Refinement:
        model = LossModel(table, rounding=self.settings.rounding)
        groups = self.menu.groups(table)
        return Refinement(groups, model, budget, weights, self.seconds, figure=self.settings.figure)

    @property
    def evaluations(self) -> int:
        """The maximum number of evaluations for the next budget."""
        first = self.settings.evaluations
        return later_evaluations(first) if self._budgets else first

    def evaluate(self, assignment: Assignment) -> Generator[ChunkJudged, None, ChunkLosses]:
        """Return the true losses of an assignment: from the journal, or measured now."""
        journal = EvaluationJournal(self._folder, len(self.chunks))
        found = journal.find(assignment)
        if found is not None:
            self.judge().skip_evaluation()
            return found
        losses = yield from self.judge().evaluate(assignment)
        journal.add(assignment, losses)
        return losses

    def seconds(self, assignment: Assignment) -> float:
        """Return the predicted time of a token, in units of a weight in Q8_0."""
        return sum(
            self.source.tensors[name].elements * relative_seconds(format, self.settings.profile)
            for name, format in assignment.items()
        )

    def judge(self) -> Judge:
        """Return the judge; the tensors and the reference's states are stored in the run folder."""
        if self._judge is None:
            threads = self.settings.threads
            encoded = EncodedTensors(
                self.source, self.calibration, self._inner("encoded"), threads=threads
            )
            self._judge = Judge(encoded, self.chunks, self._inner("states"), threads=threads)
        return self._judge

    def release(self) -> None:
        """Free the models in memory."""
        self._judge = None

    def _inner(self, name: str) -> RunFolder:
        """Return a folder inside the run folder, which belongs to the same search."""
        return RunFolder.start(
            self._folder.path / name, f"search {name}", self._folder.identity, {}
        )

    def _select_chunks(self) -> list[Chunk]:
        tokenizer = read_tokenizer(self.source)
        chunks = read_chunks(self.parts["select"], self.source, tokenizer, SELECT_TOKENS)
        return spread_over_domains(chunks, self.settings.select_chunks)

    def _load_table(self, key: str) -> LossTable:
        """Return predicted losses of the run folder. Raises CheckpointError if damaged."""
        path = self._folder.path / "predicted.json"
        table = self._folder.load_table("predicted")
        try:
            assert isinstance(table, dict)
            losses = table[key]
            return {
                name: {format: float(losses[name][format]) for format in formats}
                for name, formats in self.menu.encodings().items()
            }
        except (*DAMAGE_EXCEPTIONS, AssertionError) as error:
            raise damaged(path, error) from None

    def _save_importance(self, calibration: Calibration) -> None:
        with tempfile.TemporaryDirectory(prefix="zeropoint-") as folder:
            path = Path(folder) / IMPORTANCE_FILE
            write_imatrix(path, calibration)
            self._folder.save_bytes(IMPORTANCE_FILE, path.read_bytes())

    def _load_importance(self) -> Calibration:
        self._folder.load_bytes(IMPORTANCE_FILE)  # checks that it is not damaged
        return read_imatrix(self._folder.path / IMPORTANCE_FILE)


def later_evaluations(first: int) -> int:
    """Return the evaluations of each budget after the first one, rounded up."""
    return -(-first // LATER_BUDGET_PART)


def mixed(tables: Mapping[str, LossTable], weights: Mapping[str, float]) -> LossTable:
    """Return the weighted sum of losses by domain."""
    first = next(iter(tables.values()))
    return {
        tensor: {
            format: sum(weights[name] * tables[name][tensor][format] for name in weights)
            for format in formats
        }
        for tensor, formats in first.items()
    }


def _prefixed(tables: Mapping[str, LossTable]) -> dict[str, LossTable]:
    return {DOMAIN + name: table for name, table in tables.items()}
