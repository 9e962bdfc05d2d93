"""Removes the files of a set of shards that a dead process did not complete.

The partial key file of the set is claimed first and renamed last. If it exists without a lock and
without the key file itself, a run was interrupted. The other parts then belong to it, and so do the
shards that it had already renamed, since a set never replaces existing files.
"""

import contextlib
import json
import os
import re
from pathlib import Path

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import part_of, stale_part
from zeropoint.checkpoints.shards import shard_name
from zeropoint.checkpoints.source import read_file
from zeropoint.errors import CheckpointError

INDEX_BYTES = 256 << 20
INDEX_SUFFIX = ".index.json"


def remove_leftovers(target: Path) -> None:
    """Remove the leftovers of sets named after `target`, whatever their number of shards."""
    stem = re.escape(target.stem)
    first = re.compile(rf"\.{stem}-00001-of-(\d{{5}}){re.escape(target.suffix)}\.part")
    names = os.listdir(target.parent)
    for name in names:
        match = first.fullmatch(name)
        if match and target.suffix == ".gguf":
            count = int(match[1])
            shards = [
                target.with_name(shard_name(target.stem, number, count, target.suffix))
                for number in range(1, count + 1)
            ]
            _remove_set(shards[0], shards[1:], names)
    index = target.with_name(target.name + INDEX_SUFFIX)
    if part_of(index).name in names:
        _remove_set(index, _indexed_shards(index, target), names)


def _remove_set(key: Path, shards: list[Path], names: list[str]) -> None:
    """Remove the set that a dead process did not complete. The lock on its key part is held."""
    with stale_part(key) as part:
        if part is None or key.exists():
            return
        for shard in shards:
            if part_of(shard).name in names:
                with stale_part(shard):  # raises if a running process writes a file of this name
                    pass
            if shard.name in names:
                with contextlib.suppress(FileNotFoundError):
                    io.unlink(shard)


def _indexed_shards(index: Path, target: Path) -> list[Path]:
    """Return the shards that an interrupted run was to make: its index was written first."""
    pattern = re.compile(rf"{re.escape(target.stem)}-\d{{5}}-of-\d{{5}}\.safetensors")
    try:
        names = set(json.loads(read_file(part_of(index), INDEX_BYTES))["weight_map"].values())
    except (CheckpointError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []  # interrupted before the index was complete, so no other part exists
    return [index.with_name(name) for name in sorted(names) if pattern.fullmatch(name)]
