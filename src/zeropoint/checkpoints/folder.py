"""Opens a Hugging Face folder: config.json with model.safetensors, or with an index of shards.

An index names files, and a name from a file is not trusted: it must be plain, and its target must
lie in the folder (or in the `blobs` of the hub's cache that the folder is a snapshot of). What an
index contains about sizes is not used.
"""

import json
import os
import re
from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint, TensorInfo
from zeropoint.checkpoints.files.json_scanner import JsonScanner
from zeropoint.checkpoints.safetensors import read_safetensors
from zeropoint.checkpoints.shards import MAX_SHARDS, SPLIT_NAME, shard_name
from zeropoint.checkpoints.source import SourceFile, read_file
from zeropoint.errors import CheckpointError, printable

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
ADAPTER_CONFIG = "adapter_config.json"  # PEFT's; the weights are in the same folder
ADAPTER_WEIGHTS = "adapter_model.safetensors"
CONFIG_BYTES = 2 << 20
INDEX_BYTES = 256 << 20
INDEXED_TENSORS = 1 << 20
NAME_BYTES = 4096


def open_safetensors(path: Path) -> Checkpoint:
    """Open one safetensors file; its metadata is the `__metadata__` of its header."""
    file = SourceFile(path)
    metadata, tensors = read_safetensors(file)
    return Checkpoint(path, "safetensors", [file], metadata, tensors)


def open_index(path: Path, index: Path) -> Checkpoint:
    """Open the shards that an index names; metadata is the config.json beside it."""
    folder = index.parent
    weight_map = _read_index(_inside(index, folder, index.name))
    names = list(dict.fromkeys(weight_map.values()))
    if len(names) > MAX_SHARDS:
        raise CheckpointError(index, f"names {len(names)} files, over the limit of {MAX_SHARDS}")
    _check_present(index, names)
    files = [SourceFile(_inside(index, folder, name)) for name in sorted(names)]
    tensors: list[TensorInfo] = []
    for file in files:
        for tensor in read_safetensors(file)[1]:
            wanted = weight_map.pop(tensor.name, None)
            if wanted != file.path.name:
                named = printable(tensor.name)
                says = f"puts it into {printable(wanted)}" if wanted else "has it not, or twice"
                raise CheckpointError(file.path, f"has tensor '{named}'; the index {says}")
            tensors.append(tensor)
    for name, shard in weight_map.items():
        reason = f"tensor '{printable(name)}' is not in {printable(shard)}"
        raise CheckpointError(index, reason)
    return Checkpoint(path, "safetensors", files, read_config(folder), tensors)


def _check_present(index: Path, names: list[str]) -> None:
    """Raise CheckpointError, with the reason, if files that an index names are missing."""
    folder = index.parent
    missing = [
        name for name in names
        if len(os.fsencode(name)) < 256 and not os.path.lexists(folder / name)
    ]  # fmt: skip
    if not missing:
        return
    others = {path.name for path in folder.glob("*.safetensors")} - set(names)
    reason = "the download is probably incomplete"
    if others and len(missing) == len(names):
        reason = "the index is stale: delete it, and the other .safetensors beside it are opened"
    count = f"{len(missing)} of the {len(names)} files that it names are missing"
    first = printable(missing[0])
    raise CheckpointError(index, f"there is no such file as {first} ({count}); {reason}")


def open_shards(path: Path, names: list[str]) -> Checkpoint:
    """Open the shards STEM-0000i-of-0000N.safetensors of a folder that has no index.

    Raises CheckpointError if one is missing, or if two of them have a tensor of one name.
    """
    match = SPLIT_NAME.fullmatch(names[0])
    assert match is not None
    count = int(match["count"])
    wanted = [shard_name(match["stem"], i + 1, count, match["suffix"]) for i in range(count)]
    if count > MAX_SHARDS:
        raise CheckpointError(path, f"has a set of {count} files, over the limit of {MAX_SHARDS}")
    missing = [name for name in wanted if name not in names]
    if missing or len(names) != count:
        wrong = f"lacks {missing[0]}" if missing else f"has files beyond {wanted[-1]}"
        raise CheckpointError(path, f"{wrong}, and no index says which files belong together")
    files = [SourceFile(_inside(path / name, path, name)) for name in wanted]
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        for tensor in read_safetensors(file)[1]:
            if tensor.name in tensors:
                other = tensors[tensor.name].file.name
                reason = f"tensor '{printable(tensor.name)}' is also in {printable(other)}"
                raise CheckpointError(file.path, reason, offset=tensor.offset)
            tensors[tensor.name] = tensor
    return Checkpoint(path, "safetensors", files, read_config(path), tensors.values())


def open_adapter(path: Path) -> Checkpoint:
    """Open a folder of PEFT; metadata is its adapter_config.json."""
    source = SourceFile(_inside(path / ADAPTER_WEIGHTS, path, ADAPTER_WEIGHTS))
    config = read_folder_json(path, ADAPTER_CONFIG, CONFIG_BYTES)
    if not isinstance(config, dict):
        raise CheckpointError(path / ADAPTER_CONFIG, "is not an object", offset=0)
    metadata = {"peft_type": "", **config}
    return Checkpoint(path, "safetensors", [source], metadata, read_safetensors(source)[1])


