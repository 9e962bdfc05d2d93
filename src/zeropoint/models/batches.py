"""Many texts written together: one pass a step for all of them, a sequence of one cache for each.

Which token comes next is the caller's: the best one, a sampled one, or one that is forced. In
`exact` mode a text is the same, bit by bit, whichever others are written beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.cache import Cache
from zeropoint.models.sequences import common_prefix_length

# The index of a text, its step and its logits (vocabulary,) → a token; None ends the text.
Choose = Callable[[int, int, F32], int | None]

PADDING = 256  # tokens by which prompts that are read together may differ in length
TOGETHER = 48  # texts that are written at once, if they have room:
ROOM = 1 << 30  # bytes of keys and values
ALIKE = 16  # tokens in common from which on a beginning is read once


class Batch(Protocol):
    """What is needed of a language model to write several texts at once."""

    @property
    def context_length(self) -> int:
        """Positions that the model was made for."""

    def hidden(self, tokens: NDArray[np.integer], cache: Cache | None = None) -> F32:
        """(sequences, n) tokens that follow the cache's → (sequences, n, width)."""

    def head(self, rows: F32) -> F32:
        """(n, width) → logits (n, vocabulary)."""

    def cache(self, capacity: int, *, sequences: int = 1) -> Cache:
        """Return an empty cache."""


@dataclass(frozen=True)
class Stepped:
    """Every text that is not finished has one more token."""

    tokens: int  # written in this step
    step: int


@dataclass(frozen=True)
class Written:
    """One text is finished. A token that ended it is its last one."""

    index: int
    ids: list[int]
    reason: Literal["stop", "length", "context"]
    states: F32  # (len(ids), width): the final hidden state that each token was chosen from


def in_batches(prompts: Sequence[Sequence[int]], together: int) -> list[list[int]]:
    """Group prompts of about the same length, by index, up to `together` in a group.

    >>> in_batches([[1] * 9, [1], [1] * 8, [1] * 400], 2)
    [[1, 2], [0], [3]]
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(prompts)), key=lambda i: len(prompts[i])):
        group = groups[-1] if groups else []
        fits = 0 < len(group) < together
        if fits and len(prompts[index]) - len(prompts[group[0]]) <= PADDING:
            group.append(index)
        else:
            groups.append([index])
    return groups


def at_once(model: Batch, tokens: int, most: int) -> int:
    """Return how many texts of so many tokens to write at once: `most`, if their caches fit ROOM.

    More at once cost less each, as every weight is read and decoded once for all of them.
    """
    return max(1, min(most, ROOM // model.cache(max(tokens, 1)).most_bytes))


def generate_together(
    model: Batch,
    prompts: Sequence[Sequence[int]],
    choose: Choose,
    *,
    limit: int,
    stops: frozenset[int],
) -> Iterator[Stepped | Written]:
    """Continue all prompts (lengths within PADDING of each other) by up to `limit` tokens each.

    A text ends with a token of `stops`, where `choose` says None, or at the limit or the model's
    context; then its place in the batch is given up. Raises UnsupportedModel for a prompt that is
    empty or does not fit the context.
    """
    longest = max(map(len, prompts), default=0)
    if not all(map(len, prompts)):
        raise UnsupportedModel("there is no token to continue: the prompt is empty")
    if longest > model.context_length:
        raise UnsupportedModel(
            f"a prompt has {longest} tokens, the context room for {model.context_length}"
        )
    states, cache = read_together(model, prompts, [1] * len(prompts), room=limit)
    state = np.concatenate(states)
    texts = [_Text(index) for index in range(len(prompts))]  # text i is sequence i of the cache
    for step in range(limit):
        logits = model.head(state)
        for text, row, said in zip(texts, state, logits, strict=True):
            text.add(choose(text.index, step, said), row, stops)
        yield Stepped(sum(text.reason != "stop" for text in texts), step)
        full = step + 1 == limit
        for place, text in enumerate(texts):
            if not text.reason and (full or cache.lengths[place] >= cache.capacity):
                text.reason = "length" if full else "context"
        yield from (text.written(state.shape[1]) for text in texts if text.reason)
        texts = _close_ranks(texts, cache)
        if not texts:
            return
        last = np.array([[text.ids[-1]] for text in texts])
        state = model.hidden(last, cache)[:, -1]


class _Text:
    """A text that is being written."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.ids: list[int] = []
        self.states: list[F32] = []
        self.reason: Literal["", "stop", "length", "context"] = ""

    def add(self, token: int | None, state: F32, stops: frozenset[int]) -> None:
        if token is not None:
            self.ids.append(token)
            self.states.append(state.copy())
        if token is None or token in stops:
            self.reason = "stop"

    def written(self, width: int) -> Written:
        states = np.stack(self.states) if self.states else np.zeros((0, width), np.float32)
        assert self.reason
        return Written(self.index, self.ids, self.reason, states)


