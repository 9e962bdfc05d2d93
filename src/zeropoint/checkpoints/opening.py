"""Opens what a person points at: a file, a set of shards, a folder."""

import logging
from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.folder import INDEX, SINGLE, open_index, open_safetensors, open_single
from zeropoint.checkpoints.pretokenizers import stated_pre_tokenizer
from zeropoint.checkpoints.shards import SPLIT_NAME, open_gguf
from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError

LOG = logging.getLogger("zeropoint")

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Open a GGUF file, any shard of a split one, a safetensors file or a folder with one of them.

    Only headers are read. Raises CheckpointError, one line that says where and why. Logs a warning
    for a byte-pair vocabulary that does not name its pre-tokenizer.
    """
    opened = _open(Path(path))
    model = opened.metadata.get("tokenizer.ggml.model")
    pairs = isinstance(model, str) and model == "gpt2"
    if pairs and stated_pre_tokenizer(opened.metadata) is None:
        LOG.warning(
            f"{opened.path}: the pre-tokenizer is not named (tokenizer.ggml.pre); 'default' is a "
            "guess, and text may get other tokens than those of the training: convert it anew"
        )
    return opened


def _open(path: Path) -> Checkpoint:
    try:
        if path.is_dir():
            return _open_folder(path)
    except OSError as error:
        raise CheckpointError(path, f"cannot be opened: {error.strerror}") from None
    if path.name.endswith(".safetensors.index.json"):
        return open_index(path, path)
    if path.suffix == ".safetensors":
        return open_safetensors(path)
    if path.suffix == ".gguf":
        return open_gguf(path)
    return _open_by_content(path)


def _open_by_content(path: Path) -> Checkpoint:
    """Open a file whose name says nothing, as those in the hub's cache."""
    file = SourceFile(path)
    start = file.read(0, min(file.size, 9)).tobytes()
    file.close()
    if start[:4] == b"GGUF":
        return open_gguf(path)
    if start[8:] == b"{":
        return open_safetensors(path)
    reason = "is neither GGUF nor safetensors"
    if path.suffix in PICKLES:
        reason += "; pickles can run code and are not read: convert it to safetensors"
    raise CheckpointError(path, reason, offset=0, field="magic")


def _open_folder(path: Path) -> Checkpoint:
    if (path / INDEX).exists():
        return open_index(path, path / INDEX)
    if (path / SINGLE).exists():
        return open_single(path, path / SINGLE)
    names = sorted(entry.name for entry in path.iterdir())
    ggufs = [name for name in names if name.endswith(".gguf")]
    sets = {_set_name(name): name for name in reversed(ggufs)}
    if len(sets) == 1:
        opened = open_gguf(path / next(iter(sets.values())))
        opened.path = path
        return opened
    if sets:
        listed = ", ".join(sorted(sets.values()))
        raise CheckpointError(path, f"has several models, name one of them: {listed}")
    weights = [name for name in names if name.endswith(".safetensors")]
    if len(weights) == 1:
        return open_single(path, path / weights[0])
    reason = "has no GGUF file, no model.safetensors and no model.safetensors.index.json"
    if any(name.endswith(PICKLES) for name in names):
        reason += "; pickles can run code and are not read: convert them to safetensors"
    raise CheckpointError(path, reason)


def _set_name(name: str) -> str:
    match = SPLIT_NAME.fullmatch(name)
    return match["stem"] + match["count"] if match else name
