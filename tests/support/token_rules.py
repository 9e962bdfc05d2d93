"""Language models without weights that can be walked: the next token is a rule of the last one.

A rule is (token before, its position, seed) → logits. Texts and errors are known, so drift is too.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Rule = Callable[[int, int], NDArray[np.float32]]


class Places:
    """A cache that holds nothing but lengths."""

    max_bytes = 8

    def __init__(self, capacity: int, sequences: int) -> None:
        self.capacity = capacity
        self.lengths = np.zeros(sequences, np.int64)

    def truncate(self, length: int, sequence: int = 0) -> None:
        self.lengths[sequence] = length

    def keep(self, position: int, sequence: int = 0) -> None:
        """Do nothing: every position can be returned to."""

    def copy(self, source: int, target: int) -> None:
        self.lengths[target] = self.lengths[source]


class Walker:
    """States are (token, position); the head turns them into logits by the rule."""

    threads = 1
    context_length = 4096

    def __init__(self, rule: Rule, vocab: int) -> None:
        self.rule = rule
        self.vocab_size = vocab

    def cache(self, capacity: int, *, sequences: int = 1) -> Places:
        return Places(capacity, sequences)

    def hidden(
        self, tokens: NDArray[np.integer], cache: Places | None = None
    ) -> NDArray[np.float32]:
        batch, count = tokens.shape
        starts = np.zeros(batch, np.int64) if cache is None else cache.lengths[:batch].copy()
        if cache is not None:
            cache.lengths[:batch] += count
        positions = starts[:, None] + np.arange(count)
        return np.stack([tokens, positions], axis=-1).astype(np.float32)

    def head(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([self.rule(int(token), int(place)) for token, place in rows])


def slipping(rate: float, vocab: int = 64, seed: int = 0) -> Rule:
    """Follows one path, and takes another token at a share `rate` of all (token, position)."""

    def rule(token: int, place: int) -> NDArray[np.float32]:
        right = (token * 5 + place * 7 + 3) % vocab
        slips = np.random.default_rng((seed, token, place)).random() < rate
        logits = np.zeros(vocab, np.float32)
        logits[(right + 1) % vocab if slips else right] = 9.0
        return logits

    return rule


def two_rooms(enter: float, stay: float, side: int = 8) -> Rule:
    """Tokens below `side` are the good room. The text moves from it to the bad room
    with probability `enter`, and stays there with probability `stay`. Within a room all tokens are
    equally likely."""

    rooms = [
        np.log(np.repeat([1 - bad, bad], side) / side).astype(np.float32) for bad in (enter, stay)
    ]
    return lambda token, place: rooms[token >= side]
