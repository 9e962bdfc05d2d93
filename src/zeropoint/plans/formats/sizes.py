"""What a plan will weigh, to the byte, before anything is written."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path

from zeropoint.checkpoints import TensorLike, plan_files
from zeropoint.plans.formats.presets import PRESETS, find_preset

QUANTIZATION_VERSION = 2  # of ggml's formats; it has not changed since 2023
_ANY = Path("output.gguf")  # the size does not depend on the name

# The number that says "mostly this format", for a mix without a preset's name. As llama.cpp, which
# guesses so for a file that does not say: Q3_K to Q5_K count as their medium preset.
FILE_TYPES = {
    **{name: preset.file_type for name, preset in PRESETS.items()},
    **{base: PRESETS[f"{base}_M"].file_type for base in ("Q3_K", "Q4_K", "Q5_K")},
    "MXFP4": PRESETS["MXFP4_MOE"].file_type,
    "NVFP4": 39,
}


def predict_size(
    tensors: Sequence[TensorLike],
    metadata: Mapping[str, object],
    *,
    max_shard_bytes: int | None = None,
) -> int:
    """Return the bytes of all files of a GGUF of these tensors (or choices) and this metadata.

    Equal to the written files byte for byte: the writer lays them out with the same arithmetic.
    """
    return plan_files(_ANY, tensors, metadata, max_shard_bytes).size


def bits_per_weight(file_bytes: int, tensors: Iterable[TensorLike]) -> float:
    """Return 8 · bytes of the whole file ÷ elements of the source's tensors (0.0 if it has none).

    Header, vocabulary, norms and padding are included: the figure says what a weight costs.
    """
    elements = sum(prod(tensor.shape) for tensor in tensors)
    return 8 * file_bytes / elements if elements else 0.0


def mostly(tensors: Iterable[TensorLike]) -> int | None:
    """Return llama.cpp's number for the format that holds most weights, or None if it has none."""
    weights: dict[str, int] = {}
    for tensor in tensors:
        name = tensor.format.name
        weights[name] = weights.get(name, 0) + prod(tensor.shape)
    if not weights:
        return None
    return FILE_TYPES.get(max(weights, key=lambda name: weights[name]))


def quantized_metadata(
    metadata: Mapping[str, object], tensors: Iterable[TensorLike], to: str | None = None
) -> dict[str, object]:
    """Return a source's metadata as the output bears it: the version and kind of quantization set.

    `to` is what was asked for; if it names a preset, that preset's number is `general.file_type`,
    otherwise the number of the format that holds most weights.
    """
    preset = find_preset(to) if to else None
    number = preset.file_type if preset and preset.base else mostly(tensors)
    changed = dict(metadata)
    changed["general.quantization_version"] = QUANTIZATION_VERSION
    if number is not None:
        changed["general.file_type"] = number
    return changed
