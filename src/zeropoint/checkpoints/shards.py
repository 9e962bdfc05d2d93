"""Opens a GGUF file, or all shards of a split one: NAME-00001-of-00003.gguf.

As llama.cpp splits them, the first shard has the metadata, and each has `split.no`, `split.count`
and `split.tensors.count`. Shards are found by the name of the given one, never by a name inside a
file.
"""

import re
from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint, TensorInfo
from zeropoint.checkpoints.gguf import ALIGNMENT_KEY, GgufHeader, find_entry, read_gguf
from zeropoint.checkpoints.source import SourceFile
from zeropoint.checkpoints.validate import check_header
from zeropoint.checkpoints.values import encode_value
from zeropoint.errors import CheckpointError, printable

SPLIT_NO, SPLIT_COUNT, SPLIT_TENSORS = "split.no", "split.count", "split.tensors.count"
SPLIT_KEYS = frozenset((SPLIT_NO, SPLIT_COUNT, SPLIT_TENSORS))
MAX_SHARDS = 4096  # each one is an open file
SPLIT_NAME = re.compile(
    r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)", re.DOTALL
)


def shard_name(stem: str, number: int, count: int, suffix: str) -> str:
    """Name shard `number` (from 1) of `count`.

    >>> shard_name("model", 1, 3, ".gguf")
    'model-00001-of-00003.gguf'
    """
    return f"{stem}-{number:05}-of-{count:05}{suffix}"


def open_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file, and all other shards if it is one. Raises CheckpointError."""
    file = SourceFile(path)
    header = read_gguf(file)
    count = header.metadata.get(SPLIT_COUNT, 1)
    if isinstance(count, int) and count == 1:  # other values are refused with the set
        check_header(path, header, header.tensors)
        return Checkpoint(
            path, "gguf", [file], _without_split(header), header.tensors, header.places
        )
    return _open_set(path, file, header)


def _open_set(path: Path, file: SourceFile, header: GgufHeader) -> Checkpoint:
    """Open all shards of the set that this one belongs to."""
    count = _number(path, header, SPLIT_COUNT, 1, MAX_SHARDS)
    number = _number(path, header, SPLIT_NO, 0, count - 1) + 1
    match = SPLIT_NAME.fullmatch(path.name)
    if not match or (int(match["number"]), int(match["count"])) != (number, count):
        ending = shard_name("", number, count, ".gguf")
        reason = f"is shard {number} of {count}; its name must end in {ending}"
        raise CheckpointError(path, reason, offset=header.places[SPLIT_NO], field=SPLIT_NO)
    files: list[SourceFile] = []
    headers: list[GgufHeader] = []
    for index in range(count):
        name = shard_name(match["stem"], index + 1, count, match["suffix"])
        shard = file if index + 1 == number else SourceFile(path.with_name(name))
        files.append(shard)
        headers.append(header if shard is file else read_gguf(shard))
        _check_shard(shard.path, headers, index, count)
    tensors = [tensor for part in headers for tensor in part.tensors]
    _check_tensors(files[0].path, headers[0], tensors)
    check_header(files[0].path, headers[0], tensors)
    first = headers[0]
    return Checkpoint(path, "gguf", files, _without_split(first), tensors, first.places)


def _without_split(header: GgufHeader) -> dict[str, object]:
    return {key: value for key, value in header.metadata.items() if key not in SPLIT_KEYS}


def _number(path: Path, header: GgufHeader, key: str, minimum: int, maximum: int) -> int:
    """Return an integer of the metadata from `minimum` to `maximum`."""
    value = header.metadata.get(key)
    if value is None:
        place = header.places[SPLIT_COUNT]  # the key that marks a shard
        reason = f"is one of several shards and has no {key}"
        raise CheckpointError(path, reason, offset=place, field=SPLIT_COUNT)
    place = header.places[key]
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        reason = f"is not an integer from {minimum} to {maximum}"
        raise CheckpointError(path, reason, offset=place, field=key)
    return int(value)


def _check_shard(path: Path, headers: list[GgufHeader], index: int, count: int) -> None:
    """Check that the metadata of this shard agrees with its name and with the first shard."""
    first, header = headers[0], headers[index]
    total = first.metadata.get(SPLIT_TENSORS)
    for key, wanted in ((SPLIT_COUNT, count), (SPLIT_NO, index), (SPLIT_TENSORS, total)):
        actual = _number(path, header, key, 0, 1 << 31)
        if actual != wanted:
            reason = f"is {actual} where {wanted} belongs"
            raise CheckpointError(path, reason, offset=header.places[key], field=key)
    for key, value in header.metadata.items():
        if key in SPLIT_KEYS or key == ALIGNMENT_KEY or key not in first.metadata:
            continue
        if encode_value(value) != encode_value(first.metadata[key]):
            reason = "differs from the first shard's: these are shards of different models"
            raise CheckpointError(path, reason, offset=header.places[key], field=key)


def _check_tensors(path: Path, first: GgufHeader, tensors: list[TensorInfo]) -> None:
    total = first.metadata[SPLIT_TENSORS]
    if total != len(tensors):
        reason = f"is {total}, the shards have {len(tensors)} tensors"
        place = first.places[SPLIT_TENSORS]
        raise CheckpointError(path, reason, offset=place, field=SPLIT_TENSORS)
    seen: dict[str, TensorInfo] = {}
    for tensor in tensors:
        if tensor.name in seen:
            reason = f"'{printable(tensor.name)}' is also in {seen[tensor.name].file.name}"
            raise CheckpointError(tensor.file, reason, offset=find_entry(tensor.file, tensor.name))
        seen[tensor.name] = tensor
