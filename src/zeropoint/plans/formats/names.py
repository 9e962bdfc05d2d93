"""Names of formats in any case, with similar names in the error for an unknown one."""

import re

from zeropoint.errors import FormatError, RecipeError
from zeropoint.formats import FORMATS, Format, find_format
from zeropoint.formats.names import suggestion
from zeropoint.plans.formats.presets import ALIASES, PRESETS

# What people write for a number of bits, and the presets and formats of files of that size.
_BITS = re.compile(r"(?:u?int|fp|q|w|iq)?[-_ ]?([234568])(?:[-_ ]?bits?)?", re.IGNORECASE)
_FILES_BY_BITS = {
    "2": "Q2_K or IQ2_M", "3": "Q3_K_M or IQ3_M", "4": "Q4_K_M, IQ4_XS or Q4_0",
    "5": "Q5_K_M", "6": "Q6_K", "8": "Q8_0",
}  # fmt: skip
# Storage formats of tables and counts, which hold no weights.
NOT_FOR_WEIGHTS = frozenset({"I8", "I16", "I32", "I64", "F64"})


def target_format(name: str, *, line: int | None = None) -> Format:
    """Return the format of this name, in any case.

    >>> target_format("q8_0").name, target_format("int4_sym_g128").name
    ('Q8_0', 'INT4_SYM_G128')

    Raises RecipeError, with similar names, for an unknown name.
    """
    try:
        format = find_format(name)
    except FormatError:
        raise RecipeError(_advice(name), line=line) from None
    if format.name in NOT_FOR_WEIGHTS:
        raise RecipeError(f"{format.name} is not a format for weights", line=line)
    return format


def _advice(name: str) -> str:
    upper = name.upper()
    if upper in PRESETS or upper in ALIASES:
        return f"{upper} is a preset, not the format of one tensor; give presets as target (--to)"
    known = [known for known in FORMATS if known not in NOT_FOR_WEIGHTS]
    return f"there is no format {name!r}; {suggestion(name, known)}"


def no_target(name: str) -> str:
    """Return the error message for a `--to` that is not a preset, format or recipe."""
    bits = _BITS.fullmatch(name)
    if bits:
        files = _FILES_BY_BITS[bits[1]]
        return f"{name!r} is not a preset or format; for a file of about {bits[1]} bits use {files}"
    formats = [format for format in FORMATS if format not in (*PRESETS, *NOT_FOR_WEIGHTS)]
    close = suggestion(name, [*PRESETS, *ALIASES, *formats])
    return f"{name!r} is not a preset, a format or the path of a .recipe file; {close}"


def fitting(row: int) -> str:
    """Name common formats whose blocks fit into rows of this many weights, for an error.

    >>> fitting(33)
    'F16 fits'
    """
    common = ("Q4_K", "Q6_K", "Q4_0", "Q5_0", "Q8_0", "IQ4_NL")
    names = [name for name in common if name in FORMATS and row % FORMATS[name].block_size == 0]
    return f"{', '.join(names)} fit" if len(names) > 1 else f"{(names or ['F16'])[0]} fits"
