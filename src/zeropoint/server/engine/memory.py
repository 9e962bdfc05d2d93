"""The context of each slot, so that the caches of all slots fit into the free memory."""

from pathlib import Path

from zeropoint.errors import MeasurementError
from zeropoint.models import LanguageModel

DEFAULT_CONTEXT_TOKENS = 32768
MIN_CONTEXT_TOKENS = 512
MEMORY_SHARE = 0.8  # of the free memory, for the caches of all slots
GIB = 2**30


def fit_context(
    model: LanguageModel, slots: int, context: int | None, reserved_bytes: int = 0
) -> int:
    """Return how many tokens a slot's context has.

    None selects the model's context, at most DEFAULT_CONTEXT_TOKENS, halved until the full caches
    of all slots fit into the free memory, without `reserved_bytes` for those of finished texts.
    Raises MeasurementError if a stated context does not fit, or is more than the model's.
    """
    free = max(free_bytes() - reserved_bytes, 0)
    if context is not None:
        if context > model.context_length:
            raise MeasurementError(
                f"a context of {context} tokens is more than the model's {model.context_length}"
            )
        needed = slots * model.cache(context).max_bytes
        if needed > MEMORY_SHARE * free:
            raise MeasurementError(
                f"{slots} slots with {context} tokens of context need {needed / GIB:.1f} GiB of"
                f" caches, and {free / GIB:.1f} GiB of memory are free; choose a smaller --ctx,"
                " --parallel or --cache"
            )
        return context
    context = min(model.context_length, DEFAULT_CONTEXT_TOKENS)
    while (
        context > MIN_CONTEXT_TOKENS
        and slots * model.cache(context).max_bytes > MEMORY_SHARE * free
    ):
        context //= 2
    return context


def free_bytes() -> int:
    """Return the memory that programs can still get without swapping, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0
