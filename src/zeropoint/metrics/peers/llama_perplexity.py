"""llama-perplexity's run, on our logits or on its base files; the arithmetic is in `llama`."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np

from zeropoint.calibration.chunks import tokenize
from zeropoint.calibration.corpus import Corpus, builtin_corpus, read_corpus
from zeropoint.checkpoints.files.atomic import PartialFile, check_target
from zeropoint.errors import CheckpointError, MeasurementError, NotEnoughSpace
from zeropoint.formats import F32
from zeropoint.metrics.divergence.score_chunks import TILE_BYTES
from zeropoint.metrics.peers import llama_base_file as llama
from zeropoint.metrics.peers.llama_base_file import I32, U16, BaseFile, Figure, Scores
from zeropoint.models.base import LanguageModel


@dataclass(frozen=True)
class ChunkScored:
    """One more chunk is scored."""

    done: int
    scores: Scores


def read_tokens(
    files: Sequence[Path], model: LanguageModel, context: int, chunks: int | None
) -> I32:
    """Return the chunks (n, context) of one text, as llama-perplexity cuts it.

    Several files are one text. It asks for two chunks at least, and so does this.
    """
    corpus = read_corpus(files) if files else builtin_corpus("evaluate")
    whole = Corpus({"text": "".join(corpus.domains.values())})
    most = None if chunks is None else max(chunks, 2) * context
    tokens = tokenize(whole, model.tokenizer, most=most)["text"]
    if tokens.size < 2 * context:
        raise MeasurementError(
            f"the text has {tokens.size} tokens; llama-perplexity wants two chunks of {context}, "
            "so give more text or a smaller --ctx"
        )
    return tokens[: tokens.size // context * context].reshape(-1, context)[:chunks]


def base_bytes(tokens: I32, vocabulary: int) -> int:
    """Return how large a base file of these chunks will be."""
    return BaseFile(Path(), tokens.shape[1], vocabulary, tokens).nbytes


def open_base_for(path: Path, model: LanguageModel, chunks: int | None) -> BaseFile:
    """Open a base file for a model of the same vocabulary.

    Raises CheckpointError for a file that is none, MeasurementError for another vocabulary.
    """
    base = llama.open_base(path)
    if base.vocabulary != model.vocab_size:
        raise MeasurementError(
            f"{path}: is of a model with {base.vocabulary} tokens and this one has "
            f"{model.vocab_size}: they cannot be compared token by token"
        )
    return base if chunks is None else BaseFile(path, base.context, base.vocabulary,
                                                base.tokens[:chunks])  # fmt: skip


def score_models(
    reference: LanguageModel,
    quant: LanguageModel,
    tokens: I32,
    base: Path | None,
    *,
    overwrite: bool = True,
) -> Iterator[ChunkScored]:
    """Score a quant against a reference; the reference's rows are written to `base` if given.

    The base file appears when the last chunk is done. Raises NotEnoughSpace before it begins, and
    CheckpointError if the base file exists and `overwrite` is false.
    """
    with ExitStack() as stack:
        part = None
        if base is not None:
            needed, free = base_bytes(tokens, quant.vocab_size), _free(base)
            if needed > free:
                raise NotEnoughSpace(f"{base}: needs {needed} bytes and {free} are free")
            part = Part(base, overwrite=overwrite)
            stack.callback(part.discard)
            llama.write_base_header(part, quant.vocab_size, tokens)
        for index, chunk in enumerate(_with_bos(tokens, quant)):
            states = reference.hidden(chunk), quant.hidden(chunk)
            parts = []
            for rows in _tiles(chunk.size, quant.vocab_size):
                stored = llama.encode_rows(_finite(reference.head(states[0][rows]), index, rows))
                if part is not None:
                    part.write(stored.tobytes())
                logits = _finite(quant.head(states[1][rows]), index, rows)
                targets = chunk[rows.start + 1 : rows.stop + 1]
                parts.append(llama.score_rows(stored, logits, targets))
            yield ChunkScored(index + 1, _joined(parts))
        if part is not None:
            part.publish()


def score_base(base: BaseFile, quant: LanguageModel) -> Iterator[ChunkScored]:
    """Score a quant against the rows of a base file."""
    chunks = _with_bos(base.tokens, quant)
    whole = llama.open_base(base.path)
    stored_chunks = islice(llama.read_base_rows(whole), len(base.tokens))
    for index, (chunk, stored) in enumerate(zip(chunks, stored_chunks, strict=True)):
        states = quant.hidden(chunk)
        parts = []
        for rows in _tiles(chunk.size, quant.vocab_size):
            logits = _finite(quant.head(states[rows]), index, rows)
            first = chunk.size // 2
            of_rows: U16 = stored[rows.start - first : rows.stop - first]
            targets = chunk[rows.start + 1 : rows.stop + 1]
            parts.append(llama.score_rows(of_rows, logits, targets))
        yield ChunkScored(index + 1, _joined(parts))


def tables(scores: Sequence[Scores]) -> dict[str, list[Figure]]:
    """Return llama-perplexity's three tables over all chunks."""
    return llama.statistics(_joined(scores))


class Part:
    """A file that appears under its name when it is published, written from front to back."""

    def __init__(self, path: Path, *, overwrite: bool = True) -> None:
        path = Path(os.path.realpath(path))
        self._part = PartialFile(path)
        try:
            check_target(path, (), overwrite=overwrite)
        except CheckpointError:
            self._part.discard()
            raise
        self._offset = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._part.write(data, self._offset)
        self._offset += len(data)
        return len(data)

    def publish(self) -> None:
        """Give the complete file its name."""
        self._part.finish()
        self._part.publish()

    def discard(self) -> None:
        """Remove what was not published."""
        self._part.discard()


def _with_bos(tokens: I32, model: LanguageModel) -> Iterator[I32]:
    bos = model.tokenizer.vocabulary.bos if model.tokenizer.adds_bos else None
    for row in tokens:
        chunk = row.astype(np.int32)
        if bos is not None:
            chunk[0] = bos
        yield chunk


def _tiles(context: int, vocabulary: int) -> Iterator[slice]:
    step = max(1, TILE_BYTES // (4 * vocabulary))
    for start in range(context // 2, context - 1, step):
        yield slice(start, min(start + step, context - 1))


def _finite(logits: F32, chunk: int, rows: slice) -> F32:
    if not np.isfinite(logits).all():
        position, token = np.argwhere(~np.isfinite(logits))[0]
        raise MeasurementError(
            f"chunk {chunk}: the logit of token {token} at position {rows.start + position} is "
            "not finite"
        )
    return logits


def _joined(parts: Sequence[Scores]) -> Scores:
    return Scores(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Scores))
    )


def _free(path: Path) -> int:
    parent = path.absolute().parent
    return shutil.disk_usage(parent).free if parent.exists() else 0
