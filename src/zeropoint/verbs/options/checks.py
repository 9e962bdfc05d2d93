"""Checks of options, which hold for callers from Python as for the command line."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, Literal, TypeAlias

from zeropoint.errors import MeasurementError

ALL: Final = "all"
#: A number of chunks or tasks, "all", or None: chosen so that the verb takes about two minutes.
Count: TypeAlias = int | Literal["all"] | None


def check_minimums(options: object, **minimums: float) -> None:
    """Raise MeasurementError for an option below its minimum. None and "all" pass."""
    for name, minimum in minimums.items():
        value = getattr(options, name)
        if value is None or value == ALL:
            continue
        if isinstance(value, str):
            raise MeasurementError(
                f"{option_name(name)} must be a number or {ALL!r}, not {value!r}"
            )
        if not value >= minimum:
            raise MeasurementError(
                f"{option_name(name)} must be at least {minimum:g}, not {value!r}"
            )


def normalize_choice(options: object, name: str, choices: Sequence[str]) -> None:
    """Replace an option by the member of `choices` that it names in any case.

    Raises MeasurementError, with a similar word, for any other word.
    """
    value = str(getattr(options, name))
    if value.lower() not in choices:
        close = get_close_matches(value.lower(), choices, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"choose {' or '.join(choices)}"
        raise MeasurementError(f"{option_name(name)} cannot be {value!r}; {advice}")
    object.__setattr__(options, name, value.lower())


def option_name(name: str) -> str:
    """Return an option as both Python and the command line spell it.

    >>> option_name("floor_chunks"), option_name("mode")
    ('floor_chunks (--floor-chunks)', 'mode (--mode)')
    """
    return f"{name} (--{name.replace('_', '-')})"


MODES = ("exact", "fast")
