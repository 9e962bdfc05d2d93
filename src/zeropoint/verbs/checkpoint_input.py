"""Opens the checkpoint of a verb: a path, a hub id, or a checkpoint that is open already."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.checkpoints.files.file_kind import Use

#: A GGUF file, a Hugging Face folder, an org/name of the hub, or an open checkpoint.
CheckpointInput: TypeAlias = str | Path | Checkpoint


@contextmanager
def opened(model: CheckpointInput, use: Use) -> Iterator[Checkpoint]:
    """Open a model for a use, and close it afterwards, unless the caller had opened it.

    Raises CheckpointError or UnsupportedModel for a model that has no such use.
    """
    if isinstance(model, Checkpoint):
        yield model
        return
    with open_model(model, use) as checkpoint:
        yield checkpoint
