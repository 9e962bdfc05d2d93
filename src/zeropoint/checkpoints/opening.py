"""Opens what a person points at: a file, a set of shards, a folder."""

from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.shards import open_gguf


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Open a GGUF file, any shard of a split one, a safetensors file or a folder with one of them.

    Only headers are read. Raises CheckpointError, one line that says where and why.
    """
    path = Path(path)
    return open_gguf(path)
