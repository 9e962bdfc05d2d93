"""Generates several texts together: one forward pass per step for all, one cache sequence each.

The caller chooses each next token: the most likely one, a sampled one, or a forced one. In `exact`
mode a text is identical bit for bit, whatever other texts are in the batch.
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

# Returns a token for a text's index, the step and its logits (vocabulary,) float32. None ends it.
Choose = Callable[[int, int, F32], int | None]

MAX_PADDING_TOKENS = 256  # difference in length of prompts that are processed together
MAX_BATCH_SEQUENCES = 48
CACHE_BUDGET_BYTES = 1 << 30  # keys and values of all texts of a batch
MIN_SHARED_PREFIX_TOKENS = 16  # a prefix of this length that prompts share is processed once


class Batch(Protocol):
    """The part of a language model that batches need."""

    @property
    def context_length(self) -> int:
        """Positions that the model was trained for."""

    def hidden(self, tokens: NDArray[np.integer], cache: Cache | None = None) -> F32:
        """Return hidden states (sequences, n, width) of (sequences, n) tokens after the cache's."""

    def head(self, rows: F32) -> F32:
        """Return logits (n, vocabulary) of hidden states (n, width)."""

    def cache(self, capacity: int, *, sequences: int = 1) -> Cache:
        """Return an empty cache."""


@dataclass(frozen=True)
class BatchStep:
    """Every unfinished text has one more token."""

    tokens: int  # generated in this step
    step: int


@dataclass(frozen=True)
class CompletedText:
    """A finished text. If a stop token ended it, that token is the last one."""

    index: int
    ids: list[int]
    reason: Literal["stop", "length", "context"]
    states: F32  # (len(ids), width): the final hidden state that each token was chosen from


