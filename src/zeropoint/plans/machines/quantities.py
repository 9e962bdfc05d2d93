"""Sizes and counts as people type and read them: `1.5GiB`, `900MB`, `16k`."""

import re
from decimal import Decimal

from zeropoint.errors import RecipeError

UNITS = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
MULTIPLES = {"": 1, "K": 2**10, "M": 2**20}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_size(text: str) -> int:
    """Read a number of bytes: a plain number, or one with kB MB GB TB, KiB MiB GiB TiB.

    Fractions are cut down to whole bytes, so that a budget is never read as more than it says.

    >>> parse_size("1.5GiB"), parse_size("900MB"), parse_size("4096")
    (1610612736, 900000000, 4096)

    Raises RecipeError for anything else; a bare `G` too, which might be either unit.
    """
    found = _QUANTITY.fullmatch(text)
    if found and found[2].upper() in UNITS:
        return int(Decimal(found[1]) * UNITS[found[2].upper()])
    if found and found[2].upper() + "B" in UNITS:
        letter = found[2].upper()
        raise RecipeError(f"{text!r} may mean two sizes: write {found[1]}{letter}B or "
                          f"{found[1]}{letter}iB")  # fmt: skip
    raise RecipeError(f"{text!r} is no size; write 1.5GiB, 900MB or a number of bytes")


def parse_count(text: str) -> int:
    """Read a number of tokens: a plain number, or one with k (1,024) or M (1,048,576).

    >>> parse_count("16k"), parse_count("512")
    (16384, 512)

    Raises RecipeError for anything else, also for what is no whole number of tokens.
    """
    found = _QUANTITY.fullmatch(text)
    if found and found[2].upper() in MULTIPLES:
        count = Decimal(found[1]) * MULTIPLES[found[2].upper()]
        if count == int(count):
            return int(count)
    raise RecipeError(f"{text!r} is no number of tokens; write 512 or 16k")


def format_size(count: int) -> str:
    """Write a number of bytes for a screen.

    >>> format_size(0), format_size(1023), format_size(1536), format_size(241_000_000)
    ('0 B', '1023 B', '1.5 KiB', '229.8 MiB')
    """
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}" if unit != "GiB" else f"{size:.2f} GiB"
    return f"{size / 1024:.2f} TiB"
