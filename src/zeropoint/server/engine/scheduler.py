"""Continuous batching: which texts take part in each pass of the model.

A step decodes one token of every text whose prompt is complete, in one pass, and then processes a
chunk of one waiting prompt. While others decode the chunk is small, so that they do not have to
wait; waiting prompts take turns.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from zeropoint.formats import F32
from zeropoint.models import LanguageModel
from zeropoint.models.speculation import DraftMaker
from zeropoint.server.engine.prefix_caches import FilledCache, PrefixCaches
from zeropoint.server.engine.text import Event, GrowingReply, TextWork

CHUNK_BESIDE_DECODING_TOKENS = 48  # prompt tokens between two decoding steps of other texts,
PAUSE_SECONDS = 0.5  # or as many as take this long
MIN_CHUNK_TOKENS = 8
CHUNK_ALONE_TOKENS = 512  # prompt tokens between two looks at the inbox


@dataclass
class EngineCounts:
    """Totals since the engine started; the names are those of the metrics."""

    prompt_tokens_total: int = 0
    prompt_seconds_total: float = 0.0
    cached_tokens_total: int = 0
    tokens_predicted_total: int = 0
    tokens_predicted_seconds_total: float = 0.0
    n_decode_total: int = 0
    tokens_drafted_total: int = 0
    tokens_accepted_total: int = 0
    busy_slots_total: int = 0
    requests_total: int = 0
    requests_cancelled_total: int = 0


class Scheduler:
    """The slots of an engine, the work that waits for one, and the caches that none uses."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        slots: int,
        capacity: int,
        cache_budget_bytes: int,
        drafts: DraftMaker | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """`drafts` makes what guesses several tokens at a time, for a text that is alone."""
        self.model = model
        self._drafts = drafts
        self.slots: list[GrowingReply | None] = [None] * slots
        self.waiting: deque[TextWork] = deque()
        self.caches = PrefixCaches(lambda: model.cache(capacity), cache_budget_bytes)
        self.counts = EngineCounts()
        self._clock = clock
        self._turn = 0  # of the prompts that wait for their next chunk

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.waiting) or any(self.slots)

    def add(self, work: TextWork) -> None:
        """Queue a piece of work."""
        self.waiting.append(work)
        self.counts.requests_total += 1

    def cancel(self, id: int) -> None:
        """Drop the work `id`, wherever it is; its slot is free at once."""
        kept = deque(work for work in self.waiting if work.id != id)
        self.counts.requests_cancelled_total += len(self.waiting) - len(kept)
        self.waiting = kept
        for slot, reply in enumerate(self.slots):
            if reply and reply.work.id == id:
                self.counts.requests_cancelled_total += 1
                self._release(slot)

    def step(self) -> list[Event]:
        """Run one decoding step and one chunk of a prompt; return what they produced."""
        self._admit()
        events = self._decode()
        self._admit()
        return events + self._process_prompt()

    def _admit(self) -> None:
        for slot, reply in enumerate(self.slots):
            if reply is None and (work := self._next_work()):
                running = [
                    FilledCache(one.processed, one.cache)
                    for one in self.slots
                    if one and one.tokens and one.work.reuse
                ]
                cache, cached = self.caches.take(work.prompt, reuse=work.reuse, running=running)
                # A recurrent layer can return to where the prompt ends.
                cache.keep(len(work.prompt) - 1)
                self.counts.cached_tokens_total += cached
                tokenizer = self.model.tokenizer
                self.slots[slot] = GrowingReply(work, cache, cached, tokenizer)

    def _next_work(self) -> TextWork | None:
        """Take the first work that waits, unless its prompt is being processed in another slot.

        Several answers to one prompt process it once: the others copy the first one's cache.
        """
        reading = [reply.work.prompt for reply in self.slots if reply and not reply.tokens]
        for at, work in enumerate(self.waiting):
            if not (work.reuse and work.prompt in reading):
                del self.waiting[at]
                return work
        return None

    def _decode(self) -> list[Event]:
        active = [(slot, reply) for slot, reply in enumerate(self.slots) if reply and reply.tokens]
        if not active:
            return []
        started = self._clock()
        events: list[Event] = []
        if self._drafts and len(active) == 1:
            events = self._extend_alone(*active[0], self._drafts)
        else:
            for _, reply in active:
                reply.flush()
            starts = [int(reply.cache.lengths[0]) for _, reply in active]
            states = self.model.extend(
                [reply.tokens[-1] for _, reply in active], [reply.cache for _, reply in active]
            )
            for (_, reply), start, state in zip(active, starts, states, strict=True):
                self._observe(reply, start, state[None])
            logits = self.model.head(states)
            for (slot, reply), row in zip(active, logits, strict=True):
                events += self._advance(slot, reply, row)
        self.counts.n_decode_total += 1
        self.counts.busy_slots_total += len(active)
        self.counts.tokens_predicted_seconds_total += self._clock() - started
        return events

    def _extend_alone(self, slot: int, reply: GrowingReply, drafts: DraftMaker) -> list[Event]:
        """Choose tokens at all positions of a guess, as long as they are the guessed ones."""
        passes = reply.passes(self.model, drafts)
        room = reply.cache.capacity - int(reply.cache.lengths[0]) - 2
        most = min(room, reply.work.limit - len(reply.tokens) - 1)
        logits, guess = passes.run(reply.tokens[-1], most)
        before = len(reply.tokens)
        events: list[Event] = []
        accepted = 0
        for row, guessed in zip(logits, [*guess, None], strict=True):
            events += reply.add(row)
            if reply.reason or reply.tokens[-1] != guessed:
                break
            accepted += 1
        passes.accept(accepted)
        self.counts.tokens_drafted_total += len(guess)
        self.counts.tokens_accepted_total += accepted
        self.counts.tokens_predicted_total += len(reply.tokens) - before
        if reply.reason:
            self._release(slot)
        return events

    def _process_prompt(self) -> list[Event]:
        reading = [slot for slot, reply in enumerate(self.slots) if reply and not reply.tokens]
        if not reading:
            return []
        slot = min(reading, key=lambda slot: (slot - self._turn) % len(self.slots))
        self._turn = slot + 1
        reply = self.slots[slot]
        assert reply is not None
        alone = not any(reply.tokens for reply in self.slots if reply)
        size = CHUNK_ALONE_TOKENS if alone else self._chunk_beside_decoding()
        started = self._clock()
        remaining = reply.remaining
        chunk = remaining[:size]
        states = self.model.hidden(chunk, reply.cache)
        self._observe(reply, int(reply.cache.lengths[0]) - len(chunk), states)
        self.counts.prompt_tokens_total += len(chunk)
        if len(chunk) < len(remaining):
            self.counts.prompt_seconds_total += self._clock() - started
            done = len(reply.work.prompt) - len(remaining) + len(chunk)
            return [{"id": reply.work.id, "type": "progress", "done": done}]
        logits = self.model.head(np.ascontiguousarray(states[-1:]))[0]
        self.counts.prompt_seconds_total += self._clock() - started
        reply.begin()
        return self._advance(slot, reply, logits)

    def _chunk_beside_decoding(self) -> int:
        """Return how many prompt tokens other texts wait for, at the average speed so far."""
        counts = self.counts
        if not counts.prompt_seconds_total:
            return CHUNK_BESIDE_DECODING_TOKENS
        tokens = PAUSE_SECONDS * counts.prompt_tokens_total / counts.prompt_seconds_total
        return min(max(int(tokens), MIN_CHUNK_TOKENS), CHUNK_BESIDE_DECODING_TOKENS)

    def _observe(self, reply: GrowingReply, start: int, states: F32) -> None:
        """Show the draft of a text the model's states, which a draft head reads."""
        if self._drafts:
            reply.draft(self._drafts).observe(start, states)

    def _advance(self, slot: int, reply: GrowingReply, logits: np.ndarray) -> list[Event]:
        before = len(reply.tokens)
        events = reply.add(logits)
        self.counts.tokens_predicted_total += len(reply.tokens) - before
        if reply.reason:
            self._release(slot)
        return events

    def _release(self, slot: int) -> None:
        reply = self.slots[slot]
        assert reply is not None
        self.slots[slot] = None
        if reply.work.reuse and reply.reason != "error":
            self.caches.give_back(reply.cache, reply.processed)
