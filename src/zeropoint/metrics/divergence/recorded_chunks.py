"""Keeps the scores of each chunk in the run folder, so that a stopped measurement can resume."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.chunks import Chunk
from zeropoint.errors import CheckpointError
from zeropoint.kernels.compare import TOP_TOKENS, Comparison
from zeropoint.metrics.divergence.score_chunks import ChunkScores, Scorer, score_chunks
from zeropoint.results.run_checks import ROUNDING, ArrayRule
from zeropoint.results.run_store import RunFolder, damaged


def score_recorded_chunks(
    models: tuple[Scorer, Scorer],
    chunks: Sequence[Chunk],
    folder: RunFolder | None,
    *,
    first: ChunkScores | None = None,
    batch: int = 1,
    threads: int = 1,
) -> Iterator[ChunkScores]:
    """Yield the scores of each chunk: those that the run folder holds first, then new ones.

    `models` are the reference and the quantized model; `first` has the scores of the first chunk if
    they are known already. New scores are in the folder before they are yielded. Scores that were
    read are identical, bit for bit, to those that would be computed.
    """
    recorded = min(folder.chunks_done(), len(chunks)) if folder else 0
    for index in range(recorded):
        assert folder is not None
        yield load_chunk(folder, index, chunks[index], models[0].vocab_size)
    known = [first] if first and not recorded else []
    done = recorded + len(known)
    new = score_chunks(*models, chunks[done:], done=done, batch=batch, threads=threads)
    for scores in chain(known, new):
        if folder:
            save_chunk(folder, scores)
        yield scores


def save_chunk(folder: RunFolder, scores: ChunkScores) -> None:
    """Write one chunk: domain, tokens, KL, log-likelihoods, and the top tokens of both models."""
    comparison = scores.comparison
    folder.save_chunk(
        scores.index,
        {
            "domain": np.array(scores.domain),
            "tokens": scores.tokens,
            "first": np.array(scores.first),
            "kl": comparison.kl,
            "nll": np.stack([comparison.nll_reference, comparison.nll_quant]),
            "top_ids": comparison.top_ids,
            "top_logp": comparison.top_logp,
            "seconds": np.array(scores.seconds),
        },
    )


def chunk_rules(vocabulary: int = 1 << 31) -> dict[str, ArrayRule]:
    """Return the rules for the arrays of a chunk: `context` tokens, of which n are scored."""
    return {
        "domain": ArrayRule((), np.str_),
        "tokens": ArrayRule(("context",), np.integer, 0, vocabulary - 1),
        "first": ArrayRule((), np.integer, 0),
        "kl": ArrayRule(("n",), np.floating, -ROUNDING),
        "nll": ArrayRule((2, "n"), np.floating, -ROUNDING),
        "top_ids": ArrayRule(("n", 2, TOP_TOKENS), np.integer, -1, vocabulary - 1),
        "top_logp": ArrayRule(("n", 2, TOP_TOKENS), np.floating, -np.inf, ROUNDING),
        "seconds": ArrayRule((), np.floating, 0),
    }


def read_chunk(
    folder: RunFolder, index: int, vocabulary: int = 1 << 31
) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of one chunk (see `chunk_rules`): n = context − 1 − first.

    Raises CheckpointError if the chunk is damaged.
    """
    arrays = folder.load_chunk(index, chunk_rules(vocabulary))
    if arrays["kl"].size != arrays["tokens"].size - 1 - int(arrays["first"].item()):
        raise damaged(folder.chunk_path(index), "it does not score the second part of its tokens")
    return arrays


def load_chunk(folder: RunFolder, index: int, chunk: Chunk, vocabulary: int) -> ChunkScores:
    """Read the scores of one chunk.

    Raises CheckpointError if they are damaged, or of another text.
    """
    arrays = read_chunk(folder, index, vocabulary)
    tokens, first = arrays["tokens"].astype(np.int32), int(arrays["first"].item())
    if not np.array_equal(tokens, chunk.tokens):
        raise CheckpointError(
            folder.chunk_path(index),
            "holds scores of another text; choose another run folder (--run)",
        )
    if first != chunk.first:
        raise damaged(folder.chunk_path(index), f"its scores begin at token {first}")
    comparison = Comparison(
        arrays["kl"].astype(np.float64),
        arrays["nll"][0].astype(np.float64),
        arrays["nll"][1].astype(np.float64),
        arrays["top_ids"].astype(np.int32),
        arrays["top_logp"].astype(np.float32),
    )
    seconds = float(arrays["seconds"].item())
    return ChunkScores(index, chunk.domain, tokens, first, comparison, seconds)
