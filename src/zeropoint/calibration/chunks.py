"""Text as the models see it: tokens, cut into chunks of one context each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.corpus import Corpus
from zeropoint.errors import MeasurementError
from zeropoint.models.tokenizer import Tokenizer

I32 = NDArray[np.int32]

# Of text for each token that is needed, so that a long text is not tokenized to its end for a few
# chunks. Where that was too little, all of it is.
_CHARACTERS = 12
_SPARE = 256  # tokens: the cut changes only the last few


@dataclass(frozen=True)
class Chunk:
    """A stretch of text of one domain: `tokens` (context,) as the models see them."""

    domain: str
    tokens: I32


def tokenize(corpus: Corpus, tokenizer: Tokenizer, *, most: int | None = None) -> dict[str, I32]:
    """Return the tokens of each domain, as llama.cpp's tools take them.

    Special tokens in the text are text; BOS and EOS stand where the file says so. With `most`, at
    least that many tokens of each domain that has them.
    """
    return {name: _tokens(text, tokenizer, most) for name, text in corpus.domains.items()}


def _tokens(text: str, tokenizer: Tokenizer, most: int | None) -> I32:
    cut = len(text) if most is None else _CHARACTERS * (most + _SPARE)
    if cut < len(text):
        end = text.rfind("\n", 0, cut)
        tokens = tokenizer.encode(text[: end if end > 0 else cut], ends=True)
        if most is not None and len(tokens) >= most + _SPARE:
            return np.array(tokens[:most], np.int32)
    return np.array(tokenizer.encode(text, ends=True), np.int32)


def cut_chunks(
    texts: Mapping[str, I32], context: int, *, limit: int | None = None, bos: int | None = None
) -> list[Chunk]:
    """Cut each domain's tokens into chunks of `context`, the domains taking turns.

    A tail shorter than a chunk is dropped. If `bos` is given it replaces the first token of each
    chunk, as llama-perplexity does. With `limit`, the first `limit` chunks: each domain gets its
    turn before any gets a second. Raises MeasurementError if no text fills a chunk.
    """
    if context < 8:
        raise MeasurementError(
            f"a context of {context} tokens is too short to measure; 512 is usual"
        )
    queues = []
    for domain, tokens in texts.items():
        cut = tokens[: tokens.size // context * context].reshape(-1, context)
        queues.append([Chunk(domain, _with_bos(row, bos)) for row in cut])
    longest = max((len(queue) for queue in queues), default=0)
    chunks = [queue[i] for i in range(longest) for queue in queues if i < len(queue)]
    if not chunks:
        sizes = ", ".join(f"{domain} {tokens.size}" for domain, tokens in texts.items())
        raise MeasurementError(
            f"the text is shorter than one chunk of {context} tokens (there are: "
            f"{sizes or 'none'}); give more text or a smaller --ctx"
        )
    return chunks if limit is None else chunks[:limit]


def read_chunks(
    corpus: Corpus, tokenizer: Tokenizer, context: int, *, limit: int | None = None
) -> list[Chunk]:
    """Tokenize a corpus and cut it; the first token of each chunk is BOS where the model has one.

    Raises MeasurementError if no text fills a chunk.
    """
    texts = tokenize(corpus, tokenizer, most=None if limit is None else limit * context)
    bos = tokenizer.vocabulary.bos if tokenizer.adds_bos else None
    return cut_chunks(texts, context, limit=limit, bos=bos)


def _with_bos(row: I32, bos: int | None) -> I32:
    row = row.astype(np.int32)
    if bos is not None:
        row[0] = bos
    return row