def read_together(
    model: Batch, texts: Sequence[Sequence[int]], last: Sequence[int], *, room: int = 0
) -> tuple[list[F32], Cache]:
    """Read all texts; return the states (last[i], width) after the last tokens of text i.

    The cache holds the texts and has room for so many more tokens of each. What several begin with
    is read once and copied; the rest at once, short ones padded.
    """
    longest = max(map(len, texts))
    shared = _in_common(texts, last)
    if max(shared) + _widest(texts, shared) > model.context_length:
        shared = [min(shared)] * len(texts)
    width = _widest(texts, shared)
    capacity = max(min(longest + room, model.context_length), max(shared) + width)
    cache = model.cache(capacity, sequences=len(texts))
    _read_beginnings(model, texts, shared, cache)
    tokens = np.zeros((len(texts), width), np.int64)
    for row, text, begun in zip(tokens, texts, shared, strict=True):
        row[: len(text) - begun] = text[begun:]
    states = model.hidden(tokens, cache)
    for place, text in enumerate(texts):
        cache.truncate(len(text), place)  # what follows a text never reached its states
    ends = (len(text) - begun for text, begun in zip(texts, shared, strict=True))
    return [row[e - n : e] for row, e, n in zip(states, ends, last, strict=True)], cache


def _in_common(texts: Sequence[Sequence[int]], last: Sequence[int]) -> list[int]:
    """Return for each text how many of its first tokens are those of all that begin like it.

    Those whose states are wanted are not among them.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, text in enumerate(texts):
        alike.setdefault(tuple(text[:ALIKE]), []).append(place)
    shared = [0] * len(texts)
    for places in alike.values():
        if len(places) == 1:
            continue
        first = texts[places[0]]
        common = min(len(texts[place]) - last[place] for place in places)
        for place in places:
            common = common_prefix_length(texts[place][:common], first[:common])
        for place in places:
            shared[place] = common
    return shared


def _widest(texts: Sequence[Sequence[int]], shared: Sequence[int]) -> int:
    return max(len(text) - begun for text, begun in zip(texts, shared, strict=True))


def _read_beginnings(
    model: Batch, texts: Sequence[Sequence[int]], shared: Sequence[int], cache: Cache
) -> None:
    """Read each beginning in place 0, whose own comes last, and copy it to all that have it."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place in reversed(range(len(texts))):
        begun = tuple(texts[place][: shared[place]])
        if begun:
            places.setdefault(begun, []).append(place)
    for begun in sorted(places, key=lambda begun: 0 in places[begun]):
        cache.truncate(0, 0)
        model.hidden(np.array([begun]), cache)
        for place in places[begun]:
            if place:
                cache.copy(0, place)
    if not shared[0]:
        cache.truncate(0, 0)


def _close_ranks(texts: list[_Text], cache: Cache) -> list[_Text]:
    """Drop the finished texts; the last ones take their places in the cache."""
    texts = list(texts)
    place = 0
    while place < len(texts):
        if not texts[place].reason:
            place += 1
            continue
        last = len(texts) - 1
        if place < last:
            cache.copy(last, place)
            texts[place] = texts[last]
        texts.pop()
    return texts
