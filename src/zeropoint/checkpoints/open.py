"""Opens a model: a file, a set of shards, or a folder."""

import logging
from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG_FILE,
    INDEX_FILE,
    SINGLE_FILE,
    find_in_folder,
    open_adapter,
    open_index,
    open_safetensors,
    open_shards,
    open_single,
    read_config,
)
from zeropoint.checkpoints.merging import BYTE_PAIRS
from zeropoint.checkpoints.shards import SPLIT_NAME, open_gguf
from zeropoint.checkpoints.source import SourceFile
from zeropoint.checkpoints.tokenizers.pretokenizers import stated_pre_tokenizer
from zeropoint.errors import CheckpointError

LOG = logging.getLogger("zeropoint")
INDEX_ENDING = ".safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Open a GGUF file, any shard of a split one, a safetensors file, or a folder with one of them.

    Only headers are read. Raises CheckpointError with one line about the problem and its place.
    Logs a warning for a byte-pair vocabulary that does not name its pre-tokenizer.
    """
    opened = _open(Path(path))
    model = opened.metadata.get("tokenizer.ggml.model")
    pairs = isinstance(model, str) and model == BYTE_PAIRS
    if pairs and stated_pre_tokenizer(opened.metadata) is None:
        LOG.warning(
            f"{opened.path}: the file does not name its pre-tokenizer (tokenizer.ggml.pre); "
            "'default' is used, as in llama.cpp, and may give other tokens than those "
            "that the model was trained with"
        )
    return opened


def _open(path: Path) -> Checkpoint:
    try:
        if path.is_dir():
            return _open_folder(path)
    except OSError as error:
        raise CheckpointError(path, f"cannot be opened: {error.strerror}") from None
    if path.name.endswith(INDEX_ENDING):
        return open_index(path, path)
    if path.suffix == ".safetensors":
        return open_safetensors(path)
    if path.suffix == ".gguf":
        return open_gguf(path)
    return _open_by_content(path)


def _open_by_content(path: Path) -> Checkpoint:
    """Open a file whose name does not show its kind, such as those in the hub's cache."""
    file = SourceFile(path)
    start = file.read(0, min(file.size, 9)).tobytes()
    file.close()
    if start[:4] == b"GGUF":
        return open_gguf(path)
    if start[8:] == b"{":
        return open_safetensors(path)
    reason = "is not a model file: it is neither GGUF nor safetensors"
    if path.suffix in PICKLES:
        reason += "; pickles can run code and are not read: convert it to safetensors"
    raise CheckpointError(path, reason, offset=0, field="magic")


def _open_folder(path: Path) -> Checkpoint:
    """Open the weights of a folder, in the order in which transformers 5.23 looks for them.

    They are: what config.json names as `transformers_weights`, model.safetensors, its index. Then
    come what transformers does not open: a GGUF file, shards without an index, any single file.
    """
    names = sorted(entry.name for entry in path.iterdir())
    weights = [name for name in names if name.endswith(".safetensors")]
    named = _named_weights(path) if weights and CONFIG_FILE in names else None
    main = named or next(
        (name for name in (SINGLE_FILE, INDEX_FILE) if (path / name).exists()), None
    )
    adapter = ADAPTER_CONFIG in names and ADAPTER_WEIGHTS in names
    if main and adapter:
        reason = (
            f"has a model and an adapter, and transformers would open the base model that"
            f" {ADAPTER_CONFIG} names; move the files of one of them into a folder of its own"
        )
        raise CheckpointError(path, reason)
    if main:
        return (open_single if main.endswith(".safetensors") else open_index)(path, path / main)
    if adapter:
        return open_adapter(path)
    return _open_gguf_in(path, names) or _open_unnamed(path, names, weights)


def _named_weights(folder: Path) -> str | None:
    """Return the file that config.json names as the weights."""
    name = read_config(folder).get("transformers_weights")
    plain = isinstance(name, str) and "/" not in name and "\\" not in name
    if isinstance(name, str) and plain and name.endswith((".safetensors", INDEX_ENDING)):
        return name
    return None


def _open_gguf_in(path: Path, names: list[str]) -> Checkpoint | None:
    """Open the only GGUF model of a folder, in one file or in shards."""
    ggufs = [name for name in names if name.endswith(".gguf")]
    sets = {_set_name(name): name for name in reversed(ggufs)}
    if len(sets) > 1:
        listed = ", ".join(sorted(sets.values()))
        raise CheckpointError(path, f"has several models; give the path of one of them: {listed}")
    if not sets:
        return None
    for name in ggufs:
        find_in_folder(path, name)  # a link must not lead out of the folder
    opened = open_gguf(path / ggufs[0])
    opened.path = path
    return opened


def _open_unnamed(path: Path, names: list[str], weights: list[str]) -> Checkpoint:
    """Open safetensors that no index names: the shards of one model, or a single file."""
    sets: dict[str, list[str]] = {}
    for name in weights:
        if SPLIT_NAME.fullmatch(name):
            sets.setdefault(_set_name(name), []).append(name)
    if len(sets) == 1:
        return open_shards(path, next(iter(sets.values())))
    if len(weights) == 1:
        return open_single(path, path / weights[0])
    if weights:
        listed = ", ".join(weights)
        raise CheckpointError(path, f"has several models; give the path of one of them: {listed}")
    reason = "has no GGUF file, no model.safetensors and no model.safetensors.index.json"
    if ADAPTER_CONFIG in names:
        reason = f"holds an adapter ({ADAPTER_CONFIG}), not a model; merge it into its base model"
    if any(name.endswith(PICKLES) for name in names):
        reason += "; pickles can run code and are not read: convert them to safetensors"
    raise CheckpointError(path, reason)


def _set_name(name: str) -> str:
    match = SPLIT_NAME.fullmatch(name)
    return match["stem"] + match["count"] if match else name
