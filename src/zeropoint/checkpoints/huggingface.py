"""Presents a Hugging Face folder as the GGUF file that it would become; converts on access.

Names, shapes and metadata are GGUF's. Most tensors are only renamed. These differ:

    permuted rows    q and k of Llama: GGUF rotates neighbouring elements of a head
    norm offset      Gemma's norms hold weight + 1, the factor that they multiply by
    experts          one tensor per expert becomes a stack; a fused gate and up are split; blocks
                     of MXFP4 are copied (see `expert_stacks`)
    ternary          BitNet's weights are rounded to −1, 0, 1 times their mean magnitude
    output           left out if it is a copy of the embedding; GGUF ties the two by its absence
    one-dimensional  stored as float32
    rope             scaling of Llama 3 and Phi 3 becomes a tensor of factors

A `TensorSource` lists the rows and tensors that a GGUF tensor consists of, so that slabs of any
tensor can be read.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zeropoint.checkpoints.base import Checkpoint, TensorInfo
from zeropoint.checkpoints.expert_stacks import (
    add_alternating,
    add_packed,
    split_fused,
    stack_experts,
)
from zeropoint.checkpoints.files.file_kind import check_use
from zeropoint.checkpoints.folder import CONFIG_FILE, read_config
from zeropoint.checkpoints.modalities import is_image_or_audio, text_part_note
from zeropoint.checkpoints.names import GgufPlace, find_place, is_matrix, layer_name, role_of
from zeropoint.checkpoints.settings.config_to_gguf import Configuration, read_configuration
from zeropoint.checkpoints.settings.pooling_files import read_pooling
from zeropoint.checkpoints.stored_changes import (
    apply_change,
    change_of,
    keys_of,
    negative_exponential,
    split_joined,
)
from zeropoint.checkpoints.tensor_sources import Rows, SourceRows, StoredRows, TensorSource, renamed
from zeropoint.checkpoints.tokenizers.vocabulary_files import read_vocabulary_files
from zeropoint.checkpoints.values import UInt32
from zeropoint.errors import CheckpointError, UnsupportedModel, printable
from zeropoint.formats import F32, FORMATS, U8, QuantizedTensor

LOG = logging.getLogger("zeropoint")
_COMPARED_WEIGHTS = 1 << 22  # compared at a time
NAME_CHARACTERS = (
    255  # maximum of general.name; bytes of a folder name that are not UTF-8 are escaped
)


def as_gguf(folder: Checkpoint) -> "HuggingFaceCheckpoint":
    """Return an opened Hugging Face folder under GGUF names and shapes.

    Raises UnsupportedModel for a family, a tokenizer or a tensor that GGUF has no place for, and
    CheckpointError for files that are missing or contradict each other.
    """
    check_use(folder.path, folder, "quantize")
    path = folder.path if folder.path.is_dir() else folder.path.parent
    config = read_config(path)
    if not config:
        raise CheckpointError(path, "has no config.json, which a model folder needs")
    configuration = read_configuration(path / CONFIG_FILE, config, folder.tensors)
    sources = find_sources(folder, configuration)
    rows = sources["token_embd.weight"].shape[0]
    if configuration.vocab_size != rows:
        reason = f"vocab_size is {configuration.vocab_size}, but the embedding has {rows} rows"
        raise CheckpointError(path / CONFIG_FILE, reason)
    add_constants(sources, configuration.constants)
    metadata = dict(configuration.metadata) | _draft_keys(configuration, sources)
    metadata["general.name"] = printable(
        str(config.get("_name_or_path") or path.resolve().name), NAME_CHARACTERS
    )
    metadata |= read_vocabulary_files(path, rows, name=str(metadata["general.name"]))
    metadata |= read_pooling(path, configuration.family.architecture)
    _warn(path / CONFIG_FILE, configuration)
    if note := text_part_note(path, folder.tensors):
        LOG.warning("%s", note)
    return HuggingFaceCheckpoint(folder, metadata, sources)


def _draft_keys(
    configuration: Configuration, sources: Mapping[str, TensorSource]
) -> dict[str, object]:
    """Return the keys that change with the layers of a draft head, which only tensors tell."""
    name, layers = configuration.family.architecture, configuration.layers
    numbers = {int(source.split(".")[1]) for source in sources if source.startswith("blk.")}
    drafts = max(numbers, default=layers) + 1 - layers
    if drafts < 1 or not configuration.family.draft_prefix:
        return {}
    keys: dict[str, object] = {
        f"{name}.block_count": UInt32(layers + drafts),
        f"{name}.nextn_predict_layers": UInt32(drafts),
    }
    key = f"{name}.attention.recurrent_layers"
    flags = configuration.metadata.get(key)
    if isinstance(flags, np.ndarray):  # a draft layer has attention
        keys[key] = np.concatenate([flags, np.zeros(drafts, np.bool_)])
    return keys


def _warn(path: Path, configuration: Configuration) -> None:
    """Log the settings that were ignored; transformers ignores them too."""
    names = [printable(name) for name in configuration.ignored]
    if names:
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        LOG.warning(
            "%s: ignored %s, as transformers does for this family",
            printable(str(path), 140),
            listed,
        )


class HuggingFaceCheckpoint(Checkpoint):
    """A folder as a `Checkpoint` with GGUF names."""

    verbatim = False

    def __init__(
        self,
        folder: Checkpoint,
        metadata: Mapping[str, object],
        sources: Mapping[str, TensorSource],
    ) -> None:
        self.folder = folder
        self._made = dict(sources)
        infos = [self._info(name, source) for name, source in sources.items()]
        super().__init__(folder.path, folder.kind, folder._sources.values(), metadata, infos)
        self._ternary_scales: dict[str, np.float32] = {}

    def _info(self, name: str, source: TensorSource) -> TensorInfo:
        """Return a tensor's description; `file` and `offset` are those of its first part."""
        if source.constant is not None:
            return TensorInfo(name, source.shape, FORMATS["F32"], 4 * source.constant.size,
                              self.folder.path, 0)  # fmt: skip
        first = self.folder.tensors[source.parts[0].tensor]
        format = FORMATS["F32"] if source.as_f32 else source.format or first.format
        elements = int(np.prod(source.shape, dtype=np.int64))
        nbytes = elements // format.block_size * format.block_bytes
        return TensorInfo(name, source.shape, format, nbytes, first.file, first.offset)

    def _read(self, tensor: TensorInfo, start: int, count: int, into: U8 | None = None) -> U8:
        """Return bytes start … start + count − 1, which must be whole rows."""
        source = self._made[tensor.name]
        if source.constant is not None:
            return np.ascontiguousarray(source.constant, "<f4").view(np.uint8)[
                start : start + count
            ]
        row_bytes = tensor.nbytes // tensor.rows
        first, stop = start // row_bytes, (start + count) // row_bytes
        pieces, at = [], 0
        for part in source.parts:
            low, high = max(first - at, 0), min(stop - at, part.rows.size)
            if low < high:
                rows = SourceRows(part.tensor, part.rows[low:high], part.reader)
                pieces.append(self._rows(tensor, source, rows))
            at += part.rows.size
        return np.concatenate(pieces) if pieces else np.empty(0, np.uint8)

    def _rows(self, tensor: TensorInfo, source: TensorSource, part: SourceRows) -> U8:
        name, rows = part.tensor, part.rows
        low, high = int(rows.min()), int(rows.max()) + 1
        stored = part.reader.read(self.folder, name, low, high)
        if source.add or source.ternary or source.as_f32 or source.columns is not None:
            weights = stored.format.decode_blocks(stored.data).reshape(high - low, -1)
            if source.ternary:
                weights = _to_ternary(weights, self._ternary_scale(name))
            if source.columns is not None:
                weights = weights[:, source.columns]
            if source.negative_exponential:
                weights = negative_exponential(weights)
            weights = weights + np.float32(source.add)
            kind = np.float32 if source.as_f32 else None
            data = (
                _encode(weights, tensor)
                if kind is None
                else np.ascontiguousarray(weights, "<f4").view(np.uint8)
            )
        else:
            data = stored.data
        data = data.reshape(high - low, -1)
        ordered = rows.size == high - low and bool((np.diff(rows) == 1).all())
        return np.ascontiguousarray(data if ordered else data[rows - low]).reshape(-1)

    def _ternary_scale(self, name: str) -> np.float32:
        """Return the mean magnitude of a whole matrix, at least 1e-5 (arXiv:2402.17764)."""
        if name not in self._ternary_scales:
            info, total = self.folder.tensors[name], 0.0
            for start in range(0, info.rows, 256):
                slab = self.folder.read_rows(name, start, min(start + 256, info.rows))
                total += float(np.abs(slab.format.decode_blocks(slab.data), dtype=np.float64).sum())
            self._ternary_scales[name] = np.float32(max(total / info.elements, 1e-5))
        return self._ternary_scales[name]

    def map(self, name: str) -> QuantizedTensor:
        """Return a tensor: a view of the file if it is only renamed, otherwise a copy."""
        tensor = self._find(name)
        source = self._made[name]
        plain = source.constant is None and not (source.add or source.ternary or source.as_f32)
        plain = plain and source.columns is None
        if plain and len(source.parts) == 1 and source.parts[0].reader == StoredRows():
            original = self.folder.tensors[source.parts[0].tensor]
            rows = source.parts[0].rows
            if rows.size == original.rows and bool((rows == np.arange(rows.size)).all()):
                stored = self.folder.map(original.name)
                return QuantizedTensor(stored.format, tensor.shape, stored.data)
        return self.read(name)


