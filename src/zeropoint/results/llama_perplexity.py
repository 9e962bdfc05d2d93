"""The result of `measure --llama-compat`: the tables of llama-perplexity."""

from collections.abc import Mapping
from dataclasses import dataclass

from zeropoint.results.schema import Record


@dataclass(frozen=True)
class LlamaFigure(Record):
    """One line of a table of llama-perplexity."""

    #: Its name, as llama-perplexity prints it.
    name: str
    value: float
    #: Its standard error over tokens that are taken for independent; None if it has none.
    error: float | None = None
    #: Whether llama-perplexity prints 100 times the value.
    percent: bool = False


@dataclass(frozen=True)
class LlamaPerplexityResult(Record):
    """The statistics that llama-perplexity would print of the same logits."""

    #: Tokens per chunk.
    context: int
    chunks: int
    #: The three tables, by their titles.
    statistics: Mapping[str, tuple[LlamaFigure, ...]]

    def __repr__(self) -> str:
        return f"<LlamaPerplexityResult of {self.chunks} chunks of {self.context} tokens>"
