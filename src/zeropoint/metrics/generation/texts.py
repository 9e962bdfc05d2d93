"""Properties of two texts with the same prompt: common parts, answers, repetition and loops."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from zeropoint.metrics.generation.divergence_point import first_difference
from zeropoint.metrics.tasks.user_regex import RegexTimeout, find_all

MIN_COMMON_TOKENS = 8  # identical tokens in a row that count as a common continuation
PHRASE_TOKENS = 4  # of a phrase that counts as repeated
MIN_LOOP_ROUNDS = 3  # repetitions of the same tokens at the end of a text that count as a loop

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def common_continuation(one: Sequence[int], other: Sequence[int]) -> tuple[int, int] | None:
    """Return where two diverged texts of token ids continue with the same MIN_COMMON_TOKENS tokens.

    The result has the index in each text, or is None if they never do.

    >>> common_continuation([1, 2, 3, *range(10, 20)], [1, 9, *range(10, 20)])
    (3, 2)
    """
    split = first_difference(one, other)
    if split is None:
        return None
    matcher = SequenceMatcher(None, list(one[split:]), list(other[split:]), autojunk=False)
    for block in matcher.get_matching_blocks():
        if block.size >= MIN_COMMON_TOKENS:
            return split + block.a, split + block.b
    return None


def answer_of(text: str, pattern: str | None = None) -> str | None:
    """Return the answer in a text: the last match of `pattern`, or without one the last number.

    For a pattern with groups, it is the first group. A text without a number answers with its last
    line, without case and repeated spaces. The result is None for an empty text, and for a pattern
    that does not match or whose search times out.

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
    """Return the share of phrases of PHRASE_TOKENS tokens that occur earlier in the text, 0 to 1.

    >>> repetition([1, 2, 3, 4, 5]), repetition([1, 2] * 4)
    (0.0, 0.6)
    """
    phrases = Counter(
        tuple(ids[at : at + PHRASE_TOKENS]) for at in range(len(ids) - PHRASE_TOKENS + 1)
    )
    total = sum(phrases.values())
    return (total - len(phrases)) / total if total else 0.0


def ends_in_loop(ids: Sequence[int]) -> bool:
    """Return whether a text ends in the same tokens MIN_LOOP_ROUNDS times.

    The repeated part must have at least 2 · MIN_COMMON_TOKENS tokens.

    >>> ends_in_loop([5, 6] * 8), ends_in_loop(list(range(16))), ends_in_loop([7, 7, 7])
    (True, False, False)
    """
    min_tokens = 2 * MIN_COMMON_TOKENS
    for period in range(1, len(ids) // MIN_LOOP_ROUNDS + 1):
        count = max(min_tokens, MIN_LOOP_ROUNDS * period)
        if count <= len(ids) and all(
            ids[-place] == ids[-place - period] for place in range(1, count - period + 1)
        ):
            return True
    return False


def same_answer(one: str | None, other: str | None) -> bool:
    """Return whether two texts have the same answer; two texts without an answer do not."""
    return one is not None and one == other