def in_batches(prompts: Sequence[Sequence[int]], together: int) -> list[list[int]]:
    """Return groups of up to `together` prompts of similar length, each as a list of indices.

    >>> in_batches([[1] * 9, [1], [1] * 8, [1] * 400], 2)
    [[1, 2], [0], [3]]
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(prompts)), key=lambda i: len(prompts[i])):
        group = groups[-1] if groups else []
        fits = 0 < len(group) < together
        if fits and len(prompts[index]) - len(prompts[group[0]]) <= MAX_PADDING_TOKENS:
            group.append(index)
        else:
            groups.append([index])
    return groups


def fitting_batch_size(model: Batch, tokens: int, maximum: int) -> int:
    """Return how many texts of `tokens` tokens to generate together, at most `maximum`.

    Their caches must fit into CACHE_BUDGET_BYTES. A larger batch costs less per text, because every
    weight is read and decoded once for all of them.
    """
    return max(1, min(maximum, CACHE_BUDGET_BYTES // model.cache(max(tokens, 1)).max_bytes))


def generate_batch(
    model: Batch,
    prompts: Sequence[Sequence[int]],
    choose: Choose,
    *,
    limit: int,
    stops: frozenset[int],
) -> Iterator[BatchStep | CompletedText]:
    """Continue all prompts by up to `limit` tokens each; yield each text when it is finished.

    The prompts' lengths may differ by MAX_PADDING_TOKENS. A text ends with a token of `stops`, when
    `choose` returns None, or at the limit or the model's context; then it leaves the batch. Raises
    UnsupportedModel for a prompt that is empty or does not fit the context.
    """
    longest = max(map(len, prompts), default=0)
    if not all(map(len, prompts)):
        raise UnsupportedModel(
            "the prompt is empty; generation needs at least one token to continue"
        )
    if longest > model.context_length:
        raise UnsupportedModel(
            f"a prompt has {longest} tokens, but the context has room for {model.context_length}"
        )
    states, cache = read_batch(model, prompts, [1] * len(prompts), room=limit)
    state = np.concatenate(states)
    texts = [_GrowingText(index) for index in range(len(prompts))]
    for step in range(limit):
        logits = model.head(state)
        for text, row, row_logits in zip(texts, state, logits, strict=True):
            text.add(choose(text.index, step, row_logits), row, stops)
        yield BatchStep(sum(text.reason != "stop" for text in texts), step)
        full = step + 1 == limit
        for place, text in enumerate(texts):
            if not text.reason and (full or cache.lengths[place] >= cache.capacity):
                text.reason = "length" if full else "context"
        yield from (text.written(state.shape[1]) for text in texts if text.reason)
        texts = _drop_finished(texts, cache)
        if not texts:
            return
        last = np.array([[text.ids[-1]] for text in texts])
        state = model.hidden(last, cache)[:, -1]


class _GrowingText:
    """A text that is being generated."""

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

    def written(self, width: int) -> CompletedText:
        states = np.stack(self.states) if self.states else np.zeros((0, width), np.float32)
        assert self.reason
        return CompletedText(self.index, self.ids, self.reason, states)


def read_batch(
    model: Batch, texts: Sequence[Sequence[int]], last: Sequence[int], *, room: int = 0
) -> tuple[list[F32], Cache]:
    """Process all texts; return the states (last[i], width) of the last tokens, and the cache.

    The cache holds the texts and has room for `room` more tokens of each. A prefix that several
    texts share is processed once and copied; the rest is processed together, shorter ones padded.
    """
    longest = max(map(len, texts))
    shared = _shared_prefixes(texts, last)
    if max(shared) + _max_remaining(texts, shared) > model.context_length:
        shared = [min(shared)] * len(texts)
    width = _max_remaining(texts, shared)
    capacity = max(min(longest + room, model.context_length), max(shared) + width)
    cache = model.cache(capacity, sequences=len(texts))
    _process_prefixes(model, texts, shared, cache)
    tokens = np.zeros((len(texts), width), np.int64)
    for place, (row, text, prefix) in enumerate(zip(tokens, texts, shared, strict=True)):
        row[: len(text) - prefix] = text[prefix:]
        cache.keep(len(text), place)
    states = model.hidden(tokens, cache)
    for place, text in enumerate(texts):
        cache.truncate(len(text), place)  # padding never affected the text's own states
    ends = (len(text) - prefix for text, prefix in zip(texts, shared, strict=True))
    return [row[e - n : e] for row, e, n in zip(states, ends, last, strict=True)], cache


def _shared_prefixes(texts: Sequence[Sequence[int]], last: Sequence[int]) -> list[int]:
    """Return for each text the length in tokens of the prefix that it shares with others.

    Tokens whose states are wanted do not count.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, text in enumerate(texts):
        alike.setdefault(tuple(text[:MIN_SHARED_PREFIX_TOKENS]), []).append(place)
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


def _max_remaining(texts: Sequence[Sequence[int]], shared: Sequence[int]) -> int:
    return max(len(text) - prefix for text, prefix in zip(texts, shared, strict=True))


def _process_prefixes(
    model: Batch, texts: Sequence[Sequence[int]], shared: Sequence[int], cache: Cache
) -> None:
    """Process each shared prefix in sequence 0 and copy it to all texts that have it.

    The prefix of sequence 0 itself comes last, so that it stays there.
    """
    places: dict[tuple[int, ...], list[int]] = {}
    for place in reversed(range(len(texts))):
        prefix = tuple(texts[place][: shared[place]])
        if prefix:
            places.setdefault(prefix, []).append(place)
    for prefix in sorted(places, key=lambda prefix: 0 in places[prefix]):
        cache.truncate(0, 0)
        model.hidden(np.array([prefix]), cache)
        for place in places[prefix]:
            if place:
                cache.copy(0, place)
    if not shared[0]:
        cache.truncate(0, 0)


def _drop_finished(texts: list[_GrowingText], cache: Cache) -> list[_GrowingText]:
    """Remove finished texts; the last texts move to their sequences in the cache."""
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
