"""Merges the characters of a piece of text into tokens, best pair first.

Byte-pair vocabularies rank the pairs that were merged in training: the lowest rank is merged first.
SentencePiece vocabularies score the tokens: the pair whose union has the highest score is merged
first. Some vocabularies of such pieces rank the pairs instead, and merge within lines. Of equals
the leftmost is merged. These are the algorithms of llama.cpp (2026-10), which define a file's token
ids. The `tokenizers` library differs for equal scores and for characters that are not tokens
themselves.
"""

from collections.abc import Callable
from heapq import heappop, heappush

Priority = Callable[
    [str, str], float | None
]  # of merging two neighbours; the lowest is merged first

# Values of tokenizer.ggml.model; llama.cpp calls the kinds after the first models that had them.
BYTE_PAIRS, SENTENCEPIECE, RANKED_PIECES = "gpt2", "llama", "gemma4"


def merge(symbols: list[str], priority: Priority) -> list[str]:
    """Merge neighbouring symbols until no pair has a priority. `symbols` is modified.

    >>> ranks = {("a", "b"): 1, ("b", "c"): 0}
    >>> merge(list("abc"), lambda left, right: ranks.get((left, right)))
    ['a', 'bc']
    """
    count = len(symbols)
    following = list(range(1, count + 1))
    previous = list(range(-1, count - 1))
    queue: list[tuple[float, int, str, str]] = []

    def offer(left: int, right: int) -> None:
        value = priority(symbols[left], symbols[right])
        if value is not None:
            heappush(queue, (value, left, symbols[left], symbols[right]))

    for index in range(count - 1):
        offer(index, index + 1)
    while queue:
        _, left, left_text, right_text = heappop(queue)
        right = following[left]
        if right >= count or symbols[left] != left_text or symbols[right] != right_text:
            continue  # one of the two has been merged with another symbol since
        symbols[left] = left_text + right_text
        symbols[right] = ""
        following[left] = following[right]
        if following[left] < count:
            previous[following[left]] = left
            offer(left, following[left])
        if previous[left] >= 0:
            offer(previous[left], left)
    return [text for text in symbols if text]
