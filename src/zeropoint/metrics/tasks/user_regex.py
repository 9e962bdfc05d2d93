"""Searches a user's regular expressions in a child process, with a time limit."""

import re
import sys
import warnings
from functools import lru_cache

from zeropoint.child import NoAnswerError, ask

TIMEOUT_SECONDS = 5.0  # of one search

_CHILD = """
import json, re, sys
pattern, text = json.load(sys.stdin)
matches = [match.group(match.re.groups and 1) for match in re.finditer(pattern, text)]
print(json.dumps([len(matches), matches[-1] if matches else None]))
"""


class RegexTimeout(Exception):
    """A search took too long, or too much memory."""


def check_pattern(pattern: object) -> None:
    """Raise ValueError if this is not a regular expression, or an empty one."""
    if pattern == "":
        raise ValueError("it is empty, so it matches every text")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # syntax that a later Python reads differently
            re.compile(pattern)  # type: ignore[call-overload]
    except (re.error, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("its groups are nested too deeply") from None


@lru_cache(maxsize=4096)
def find_all(pattern: str, text: str) -> tuple[int, str | None]:
    """Return the number of matches in a text, and the last match: its first group, if it has one.

    Raises RegexTimeout after `TIMEOUT_SECONDS`.

    >>> find_all(r"x = (\\d+)", "x = 5; x = 6")
    (2, '6')
    """
    command = [sys.executable, "-I", "-W", "ignore", "-c", _CHILD]
    try:
        count, last = ask(command, [pattern, text], timeout_seconds=TIMEOUT_SECONDS)
    except NoAnswerError:  # too slow, or out of memory
        raise RegexTimeout from None
    return int(count), last
