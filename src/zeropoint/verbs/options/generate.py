"""Options of `generate`; the command is `run`."""

from dataclasses import dataclass
from typing import Literal

from zeropoint.errors import MeasurementError
from zeropoint.verbs.options.checks import MODES, check_minimums, normalize_choice


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """How text is generated."""

    #: Maximum number of tokens to generate.
    tokens: int = 512
    #: Whether the most likely token is always chosen; `temperature` has no effect then.
    greedy: bool = False
    #: Sampling temperature; 0 is the same as `greedy`.
    temperature: float = 0.8
    #: Top-k sampling: choose among the k most likely tokens; 0: among all.
    top_k: int = 40
    #: Nucleus sampling: choose among the fewest tokens with this probability together; 1: all.
    top_p: float = 0.95
    #: Min-p sampling: drop tokens less likely than this fraction of the most likely token; 0: none.
    min_p: float = 0.05
    #: Repetition penalty applied to recent tokens; 1: none.
    repeat_penalty: float = 1.0
    #: Random seed; the same seed generates the same text.
    seed: int = 0
    #: Whether the prompt is a chat message; None: if the model has a chat template.
    chat: bool | None = None
    #: System message of the chat.
    system: str | None = None
    #: Maximum number of positions in the KV cache; None: the prompt and `tokens`.
    context: int | None = None
    #: How keys and values are stored: "f32" (exact), "f16", "q8_0", "q4_0", or "K/V" such as
    #: "q8_0/q4_0".
    kv: str = "f32"
    #: Whether blocks of 8 and 4 bits hold rotated keys and values, as in llama.cpp.
    kv_rotation: bool = True
    #: "fast": activations rounded to 8 bits; "exact": float32 activations.
    mode: Literal["exact", "fast"] = "fast"
    #: "cpu", or a device of torch such as "cuda" or "cuda:1".
    device: str = "cpu"
    #: What guesses several tokens at a time, which never changes the text: "off"; "ngram", what
    #: followed the same words before; "mtp", the model's own layer for multi-token prediction;
    #: "auto", mtp if there is one and otherwise ngram; or a smaller model with the same tokens.
    draft: str = "off"
    #: Whether the text is generated again without guesses, to compare the tokens.
    prove: bool = False
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, tokens=1, temperature=0, top_k=0, seed=0, context=1, threads=1)
        normalize_choice(self, "mode", MODES)
        if self.prove and self.draft == "off":
            raise MeasurementError(
                "--prove compares a text with and without guesses; add --draft ngram or a model"
            )
