"""Writes a model as a Hugging Face folder of 16- or 32-bit weights, which transformers loads.

The way back of `checkpoints.huggingface`: GGUF's names, order of rows, stacks of experts and
shifted norms become transformers' own. The folder appears complete or not at all.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, NewTensor, TensorInfo, create_checkpoint, write_file
from zeropoint.checkpoints.families import StoredChange
from zeropoint.checkpoints.files.partial_folder import PartialFolder
from zeropoint.checkpoints.huggingface import interleaved_rows
from zeropoint.checkpoints.names import (
    TOKEN_EMBEDDING,
    draft_name,
    huggingface_name,
    is_matrix,
    role_of,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.gguf_to_config import find_convertible, make_config
from zeropoint.checkpoints.stored_changes import (
    NO_CHANGE,
    change_of,
    folder_shape,
    keys_of,
    restore,
)
from zeropoint.checkpoints.tokenizers.tokenizer_file import make_tokenizer
from zeropoint.errors import UnsupportedModel, printable
from zeropoint.formats import F32, Format
from zeropoint.quantizers.export_rows import ordered_rows
from zeropoint.quantizers.export_stacks import FolderStack, find_stacks, packed_config
from zeropoint.quantizers.nearest import dequantize, quantize

WEIGHTS = "model.safetensors"
FOLDER_FORMATS = ("F32", "F16", "BF16")
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SLAB_WEIGHTS = 1 << 24  # decoded at a time


@dataclass(frozen=True)
class TensorExported:
    """One tensor of the folder is on disk."""

    name: str  # of transformers
    done: int  # weights written so far


@dataclass(frozen=True)
class _Target:
    """A tensor of the folder: rows first … first + rows − 1 of a GGUF tensor."""

    name: str
    source: TensorInfo
    shape: tuple[int, ...]
    first: int
    heads: int  # whose rows are permuted; 0: the rows keep their order
    shift: float  # added to each weight
    change: StoredChange = NO_CHANGE
    parts: tuple[TensorInfo, ...] = ()  # of a matrix that the file stores in parts


def export_folder(
    source: Checkpoint, folder: Path, format: Format, *, threads: int, overwrite: bool = False
) -> Iterator[TensorExported]:
    """Write `source` (under GGUF names) as `folder`, its weights in `format` (F32, F16 or BF16).

    Raises UnsupportedModel for what transformers has no name for, CheckpointError if the folder is
    not empty (with `overwrite`: if it holds other files than an exported model has) or if another
    process is writing it.
    """
    if format.name not in FOLDER_FORMATS:
        raise UnsupportedModel(
            f"a Hugging Face folder is written in {', '.join(FOLDER_FORMATS)}, not in"
            f" {format.name}; write a .gguf file for that"
        )
    family = find_convertible(str(source.metadata.get("general.architecture")))
    stacks = find_stacks(source, family)
    targets = _targets(source, stacks)
    packed = packed_config(stacks.values(), family.huggingface[0].packed_method)
    files = _files(source, format, packed)
    with PartialFolder(folder, {*files, WEIGHTS}, overwrite=overwrite) as output:
        for name, text in files.items():
            write_file(output.part / name, text.encode())
        path = output.part / WEIGHTS
        yield from _write_tensors(source, targets, list(stacks.values()), path, format, threads)
        output.publish()


def _files(source: Checkpoint, format: Format, more: dict[str, object]) -> dict[str, str]:
    factors = {
        name: dequantize(source.read(name), threads=1).reshape(-1).tolist()
        for name in source.tensors
        if name.startswith("rope_")
    }
    embedding = source.tensors.get(TOKEN_EMBEDDING)
    if embedding is None or len(embedding.shape) != 2:
        problem = "is missing" if embedding is None else f"has shape {embedding.shape}"
        raise UnsupportedModel(
            f"{source.path}: {TOKEN_EMBEDDING} {problem}; a Hugging Face folder requires an"
            " embedding matrix"
        )
    rows = embedding.shape[0]
    config = make_config(source.metadata, source.tensors, factors, rows, _DTYPES[format.name])
    tokenizer, settings = make_tokenizer(source.metadata)
    return {
        "config.json": _config_text(source, config | more),
        "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False),
        "tokenizer_config.json": json.dumps(settings, indent=2, ensure_ascii=False),
    }


def _config_text(source: Checkpoint, config: Mapping[str, object]) -> str:
    """Return config.json. Raises UnsupportedModel for a value that it has no place for."""
    for key, value in config.items():
        try:
            json.dumps(value)
        except TypeError:
            raise UnsupportedModel(
                f"{source.path}: config.json holds one {key} for all layers, the source has"
                f" {printable(str(value), 60)}"
            ) from None
    return json.dumps(config, indent=2)


def _targets(source: Checkpoint, stacks: Mapping[str, FolderStack]) -> list[_Target]:
    """Return the tensors of the folder beside `stacks`, in the order of the file's."""
    family = find_convertible(str(source.metadata.get("general.architecture")))
    keys = GgufKeys(source.metadata, source.tensors)
    layers = keys.integer("block_count", 0) - keys.integer("nextn_predict_layers", 0)
    targets: list[_Target] = []
    for name, info in source.tensors.items():
        if name.startswith("rope_"):
            continue  # config.json holds the rotary factors
        if name in stacks or name.replace("ffn_up_exps", "ffn_gate_exps") in stacks:
            continue
        role = role_of(name)
        whole = next((one for one, parts in family.joined.items() if role in parts), role)
        parts = tuple(name.replace(role, part) for part in family.joined.get(whole, ()))
        if parts and name != parts[0]:
            continue  # the first part brings the others
        theirs = huggingface_name(name.replace(role, whole), family)
        theirs = theirs and draft_name(theirs, family, layers)
        if theirs is None or not source.tensors.keys() >= set(parts):
            raise UnsupportedModel(
                f"transformers has no tensor for {name} of a {family.architecture} model"
            )
        heads = _permuted_heads(source, info, role) if role in family.permuted_roles else 0
        shift = -family.norm_shift(role)
        change = change_of(family, role)
        if not role.endswith("_exps") or "*" not in theirs:
            stored = tuple(source.tensors[part] for part in parts) or (info,)
            rows = sum(part.rows for part in stored)
            shape = (rows, *info.shape[1:]) if parts else folder_shape(change, info.shape)
            target = _Target(theirs, info, shape, 0, heads, shift, change, stored)
            targets.append(target)
            continue
        if len(info.shape) != 3:
            raise UnsupportedModel(
                f"{source.path}: {name} has shape {info.shape}; a stack of experts has 3 axes"
            )
        experts, rows, _ = info.shape
        targets += [
            _Target(theirs.replace("*", str(expert)), info, info.shape[1:], expert * rows, 0, 0.0)
            for expert in range(experts)
        ]
    return targets


