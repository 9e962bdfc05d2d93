"""Regular expressions of a user: searched in a process that is ended where they never end."""

import json
import re
import subprocess
import sys
import warnings
from functools import lru_cache

SECONDS = 5.0  # for one search

_CHILD = """
import json, re, sys
pattern, text = json.load(sys.stdin)
found = [match.group(match.re.groups and 1) for match in re.finditer(pattern, text)]
print(json.dumps([len(found), found[-1] if found else None]))
"""


class NeverEnds(Exception):
    """A search that was ended."""


def check_pattern(pattern: object) -> None:
    """Raise ValueError with what is wrong if this is no regular expression, or an empty one."""
    if pattern == "":
        raise ValueError("it is empty, so it is in every text")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python will read differently
            re.compile(pattern)  # type: ignore[call-overload]
    except (re.error, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("too many brackets in each other") from None


@lru_cache(maxsize=4096)
def find_all(pattern: str, text: str) -> tuple[int, str | None]:
    """Return how often a pattern is in a text, and its last match (of its first group, if it has).

    Raises NeverEnds after `SECONDS`.

    >>> find_all(r"x = (\\d+)", "x = 5; x = 6")
    (2, '6')
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", "-c", _CHILD],
            input=json.dumps([pattern, text]).encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        count, last = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):  # no answer: its memory was not enough
        raise NeverEnds from None
    return int(count), last
