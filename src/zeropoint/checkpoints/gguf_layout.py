"""Computes the layout of a GGUF file of version 3, in one file or in shards."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from zeropoint.checkpoints import gguf
from zeropoint.checkpoints.gguf import ALIGNMENT_KEY, pad
from zeropoint.checkpoints.layout import (
    ByteSpan,
    FileLayout,
    PlannedFile,
    TensorLike,
    check_names,
    tensor_bytes,
)
from zeropoint.checkpoints.shards import (
    SPLIT_COUNT,
    SPLIT_KEYS,
    SPLIT_NO,
    SPLIT_TENSORS,
    shard_name,
)
from zeropoint.checkpoints.values import Int32, UInt16, encode_value
from zeropoint.errors import CheckpointError, printable
from zeropoint.formats import FORMATS

_LENGTH_STRUCT = struct.Struct("<Q")


def plan_gguf(
    path: Path,
    tensors: Sequence[TensorLike],
    metadata: Mapping[str, object],
    max_shard_bytes: int | None = None,
) -> FileLayout:
    """Return the layout of one file, or of shards of at most `max_shard_bytes` (at least one
    tensor).

    The alignment is the metadata's `general.alignment`, or 32. Raises CheckpointError for what GGUF
    cannot express.
    """
    check_names(path, tensors)
    for tensor in tensors:
        _check_tensor(path, tensor)
    own_metadata = {key: value for key, value in metadata.items() if key not in SPLIT_KEYS}
    alignment = own_metadata.get(ALIGNMENT_KEY, 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(path, f"{alignment!r} is not a power of two", field=ALIGNMENT_KEY)
    whole = _plan_one(path, tensors, own_metadata, alignment)
    if max_shard_bytes is None or whole.size <= max_shard_bytes:
        return FileLayout((whole,), limit=max_shard_bytes)
    groups = _group(path, tensors, own_metadata, alignment, max_shard_bytes)
    files = []
    for number, group in enumerate(groups):
        own = (
            own_metadata
            if number == 0
            else {k: v for k, v in own_metadata.items() if k == ALIGNMENT_KEY}
        )
        keys = own | _split_keys(number, len(groups), len(tensors))
        name = shard_name(path.stem, number + 1, len(groups), path.suffix)
        files.append(_plan_one(path.with_name(name), group, keys, alignment))
    return FileLayout(tuple(files), limit=max_shard_bytes)


def _check_tensor(path: Path, tensor: TensorLike) -> None:
    reason = ""
    if not tensor.name.isprintable() or not 1 <= len(tensor.name.encode()) <= gguf.NAME_BYTES:
        reason = f"a name in GGUF has 1 to {gguf.NAME_BYTES} bytes that print"
    elif len(tensor.shape) > gguf.MAX_AXES:
        reason = (
            f"a tensor in GGUF has at most {gguf.MAX_AXES} axes, this one has shape {tensor.shape}"
        )
    elif tensor.format.name not in FORMATS:
        reason = f"GGUF has no type {tensor.format.name}"
    if reason:
        raise CheckpointError(path, reason, field=f"tensor '{printable(tensor.name)}'")


def _split_keys(number: int, count: int, tensors: int) -> dict[str, object]:
    # llama.cpp requires these exact types.
    return {SPLIT_NO: UInt16(number), SPLIT_COUNT: UInt16(count), SPLIT_TENSORS: Int32(tensors)}


def _group(
    path: Path,
    tensors: Sequence[TensorLike],
    metadata: Mapping[str, object],
    alignment: int,
    max_bytes: int,
) -> list[list[TensorLike]]:
    """Cut the tensors, in order, into groups whose files stay within `max_bytes` where they can."""
    groups: list[list[TensorLike]] = [[]]
    first = {**metadata, **_split_keys(0, 1, 1)}
    size = _head_bytes(path, first)
    for tensor in tensors:
        own = len(_describe(tensor, 0)) + pad(tensor_bytes(tensor), alignment)
        if groups[-1] and size + own + alignment > max_bytes:
            groups.append([])
            size = _head_bytes(path, {ALIGNMENT_KEY: 0, **_split_keys(0, 1, 1)})
        groups[-1].append(tensor)
        size += own
    return groups


def _plan_one(
    path: Path,
    tensors: Sequence[TensorLike],
    metadata: Mapping[str, object],
    alignment: int,
) -> PlannedFile:
    table = []
    sizes = []
    offset = 0
    for tensor in tensors:
        table.append(_describe(tensor, offset))
        sizes.append((offset, tensor_bytes(tensor)))
        offset += pad(sizes[-1][1], alignment)
    header = _head(path, metadata, len(tensors)) + b"".join(table)
    start = pad(len(header), alignment)
    header += bytes(start - len(header))
    spans = tuple(
        ByteSpan(tensor, start + at, size, pad(size, alignment) - size)
        for tensor, (at, size) in zip(tensors, sizes, strict=True)
    )
    return PlannedFile(path, header, spans, start + offset)


def _head_bytes(path: Path, metadata: Mapping[str, object]) -> int:
    return len(_head(path, metadata, 0))


def _head(path: Path, metadata: Mapping[str, object], tensors: int) -> bytes:
    """Encode everything before the table of tensors."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, tensors, len(metadata))]
    for key, value in metadata.items():
        if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= gguf.KEY_BYTES:
            raise CheckpointError(path, "a key in GGUF must be printable ASCII", field=f"'{key}'")
        try:
            kind, data = encode_value(value)
        except (TypeError, OverflowError) as error:
            raise CheckpointError(path, str(error), field=f"'{key}'") from None
        parts += (_LENGTH_STRUCT.pack(len(key)), key.encode(), struct.pack("<I", kind), data)
    return b"".join(parts)


def table_entry(tensor: TensorLike) -> bytes:
    """Encode a tensor's entry in the table without its offset.

    The axes are in ggml's order, the last one first.
    """
    name = tensor.name.encode()
    axes = len(tensor.shape)
    kind = FORMATS[tensor.format.name].ggml_type
    return (
        _LENGTH_STRUCT.pack(len(name))
        + name
        + struct.pack(f"<I{axes}QI", axes, *reversed(tensor.shape), kind)
    )


def _describe(tensor: TensorLike, offset: int) -> bytes:
    """Encode a tensor's entry in the table, with the offset of its data."""
    return table_entry(tensor) + _LENGTH_STRUCT.pack(offset)
