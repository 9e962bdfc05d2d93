"""Prints what `measure --llama-compat` reports."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.llama_perplexity import LlamaPerplexityResult
    from zeropoint.verbs.llama_perplexity import BaseFileStarted


def show_base_file(out: Output, started: "BaseFileStarted") -> None:
    """Print how large the base file will be."""
    out.note(f"the base file {started.path} will take {format_bytes(started.nbytes)}")


def show(out: Output, result: "LlamaPerplexityResult") -> None:
    """Print the tables as llama-perplexity prints them."""
    from zeropoint.metrics.peers.llama_base_file import format_statistics

    context = result.context
    out.say(
        f"llama-perplexity's protocol: context {context}, {result.chunks} chunks, positions"
        f" {context // 2} … {context - 2} scored"
    )
    out.say()
    out.say(format_statistics(result.statistics))
