"""Options of `bench`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zeropoint.verbs.options.checks import MODES, check_minimums, normalize_choice


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of `bench`: the timed work and the comparison."""

    #: Tokens of the prompt, processed in one forward pass; 0: prompt processing is not timed.
    prompt_tokens: int = 512
    #: Tokens generated one at a time after the prompt; 0: generation is not timed.
    tokens: int = 64
    #: How often each model is timed.
    repetitions: int = 3
    #: Another model to compare with: a path or a hub id.
    versus: str | Path | None = None
    #: Another engine for the same file: "llama.cpp".
    peer: str | None = None
    #: How keys and values are stored: "f32" (exact), "f16", "q8_0", "q4_0", or "K/V" such as
    #: "q8_0/q4_0".
    kv: str = "f32"
    #: Whether blocks of 8 and 4 bits hold rotated keys and values, as in llama.cpp.
    kv_rotation: bool = True
    #: "fast": activations rounded to 8 bits; "exact": float32 activations.
    mode: Literal["exact", "fast"] = "fast"
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None
    #: The run folder that stores the result.
    run: Path | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, prompt_tokens=0, tokens=0, repetitions=1, threads=1)
        normalize_choice(self, "mode", MODES)
