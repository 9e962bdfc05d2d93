"""Values that the shell completes after an option: names of presets, formats and devices.

The shell itself completes paths, wherever these functions return nothing.
"""


def complete_target(incomplete: str) -> list[str]:
    """Return the presets and formats that `--to` accepts and that begin with `incomplete`.

    >>> complete_target("Q4_K_")
    ['Q4_K_M', 'Q4_K_S']
    """
    from zeropoint.plans import PRESETS

    return _matching(incomplete, [*PRESETS, *complete_format("")])


def complete_format(incomplete: str) -> list[str]:
    """Return the formats for weights that begin with `incomplete`.

    >>> complete_format("iq4")
    ['iq4_nl', 'iq4_xs']
    """
    from zeropoint.formats import FORMATS
    from zeropoint.plans.formats.names import NOT_FOR_WEIGHTS

    return _matching(incomplete, [name for name in FORMATS if name not in NOT_FOR_WEIGHTS])


def _matching(incomplete: str, names: list[str]) -> list[str]:
    """Return the names with this start, in lower case if it is typed in lower case."""
    spelled = [name.lower() if incomplete.islower() else name for name in dict.fromkeys(names)]
    return [name for name in spelled if name.startswith(incomplete)]
