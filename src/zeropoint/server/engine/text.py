"""One text that is being generated: its prompt, its tokens, and what may be shown of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models import Cache, LanguageModel, Tokenizer, choose
from zeropoint.models.guessed_passes import GuessedPasses
from zeropoint.models.speculation import DraftMaker, TokenDraft
from zeropoint.server.engine.stop_strings import StopStrings
from zeropoint.server.engine.token_choice import ChoiceRules, log_probabilities

Event = dict[str, Any]


class TokenMask(Protocol):
    """A grammar that says which tokens may come next."""

    def allowed(self) -> NDArray[np.bool_]:
        """Return (vocabulary,) booleans. Raises UnsupportedModel if the grammar has failed."""

    def accept(self, token: int) -> None:
        """Advance by a token."""

    @property
    def complete(self) -> bool:
        """Whether nothing may follow."""


@dataclass(frozen=True, kw_only=True)
class TextWork:
    """A prompt and how it is to be continued."""

    id: int
    prompt: list[int]
    limit: int  # tokens to generate
    rules: ChoiceRules = field(default_factory=ChoiceRules)
    stops: Sequence[str] = ()
    stop_ids: frozenset[int] = frozenset()
    top: int | None = None  # most likely tokens to report with each token; None: no report
    special: bool = False  # show control tokens
    reuse: bool = True  # continue a cache, and keep the cache
    milliseconds: int | None = None  # of generation, after which the text ends; None: no limit
    mask: TokenMask | None = None


class GrowingReply:
    """The state of one piece of work in a slot."""

    def __init__(self, work: TextWork, cache: Cache, cached: int, tokenizer: Tokenizer) -> None:
        self.work = work
        self.cache = cache
        self.cached = cached
        self.tokens: list[int] = []
        self.reason = ""  # why it ended; empty while it grows
        self._passes: GuessedPasses | None = None
        self._draft: TokenDraft | None = None
        self._tokenizer = tokenizer
        self._counts: Counter[int] = Counter()
        self._stream = tokenizer.stream(special=work.special)
        self._stops = StopStrings(work.stops)
        self._shown_bytes = 0
        self._read_bytes = 0
        self._entries: list[tuple[int, dict[str, Any]]] = []  # first byte, report of the token
        self._started = perf_counter()
        self._read_at = self._started

    @property
    def remaining(self) -> list[int]:
        """The tokens of the prompt that have not been processed."""
        return self.work.prompt[int(self.cache.lengths[0]) :] if not self.tokens else []

    @property
    def processed(self) -> list[int]:
        """The tokens whose states the cache holds."""
        return [*self.work.prompt, *self.tokens][: int(self.cache.lengths[0])]

    def draft(self, make: DraftMaker) -> TokenDraft:
        """Return what guesses the next tokens; it knows the prompt and what was generated since."""
        if self._draft is None:
            sampling = self.work.rules.sampling
            self._draft = make(self.work.prompt, sampling, self.cache.capacity)
        known = len(self._draft) - len(self.work.prompt)
        self._draft.extend(self.tokens[known:])
        return self._draft

    def passes(self, model: LanguageModel, make: DraftMaker) -> GuessedPasses:
        """Return the passes over the text and what its draft guesses."""
        draft = self.draft(make)
        if self._passes is None:
            self._passes = GuessedPasses(model, self.cache, draft)
        return self._passes

    def flush(self) -> None:
        """Bring the cache up to the last token but one, for passes without a guess."""
        if self._passes:
            self._passes.flush()

    def begin(self) -> None:
        """Note that the prompt has been processed."""
        self._read_at = perf_counter()

    def add(self, logits: F32) -> list[Event]:
        """Choose the next token from (vocabulary,) logits; return what there is to report."""
        work = self.work
        if not np.isfinite(logits.max()):
            return self._fail(
                "the model's logits are not finite: its weights or its metadata are damaged"
            )
        if len(self.tokens) >= work.limit:
            return self._end("limit")
        try:
            mask = work.mask.allowed() if work.mask else None
        except UnsupportedModel as error:
            return self._fail(f"the grammar cannot be continued: {error}")
        if mask is not None and not mask.any():
            return self._end("stop")
        window = work.rules.sampling.repeat_window
        recent = [*work.prompt[-window:], *self.tokens][-window:]
        changed = work.rules.change(logits, self._counts, mask)
        token = choose(changed, work.rules.sampling, len(self.tokens), recent)
        return self._end("stop") if token in work.stop_ids else self._append(token, logits)

    def _append(self, token: int, logits: F32) -> list[Event]:
        """Add a token to the text, and end it where it has to end."""
        work = self.work
        self.tokens.append(token)
        self._counts[token] += 1
        if work.mask:
            work.mask.accept(token)
        if work.top is not None:
            report = log_probabilities(logits, token, work.top, self._tokenizer)
            self._entries.append((self._read_bytes, report))
        self._read_bytes += len(self._tokenizer.piece(token, special=work.special))
        text, stop = self._stops.push(self._stream.push(token))
        events = self._show(text)
        if stop is not None:
            return [*events, *self._end("word", stop)]
        if work.mask and work.mask.complete:
            return [*events, *self._end("stop")]
        if len(self.tokens) >= work.limit or self._is_late():
            return [*events, *self._end("limit")]
        if int(self.cache.lengths[0]) >= self.cache.capacity:
            return [*events, *self._end("context")]
        return events

    def _fail(self, message: str) -> list[Event]:
        self.reason = "error"
        return [failure(self.work.id, 500, "server_error", message)]

    def _is_late(self) -> bool:
        limit = self.work.milliseconds
        return bool(limit) and 1000 * (perf_counter() - self._read_at) >= (limit or 0)

    def _show(self, text: str, *, last: bool = False) -> list[Event]:
        self._shown_bytes += len(text.encode())
        ready = [one for at, one in self._entries if last or at < self._shown_bytes]
        self._entries = self._entries[len(ready) :]
        if not text and not ready:
            return []
        event: Event = {"id": self.work.id, "type": "text", "text": text}
        if self.work.top is not None:
            event["tokens"] = ready
        return [event]

    def _end(self, reason: str, stop: str = "") -> list[Event]:
        """Finish. Tokens that only wrote a stop string are not reported."""
        self.reason = reason
        events: list[Event] = []
        if reason != "word":
            text, _ = self._stops.push(self._stream.finish())
            events = self._show(text + self._stops.finish(), last=True)
        now = perf_counter()
        return [
            *events,
            {
                "id": self.work.id,
                "type": "end",
                "reason": reason,
                "stop": stop,
                "prompt_tokens": len(self.work.prompt),
                "cached_tokens": self.cached,
                "tokens": len(self.tokens),
                "ids": self.tokens,
                "prompt_ms": 1000 * (self._read_at - self._started),
                "predicted_ms": 1000 * (now - self._read_at),
            },
        ]


def failure(id: int, status: int, type: str, message: str, **more: Any) -> Event:
    """Return the event of a request that failed, with the status and type of its answer."""
    return {"id": id, "type": "error", "status": status, "kind": type, "message": message, **more}
