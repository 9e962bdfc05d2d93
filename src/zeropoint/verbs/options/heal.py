"""Options of `heal`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.errors import MeasurementError
from zeropoint.plans.machines.quantities import parse_count
from zeropoint.verbs.options.checks import check_minimums, normalize_choice
from zeropoint.verbs.options.quantize import Effort

#: Tokens that are trained on, by effort.
HEAL_TOKENS: dict[str, int] = {"quick": 16_384, "normal": 65_536, "long": 262_144}
HEAL_STAGES = ("gain", "factors", "scales", "norms")


@dataclass(frozen=True, kw_only=True)
class HealOptions:
    """How much is trained, on which text, and what."""

    #: Text files to train on, or built-in text such as "builtin:code"; None: built-in prose, code,
    #: dialogue and science. Files are cut into three parts: to train, to decide, and a last one
    #: that is not read.
    text: str | Path | Sequence[str | Path] | None = None
    #: How many tokens are trained on: "quick" 16k, "normal" 64k or "long" 256k.
    effort: Effort = "normal"
    #: Number of tokens to train on, such as 100000 or "64k"; None: by `effort`.
    tokens: int | str | None = None
    #: What is trained: some of HEAL_STAGES; None: all of them.
    stages: str | Sequence[str] | None = None
    #: Tokens per window of text.
    context: int = 512
    #: Where the model is trained: "cpu" or "cuda".
    device: str = "cpu"
    #: Folder with the state of the training; None: OUTPUT.work, which is deleted at the end.
    run: Path | None = None
    #: Replace the output if it exists.
    overwrite: bool = False
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, context=8, threads=1)
        normalize_choice(self, "effort", tuple(HEAL_TOKENS))
        unknown = [name for name in self.stage_list if name not in HEAL_STAGES]
        if unknown or not self.stage_list:
            raise MeasurementError(
                f"stages (--stages) cannot be {', '.join(unknown) or 'empty'}; choose some of"
                f" {', '.join(HEAL_STAGES)}"
            )
        if self.train_tokens < 1:
            raise MeasurementError("tokens (--tokens) must be at least 1")

    @property
    def stage_list(self) -> tuple[str, ...]:
        """The stages, in the order in which they run."""
        if self.stages is None:
            return HEAL_STAGES
        words = self.stages.split(",") if isinstance(self.stages, str) else self.stages
        given = [word.strip().lower() for word in words if word.strip()]
        known = [name for name in HEAL_STAGES if name in given]
        return (*known, *(word for word in given if word not in HEAL_STAGES))

    @property
    def train_tokens(self) -> int:
        """The number of tokens to train on. Raises RecipeError for a text without one."""
        return HEAL_TOKENS[self.effort] if self.tokens is None else parse_count(str(self.tokens))
