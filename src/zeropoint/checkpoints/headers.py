"""Headers of a model: its metadata and the names, shapes and formats of its tensors.

No weight is read. A model on the Hugging Face Hub that is not in the hub's cache costs a few range
requests, whatever its size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.files.file_kind import check_use
from zeropoint.checkpoints.folder import CONFIG_BYTES, CONFIG_FILE, read_config, read_json
from zeropoint.checkpoints.hub.download import find_local, open_remote
from zeropoint.checkpoints.huggingface import as_gguf
from zeropoint.checkpoints.layout import TensorLike
from zeropoint.checkpoints.open import open_checkpoint
from zeropoint.errors import CheckpointError, UnsupportedModel, ZeropointError


@dataclass(frozen=True, kw_only=True)
class ModelHeaders:
    """Metadata and tensor descriptions of a model's files, without its weights."""

    #: Short name of the model: its file, folder or repository without the directory.
    label: str
    #: File or folder on this machine; None for a model on the hub.
    path: Path | None
    #: Names the file in errors: a path, or "org/name/config.json".
    source: Path
    #: GGUF keys; empty where only `config` is known.
    metadata: Mapping[str, object]
    #: Tensors under GGUF names; empty where only `config` is known.
    tensors: Mapping[str, TensorLike]
    #: Contents of a config.json whose tensors have no GGUF names here; None if they have.
    config: Mapping[str, object] | None = None
    #: Bytes of all tensors as stored; 0 for a config.json without tensors.
    weights_bytes: int = 0
    #: Bytes of all files with tensors, headers included; None if unknown.
    file_bytes: int | None = None


def read_headers(path: Path) -> ModelHeaders:
    """Read the headers of a GGUF file, a folder of safetensors, or a config.json alone.

    Raises CheckpointError for a file that is missing or damaged, UnsupportedModel for one that is
    not a language model.
    """
    config = path if path.suffix == ".json" else path / CONFIG_FILE
    if path.suffix == ".json" and not path.name.endswith(".safetensors.index.json"):
        return read_config_headers(config, label=path.parent.name or path.name)
    if path.is_dir() and config.is_file() and not any(path.glob("*.safetensors")):
        if not any(path.glob("*.gguf")):
            return read_config_headers(config, label=path.resolve().name)
    label = path.stem if path.is_file() else path.resolve().name
    with open_checkpoint(path) as checkpoint:
        return headers_of(checkpoint, label)


def headers_of(checkpoint: Checkpoint, label: str = "") -> ModelHeaders:
    """Return the headers of an open checkpoint; `label` defaults to the name of its file.

    Raises UnsupportedModel for one that is not a language model.
    """
    check_use(checkpoint.path, checkpoint, "plan")
    metadata, tensors = checkpoint.metadata, checkpoint.tensors
    config, source = None, checkpoint.path
    if checkpoint.kind == "safetensors":
        folder = source if source.is_dir() else source.parent
        try:
            converted = as_gguf(checkpoint)
            metadata, tensors = converted.metadata, converted.tensors
        except ZeropointError:  # an unsupported family, or no tokenizer next to the tensors
            metadata, tensors, config = {}, {}, _config_of(folder)
            source = folder / CONFIG_FILE
    return ModelHeaders(
        label=label or checkpoint.path.stem,
        path=checkpoint.path,
        source=source,
        metadata=metadata,
        tensors=dict(tensors),
        config=config,
        weights_bytes=_stored_bytes(checkpoint.tensors),
        file_bytes=checkpoint.file_bytes,
    )


def read_config_headers(path: Path, *, label: str) -> ModelHeaders:
    """Read a config.json. Raises CheckpointError if it is not a JSON object."""
    return config_headers(read_json(path, CONFIG_BYTES), path, label=label)


def config_headers(config: object, path: Path, *, label: str) -> ModelHeaders:
    """Return the headers of a model that is described by the contents of a config.json.

    `path` names the file in errors. Raises CheckpointError if `config` is not an object.
    """
    if not isinstance(config, dict):
        raise CheckpointError(path, "is not a config.json of a model: expected a JSON object")
    return ModelHeaders(label=label, path=path, source=path, metadata={}, tensors={}, config=config)


def read_hub_headers(name: str) -> ModelHeaders:
    """Read the headers of a model on the Hugging Face Hub, `org/name` or `org/name:FILE`.

    Raises CheckpointError if the hub or the model cannot be reached.
    """
    local = find_local(name)
    if local is not None:
        return read_headers(local)
    remote = open_remote(name)
    check_use(name, remote, "plan")
    described = remote.config is not None
    return ModelHeaders(
        label=name.partition("/")[2],
        path=None,
        source=Path(f"{name}/config.json") if described else Path(name),
        metadata={} if described else remote.metadata,
        tensors={} if described else remote.tensors,
        config=remote.config,
        weights_bytes=remote.weights_bytes,
        file_bytes=remote.file_bytes or None,
    )


def _config_of(folder: Path) -> Mapping[str, object]:
    config = read_config(folder)
    if not config:
        raise UnsupportedModel(
            f"{folder}: has no config.json next to its tensors, which is needed to compute the "
            "memory of a token"
        )
    return config


def _stored_bytes(tensors: Mapping[str, TensorLike]) -> int:
    total = 0
    for tensor in tensors.values():
        format = tensor.format.for_shape(tensor.shape)
        total += prod(tensor.shape) // format.block_size * format.block_bytes
    return total
