"""Records of a healing while it runs, and its settings. This module needs no torch."""

from dataclasses import dataclass, field

from zeropoint.healing.guard import GuardFigures


@dataclass(frozen=True)
class Rates:
    """Learning rates of α (see `latents`) by the kind of number."""

    gain: float = 5e-3
    factors: float = 2e-3
    integers: float = 0.1
    bytes: float = 1e-2
    norms: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class HealSettings:
    """How much is trained, and how."""

    tokens: int
    stages: tuple[str, ...]
    device: str = "cpu"
    threads: int = 1
    batch_windows: int = 2
    seed: int = 0
    rates: Rates = field(default_factory=Rates)
    #: Evaluations of the guard, in all stages.
    evaluations: int = 8
    #: Round operands of products to bfloat16 in the training, where the processor is fast at that.
    fast_products: bool = True


@dataclass(frozen=True)
class WindowRead:
    """The reference has read one more window of text."""

    done: int  # windows


@dataclass(frozen=True)
class StepHealed:
    """One step of training is done."""

    done: int  # steps of all stages
    stage: str
    loss: float  # mean KL of the batch, nats per token

    @property
    def detail(self) -> str:
        """The loss, for the progress."""
        return f"{self.stage}: KL {self.loss:.4f}"


@dataclass(frozen=True)
class GuardMeasured:
    """The guard has measured the current state."""

    done: int  # steps of all stages
    stage: str
    figures: GuardFigures
    ratio: float  # geometric mean of KL over that of the start
    best: bool

    @property
    def detail(self) -> str:
        """The ratio, for the progress."""
        return f"{self.stage}: {self.ratio:.3f} of the KL on held-out text"


@dataclass(frozen=True)
class StageEnded:
    """A stage has ended; the model has the best state so far."""

    done: int  # steps of all stages
    stage: str
    ratio: float  # of the best state


HealRecord = StepHealed | GuardMeasured | StageEnded
