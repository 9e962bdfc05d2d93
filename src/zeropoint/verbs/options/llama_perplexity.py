"""Options of `measure --llama-compat`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class LlamaPerplexityOptions:
    """The text, and the base file with the reference's logits."""

    #: Text files, which are joined to one text, or built-in text; None: "builtin".
    text: str | Path | Sequence[str | Path] | None = None
    #: Tokens per chunk; the second half of each chunk is scored.
    context: int = 512
    #: Maximum number of chunks; None: all of the text.
    chunks: int | None = None
    #: Base file of llama-perplexity: written with a reference, read without one.
    base: Path | None = None
    #: Whether an existing base file may be replaced.
    overwrite: bool = False
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None
