"""Options of `drift`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zeropoint.verbs.options.checks import MODES, Count, check_minimums, normalize_choice

if TYPE_CHECKING:
    from zeropoint.plans import Recipe


@dataclass(frozen=True, kw_only=True)
class DriftOptions:
    """Which prompts and chains are run, how, and where the texts are stored."""

    #: Quantize the model in memory and follow that: a preset, a format, or a recipe.
    to: "str | Recipe" = ""
    #: Whether a model that is already quantized may be quantized again.
    requantize: bool = False
    #: File of prompts, one per line or .jsonl; None: the built-in prompts.
    prompts: Path | str | None = None
    #: Number of prompts, evenly spread over the file, or "all"; None: 8, 16, 32, 64, 128 or all, as
    #: many as take about a minute (two without chains) at the speed of the first ones.
    count: Count = None
    #: Maximum number of tokens generated for each prompt.
    tokens: int = 64
    #: Generate with greedy decoding, sample with common noise, or do both.
    decoding: Literal["both", "greedy", "sampled"] = "both"
    #: Temperature of the sampled texts.
    temperature: float = 1.0
    #: Random seed of the sampled texts.
    seed: int = 0
    #: Maximum number of texts generated at once.
    batch_size: int = 48
    #: Whether prompts are put as chat messages; None: if the model has a chat template.
    chat: bool | None = None
    #: "exact": float32 activations; "fast": activations rounded to 8 bits.
    mode: Literal["exact", "fast"] = "exact"
    #: Chains of each family; 0: none. None: 16, 8 or 4 if they take about a minute, and else none.
    chains: int | None = None
    #: Steps of each chain.
    steps: int = 8
    #: Difficulty of the chains, 1 to 4; None: the hardest that the reference can do.
    level: int | None = None
    #: The run folder, which stores all texts; an interrupted run continues from it.
    run: Path | None = None
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(
            self, count=1, tokens=1, temperature=0.01, seed=0, batch_size=1, chains=0, steps=1,
            level=1, threads=1,
        )  # fmt: skip
        normalize_choice(self, "decoding", ("both", "greedy", "sampled"))
        normalize_choice(self, "mode", MODES)
