"""Opens a model by name: a path, or a repository on the Hugging Face Hub.

    org/name                the safetensors of a repository, or its only GGUF
    org/name:file.gguf      one file of it (all shards, if it is one of several)
    org/name:Q4_K_M         its one GGUF whose name contains these letters

    hub:org/name:file.txt   a file of a data set, to read as text

Only weights in safetensors or GGUF and the texts in the repository are downloaded, never anything
that can run code. A complete copy in the hub's cache is used without network access.
"""

import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.files.file_kind import Use, check_use
from zeropoint.checkpoints.huggingface import as_gguf
from zeropoint.checkpoints.open import open_checkpoint
from zeropoint.checkpoints.shards import SPLIT_NAME
from zeropoint.checkpoints.tokenizers.chat_templates import TEMPLATE_DIRECTORY
from zeropoint.errors import CheckpointError, printable

T = TypeVar("T")

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_HUB_ID = re.compile(rf"(?P<repository>{_PART}/{_PART})(?::(?P<file>[^\0]{{1,255}}))?")
DATA_SET_PREFIX = "hub:"  # prefix of a data set's name
WEIGHTS_SUFFIXES = (".safetensors", ".gguf")
UNREADABLE_SUFFIXES = (".parquet", ".arrow", ".gz", ".zst", ".zip", ".bz2", ".xz")
SETTINGS_SUFFIXES = (
    ".json",
    ".model",
    ".txt",
    ".jinja",
)  # config, tokenizers, vocabularies, chat templates
HUB_TIMEOUT_SECONDS = 20.0  # for the list of files
_FOLDER = [f"*{suffix}" for suffix in (".safetensors", *SETTINGS_SUFFIXES)]


def resolve_model(text: str) -> Path:
    """Return the path of a model: `text` itself if it is a path, otherwise a download from the hub.

    Raises CheckpointError if it is neither.
    """
    path = Path(text)
    try:
        if text and path.exists():
            return path
    except (OSError, ValueError):  # too long, or contains NUL
        pass
    match = _HUB_ID.fullmatch(text)
    if not match or (match["file"] is None and path.suffix in WEIGHTS_SUFFIXES):
        reason = "there is no such file or folder; a model on the hub is written org/name"
        raise CheckpointError(printable(text, 100), reason)
    return _download(match["repository"], match["file"])


def open_model(text: str | Path, use: Use = "run") -> Checkpoint:
    """Open a model by path or hub id: a GGUF file, a Hugging Face folder, or a repository.

    Names, shapes and metadata are GGUF's in each case. `use` is what the model is opened for.
    Raises CheckpointError, and UnsupportedModel for a model that is not supported and for a kind of
    file that does not support this use (an adapter).
    """
    opened = open_checkpoint(resolve_model(str(text)))
    model = as_gguf(opened) if opened.kind == "safetensors" else opened
    check_use(opened.path, model, use)
    return model


def resolve_text(text: str) -> Path:
    """Return the path of a text: `text` itself, or a data set's file, "hub:org/name:file".

    Raises CheckpointError, one sentence, if the hub has no such file or cannot be reached.
    """
    if not text.startswith(DATA_SET_PREFIX):
        return Path(text)
    match = _HUB_ID.fullmatch(text.removeprefix(DATA_SET_PREFIX))
    if not match or not match["file"]:
        reason = "a data set's file is written hub:org/name:FILE, for example hub:org/name:test.txt"
        raise CheckpointError(printable(text, 100), reason)
    repository, name = match["repository"], match["file"]
    if name.endswith(UNREADABLE_SUFFIXES):
        raise CheckpointError(
            repository, f"{printable(name)} is not a text; give a .txt or .jsonl file"
        )
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, name, repo_type="dataset")
    if isinstance(cached, str):
        return Path(cached)
    return Path(
        _ask(repository, lambda: hf_hub_download(repository, name, repo_type="dataset"), "data set")
    )


def choose_files(repository: str, names: Sequence[str], wanted: str | None) -> list[str]:
    """Choose which files of a repository to download; `wanted` is what follows the colon.

    >>> names = ["config.json", "model.safetensors", "pytorch_model.bin", "x-Q4_0.gguf", "run.py"]
    >>> choose_files("org/name", names, None)
    ['config.json', 'model.safetensors']
    >>> choose_files("org/name", names, "q4_0")
    ['x-Q4_0.gguf']

    Raises CheckpointError that lists what there is.
    """
    names = [name for name in names if name[:1] != "/" and ".." not in name.split("/")]
    ggufs = sorted(name for name in names if name.endswith(".gguf"))
    if wanted is not None:
        return _choose_file(repository, names, ggufs, wanted)
    plain = [name for name in names if "/" not in name]
    # Some repositories hold the same weights twice; the second copy has such a name.
    weights = [n for n in plain if n.endswith(".safetensors") and not n.startswith("consolidated")]
    if weights:
        texts = [name for name in plain if name.endswith(SETTINGS_SUFFIXES)]
        texts += [
            n for n in names if n.startswith(f"{TEMPLATE_DIRECTORY}/") and n.endswith(".jinja")
        ]
        return sorted(weights + texts)
    return _only_model(repository, ggufs, "has no safetensors and no GGUF")


