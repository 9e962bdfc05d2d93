"""Results of `tasks`, and of `compare` without a reference: models at the same tasks and text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.chains import ChainsResult
from zeropoint.results.chosen_count import ChosenCount
from zeropoint.results.interval import Interval, unknown
from zeropoint.results.schema import OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class CacheKind(Record):
    """Cache of some layers for one position, in 16-bit elements."""

    #: How many layers are alike.
    layers: int
    #: Of one position.
    bytes: int
    #: Number of positions in the cache; None: all.
    window: int | None = None


@dataclass(frozen=True)
class KindScore(Record):
    """Tasks of one kind: how many, how many right, and the share."""

    tasks: int
    right: int
    accuracy: Interval


@dataclass(frozen=True)
class AnswerTokens(Record):
    """Tokens per answer, and the paired difference from the first model's."""

    mean: float = UNKNOWN_NUMBER
    difference: Interval = field(default_factory=unknown)


@dataclass(frozen=True)
class TaskFlips(Record):
    """A model compared with the baseline, task by task."""

    #: Names of the tasks that only the first model, and only this one, answers rightly.
    lost: tuple[str, ...] = ()
    won: tuple[str, ...] = ()
    #: Difference of accuracy, from −1 to 1.
    difference: Interval = field(default_factory=unknown)
    #: McNemar's exact test.
    p: float = UNKNOWN_NUMBER
    #: Share of tasks that get another answer, and of those that only the first model gets right.
    changed: Interval = field(default_factory=unknown)
    lost_share: Interval = field(default_factory=unknown)
    #: Both in one sentence, of 100 answers; empty for the first model.
    consequence: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelTasks(Record):
    """One model at the tasks."""

    name: str
    file_bytes: int
    #: Its formats in words.
    formats: str = ""
    weights: int | None = None
    bits_per_weight: float | None = None
    #: Architecture, layers and width in words.
    shape: str | None = None
    cache: tuple[CacheKind, ...] | None = None
    tasks: int = 0
    right: int = 0
    #: Share of tasks that are right, from 0 to 1.
    accuracy: Interval
    by_kind: Mapping[str, KindScore] = field(default_factory=dict)
    tokens: AnswerTokens = field(default_factory=AnswerTokens)
    #: Share of answers that did not end by themselves.
    cut: float = UNKNOWN_NUMBER
    beside_first: TaskFlips = field(default_factory=TaskFlips)


@dataclass(frozen=True)
class TaskAsked(Record):
    """A task as a run keeps it in tasks.json."""

    id: str
    kind: str
    prompt: str


@dataclass(frozen=True)
class Answer(Record):
    """How a model answered one task, as a run keeps it in answers-N.json."""

    task: str
    right: bool
    #: The generated text, or the choice that the model took.
    text: str
    #: Why it is wrong, if the reason is known.
    reason: str
    #: Generated; for likelihoods, scored.
    tokens: int
    #: By itself, and not at the limit.
    ended: bool


@dataclass(frozen=True)
class BadTask(Record):
    """A line of the task file that is not a task."""

    line: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class TasksResult(Record):
    """The result of `tasks`: models on the same tasks; the first model is the baseline."""

    tasks: int = 0
    bad_lines: tuple[BadTask, ...] = ()
    #: Tasks that run code, which was not allowed.
    left_out: tuple[str, ...] = ()
    models: tuple[ModelTasks, ...]
    #: The number of tasks, if it was chosen by the time of the first ones.
    chosen_count: ChosenCount | None = field(default=None, metadata=OMIT)

    def problem(self) -> str:
        """Some model took the tasks."""
        return "" if self.models else "models is empty"

    def __repr__(self) -> str:
        scores = ", ".join(f"{one.name} {one.right} of {one.tasks}" for one in self.models)
        return f"<TasksResult {scores}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each model."""
        return [row for one in self.models for row in one.rows()]


@dataclass(frozen=True)
class HarnessScores(Record):
    """One model's scores of lm-evaluation-harness: by task and figure, as the harness has them."""

    name: str
    file_bytes: int = 0
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class HarnessResult(Record):
    """The result of `tasks --lm-eval`."""

    harness: str
    models: tuple[HarnessScores, ...]

    def problem(self) -> str:
        """All models took the same tasks."""
        figures = [
            {(task, key) for task, values in one.results.items() for key in values}
            for one in self.models
        ]
        return "" if figures and all(one == figures[0] for one in figures) else "models differ"


@dataclass(frozen=True, kw_only=True)
class TextScore(Record):
    """How well one model predicts a text, whatever its tokens are."""

    bytes: int = 0
    windows: int = 0
    #: Nats per byte; less is better.
    nats_per_byte: Interval
    by_domain: Mapping[str, Interval] = field(default_factory=dict)
    #: Difference from the first model, paired by window.
    difference: Interval = field(default_factory=unknown)
    #: Sign-flip test of that difference.
    p: float = UNKNOWN_NUMBER
    #: Letters; models that share one do not differ significantly. Empty: not tested.
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelCompared(Record):
    """One model among others, by memory."""

    name: str
    formats: str = ""
    file_bytes: int
    #: Keys and values of `context` tokens in 16 bits.
    cache_bytes: int = 0
    #: File and cache.
    memory_bytes: int = 0
    weights: int | None = None
    bits_per_weight: float | None = None
    shape: str | None = None
    cache: tuple[CacheKind, ...] | None = None
    text: TextScore
    tasks: ModelTasks | None = None
    chains: ChainsResult | None = None


@dataclass(frozen=True, kw_only=True)
class AcrossResult(Record):
    """The result of `compare` without a reference: models of any kind, smallest memory first."""

    #: Tokens whose cache counts as memory.
    context: int = 4096
    #: SHA-256 of the text.
    corpus: str = ""
    results: tuple[ModelCompared, ...]
    #: None if no tasks were asked.
    bad_lines: tuple[BadTask, ...] | None = field(default=None, metadata=OMIT)
    left_out: tuple[str, ...] | None = field(default=None, metadata=OMIT)
    #: The number of windows of text, if it was chosen by the time of the first ones.
    chosen_count: ChosenCount | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return f"<AcrossResult {', '.join(one.name for one in self.results)}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each model."""
        return [row for one in self.results for row in one.rows()]
