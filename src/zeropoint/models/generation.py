"""Generates text token by token and yields records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np

from zeropoint.errors import UnsupportedModel
from zeropoint.models.base import LanguageModel
from zeropoint.models.cache import Cache
from zeropoint.models.lookahead import Lookahead
from zeropoint.models.sampling import GREEDY, Sampling, choose
from zeropoint.models.speculation import DraftCounts, DraftedModel

CHUNK_TOKENS = 512  # prompt tokens that are processed between two records


@dataclass(frozen=True)
class PromptRead:
    """This many tokens of the prompt have been processed."""

    done: int
    total: int


@dataclass(frozen=True)
class Token:
    """One generated token and the text that it completes, which may be empty."""

    id: int
    text: str
    step: int


@dataclass(frozen=True)
class Finished:
    """The generation is over: tokens and seconds of prompt processing and of generation."""

    reason: Literal["stop", "length", "context"]
    text: str  # an incomplete character at the end, as U+FFFD
    prompt_tokens: int
    prompt_seconds: float
    tokens: int
    seconds: float
    drafts: DraftCounts | None = None  # None without a draft


def generate(
    model: LanguageModel | DraftedModel,
    prompt: Sequence[int],
    *,
    limit: int,
    sampling: Sampling = GREEDY,
    cache: Cache | None = None,
    stops: frozenset[int] | None = None,
) -> Iterator[PromptRead | Token | Finished]:
    """Continue `prompt` by up to `limit` tokens.

    If the cache already holds tokens, `prompt` continues them. `stops` are the tokens that end the
    generation; None means the tokenizer's. Raises UnsupportedModel if the prompt is empty or does
    not fit the model's context, or if the logits are not finite.
    """
    model, draft = (model.model, model.draft) if isinstance(model, DraftedModel) else (model, None)
    cache = room_for(model, len(prompt), limit) if cache is None else cache
    room = cache.capacity - int(cache.lengths[0])
    if not len(prompt):
        raise UnsupportedModel(
            "the prompt is empty; generation needs at least one token to continue"
        )
    if len(prompt) > room:
        raise UnsupportedModel(
            f"the prompt has {len(prompt)} tokens, but the context has room for {room}"
        )
    started = perf_counter()
    state = np.empty((0,), np.float32)
    for at in range(0, len(prompt), CHUNK_TOKENS):
        begun = int(cache.lengths[0])
        states = model.hidden(list(prompt[at : at + CHUNK_TOKENS]), cache)
        if draft:
            draft.observe(begun, states)
        state = states[-1]
        yield PromptRead(min(at + CHUNK_TOKENS, len(prompt)), len(prompt))
    stops = model.tokenizer.stops if stops is None else stops
    stream = model.tokenizer.stream()
    recent = list(prompt[-sampling.repeat_window :])
    ahead = Lookahead(model, cache, draft, state)
    read = perf_counter()
    count = 0
    reason: Literal["stop", "length", "context"] = "length"
    try:
        while count < limit:
            logits = ahead.logits(limit - count)
            if logits is None:
                reason = "context"
                break
            if not np.isfinite(logits.max()):
                raise UnsupportedModel(
                    f"the model's logits are not finite after {int(cache.lengths[0])} tokens: "
                    "its weights or its metadata are damaged"
                )
            chosen = choose(logits, sampling, count, recent)
            if chosen in stops:
                reason = "stop"
                break
            ahead.chosen(chosen)
            yield Token(chosen, stream.push(chosen), count)
            count += 1
            recent.append(chosen)
    finally:
        ahead.close()
    seconds = perf_counter() - read
    counts = ahead.counts if draft else None
    yield Finished(
        reason, stream.finish(), len(prompt), read - started, count, seconds, drafts=counts
    )


def room_for(model: LanguageModel, prompt: int, limit: int, context: int | None = None) -> Cache:
    """Return a cache for a prompt and up to `limit` generated tokens, within the model's context.

    Raises UnsupportedModel if the prompt does not fit, or if `context` is more than the model's.
    """
    maximum = model.context_length
    if context is not None and not 0 < context <= maximum:
        raise UnsupportedModel(f"a context of {context} tokens is more than the model's {maximum}")
    maximum = context or maximum
    if prompt > maximum:
        raise UnsupportedModel(
            f"the prompt has {prompt} tokens, but the context has room for {maximum}"
        )
    return model.cache(min(prompt + limit, maximum))
