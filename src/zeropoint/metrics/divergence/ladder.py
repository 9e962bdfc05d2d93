"""The levels of a ladder: one model in formats of fewer and fewer bits."""

from collections.abc import Sequence
from dataclasses import dataclass

from zeropoint.errors import MeasurementError
from zeropoint.plans import find_preset
from zeropoint.plans.formats.names import target_format
from zeropoint.results.bench import QuickSpeed
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.run_store import RunFolder

DEFAULT_LEVELS = "16,8,6,5,4,3,2"
DEFAULT_SHARE = "G32"
KINDS = {"SYM": "symmetric", "ASYM": "asymmetric"}
PRESET_KIND = "preset"
BEST_KIND = "best"
#: The presets of `--with presets`, the largest first: the common one of each size.
LADDER_PRESETS = (
    "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ3_S", "IQ3_XXS", "Q2_K", "IQ2_M",
)  # fmt: skip
COMPANIONS = ("presets", "best")  # what `--with` takes


@dataclass(frozen=True)
class LevelFormat:
    """The format of one level."""

    label: str  # "4 bits", or the name of a format or preset
    kind: str  # "symmetric", "asymmetric", "preset", "best", or empty for a named format
    format: str  # a name that `--as` takes


def parse_levels(levels: str, share: str = DEFAULT_SHARE) -> list[LevelFormat]:
    """Parse a list such as "16,8,4,Q4_K_M": numbers of bits, or names that `--as` takes.

    A number of bits from 2 to 8 gives two levels, symmetric and asymmetric integers. `share` names
    the weights that share a scale: G32, G128, ROW or TENSOR. 16 is bfloat16.

    >>> [level.format for level in parse_levels("16,4", "ROW")]
    ['BF16', 'INT4_SYM_ROW', 'INT4_ASYM_ROW']

    Raises MeasurementError or RecipeError for an entry that is neither.
    """
    parsed: list[LevelFormat] = []
    for word in filter(None, (part.strip() for part in levels.split(","))):
        if word == "16":
            parsed.append(LevelFormat("16 bits", "", "BF16"))
        elif word in "2 3 4 5 6 7 8".split():
            for kind, word_for_kind in KINDS.items():
                format = target_format(f"INT{word}_{kind}_{share}").name
                parsed.append(LevelFormat(f"{word} bits", word_for_kind, format))
        elif word.isdigit():
            raise MeasurementError(
                f"there is no level of {word} bits; the levels are {DEFAULT_LEVELS}"
            )
        else:
            preset = find_preset(word)
            parsed.append(
                LevelFormat(word, "", preset.name if preset else target_format(word).name)
            )
    if not parsed:
        raise MeasurementError(
            f"the list of levels (--levels) is empty; an example is {DEFAULT_LEVELS}"
        )
    return parsed


def parse_companions(words: str | Sequence[str]) -> list[str]:
    """Parse what `--with` names: "presets" are those in LADDER_PRESETS, "best" are found recipes.

    >>> parse_companions("presets, best, presets")
    ['presets', 'best']

    Raises MeasurementError for any other word.
    """
    parts = words.split(",") if isinstance(words, str) else words
    names = list(dict.fromkeys(filter(None, (part.strip() for part in parts))))
    for name in names:
        if name not in COMPANIONS:
            raise MeasurementError(
                f"{name!r} cannot be added to a ladder; --with takes {' and '.join(COMPANIONS)}"
            )
    return names


def preset_levels() -> list[LevelFormat]:
    """Return the levels of `--with presets`, the largest first."""
    return [LevelFormat(name, PRESET_KIND, name) for name in LADDER_PRESETS]


def largest_step(levels: Sequence[LevelFormat], top1: Sequence[float]) -> int | None:
    """Return the index of the level whose top-1 agreement drops most from the level above it.

    A level is compared with the one above it of the same kind; levels without a kind are above both
    kinds. Returns None for fewer than two levels, or if the agreement never drops.
    """
    drops: dict[int, float] = {}
    last: dict[str, float] = {}
    for index, (level, value) in enumerate(zip(levels, top1, strict=True)):
        above = last.get(level.kind, last.get(""))
        if above is not None:
            drops[index] = above - value
        last[level.kind] = value
    if not drops or max(drops.values()) <= 0:
        return None
    return max(drops, key=lambda index: drops[index])


def save_level(folder: RunFolder, speed: QuickSpeed | None) -> None:
    """Mark a level as measured in full, and keep its speed (None if it has no kernels)."""
    folder.save_table("speed", speed.to_json() if speed else None)


def load_level(folder: RunFolder, chunks: int) -> tuple[MeasureResult, QuickSpeed | None] | None:
    """Return the result and speed of a level that was measured on all `chunks`, else None.

    Raises CheckpointError if the folder is damaged.
    """
    if not folder.results or not (folder.path / "speed.json").exists():
        return None
    result = MeasureResult.from_json(folder.results, folder.path / "run.json", "results")
    if result.chunks != chunks:
        return None
    has_speed = folder.load_table("speed") is not None
    return result, folder.load_record("speed", QuickSpeed) if has_speed else None
