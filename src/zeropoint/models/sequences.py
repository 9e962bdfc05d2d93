"""Compares the beginnings of token sequences and texts."""

from collections.abc import Sequence


def common_prefix_length(one: Sequence[object], other: Sequence[object]) -> int:
    """Return how many items from the start on are equal in both sequences.

    >>> common_prefix_length("abc", "abd"), common_prefix_length([1, 2], [1, 2, 3])
    (2, 2)
    """
    pairs = zip(one, other, strict=False)
    differing = (at for at, (first, second) in enumerate(pairs) if first != second)
    return next(differing, min(len(one), len(other)))
