"""Results of chains: tasks of several steps, each on the model's own earlier answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.interval import Interval, unknown
from zeropoint.results.schema import Record


@dataclass(frozen=True)
class ChainSide(Record):
    """One model at its chains. Shares are from 0 to 1."""

    #: Share of chains that are right after each step.
    accuracy: tuple[Interval, ...] = ()
    #: Share of steps that are wrong while all before were right.
    slip: Interval = field(default_factory=unknown)
    #: Accuracy after each step if every step slipped at that rate.
    predicted: tuple[float, ...] = ()
    #: Share of later steps that are wrong for the (wrong) state before them.
    after_slip: Interval = field(default_factory=unknown)
    #: Whether the model is right too rarely at the first step for a comparison with a quant.
    at_floor: bool = False


@dataclass(frozen=True)
class ChainStep(Record):
    """Both models after one step."""

    #: Chains that only the reference, and only the quantized model, has right.
    lost: int
    won: int
    #: Difference of accuracy, quant − reference, from −1 to 1.
    difference: Interval
    #: McNemar's exact test.
    p: float


@dataclass(frozen=True, kw_only=True)
class ChainPair(Record):
    """Two models at the same chains."""

    chains: int = 0
    reference: ChainSide = field(default_factory=ChainSide)
    quant: ChainSide
    steps: tuple[ChainStep, ...] = ()
    #: The first step (from 1) at which they are shown to differ, all steps together at 5 %; None
    #: if there is none.
    distinguishable: int | None = None

    def problem(self) -> str:
        """Both models have all steps; a run that was made by hand may lack the reference's."""
        reference, quant = len(self.reference.accuracy), len(self.quant.accuracy)
        by_hand = not reference and not self.steps
        if not quant or not (by_hand or reference == quant == len(self.steps)):
            return "the models have different numbers of steps"
        step = self.distinguishable
        return "" if step is None or 0 < step <= len(self.steps) else "there is no such step"


@dataclass(frozen=True, kw_only=True)
class _Titled(Record):
    """Name of a family of chains, and the difficulty of its chains."""

    title: str
    #: From 1 (easiest) to 4.
    level: int


@dataclass(frozen=True, kw_only=True)
class ChainFamily(ChainPair, _Titled):
    """Results of two models on the chains of one family."""


@dataclass(frozen=True, kw_only=True)
class ChainAnswers(_Titled):
    """The chains of one family and all answers to them, as a run keeps it in chains-FAMILY.json."""

    #: Of each chain: the text before the first operation, the first state, and the correct state
    #: after each step.
    heads: Any = None
    starts: Any = None
    truths: Any = None
    #: By the place of the model, "0" being the reference: for each chain its answers, step by step.
    answers: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    #: Of the models.
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChainsResult(Record):
    """Two models at chains of all families."""

    families: Mapping[str, ChainFamily] = field(default_factory=dict)
    #: All families at which the reference is not at the floor; None without such a family.
    together: ChainPair | None = None
