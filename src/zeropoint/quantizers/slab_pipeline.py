"""Reads, encodes and writes tensors slab by slab; the three steps overlap.

One thread reads and hashes, one encodes (the extension adds helpers), and the caller's thread
writes while another one hashes the same bytes. Each runs a few slabs ahead of the next, so memory
does not depend on the size of the model.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from zeropoint.checkpoints import CheckpointWriter
from zeropoint.checkpoints.tensor_digest import TensorDigest
from zeropoint.formats import U8, QuantizedTensor
from zeropoint.quantizers.reading import SlabReader
from zeropoint.quantizers.records import RowsWritten, TensorWritten
from zeropoint.quantizers.slabs import Slab
from zeropoint.quantizers.tensor_encoder import TensorEncoder

READ_AHEAD = 3  # slabs that are being read, or wait for the encoder
ENCODE_AHEAD = 1  # slabs that are being encoded, or wait to be written
Item = TypeVar("Item")


@dataclass(frozen=True)
class _SlabInWork:
    """A slab of a tensor on its way through the pipeline."""

    encoder: TensorEncoder
    slab: Slab
    last: bool  # of its tensor
    rows: "Future[QuantizedTensor]"

    def encode(self) -> U8:
        return self.encoder.encode(self.slab, self.rows.result())


def write_slabs(
    encoders: Iterable[TensorEncoder],
    reader: SlabReader,
    writer: CheckpointWriter,
    digest: TensorDigest,
    *,
    encode_ahead: int = ENCODE_AHEAD,
) -> Iterator[RowsWritten | TensorWritten]:
    """Read, encode and write tensors in order; yield a record after each slab and each tensor.

    The bytes that are written are added to `digest`.

    With `encode_ahead` 0 the caller's thread encodes: for error feedback, which takes minutes for a
    slab, and must stop at once when it is interrupted.
    """
    started = delayed(_start_reads(encoders, reader), READ_AHEAD)
    done = 0
    with (
        ThreadPoolExecutor(1, thread_name_prefix="zeropoint-encode") as pool,
        ThreadPoolExecutor(1, thread_name_prefix="zeropoint-hash") as hasher,
    ):
        submitted: Iterator[tuple[_SlabInWork, Callable[[], U8]]]
        if encode_ahead:
            submitted = ((work, pool.submit(work.encode).result) for work in started)
        else:
            submitted = ((work, work.encode) for work in started)
        for work, encoded in delayed(submitted, encode_ahead):
            data, name = encoded(), work.encoder.info.name
            # A tensor without bytes is written, too: once, and not for each of its slabs.
            if data.size or (work.last and not work.encoder.info.nbytes):
                hashed = hasher.submit(digest.add, work.encoder.output, data)
                writer.write(name, data)
                hashed.result()  # the reader may use the memory of a copied slab again
            reader.release(work.rows.result())
            done += math.prod((work.slab.stop - work.slab.start, work.encoder.info.columns))
            yield RowsWritten(name, done)
            if work.last:
                yield work.encoder.record(done)


def _start_reads(encoders: Iterable[TensorEncoder], reader: SlabReader) -> Iterator[_SlabInWork]:
    """Yield the slabs of all tensors, in order; each begins to be read when it is yielded."""
    for encoder in encoders:
        slabs = encoder.slabs()
        for number, slab in enumerate(slabs, 1):
            rows = reader.start(encoder.info, slab)
            yield _SlabInWork(encoder, slab, number == len(slabs), rows)


def delayed(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield each item after `count` more have been made, so that work which they began proceeds.

    >>> log = []
    >>> made = (log.append(n) or n for n in range(3))
    >>> [(item, list(log)) for item in delayed(made, 1)]
    [(0, [0, 1]), (1, [0, 1, 2]), (2, [0, 1, 2])]
    """
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting
