"""Results of `heal`: what training the scales of a file won back, on text that was held out.

Losses are KL(reference ‖ quant) over the whole vocabulary, in nats per token. Ratios are geometric
means over windows of text of the loss over that of the file before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.interval import Interval
from zeropoint.results.model_identity import ModelIdentity
from zeropoint.results.schema import OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True, kw_only=True)
class HealPlan(Record):
    """What `heal` is going to do, and what it takes, from one step that was timed."""

    #: Steps of each stage.
    stages: Mapping[str, int]
    tokens: int
    tokens_per_step: int
    #: Numbers that are trained, in all stages.
    numbers: int
    #: Windows of held-out text that decide.
    guard_windows: int
    #: Kinds of text that are trained, and the one that is not.
    kinds: tuple[str, ...]
    untrained_kind: str
    seconds: float
    memory_bytes: int

    def __repr__(self) -> str:
        return f"<HealPlan {self.tokens} tokens, {self.seconds:.0f} s>"


@dataclass(frozen=True, kw_only=True)
class HealedText(Record):
    """The loss on one kind of held-out text, before and after."""

    kind: str
    #: Whether text of this kind was trained on.
    trained: bool
    before: float
    after: float
    ratio: Interval


@dataclass(frozen=True, kw_only=True)
class HealStage(Record):
    """One stage of the training."""

    name: str
    steps: int
    #: Ratio of the best state at its end, over that of the file before.
    ratio: float


@dataclass(frozen=True, kw_only=True)
class GuardPoint(Record):
    """One evaluation of the guard during the training; its products are rounded to bfloat16."""

    step: int
    stage: str
    ratio: float
    by_kind: Mapping[str, float] = field(default_factory=dict)
    #: Whether this state was the best so far.
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class HealResult(Record):
    """The result of `heal`."""

    #: The healed file; None if the file before was not beaten, and nothing was written.
    output: str | None
    #: Why nothing was written; "" if something was.
    reason: str
    reference: ModelIdentity
    quant: ModelIdentity
    #: Ratio over all kinds of held-out text.
    ratio: Interval
    kl: tuple[HealedText, ...] = ()
    stages: tuple[HealStage, ...] = ()
    curve: tuple[GuardPoint, ...] = ()
    plan: HealPlan | None = field(default=None, metadata=OMIT)
    #: SHA-256 of the text that was trained on, and of the text that decided.
    train_text: str = ""
    guard_text: str = ""
    #: Tensors whose bytes changed.
    changed_tensors: int = 0
    output_bytes: int = 0
    seconds: float = UNKNOWN_NUMBER
    #: Peak of the process.
    peak_memory_bytes: int = 0

    def __repr__(self) -> str:
        return f"<HealResult {self.output or 'not written'}: {self.ratio!r} of the KL>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each kind of text."""
        return [
            {
                "kind": one.kind,
                "trained": one.trained,
                "before": one.before,
                "after": one.after,
                "ratio": one.ratio.mean,
                "low": one.ratio.low,
                "high": one.ratio.high,
            }
            for one in self.kl
        ]
