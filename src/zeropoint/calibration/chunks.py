"""Text as chunks of tokens, each as long as the context."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.corpus import Corpus
from zeropoint.calibration.dialogues import encode_dialogues
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.models.tokenizer import Tokenizer

I32 = NDArray[np.int32]

# Only this much of a long text is tokenized at first. If that gives too few tokens, all of it is.
_CHARACTERS_PER_TOKEN = 12
_SPARE_TOKENS = 256  # the cut changes only the last few tokens

LONG_CONTEXT = 8192  # tokens that are read of a long document, if the model's context has room
LONG_SCORED = 512  # positions at their end that are scored


@dataclass(frozen=True)
class Chunk:
    """Consecutive tokens of one domain: `tokens` is (context,) int32."""

    domain: str
    tokens: I32
    #: Number of positions at the end that are scored; None: all of the second half.
    scored: int | None = None

    @property
    def first(self) -> int:
        """The first position that is scored; never one of the first half."""
        half = self.tokens.size // 2
        return half if self.scored is None else max(half, self.tokens.size - 1 - self.scored)


def tokenize(corpus: Corpus, tokenizer: Tokenizer, *, limit: int | None = None) -> dict[str, I32]:
    """Return the tokens of each domain, (tokens,) int32, as llama.cpp's tools tokenize a text.

    Special tokens in the text are read as text; BOS and EOS are added if the model's file asks for
    them. With `limit`, the result may stop after that many tokens per domain.
    """
    return {name: _tokens(text, tokenizer, limit) for name, text in corpus.domains.items()}


def _tokens(text: str, tokenizer: Tokenizer, limit: int | None) -> I32:
    cut = len(text) if limit is None else _CHARACTERS_PER_TOKEN * (limit + _SPARE_TOKENS)
    if cut < len(text):
        end = text.rfind("\n", 0, cut)
        tokens = tokenizer.encode(text[: end if end > 0 else cut], ends=True)
        if limit is not None and len(tokens) >= limit + _SPARE_TOKENS:
            return np.array(tokens[:limit], np.int32)
    return np.array(tokenizer.encode(text, ends=True), np.int32)


def cut_chunks(
    texts: Mapping[str, I32],
    context: int,
    *,
    limit: int | None = None,
    bos: int | None = None,
    long: Mapping[str, Sequence[Chunk]] | None = None,
) -> list[Chunk]:
    """Cut each domain's tokens into chunks of `context` tokens, and interleave the domains.

    A remainder shorter than a chunk is dropped. `bos` replaces the first token of each chunk, as in
    llama-perplexity. `long` has further domains whose chunks are cut already. With `limit`, only
    the first `limit` chunks are returned: the first of each domain, then the second of each, and so
    on. Raises MeasurementError if no text fills a chunk.
    """
    if context < 8:
        raise MeasurementError(
            f"a context of {context} tokens is too short to measure; use at least 8, usually 512"
        )
    queues: list[Sequence[Chunk]] = []
    for domain, tokens in texts.items():
        cut = tokens[: tokens.size // context * context].reshape(-1, context)
        queues.append([Chunk(domain, _with_bos(row, bos)) for row in cut])
    queues += (long or {}).values()
    longest = max((len(queue) for queue in queues), default=0)
    chunks = [queue[i] for i in range(longest) for queue in queues if i < len(queue)]
    if not chunks:
        sizes = ", ".join(f"{domain} {tokens.size}" for domain, tokens in texts.items())
        raise MeasurementError(
            f"the text is shorter than one chunk of {context} tokens (it has: "
            f"{sizes or 'none'}); give more text or a smaller context (--ctx)"
        )
    return chunks if limit is None else chunks[:limit]


def read_chunks(
    corpus: Corpus,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    context: int,
    *,
    limit: int | None = None,
    long_context: int | None = None,
) -> list[Chunk]:
    """Tokenize a corpus and cut it; the first token of each chunk is BOS if the model adds one.

    Dialogues are rendered by the chat template of the checkpoint. With `long_context`, the first
    `long_context` tokens of a long document are one chunk, of which the last LONG_SCORED positions
    are scored; otherwise long documents are cut like any other text.

    Raises MeasurementError if no text fills a chunk.
    """
    long: dict[str, list[Chunk]] = {}
    if long_context is not None:
        for name, documents in corpus.documents.items():
            cut = (_tokens(text, tokenizer, long_context)[:long_context] for text in documents)
            long[name] = [Chunk(name, tokens, LONG_SCORED) for tokens in cut]
    plain = {name: text for name, text in corpus.domains.items() if name not in long}
    needed = None if limit is None else limit * context
    texts: dict[str, I32] = {}
    for name, text in plain.items():
        if name in corpus.dialogues:
            ids = encode_dialogues(checkpoint, tokenizer, corpus.dialogues[name])
            texts[name] = np.array(ids, np.int32)
        else:
            texts[name] = _tokens(text, tokenizer, needed)
    bos = tokenizer.vocabulary.bos if tokenizer.adds_bos else None
    return cut_chunks(texts, context, limit=limit, bos=bos, long=long)


def spread_over_domains(chunks: Sequence[Chunk], count: int) -> list[Chunk]:
    """Return at most `count` chunks: as many of each domain as possible, evenly spaced over it.

    The domains take turns, so that none is left out, and a short one leaves its turns to others.
    """
    domains: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        domains.setdefault(chunk.domain, []).append(chunk)
    turns = [name for turn in range(len(chunks)) for name in domains if turn < len(domains[name])]
    shares = Counter(turns[:count])
    picked = {name: iter(spread(domains[name], share)) for name, share in shares.items()}
    return [next(picked[name]) for name in turns[:count]]


def spread(chunks: Sequence[Chunk], count: int) -> list[Chunk]:
    """Return at most `count` chunks, evenly spaced over all of them."""
    if len(chunks) <= count:
        return list(chunks)
    return [chunks[number * len(chunks) // count] for number in range(count)]


def _with_bos(row: I32, bos: int | None) -> I32:
    row = row.astype(np.int32)
    if bos is not None:
        row[0] = bos
    return row
