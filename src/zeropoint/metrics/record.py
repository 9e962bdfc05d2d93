"""A measurement that survives Ctrl-C: each chunk is in the run folder before the next begins."""

from collections.abc import Iterator, Sequence

import numpy as np

from zeropoint.checkpoints.runs import RunFolder
from zeropoint.errors import CheckpointError
from zeropoint.kernels.compare import Comparison
from zeropoint.metrics.measurement import Chunk, ChunkMeasured, Scorer, measure_chunks
from zeropoint.metrics.statistics import estimate, quick_half_width

MINIMUM_CHUNKS = 8  # before an interval is trusted to end a measurement


def measure_recorded(
    models: tuple[Scorer, Scorer],
    chunks: Sequence[Chunk],
    run: RunFolder | None,
    *,
    until: float | None = None,
    batch: int = 1,
    threads: int = 1,
) -> Iterator[ChunkMeasured]:
    """Measure (reference, quant) over the chunks, those first that `run` already holds.

    With `until`, stop as soon as the 95 % interval of the mean KL has at most this half-width (in
    nats), but not before MINIMUM_CHUNKS. The run's chunks are the same bits as measured again.
    """
    done = min(run.chunks_done(), len(chunks)) if run else 0
    seen: list[ChunkMeasured] = []
    fresh = measure_chunks(*models, chunks[done:], done=done, batch=batch, threads=threads)
    for index in range(len(chunks)):
        if index < done:
            assert run is not None
            record = load_chunk(run, index, chunks[index])
        else:
            record = next(fresh)
            if run:
                save_chunk(run, record)
        seen.append(record)
        yield record
        if until is not None and len(seen) >= MINIMUM_CHUNKS and narrow_enough(seen, until):
            return


def narrow_enough(chunks: Sequence[ChunkMeasured], half_width: float) -> bool:
    """Tell whether the interval of the mean KL is at most this half-width."""
    sums = np.array([c.comparison.kl.sum() for c in chunks])
    counts = np.array([float(c.comparison.kl.size) for c in chunks])
    if quick_half_width(sums, counts) > 1.5 * half_width:
        return False
    return estimate(sums, counts).half_width <= half_width


def save_chunk(run: RunFolder, record: ChunkMeasured) -> None:
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


def load_chunk(run: RunFolder, index: int, chunk: Chunk) -> ChunkMeasured:
    """Read one chunk back. Raises CheckpointError if it is damaged or of another text."""
    arrays = run.load_chunk(index)
    where = run.path / "chunks" / f"{index:05}.npz"
    try:
        comparison = Comparison(
            arrays["kl"].astype(np.float64),
            arrays["nll"][0].astype(np.float64),
            arrays["nll"][1].astype(np.float64),
            arrays["top_ids"].astype(np.int32),
            arrays["top_logp"].astype(np.float32),
        )
        tokens, first = arrays["tokens"].astype(np.int32), int(arrays["first"])
        seconds = float(arrays["seconds"])
    except (KeyError, IndexError, ValueError, TypeError):
        raise CheckpointError(where, "is damaged; delete it to measure it again") from None
    if not np.array_equal(tokens, chunk.tokens):
        raise CheckpointError(where, "is of another text; choose another --run")
    return ChunkMeasured(index, chunk.domain, tokens, first, comparison, seconds)