def _choose_file(repository: str, names: Sequence[str], ggufs: list[str], wanted: str) -> list[str]:
    if wanted.endswith(WEIGHTS_SUFFIXES):
        if wanted not in names:
            raise _error(repository, f"has no {printable(wanted)}", ggufs)
        return _with_shards(wanted, names)
    tagged = [name for name in ggufs if wanted.lower() in name.lower()]
    return _only_model(
        repository, tagged, f"has no GGUF with {printable(wanted)} in its name", ggufs
    )


def _only_model(
    repository: str, ggufs: list[str], none: str, others: Sequence[str] = ()
) -> list[str]:
    """Return the files of the one model among these GGUFs."""
    if not ggufs:
        raise _error(repository, none, others)
    files = _with_shards(ggufs[0], ggufs)
    if set(files) != set(ggufs):
        raise _error(repository, "has several GGUFs; choose one as org/name:FILE", ggufs)
    return files


def _with_shards(name: str, names: Sequence[str]) -> list[str]:
    match = SPLIT_NAME.fullmatch(name)
    if not match:
        return [name]
    same = [SPLIT_NAME.fullmatch(other) for other in names]
    wanted = match.group("stem", "count", "suffix")
    return sorted(m[0] for m in same if m and m.group("stem", "count", "suffix") == wanted)


def _download(repository: str, wanted: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    cached = _find_cached(repository, wanted)
    # The only GGUF in the cache may be one of many on the hub, so the hub is asked first.
    if cached and (cached.is_dir() or (wanted or "").endswith(WEIGHTS_SUFFIXES)):
        return cached
    try:
        # One request; listing the files with the client takes six, over half a minute.
        known = _ask(
            repository, lambda: HfApi().model_info(repository, timeout=HUB_TIMEOUT_SECONDS)
        )
        names = [file.rfilename for file in known.siblings or []]
    except CheckpointError:
        if cached:
            return cached
        raise
    files = choose_files(repository, names, wanted)
    folder = _ask(repository, lambda: snapshot_download(repository, allow_patterns=_these(files)))
    return _model_in(Path(str(folder)), files)


def _these(names: Sequence[str]) -> list[str]:
    """Return patterns for these names: a bracket in a name would be read as one."""
    return [re.sub(r"([*?[])", r"[\1]", name) for name in names]


def _find_cached(repository: str, wanted: str | None) -> Path | None:
    """Return the model if it is in the hub's cache, complete, and opens.

    The client remembers what a repository holds, and calls a snapshot incomplete that lacks a file
    of these patterns: they must name what we download, no more.
    """
    from huggingface_hub import snapshot_download

    def cached(allowed: list[str]) -> Path:
        folder = _ask(
            repository,
            lambda: snapshot_download(
                repository,
                local_files_only=True,
                allow_patterns=allowed,
                ignore_patterns=["consolidated*"] + ["*/*"] * (allowed is _FOLDER),
            ),
        )
        return Path(str(folder))

    try:
        folder = cached([])
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        files = choose_files(repository, names, wanted)
        model = _model_in(folder, files)
        cached(_FOLDER if model == folder else _these(files))
        open_checkpoint(model).close()
    except CheckpointError:
        return None
    return model


def _model_in(folder: Path, files: Sequence[str]) -> Path:
    """Return what to open of these files."""
    texts = [name for name in files if name.endswith(SETTINGS_SUFFIXES)]
    ggufs = [name for name in files if name.endswith(".gguf")]
    alone = ggufs or (files if not texts and len(files) == 1 else [])
    return folder / alone[0] if alone else folder


def _ask(repository: str, question: Callable[[], T], what: str = "model") -> T:
    """Ask the hub, and make one sentence of what may go wrong."""
    from huggingface_hub import errors

    # The client logs every attempt; the error below is enough.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    # The base class of its HTTP client's errors: httpx2, httpx or requests.
    client: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    try:
        return question()
    except errors.GatedRepoError:
        raise CheckpointError(
            repository, "is gated: accept its terms on the hub, then log in with `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise CheckpointError(
            repository,
            f"is not a file on this machine, and the hub has no such {what} (or it is private)",
        ) from None
    except errors.RemoteEntryNotFoundError:
        raise CheckpointError(repository, f"is a {what} on the hub, but has no such file") from None
    except (OSError, ValueError, client) as error:
        reason = "is neither a local file nor in the hub's cache, and the hub cannot be reached"
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(repository, f"{reason}{offline}: {detail}") from None


def _error(repository: str, reason: str, ggufs: Sequence[str]) -> CheckpointError:
    listed = ", ".join(ggufs[:8]) + (", …" if len(ggufs) > 8 else "")
    return CheckpointError(repository, f"{reason}: {listed}" if ggufs else reason)
