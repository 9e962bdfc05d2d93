"""Small checkpoints of each layout, written in this process or in one that may die."""

import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeropoint.checkpoints import CheckpointWriter, NewTensor, create_checkpoint, open_checkpoint
from zeropoint.errors import CheckpointError, NotEnoughSpace
from zeropoint.formats import FORMATS

TENSORS = [NewTensor(f"t{n}", (3, 8), FORMATS["F32"]) for n in range(3)]
LAYOUTS = {  # name of the output, bytes of a shard
    "gguf": ("m.gguf", None),
    "gguf shards": ("m.gguf", 1),
    "safetensors": ("m.safetensors", None),
    "safetensors shards": ("m.safetensors", 1),
}
OLD = b"what was there before"


def write(
    folder: Path,
    layout: str,
    *,
    tensors: Sequence[NewTensor] = TENSORS,
    value: int = 1,
    pause: float = 0.0,
) -> CheckpointWriter:
    name, shard_bytes = LAYOUTS[layout]
    metadata = {"general.name": "x"}
    with create_checkpoint(folder / name, tensors, metadata, max_shard_bytes=shard_bytes) as writer:
        for tensor in tensors:
            for row in range(tensor.shape[0]):
                writer.write(tensor.name, np.full(4 * tensor.shape[1], value + row, np.uint8))
                time.sleep(pause) if pause else None
    return writer


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected(tmp_path: Path, layout: str, **options: Any) -> dict[str, bytes]:
    folder = tmp_path / "expected"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    write(folder, layout, **options)
    return content(folder)


def in_child(action: Callable[[], object]) -> int:
    """Run in a forked process; return its exit status as `waitpid` gives it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except NotEnoughSpace:
            os._exit(4)
        except CheckpointError:
            os._exit(5)
        finally:
            os._exit(70)
    return child


def check_old_or_new(folder: Path, new: dict[str, bytes], old: bytes | None) -> bool:
    """Assert that what has the name of the output is whole; return whether it is the new one."""
    found = content(folder)
    if len(new) == 1:
        (name,) = new
        assert found.get(name) in (new[name], old)
        assert set(found) <= {name, f".{name}.part"}
        return found.get(name) == new[name]
    key = (
        "m-00001-of-00003.gguf"
        if "m.safetensors.index.json" not in new
        else "m.safetensors.index.json"
    )
    if key not in found:
        with pytest.raises(CheckpointError):
            open_checkpoint(folder / key)
        return False
    assert found == new
    return True