def _to_ternary(weights: F32, scale: np.float32) -> F32:
    return np.asarray(np.clip(np.rint(weights / scale), -1, 1) * scale, np.float32)


def _encode(weights: F32, tensor: TensorInfo) -> U8:
    return tensor.format.encode_blocks(weights.reshape(-1, tensor.format.block_size))


def find_sources(folder: Checkpoint, configuration: Configuration) -> dict[str, TensorSource]:
    """Return how each GGUF tensor of a folder is made, in GGUF's order.

    Raises UnsupportedModel for a tensor that the family has no place for. Raises CheckpointError
    for a stack that lacks an expert, a bias that the configuration excludes, and a missing
    embedding or output matrix.
    """
    family = configuration.family
    experts: dict[str, dict[int, str]] = {}
    sources: dict[str, TensorSource] = {}
    for name, info in folder.tensors.items():
        if _is_left_out(name):
            continue
        place = find_place(layer_name(name, family, configuration.layers), family)
        if place is None:
            raise UnsupportedModel(
                f"{folder.path}: tensor {name!r} has no place in a {family.architecture} file; "
                "the folder may hold adapters or a quantized model"
            )
        if place.packed:
            if name.endswith("_blocks"):
                add_packed(sources, folder, place, info)
            continue
        _check_tensor(folder, configuration, place, info)
        if place.expert is not None:
            experts.setdefault(place.name, {})[place.expert] = name
        elif place.alternating:
            add_alternating(sources, place, info)
        elif place.fused:
            split_fused(sources, place.name, name, info)
        else:
            sources[place.name] = renamed(name, info)
    for stack, members in experts.items():
        sources[stack] = stack_experts(folder, stack, members)
    _tie(folder, sources, tied=configuration.tied)
    _adapt(sources, configuration)
    return dict(sorted(sources.items(), key=lambda item: _order(item[0])))


