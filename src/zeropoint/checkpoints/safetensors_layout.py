"""Computes the layout of safetensors: one file, or shards with an index.

In a file, the data is sorted as the safetensors library sorts it: largest alignment first, then by
name, so that every tensor can be used in place. Tensors may be written in another order.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from zeropoint.checkpoints.dtypes import DTYPE_ORDER
from zeropoint.checkpoints.files.cleanup import INDEX_SUFFIX
from zeropoint.checkpoints.layout import (
    ByteSpan,
    FileLayout,
    PlannedFile,
    TensorLike,
    check_names,
    tensor_bytes,
)
from zeropoint.checkpoints.safetensors import MAX_HEADER_BYTES
from zeropoint.checkpoints.shards import shard_name
from zeropoint.errors import CheckpointError, printable

ALIGNMENT = 8  # of the data in the file
_ENTRY_BYTES = 96  # of a tensor's entry in the header, without its name; an upper bound for most


def plan_safetensors(
    path: Path,
    tensors: Sequence[TensorLike],
    metadata: Mapping[str, object],
    max_shard_bytes: int | None = None,
) -> FileLayout:
    """Return the layout of a file, or of shards of about `max_shard_bytes` and their index.

    A shard has at least one tensor. Metadata must be strings. Raises CheckpointError for what
    safetensors cannot express.
    """
    check_names(path, tensors)
    strings: dict[str, str] = {}
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise CheckpointError(path, "metadata of safetensors must be strings", field=f"'{key}'")
        strings[key] = value
    for tensor in tensors:
        reason = ""
        if tensor.format.name not in DTYPE_ORDER:
            reason = f"safetensors has no type {tensor.format.name}"
        elif not tensor.name.isprintable() or tensor.name in ("", "__metadata__"):
            reason = "is no name for a tensor in safetensors"
        if reason:
            raise CheckpointError(path, reason, field=f"tensor '{printable(tensor.name)}'")
    whole = _plan_one(path, tensors, strings)
    if max_shard_bytes is None or whole.size <= max_shard_bytes:
        return FileLayout((whole,), limit=max_shard_bytes)
    groups = _group(tensors, max_shard_bytes)
    files = []
    for number, group in enumerate(groups, 1):
        name = shard_name(path.stem, number, len(groups), path.suffix)
        files.append(_plan_one(path.with_name(name), group, strings))
    return FileLayout((*files, _plan_index(path, files)), key=len(files), limit=max_shard_bytes)


def _group(tensors: Sequence[TensorLike], max_bytes: int) -> list[list[TensorLike]]:
    """Cut the tensors, in order, into groups whose files stay within `max_bytes` where they can."""
    groups: list[list[TensorLike]] = [[]]
    size = 0
    for tensor in tensors:
        own = tensor_bytes(tensor) + len(tensor.name) + _ENTRY_BYTES
        if groups[-1] and size + own > max_bytes:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += own
    return groups


def _plan_one(path: Path, tensors: Sequence[TensorLike], metadata: dict[str, str]) -> PlannedFile:
    entries: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    begins: dict[str, int] = {}
    offset = 0
    for tensor in sorted(tensors, key=lambda t: (-DTYPE_ORDER[t.format.name], t.name)):
        end = offset + tensor_bytes(tensor)
        entries[tensor.name] = {
            "dtype": tensor.format.name,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        begins[tensor.name] = offset
        offset = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise CheckpointError(
            path, f"its header would have {len(text)} bytes; the limit is {MAX_HEADER_BYTES}"
        )
    header = struct.pack("<Q", len(text)) + text
    spans = tuple(
        ByteSpan(tensor, len(header) + begins[tensor.name], tensor_bytes(tensor), 0)
        for tensor in tensors
    )
    return PlannedFile(path, header, spans, len(header) + offset)


def _plan_index(path: Path, files: Sequence[PlannedFile]) -> PlannedFile:
    """Lay out the index: which tensor is in which file."""
    names = {span.tensor.name: file.path.name for file in files for span in file.spans}
    total = sum(span.nbytes for file in files for span in file.spans)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
    text = json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n"
    return PlannedFile(path.with_name(path.name + INDEX_SUFFIX), text, (), len(text))
