"""Data of the page about long runs, as objects; `as_page_data` converts them for the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zeropoint.results.chains import ChainsResult
from zeropoint.results.drift import Compounding, FreeRun, MedianDivergence
from zeropoint.results.interval import Interval
from zeropoint.results.runs import Run
from zeropoint.results.tasks import Answer, HarnessScores, ModelTasks, TaskAsked
from zeropoint.studio.data.page_data import PageData

MAX_ANSWER_CHARACTERS = 4000  # characters of one answer

_OUTCOMES = {
    (True, True): "kept",
    (True, False): "lost",
    (False, True): "won",
    (False, False): "neither",
}


@dataclass
class DriftShown:
    """The texts of one quant and of its reference."""

    id: str
    run: Run
    name: str
    reference: str
    unit: str  # token or character
    prompts: int
    modes: "Mapping[str, DecodingModeShown]"
    texts: list[PageData]  # side by side, as the figure takes them
    title: str = ""
    label: str = ""

    @property
    def limit(self) -> int:
        """Return the length of the longest curve, in tokens or characters."""
        return max(way.curve.at[-1] for way in self.modes.values())

    def as_page_data(self) -> PageData:
        """Return the texts as data of the figures."""
        written = len(self.modes) * self.prompts
        return {
            **_named(self),
            "unit": self.unit,
            "prompts": self.prompts,
            "temperature": self.run.settings.temperature,
            "ways": {name: way.as_page_data() for name, way in self.modes.items()},
            "limit": self.limit,
            "texts": self.texts,
            "left_out": written - len(self.texts) if self.texts else 0,
        }


@dataclass(frozen=True)
class SurvivalCurve:
    """Fraction of texts that are still identical, its band, and the single-token prediction."""

    at: list[int]
    share: list[float]
    low: list[float | None]
    high: list[float | None]
    predicted: list[float] | None


@dataclass(frozen=True)
class DecodingModeShown:
    """The texts of one decoding mode: compared by token, or by character without KL divergence."""

    curve: SurvivalCurve
    split: MedianDivergence
    result: FreeRun | None
    same_answer: Interval | None = None

    @property
    def compounding(self) -> Sequence[Compounding]:
        """Return the sums over steps; empty for models whose tokenizers differ."""
        return self.result.compounding if self.result else ()

    def as_page_data(self) -> PageData:
        """Return the texts as data of the figures."""
        if self.result is not None:
            flips = self.result.flips_per_token.to_json()
            return {**self.result.to_json(), "curve": vars(self.curve), "flips": flips}
        same = self.same_answer.to_json() if self.same_answer else None
        return {"curve": vars(self.curve), "split": self.split.to_json(), "same_answer": same}


@dataclass
class ChainsShown:
    """The chains of one quant and of its reference."""

    id: str
    run: Run
    name: str
    reference: str
    result: ChainsResult
    title: str = ""
    label: str = ""

    def as_page_data(self) -> PageData:
        """Return the chains as data of the figure."""
        return {**_named(self), **self.result.to_json()}


@dataclass(frozen=True)
class AnsweredTask:
    """A task, the answers of all models, and their outcomes relative to the first model."""

    asked: TaskAsked
    answers: list[Answer]

    @property
    def outcomes(self) -> list[str]:
        """Return the outcome of each model's answer: kept, lost, won or neither."""
        return [_OUTCOMES[self.answers[0].right, one.right] for one in self.answers]

    def as_page_data(self) -> PageData:
        """Return the task as data of the figure."""
        return {
            **self.asked.to_json(),
            "answers": [
                {"right": one.right, "text": one.text[:MAX_ANSWER_CHARACTERS], "reason": one.reason}
                for one in self.answers
            ],
            "outcome": self.outcomes,
        }


@dataclass(frozen=True)
class TasksShown:
    """The tasks of one run, up to the limit of a page."""

    run: str
    models: Sequence[ModelTasks]
    tasks: list[AnsweredTask]

    def as_page_data(self) -> PageData:
        """Return the tasks as data of the figure."""
        return {
            "run": self.run,
            "models": [one.to_json() for one in self.models],
            "tasks": [task.as_page_data() for task in self.tasks],
            "left_out": self.models[0].tasks - len(self.tasks),
        }


@dataclass(frozen=True)
class ScoresShown:
    """The scores of lm-evaluation-harness of one run."""

    run: str
    models: Sequence[HarnessScores]

    def as_page_data(self) -> PageData:
        """Return the scores as JSON."""
        return {"run": self.run, "models": [one.to_json() for one in self.models]}


@dataclass(frozen=True)
class LongRunEvidence:
    """Long-run results: drift and chains by quantized model, tasks and scores by run."""

    drifts: list[DriftShown] = field(default_factory=list)
    chains: list[ChainsShown] = field(default_factory=list)
    tasks: list[TasksShown] = field(default_factory=list)
    scores: list[ScoresShown] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def as_page_data(self) -> PageData:
        """Return the results as data of the figures; empty parts are left out."""
        return {
            key: [one.as_page_data() for one in shown] for key, shown in vars(self).items() if shown
        }


def _named(one: DriftShown | ChainsShown) -> PageData:
    return {
        "id": one.id,
        "name": one.name,
        "reference": one.reference,
        "run": one.run.path.name,
        "title": one.title,
        "label": one.label,
    }