def _permuted_heads(source: Checkpoint, info: TensorInfo, role: str) -> int:
    """Return how many heads share the rows of a matrix that is permuted within each head."""
    prefix = f"{source.metadata['general.architecture']}.attention"
    heads = source.metadata.get(f"{prefix}.head_count")
    if role != "attn_q":
        heads = source.metadata.get(f"{prefix}.head_count_kv", heads)
    if not isinstance(heads, int):
        raise UnsupportedModel(
            f"{info.name}: heads that differ by layer have no name in transformers"
        )
    if heads < 1 or not info.shape or info.shape[0] % (2 * heads):
        raise UnsupportedModel(
            f"{source.path}: {info.name} has shape {info.shape}, which {heads} heads of pairs"
            " cannot share"
        )
    return heads


def _write_tensors(
    source: Checkpoint,
    targets: list[_Target],
    stacks: list[FolderStack],
    path: Path,
    format: Format,
    threads: int,
) -> Iterator[TensorExported]:
    new = [NewTensor(target.name, target.shape, format) for target in targets]
    new += [tensor for stack in stacks for tensor in stack.tensors(format)]
    done = 0
    with create_checkpoint(path, new, {"format": "pt"}, sources=source.files) as writer:
        for target in targets:
            for weights in _slabs(source, target, threads):
                writer.write(target.name, quantize(weights, format, threads=threads).data)
                done += weights.size
            if 0 in target.shape:
                writer.write(target.name, np.empty(0, np.uint8))
            yield TensorExported(target.name, done)
        for stack in stacks:
            for name, data in stack.slabs(source, format, threads):
                writer.write(name, data)
            done += sum(tensor.elements for tensor in stack.sources)
            yield TensorExported(stack.name, done)


def _slabs(source: Checkpoint, target: _Target, threads: int) -> Iterator[F32]:
    """Yield the rows of a target in order, as float32 slabs; nothing if it has no weights."""
    if 0 in target.shape:
        return
    if target.change != NO_CHANGE:
        yield from _changed_slabs(source, target, threads)
        return
    columns = target.source.columns
    if len(target.shape) == 1:
        vector = dequantize(source.read(target.source.name), threads=threads).reshape(-1)
        if target.heads:
            vector = vector[np.argsort(interleaved_rows(vector.size, target.heads))]
        yield np.ascontiguousarray(vector + np.float32(target.shift))
        return
    rows = int(np.prod(target.shape[:-1], dtype=np.int64))
    size = rows // target.heads if target.heads else 1  # rows that are permuted together
    step = max(_SLAB_WEIGHTS // columns // size, 1) * size
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        blocks = source.read_rows(target.source.name, target.first + start, target.first + stop)
        weights = kernels.decode(blocks.format, blocks.data, threads=threads).reshape(-1, columns)
        if target.heads:
            back = np.argsort(interleaved_rows(stop - start, (stop - start) // size))
            weights = weights[back]
        yield np.ascontiguousarray(weights + np.float32(target.shift))


def _changed_slabs(source: Checkpoint, target: _Target, threads: int) -> Iterator[F32]:
    """Yield the rows of a target whose rows, columns or values the file changes."""
    keys, change, info = keys_of(source.metadata), target.change, target.source
    family = find_convertible(str(source.metadata.get("general.architecture")))
    try:
        if not is_matrix(info.name, info.shape):
            whole = dequantize(source.read(info.name), threads=threads).reshape(info.shape)
            yield np.ascontiguousarray(restore(change, whole, keys))
            return
        rows = np.arange(info.rows)
        if change.rows is not None:
            orders = [change_of(family, role_of(part.name)).rows for part in target.parts]
            sizes = [part.rows for part in target.parts]
            found = [one(keys, n) for one, n in zip(orders, sizes, strict=True) if one]
            rows = np.argsort(np.concatenate(found))
        columns = change.columns and np.argsort(change.columns(keys, info.columns))
    except (ValueError, KeyError, TypeError) as error:
        raise UnsupportedModel(
            f"{source.path}: {info.name} has shape {info.shape}, which the heads of the file's keys"
            " do not fit"
        ) from error
    yield from ordered_rows(source, target.parts, rows, columns, threads)
