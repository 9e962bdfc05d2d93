"""Opens the budgets that a user names: bits per weight, bytes of the file, or memory."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from zeropoint.allocation.budget import (
    SizeBudget,
    SizeOf,
    bits_budget,
    file_budget,
    memory_budget,
)
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import RecipeError
from zeropoint.metrics.speed.this_machine import load_devices
from zeropoint.plans.memory.memory import PlanWorkload
from zeropoint.verbs.options.budget import BudgetOptions

BITS_STEP = Decimal("0.5")  # of a range without one
MAX_BUDGETS = 64
NO_BUDGET = (
    "a search needs a limit: --bits 4.5 (bits per weight of the whole file), --budget 900MB (its"
    " size), or --runtime-memory 8GiB (with the KV cache of --ctx tokens)"
)


def open_budgets(
    source: Checkpoint, options: BudgetOptions, file_bytes: SizeOf
) -> list[SizeBudget]:
    """Return the budgets, the largest number of bits first.

    `file_bytes` predicts the bytes of a file. Raises RecipeError unless exactly one kind of limit
    is given, and for a limit that is not one.
    """
    memory = options.runtime_memory or options.device
    kinds = [value for value in (options.bits, options.budget, memory) if value]
    if not kinds:
        raise RecipeError(NO_BUDGET)
    if len(kinds) > 1:
        raise RecipeError("--bits, --budget and --runtime-memory each set the limit; give one")
    if options.bits:
        return [bits_budget(source, bits, file_bytes) for bits in parse_bits(options.bits)]
    if options.budget:
        return [file_budget(source, options.budget, file_bytes)]
    device = load_devices().find(options.device) if options.device else None
    workload = PlanWorkload(context=options.context)
    return [memory_budget(source, workload, options.runtime_memory, device)]


def parse_bits(bits: float | str) -> Sequence[float]:
    """Return numbers of bits per weight, from the largest to the smallest.

    >>> parse_bits("2.5..4"), parse_bits("2.4,3.4"), parse_bits("4..4.5:0.25"), parse_bits(4)
    ([4.0, 3.5, 3.0, 2.5], [3.4, 2.4], [4.5, 4.25, 4.0], [4.0])

    Raises RecipeError for any other text.
    """
    numbers: set[Decimal] = set()
    for word in str(bits).split(","):
        span, _, step = word.partition(":")
        low, dots, high = span.partition("..")
        try:
            first, last = Decimal(low), Decimal(high if dots else low)
            width = Decimal(step) if step else BITS_STEP
            if not (0 < first <= last < 64 and width > 0 and (dots or not step)):
                raise InvalidOperation
            count = int((last - first) / width) + 1
            if count > MAX_BUDGETS:
                raise RecipeError(
                    f"{word!r} has {count} budgets; at most {MAX_BUDGETS} are allowed"
                )
        except InvalidOperation:
            raise RecipeError(
                f"{word!r} is no number of bits per weight; write 4.5, a list 2.4,3.4 or a range"
                " 2.5..5"
            ) from None
        numbers |= {first + number * width for number in range(count)}
    return [float(number) for number in sorted(numbers, reverse=True)]