def open_single(path: Path, file: Path) -> Checkpoint:
    """Open a folder's only safetensors file; metadata is the config.json beside it."""
    source = SourceFile(_inside(file, file.parent, file.name))
    tensors = read_safetensors(source)[1]
    return Checkpoint(path, "safetensors", [source], read_config(file.parent), tensors)


def read_config(folder: Path) -> dict[str, object]:
    """Return the folder's config.json, or an empty mapping without that file."""
    config = read_folder_json(folder, CONFIG_FILE, CONFIG_BYTES)
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise CheckpointError(folder / CONFIG_FILE, "is not an object", offset=0)
    return config


def read_folder_text(folder: Path, name: str, limit: int) -> str | None:
    """Return a text file of a model folder, or None if the folder has no such file.

    `name` is relative to the folder. Raises CheckpointError for a link that leads out of the
    folder, a file that is not regular or larger than `limit` bytes, and text that is not UTF-8.
    """
    path = find_in_folder(folder, name)
    return None if path is None else _read_text(path, limit)


def find_in_folder(folder: Path, name: str) -> Path | None:
    """Return the path of a model folder's file `name`, or None if there is no such file.

    Raises CheckpointError for a link that leads out of the folder.
    """
    path = folder / name
    return _inside(path, folder, name) if os.path.lexists(path) else None


def read_folder_json(folder: Path, name: str, limit: int) -> object:
    """Return the parsed JSON file `name` of a model folder, or None if there is no such file.

    Raises CheckpointError as `read_folder_text` does, and for text that is not JSON.
    """
    text = read_folder_text(folder, name, limit)
    return None if text is None else _parse_json(folder / name, text)


def read_json(path: Path, limit: int) -> object:
    """Return a parsed JSON file of at most `limit` bytes. Raises CheckpointError if it is
    damaged.
    """
    return _parse_json(path, _read_text(path, limit))


def _read_text(path: Path, limit: int) -> str:
    try:
        return read_file(path, limit).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(path, "is not UTF-8", offset=error.start) from None


def _parse_json(path: Path, text: str) -> object:
    try:
        found: object = json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs))
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise CheckpointError(path, f"is not JSON: {error.msg}", offset=offset) from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of 4301 digits
        reason = "is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise CheckpointError(path, reason, offset=0) from None
    half = _half(text) if "\\u" in text else None
    if half is not None:  # no file can store half of a character
        reason = "has an escape of half a surrogate pair, which is not a character"
        raise CheckpointError(path, reason, offset=half)
    return found


def _half(text: str) -> int | None:
    r"""Return the byte offset of the first escape of half a surrogate pair, or None.

    >>> _half(r"\ud83d\ude00 \\ud800"), _half(r"ab\ud800")
    (None, 2)
    """
    pair = r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"
    for match in re.finditer(rf"\\\\|{pair}|(?P<half>\\ud[89a-f])", text, re.IGNORECASE):
        if match["half"]:
            return len(text[: match.start()].encode())
    return None


def _once(path: Path, pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries: dict[str, object] = {}
    for key, value in pairs:
        if key in entries:
            raise CheckpointError(path, f"key '{printable(key)}' occurs twice")
        entries[key] = value
    return entries


def _read_index(path: Path) -> dict[str, str]:
    """Return tensor name → file name."""
    scanner = JsonScanner(read_file(path, INDEX_BYTES), path)
    scanner.item = "index"
    weight_map: dict[str, str] | None = None
    known: dict[str, str] = {}  # one string for each file, however often it is named
    for key in scanner.keys(64, 256, "key"):
        if key != "weight_map":
            scanner.skip(f"'{printable(key)}'")
            continue
        weight_map = {}
        for name in scanner.keys(INDEXED_TENSORS, NAME_BYTES, "weight_map"):
            scanner.next()
            at = scanner.position
            shard = scanner.string(NAME_BYTES, "weight_map value")
            if shard not in known and not _is_plain(shard):
                reason = f"'{printable(shard)}' is no plain name of a .safetensors file"
                scanner.fail(reason, "weight_map value", at=at)
            weight_map[name] = known.setdefault(shard, shard)
    scanner.end()
    if not weight_map:
        scanner.fail("has no weight_map", at=0)
    return weight_map


def _is_plain(name: str) -> bool:
    return (
        name.isprintable()
        and not set(name) & set("/\\:")
        and name.endswith(".safetensors")
        and not name.startswith(".")
    )


def _inside(named: Path, folder: Path, name: str) -> Path:
    """Return the path of a file of the folder; `named` is the file that names it.

    A link may lead to another file of the folder, or to the blobs of the hub's cache that the
    folder is a snapshot of. Any other link, also of a folder on the way, raises CheckpointError.
    """
    path = folder / name
    # Unlike Path.resolve, realpath has an answer for a link that leads to itself.
    home, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    allowed = [home]
    if home.parent.name == "snapshots":
        allowed.append(home.parent.parent / "blobs")
    if real != home / name and real.parent not in allowed:
        reason = f"'{printable(name)}' is a link that leads out of the folder"
        raise CheckpointError(named, reason)
    return path