def _check_tensor(
    folder: Checkpoint, configuration: Configuration, place: GgufPlace, info: TensorInfo
) -> None:
    if info.format.name not in ("F32", "F16", "BF16"):
        raise UnsupportedModel(
            f"{folder.path}: tensor {info.name!r} is {info.format.name}; only folders of F32, F16 "
            "and BF16 weights are read"
        )
    if place.name.endswith(".bias") and role_of(place.name) not in configuration.biased:
        reason = "transformers ignores this bias because config.json says there is none"
        key = " (attention_bias, mlp_bias)" if place.name.startswith("blk.") else ""
        raise CheckpointError(folder.path, f"{reason}{key}", field=info.name)


def _is_left_out(name: str) -> bool:
    """Return whether a tensor is not part of the language model: images, audio, buffers."""
    if name.endswith(("rotary_emb.inv_freq", "masked_bias", "attn.bias")):
        return True
    return is_image_or_audio(name)


def _tie(folder: Checkpoint, sources: dict[str, TensorSource], *, tied: bool) -> None:
    """Leave out an output matrix that equals the embedding, which GGUF then uses.

    As in transformers, an output matrix that differs is kept, whatever the configuration is, and
    one of two tied matrices may be missing.
    """
    if tied and "token_embd.weight" not in sources and "output.weight" in sources:
        sources["token_embd.weight"] = sources.pop("output.weight")
    embedding, output = sources.get("token_embd.weight"), sources.get("output.weight")
    if embedding is None:
        raise CheckpointError(folder.path, "has no embedding (model.embed_tokens.weight)")
    if output is None and not tied:
        raise CheckpointError(
            folder.path, "lm_head.weight is missing, but tie_word_embeddings is false"
        )
    if output is not None and _are_equal(folder, embedding.parts[0], output.parts[0]):
        del sources["output.weight"]


