"""Two texts that began the same: where they part and meet again, what they answer, their loops."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from zeropoint.metrics.generation.divergence_point import first_difference
from zeropoint.metrics.tasks.user_regex import RegexTimeout, find_all

MEETING = 8  # tokens in a row that count as having met again
GRAM = 4  # tokens of a phrase that counts as repeated
ROUNDS = 3  # of the same tokens at the end of a text that count as a loop

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def rejoins(one: Sequence[int], other: Sequence[int]) -> tuple[int, int] | None:
    """Return where two sequences that parted go on with the same MEETING tokens; None if never.

    >>> rejoins([1, 2, 3, *range(10, 20)], [1, 9, *range(10, 20)])
    (3, 2)
    """
    split = first_difference(one, other)
    if split is None:
        return None
    matcher = SequenceMatcher(None, list(one[split:]), list(other[split:]), autojunk=False)
    for block in matcher.get_matching_blocks():
        if block.size >= MEETING:
            return split + block.a, split + block.b
    return None


def answer_of(text: str, pattern: str | None = None) -> str | None:
    """Return what a text answers: the pattern's (first group's) last match, else its last number.

    A text without a number answers with its last line, spaces and case aside; an empty one nothing,
    nor one that the pattern is not in, or never ends in.

    >>> answer_of("17 + 4 = 21, so 21."), answer_of("It is\\n\\n Paris. "), answer_of(" ")
    ('21', 'paris.', None)
    >>> answer_of("x = 5; y = 6", r"x = (\\d+)")
    '5'
    """
    if pattern is not None:
        try:
            return find_all(pattern, text)[1]
        except RegexTimeout:
            return None
    numbers = _NUMBER.findall(text)
    if numbers:
        return str(numbers[-1]).replace(",", "")
    lines = text.split("\n")
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), None)
    return None if last is None else last.casefold()


def repetition(ids: Sequence[int]) -> float:
    """Return the share of phrases of GRAM tokens that the text had before.

    >>> repetition([1, 2, 3, 4, 5]), repetition([1, 2] * 4)
    (0.0, 0.6)
    """
    phrases = Counter(tuple(ids[at : at + GRAM]) for at in range(len(ids) - GRAM + 1))
    total = sum(phrases.values())
    return (total - len(phrases)) / total if total else 0.0


def loops(ids: Sequence[int]) -> bool:
    """Tell whether the text ends in the same tokens ROUNDS times over, at least 2 · MEETING tokens.

    >>> loops([5, 6] * 8), loops(list(range(16))), loops([7, 7, 7])
    (True, False, False)
    """
    least = 2 * MEETING
    for period in range(1, len(ids) // ROUNDS + 1):
        count = max(least, ROUNDS * period)
        if count <= len(ids) and all(
            ids[-place] == ids[-place - period] for place in range(1, count - period + 1)
        ):
            return True
    return False


def same_answer(one: str | None, other: str | None) -> bool:
    """Tell whether two texts answer the same; what is no answer is not the same as another."""
    return one is not None and one == other
