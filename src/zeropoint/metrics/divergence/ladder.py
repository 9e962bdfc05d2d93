"""The headline table: the same model at fewer and fewer bits, symmetric and asymmetric."""

from collections.abc import Sequence
from dataclasses import dataclass

from zeropoint.errors import MeasurementError
from zeropoint.plans import find_preset
from zeropoint.plans.formats.names import target_format
from zeropoint.results.bench import QuickSpeed
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.run_store import RunFolder

LEVELS = "16,8,6,5,4,3,2"
KINDS = {"SYM": "symmetric", "ASYM": "asymmetric"}


@dataclass(frozen=True)
class Level:
    """One rung: what its numbers look like, and the name that `--as` takes."""

    label: str
    kind: str  # symmetric, asymmetric, or nothing for a named format
    format: str


def parse_levels(levels: str, share: str = "G32") -> list[Level]:
    """Read "16,8,4,Q4_K_M": numbers of bits, or names that `--as` takes.

    A number of bits from 2 to 8 gives two rungs, symmetric and asymmetric integers with one scale
    for each `share` (G32, G128, ROW, TENSOR). 16 is bfloat16.

    >>> [level.format for level in parse_levels("16,4", "ROW")]
    ['BF16', 'INT4_SYM_ROW', 'INT4_ASYM_ROW']

    Raises MeasurementError or RecipeError for what is neither.
    """
    found: list[Level] = []
    for word in filter(None, (part.strip() for part in levels.split(","))):
        if word == "16":
            found.append(Level("16 bits", "", "BF16"))
        elif word in "2 3 4 5 6 7 8".split():
            for kind, told in KINDS.items():
                format = target_format(f"INT{word}_{kind}_{share}").name
                found.append(Level(f"{word} bits", told, format))
        elif word.isdigit():
            raise MeasurementError(f"there is no level of {word} bits; there are {LEVELS}")
        else:
            preset = find_preset(word)
            found.append(Level(word, "", preset.name if preset else target_format(word).name))
    if not found:
        raise MeasurementError(f"--levels names nothing; for example {LEVELS}")
    return found


def largest_step(levels: Sequence[Level], top1: Sequence[float]) -> int | None:
    """Return the rung that is furthest below the one above it of its kind, by top-1 agreement.

    Rungs without a kind are above both kinds. None for fewer than two rungs, or no step down.
    """
    steps: dict[int, float] = {}
    last: dict[str, float] = {}
    for index, (level, value) in enumerate(zip(levels, top1, strict=True)):
        above = last.get(level.kind, last.get(""))
        if above is not None:
            steps[index] = above - value
        last[level.kind] = value
    if not steps or max(steps.values()) <= 0:
        return None
    return max(steps, key=lambda index: steps[index])


def save_level(run: RunFolder, speed: QuickSpeed | None) -> None:
    """Remember that a level is measured in full, and how fast it was."""
    run.save_table("speed", speed.to_json() if speed else None)


def load_level(run: RunFolder, chunks: int) -> tuple[MeasureResult, QuickSpeed | None] | None:
    """Return what a run holds of a level, or None if it is not measured on all `chunks`.

    Raises CheckpointError if what it holds is damaged.
    """
    if not run.results or not (run.path / "speed.json").exists():
        return None
    found = MeasureResult.from_json(run.results, run.path / "run.json", "results")
    if found.chunks != chunks:
        return None
    has_speed = run.load_table("speed") is not None
    return found, run.load_record("speed", QuickSpeed) if has_speed else None
