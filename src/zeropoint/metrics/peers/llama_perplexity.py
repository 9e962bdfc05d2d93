"""Scores models as llama-perplexity does, with our logits or with its base files.

The arithmetic is in `llama_base_file`.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np

from zeropoint.calibration.chunks import tokenize
from zeropoint.calibration.corpus import Corpus, open_corpus
from zeropoint.checkpoints.files.atomic import PartialFile, check_target
from zeropoint.errors import CheckpointError, MeasurementError, NotEnoughSpace
from zeropoint.formats import F32
from zeropoint.metrics.divergence.score_chunks import TILE_BYTES
from zeropoint.metrics.peers import llama_base_file as llama
from zeropoint.metrics.peers.llama_base_file import I32, U16, BaseFile, TokenScores
from zeropoint.models.base import LanguageModel


def read_tokens(
    files: Sequence[Path], model: LanguageModel, context: int, chunks: int | None
) -> I32:
    """Return the chunks (n, context) of a text, cut as llama-perplexity cuts it.

    Several files are joined to one text. Raises MeasurementError for a text that is shorter than
    two chunks, which llama-perplexity refuses too.
    """
    corpus = open_corpus(files, "evaluate")
    whole = Corpus({"text": "".join(corpus.domains.values())})
    needed = None if chunks is None else max(chunks, 2) * context
    tokens = tokenize(whole, model.tokenizer, limit=needed)["text"]
    if tokens.size < 2 * context:
        raise MeasurementError(
            f"the text has {tokens.size} tokens and llama-perplexity needs at least two chunks of"
            f" {context}; use a longer text or a smaller context (--ctx)"
        )
    return tokens[: tokens.size // context * context].reshape(-1, context)[:chunks]


def base_bytes(tokens: I32, vocabulary: int) -> int:
    """Return the size of the base file of chunks (n, context)."""
    return BaseFile(Path(), tokens.shape[1], vocabulary, tokens).nbytes


def open_base_for(path: Path, model: LanguageModel, chunks: int | None) -> BaseFile:
    """Open a base file for a model with the same vocabulary; `chunks` limits the chunks to use.

    Raises CheckpointError for a file that is not a base file, and MeasurementError for one with
    another vocabulary.
    """
    base = llama.open_base(path)
    if base.vocabulary != model.vocab_size:
        raise MeasurementError(
            f"{path}: belongs to a model with {base.vocabulary} tokens, and this model has"
            f" {model.vocab_size}: they cannot be compared token by token"
        )
    if chunks is None:
        return base
    return BaseFile(path, base.context, base.vocabulary, base.tokens[:chunks])


def score_models(
    reference: LanguageModel,
    quant: LanguageModel,
    tokens: I32,
    base: Path | None,
    *,
    overwrite: bool = True,
) -> Iterator[TokenScores]:
    """Yield the scores of each chunk; write the reference's rows to `base` if it is given.

    `tokens` are (chunks, context). The base file appears when the last chunk is done. Raises
    NotEnoughSpace before anything is written, and CheckpointError if the base file exists and
    `overwrite` is false.
    """
    with ExitStack() as stack:
        file = None
        if base is not None:
            needed, free = base_bytes(tokens, quant.vocab_size), _free_bytes(base)
            if needed > free:
                raise NotEnoughSpace(f"{base}: needs {needed} bytes and {free} bytes are free")
            file = AppendedFile(base, overwrite=overwrite)
            stack.callback(file.discard)
            llama.write_base_header(file, quant.vocab_size, tokens)
        for index, chunk in enumerate(_with_bos(tokens, quant)):
            states = reference.hidden(chunk), quant.hidden(chunk)
            tiles = []
            for rows in _tiles(chunk.size, quant.vocab_size):
                stored = llama.encode_rows(_finite(reference.head(states[0][rows]), index, rows))
                if file is not None:
                    file.write(stored.tobytes())
                logits = _finite(quant.head(states[1][rows]), index, rows)
                targets = chunk[rows.start + 1 : rows.stop + 1]
                tiles.append(llama.score_rows(stored, logits, targets))
            yield join_scores(tiles)
        if file is not None:
            file.publish()


def score_base(base: BaseFile, quant: LanguageModel) -> Iterator[TokenScores]:
    """Yield the scores of each chunk of a base file."""
    chunks = _with_bos(base.tokens, quant)
    whole = llama.open_base(base.path)
    stored_chunks = islice(llama.read_base_rows(whole), len(base.tokens))
    for index, (chunk, stored) in enumerate(zip(chunks, stored_chunks, strict=True)):
        states = quant.hidden(chunk)
        first = chunk.size // 2
        tiles = []
        for rows in _tiles(chunk.size, quant.vocab_size):
            logits = _finite(quant.head(states[rows]), index, rows)
            stored_rows: U16 = stored[rows.start - first : rows.stop - first]
            targets = chunk[rows.start + 1 : rows.stop + 1]
            tiles.append(llama.score_rows(stored_rows, logits, targets))
        yield join_scores(tiles)


def join_scores(parts: Sequence[TokenScores]) -> TokenScores:
    """Join the scores of consecutive tokens."""
    return TokenScores(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(TokenScores))
    )


class AppendedFile:
    """A file that is written from front to back, and gets its name when it is published."""

    def __init__(self, path: Path, *, overwrite: bool = True) -> None:
        path = Path(os.path.realpath(path))
        self._file = PartialFile(path)
        try:
            check_target(path, (), overwrite=overwrite)
        except CheckpointError:
            self._file.discard()
            raise
        self._offset = 0

    def write(self, data: bytes) -> int:
        """Append bytes, and return their number."""
        self._file.write(data, self._offset)
        self._offset += len(data)
        return len(data)

    def publish(self) -> None:
        """Give the complete file its name."""
        self._file.finish()
        self._file.publish()

    def discard(self) -> None:
        """Remove the file unless it was published."""
        self._file.discard()


def _with_bos(tokens: I32, model: LanguageModel) -> Iterator[I32]:
    """Yield each chunk; BOS replaces its first token where the vocabulary adds one."""
    bos = model.tokenizer.vocabulary.bos if model.tokenizer.adds_bos else None
    for row in tokens:
        chunk = row.astype(np.int32)
        if bos is not None:
            chunk[0] = bos
        yield chunk


def _tiles(context: int, vocabulary: int) -> Iterator[slice]:
    """Yield the scored positions in slices whose logits take about TILE_BYTES."""
    step = max(1, TILE_BYTES // (4 * vocabulary))
    for start in range(context // 2, context - 1, step):
        yield slice(start, min(start + step, context - 1))


def _finite(logits: F32, chunk: int, rows: slice) -> F32:
    """Return logits (n, vocabulary). Raises MeasurementError for one that is not finite."""
    if not np.isfinite(logits).all():
        position, token = np.argwhere(~np.isfinite(logits))[0]
        raise MeasurementError(
            f"chunk {chunk}: the logit of token {token} at position {rows.start + position} is "
            "not finite"
        )
    return logits


def _free_bytes(path: Path) -> int:
    parent = path.absolute().parent
    return shutil.disk_usage(parent).free if parent.exists() else 0
