"""Reads sizes and counts as users type them: `1.5GiB`, `900MB`, `16k`."""

import re
from decimal import Decimal

from zeropoint.errors import RecipeError

BYTES_OF_UNIT = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
TOKENS_OF_UNIT = {"": 1, "K": 2**10, "M": 2**20}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_size(text: str) -> int:
    """Return a number of bytes from a number, or one with kB MB GB TB or KiB MiB GiB TiB.

    Fractions are rounded down to whole bytes, so that a budget is never exceeded.

    >>> parse_size("1.5GiB"), parse_size("900MB"), parse_size("4096")
    (1610612736, 900000000, 4096)

    Raises RecipeError for any other text, also for `G` alone, which may be either unit.
    """
    match = _QUANTITY.fullmatch(text)
    if match and match[2].upper() in BYTES_OF_UNIT:
        return int(Decimal(match[1]) * BYTES_OF_UNIT[match[2].upper()])
    if match and match[2].upper() + "B" in BYTES_OF_UNIT:
        letter = match[2].upper()
        raise RecipeError(f"{text!r} is ambiguous: write {match[1]}{letter}B or "
                          f"{match[1]}{letter}iB")  # fmt: skip
    raise RecipeError(f"{text!r} is not a size; write 1.5GiB, 900MB or a number of bytes")


def parse_count(text: str) -> int:
    """Return a number of tokens from a number, or one with k (1,024) or M (1,048,576).

    >>> parse_count("16k"), parse_count("512")
    (16384, 512)

    Raises RecipeError for any other text, also for a fraction of a token.
    """
    match = _QUANTITY.fullmatch(text)
    if match and match[2].upper() in TOKENS_OF_UNIT:
        count = Decimal(match[1]) * TOKENS_OF_UNIT[match[2].upper()]
        if count == int(count):
            return int(count)
    raise RecipeError(f"{text!r} is not a number of tokens; write 512 or 16k")