def _are_equal(folder: Checkpoint, first: SourceRows, second: SourceRows) -> bool:
    """Return whether two tensors have equal weights; compares up to the first difference."""
    one, other = folder.tensors[first.tensor], folder.tensors[second.tensor]
    if one.shape != other.shape:
        return False
    step = max(_COMPARED_WEIGHTS // max(one.columns, 1), 1)
    for start in range(0, one.rows, step):
        slabs = [
            folder.read_rows(name, start, min(start + step, one.rows))
            for name in (one.name, other.name)
        ]
        if one.format == other.format and np.array_equal(slabs[0].data, slabs[1].data):
            continue
        weights, others = (slab.format.decode_blocks(slab.data).reshape(-1) for slab in slabs)
        if not np.array_equal(weights, others):
            return False
    return True


def _adapt(sources: dict[str, TensorSource], configuration: Configuration) -> None:
    """Apply what differs by family to sources that are otherwise only renamed."""
    family, keys = configuration.family, keys_of(configuration.metadata)
    split_joined(sources, family)
    for name, source in sources.items():
        role = role_of(name)
        if role in family.permuted_roles:
            heads = configuration.heads if role == "attn_q" else configuration.kv_heads
            _permute(name, source, heads)
        source.add = family.norm_shift(role)
        apply_change(name, source, change_of(family, role), keys)
        source.as_f32 |= not is_matrix(name, source.shape)
        matrix = role.startswith(("attn_", "ffn_")) and "norm" not in role
        source.ternary = configuration.ternary and matrix


def _permute(name: str, source: TensorSource, heads: int) -> None:
    """Put the rows of a matrix, or the elements of a bias, into the order of `interleaved_rows`."""
    part = source.parts[0]
    is_bias = len(source.shape) == 1
    size = source.shape[0] if is_bias else part.rows.size
    if size % (2 * max(heads, 1)):
        raise UnsupportedModel(
            f"{name} has {size} rows; {heads} heads of rotary pairs need a multiple of {2 * heads}"
        )
    if is_bias:
        source.columns = interleaved_rows(size, heads)
    else:
        source.parts = [SourceRows(part.tensor, part.rows[interleaved_rows(size, heads)])]


def interleaved_rows(rows: int, heads: int) -> Rows:
    """Return the source row for each row of a matrix with interleaved rotary pairs: (rows,) int64.

    transformers rotates element i of a head with element i + size / 2, GGUF's Llama 2i with 2i + 1.

    >>> interleaved_rows(8, 2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    size = rows // heads
    order = np.arange(rows).reshape(heads, 2, size // 2)
    return np.ascontiguousarray(order.transpose(0, 2, 1)).reshape(-1)


def _order(name: str) -> tuple[int, str]:
    layer = int(name.split(".")[1]) if name.startswith("blk.") else -1
    return layer, name


def add_constants(
    sources: dict[str, TensorSource], constants: Mapping[str, Sequence[float]]
) -> None:
    """Add tensors that are computed from the configuration, such as rope factors."""
    for name, values in constants.items():
        sources[name] = TensorSource((len(values),), constant=np.array(values, np.float32))
