"""The size of a quantized file, to the byte, before it is written."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path

from zeropoint.checkpoints import TensorLike, plan_files
from zeropoint.plans.formats.presets import PRESETS, find_preset

QUANTIZATION_VERSION = 2  # of ggml's formats; it has not changed since 2023
_ANY_NAME = Path("output.gguf")  # the size does not depend on the name

# llama.cpp's number for the format of most weights, for files that follow no preset. As llama.cpp
# does for a file without the number, Q3_K to Q5_K count as their medium preset.
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
    """Return the bytes of all files of a GGUF with these tensors (or choices) and this metadata.

    The figure is exact, because the writer computes its layout with the same function.
    """
    return plan_files(_ANY_NAME, tensors, metadata, max_shard_bytes).size


def bits_per_weight(file_bytes: int, tensors: Iterable[TensorLike]) -> float:
    """Return 8 · bytes of the whole file / number of weights; 0 if there are no weights.

    Header, vocabulary, norms and padding are included.
    """
    elements = sum(prod(tensor.shape) for tensor in tensors)
    return 8 * file_bytes / elements if elements else 0.0


def dominant_file_type(tensors: Iterable[TensorLike]) -> int | None:
    """Return llama.cpp's number for the format of most weights; None if it has no number."""
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
    """Return a source's metadata with the keys of the output that concern quantization.

    `general.file_type` is the number of the preset that `to` names, else the number of the format
    of most weights.
    """
    preset = find_preset(to) if to else None
    number = preset.file_type if preset and preset.base else dominant_file_type(tensors)
    output = dict(metadata)
    output["general.quantization_version"] = QUANTIZATION_VERSION
    if number is not None:
        output["general.file_type"] = number
    return output
