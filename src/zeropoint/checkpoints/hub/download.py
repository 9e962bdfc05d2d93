"""Reads the headers of a model on the Hugging Face Hub by range requests; a plan needs no weight.

Planning for a GGUF of 40 GB needs its header, some MiB. For safetensors it needs 8 bytes, a JSON
object and config.json. A model that is in the hub's cache is read there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint.checkpoints.base import TensorInfo
from zeropoint.checkpoints.folder import ADAPTER_CONFIG, CONFIG_BYTES, CONFIG_FILE
from zeropoint.checkpoints.gguf import read_gguf
from zeropoint.checkpoints.hub.open_model import (
    _HUB_ID,
    HUB_TIMEOUT_SECONDS,
    WEIGHTS_SUFFIXES,
    _ask,
    _find_cached,
    choose_files,
)
from zeropoint.checkpoints.safetensors import read_safetensors
from zeropoint.checkpoints.source import U8
from zeropoint.errors import CheckpointError, UnsupportedModel

MIN_FETCH_BYTES = 1 << 16


@dataclass(frozen=True)
class RemoteModel:
    """The headers of a model on the hub."""

    metadata: Mapping[str, object]  # GGUF keys; empty for safetensors
    tensors: Mapping[str, TensorInfo]
    config: Mapping[str, object] | None  # config.json of safetensors
    weights_bytes: int  # 0: the repository has no weights
    file_bytes: int


class RemoteFile:
    """A file on the hub with the interface of `SourceFile`: read by position, never as a whole."""

    def __init__(self, repository: str, name: str) -> None:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        self.path = Path(f"{repository}/{name}")
        self._repository = repository
        self._url = hf_hub_url(repository, name)
        known = _ask(
            repository, lambda: get_hf_file_metadata(self._url, timeout=HUB_TIMEOUT_SECONDS)
        )
        if known.size is None:
            raise CheckpointError(self.path, "the hub does not report its size")
        self.size = int(known.size)
        self._block, self._start = b"", 0  # the bytes fetched last, and their offset

    def read(self, offset: int, count: int) -> U8:
        """Return `count` bytes from `offset` on; the caller must know that they exist."""
        at = offset - self._start
        if at < 0 or at + count > len(self._block):
            stop = min(max(offset + count, offset + MIN_FETCH_BYTES), self.size)
            self._block = _ask(self._repository, lambda: self._fetch(offset, stop))
            self._start, at = offset, 0
        return np.frombuffer(self._block[at : at + count], np.uint8)

    def _fetch(self, start: int, stop: int) -> bytes:
        from huggingface_hub import utils as hub  # its names are not re-exported for type checkers

        if stop <= start:
            return b""
        headers: Any = hub.build_hf_headers()  # type: ignore[attr-defined]
        headers |= {"Range": f"bytes={start}-{stop - 1}"}
        answer: Any = hub.get_session().get(  # type: ignore[attr-defined]
            self._url, headers=headers, timeout=10 * HUB_TIMEOUT_SECONDS
        )
        hub.hf_raise_for_status(answer)  # type: ignore[attr-defined]
        data = bytes(answer.content)
        if len(data) != stop - start:
            reason = f"{stop - start} bytes were asked for and {len(data)} came"
            raise CheckpointError(self.path, reason, offset=start)
        return data

    def check_unchanged(self) -> None:
        """Do nothing: the files that the hub serves under one revision never change."""

    def close(self) -> None:
        """Discard the fetched bytes."""
        self._block = b""


def is_hub_id(text: str) -> bool:
    """Return whether a text has the form of a hub id: org/name, or org/name:FILE."""
    return _HUB_ID.fullmatch(text) is not None


def find_local(text: str) -> Path | None:
    """Return the local path of a model of the hub, or None if it is not in the cache."""
    match = _HUB_ID.fullmatch(text)
    return _find_cached(match["repository"], match["file"]) if match else None


def open_remote(text: str) -> RemoteModel:
    """Read the headers of a model on the hub.

    Raises CheckpointError, one sentence, where the hub or the model cannot be reached, and
    UnsupportedModel for one that has neither GGUF nor a config.json next to its weights.
    """
    from huggingface_hub import HfApi

    match = _HUB_ID.fullmatch(text)
    if match is None:
        raise CheckpointError(
            text, "is not the name of a model on the hub; names look like org/name"
        )
    repository, wanted = match["repository"], match["file"]
    known = _ask(repository, lambda: HfApi().model_info(repository, timeout=HUB_TIMEOUT_SECONDS))
    names = [file.rfilename for file in known.siblings or []]
    bare = CONFIG_FILE in names and not any(name.endswith(WEIGHTS_SUFFIXES) for name in names)
    files = [] if bare and wanted is None else choose_files(repository, names, wanted)
    ggufs = [name for name in files if name.endswith(".gguf")]
    if ggufs:
        return _read_ggufs(repository, ggufs)
    weights = [name for name in files if name.endswith(".safetensors")]
    if ADAPTER_CONFIG in names and CONFIG_FILE not in names:
        raise UnsupportedModel(f"{repository} is an adapter, not a model; name its base model")
    if CONFIG_FILE not in names:
        raise UnsupportedModel(f"{repository}: has no config.json, so it is not a text model")
    return _read_folder(repository, weights)


def _read_ggufs(repository: str, names: list[str]) -> RemoteModel:
    metadata: Mapping[str, object] = {}
    tensors: dict[str, TensorInfo] = {}
    size = 0
    for name in names:
        file = RemoteFile(repository, name)
        header = read_gguf(file)  # type: ignore[arg-type]
        metadata = metadata or header.metadata
        tensors |= {tensor.name: tensor for tensor in header.tensors}
        size += file.size
        file.close()
    total = sum(tensor.nbytes for tensor in tensors.values())
    return RemoteModel(metadata, tensors, None, total, size)


def _read_folder(repository: str, names: list[str]) -> RemoteModel:
    file = RemoteFile(repository, CONFIG_FILE)
    if file.size > CONFIG_BYTES:
        raise CheckpointError(file.path, f"has {file.size} bytes, too many for a config.json")
    try:
        config = json.loads(file.read(0, file.size).tobytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(file.path, f"is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(file.path, "is not a config.json: expected a JSON object")
    tensors: dict[str, TensorInfo] = {}
    size = 0
    for name in names:
        shard = RemoteFile(repository, name)
        tensors |= {tensor.name: tensor for tensor in read_safetensors(shard)[1]}  # type: ignore[arg-type]
        size += shard.size
        shard.close()
    total = sum(tensor.nbytes for tensor in tensors.values())
    return RemoteModel({}, tensors, config, total, size)
