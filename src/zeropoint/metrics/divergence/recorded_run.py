"""A measurement that survives Ctrl-C: each chunk is in the run folder before the next begins."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import CheckpointError
from zeropoint.kernels.compare import TOP, Comparison
from zeropoint.metrics.divergence.score_chunks import Chunk, ChunkScores, Scorer, measure_chunks
from zeropoint.metrics.statistics import estimate, quick_half_width
from zeropoint.results.run_checks import ROUNDING, ArrayRule
from zeropoint.results.run_store import RunFolder, damaged

MINIMUM_CHUNKS = 8  # before an interval is trusted to end a measurement


def measure_recorded(
    models: tuple[Scorer, Scorer],
    chunks: Sequence[Chunk],
    run: RunFolder | None,
    *,
    until: float | None = None,
    batch: int = 1,
    threads: int = 1,
) -> Iterator[ChunkScores]:
    """Measure (reference, quant) over the chunks, those first that `run` already holds.

    With `until`, stop as soon as the 95 % interval of the mean KL has at most this half-width (in
    nats), but not before MINIMUM_CHUNKS. The run's chunks are the same bits as measured again.
    """
    done = min(run.chunks_done(), len(chunks)) if run else 0
    seen: list[ChunkScores] = []
    fresh = measure_chunks(*models, chunks[done:], done=done, batch=batch, threads=threads)
    vocabulary = models[0].vocab_size
    for index in range(len(chunks)):
        if index < done:
            assert run is not None
            record = load_chunk(run, index, chunks[index], vocabulary)
        else:
            record = next(fresh)
            if run:
                save_chunk(run, record)
        seen.append(record)
        yield record
        if until is not None and len(seen) >= MINIMUM_CHUNKS and narrow_enough(seen, until):
            return


def narrow_enough(chunks: Sequence[ChunkScores], half_width: float) -> bool:
    """Tell whether the interval of the mean KL is at most this half-width."""
    sums = np.array([c.comparison.kl.sum() for c in chunks])
    counts = np.array([float(c.comparison.kl.size) for c in chunks])
    if quick_half_width(sums, counts) > 1.5 * half_width:
        return False
    return estimate(sums, counts).half_width <= half_width


def save_chunk(run: RunFolder, record: ChunkScores) -> None:
    """Write one chunk: domain, tokens, kl, nll, top tokens and their log-probabilities."""
    found = record.comparison
    run.save_chunk(
        record.index,
        {
            "domain": np.array(record.domain),
            "tokens": record.tokens,
            "first": np.array(record.first),
            "kl": found.kl,
            "nll": np.stack([found.nll_reference, found.nll_quant]),
            "top_ids": found.top_ids,
            "top_logp": found.top_logp,
            "seconds": np.array(record.seconds),
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
        "top_ids": ArrayRule(("n", 2, TOP), np.integer, -1, vocabulary - 1),
        "top_logp": ArrayRule(("n", 2, TOP), np.floating, -np.inf, ROUNDING),
        "seconds": ArrayRule((), np.floating, 0),
    }


def read_chunk(
    run: RunFolder, index: int, vocabulary: int = 1 << 31
) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of one chunk (see `chunk_rules`): n = context − 1 − first.

    Raises CheckpointError if it is damaged.
    """
    arrays = run.load_chunk(index, chunk_rules(vocabulary))
    if arrays["kl"].size != arrays["tokens"].size - 1 - int(arrays["first"].item()):
        raise damaged(run.chunk_path(index), "it does not score the second part of its tokens")
    return arrays


def load_chunk(run: RunFolder, index: int, chunk: Chunk, vocabulary: int) -> ChunkScores:
    """Read one chunk back. Raises CheckpointError if it is damaged or of another text."""
    arrays = read_chunk(run, index, vocabulary)
    tokens, first = arrays["tokens"].astype(np.int32), int(arrays["first"].item())
    if not np.array_equal(tokens, chunk.tokens):
        raise CheckpointError(run.chunk_path(index), "is of another text; choose another --run")
    if first != chunk.tokens.size // 2:
        raise damaged(run.chunk_path(index), f"its scores begin at token {first}")
    comparison = Comparison(
        arrays["kl"].astype(np.float64),
        arrays["nll"][0].astype(np.float64),
        arrays["nll"][1].astype(np.float64),
        arrays["top_ids"].astype(np.int32),
        arrays["top_logp"].astype(np.float32),
    )
    seconds = float(arrays["seconds"].item())
    return ChunkScores(index, chunk.domain, tokens, first, comparison, seconds)
