"""Writes a model file again with other blocks in some tensors: same formats, sizes and order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.checkpoints import Checkpoint, create_checkpoint
from zeropoint.checkpoints.tensor_digest import SLAB_BYTES, TensorDigest
from zeropoint.formats import U8
from zeropoint.quantizers.proof import TENSORS_SHA256, unmeasured_fields


@dataclass(frozen=True)
class TensorRewritten:
    """One more tensor is in the output."""

    done: int  # tensors
    name: str


def replace_tensors(
    source: Checkpoint,
    output: Path,
    blocks: Mapping[str, U8],
    facts: Mapping[str, object],
    *,
    overwrite: bool,
) -> Iterator[TensorRewritten]:
    """Write `source` to `output` with the `blocks` (n, block_bytes) of some tensors.

    Every other tensor is copied byte for byte. `facts` are added to the metadata. A digest of the
    tensors and a measured loss that the source states are renewed: the loss counts as not measured.
    The output exists when the iterator has ended. Raises CheckpointError as `create_checkpoint`.
    """
    metadata = {**source.metadata, **facts}
    stated = TENSORS_SHA256 in metadata
    if stated:
        metadata |= unmeasured_fields() | {TENSORS_SHA256: "0" * 64}
    tensors = list(source.tensors.values())
    digest = TensorDigest()
    with create_checkpoint(
        output, tensors, metadata, sources=source.files, overwrite=overwrite
    ) as writer:
        for done, info in enumerate(tensors, 1):
            for part in _parts(source, info.name, blocks.get(info.name)):
                digest.add(info, part)
                writer.write(info.name, part)
            yield TensorRewritten(done, info.name)
        if stated:
            writer.restate(metadata | {TENSORS_SHA256: digest.hexdigest()})


def _parts(source: Checkpoint, name: str, blocks: U8 | None) -> Iterator[U8]:
    """Yield the bytes of a tensor in slabs: the new ones, or those of the source."""
    info = source.tensors[name]
    if blocks is not None:
        yield blocks
        return
    step = max(1, SLAB_BYTES * info.rows // max(info.nbytes, 1))
    for start in range(0, max(info.rows, 1), step):
        yield source.read_rows(name, start, min(start + step, info.rows)).data
