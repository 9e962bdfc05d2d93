"""Finds the method by which the safetensors of a folder are quantized.

The folder's config.json names it, or its tensors' names do. Keys are those that transformers 5.23,
MLX and their quantizers write (2026-11).
"""

from collections.abc import Iterable, Mapping

from zeropoint.checkpoints.families import HUGGINGFACE_TYPES
from zeropoint.checkpoints.layout import TensorLike
from zeropoint.errors import printable

PLAIN = ("F64", "F32", "F16", "BF16")
CONFIG_KEYS = ("quantization_config", "compression_config", "quantization")

# Method -> endings of tensor names that must all occur, for folders whose config names no method.
SIGNS: Mapping[str, tuple[str, ...]] = {
    "gptq or awq": (".qweight", ".qzeros"),
    "fp8": (".weight_scale_inv",),
    "bitsandbytes, 4 bits": (".weight.absmax",),
    "bitsandbytes, 8 bits": (".SCB",),
    "compressed-tensors": (".weight_packed",),
    "mxfp4": ("_blocks", "_scales"),
    "mlx": (".scales", ".biases"),
    "modelopt or compressed-tensors": (".weight_scale",),
}


def find_quantization(
    config: Mapping[str, object], tensors: Mapping[str, TensorLike]
) -> str | None:
    """Return the method in words ("gptq, 4 bits"), or None for weights that are not quantized.

    BitNet's own folders hold 16-bit weights that the layers round when they run; these count as
    not quantized. So do folders whose blocks a GGUF file can hold (`packed_method`).
    """
    parts = [config, *(v for k, v in config.items() if k == "text_config")]
    declared = [
        (key, part[key])
        for part in parts if isinstance(part, Mapping)
        for key in CONFIG_KEYS if part.get(key)
    ]  # fmt: skip
    if declared:
        key, settings = declared[0]
        method = _describe(key, settings)
        plain = all(tensor.format.name in PLAIN for tensor in tensors.values())
        kind = HUGGINGFACE_TYPES.get(str(config.get("model_type")))
        ternary = kind.ternary_method if kind and plain else ""
        readable = {name for name in (ternary, kind.packed_method if kind else "") if name}
        return None if method.startswith(tuple(readable)) else method
    return _find_by_tensors(tensors)


def _describe(key: str, settings: object) -> str:
    if not isinstance(settings, Mapping):
        return f"{key} is {printable(str(settings), 24)}"
    default = "mlx" if {"bits", "group_size"} <= settings.keys() else key
    method = printable(str(settings.get("quant_method") or default), 32)
    bits = settings.get("bits", settings.get("w_bit", settings.get("weight_bits")))
    if settings.get("load_in_4bit") or settings.get("_load_in_4bit"):
        bits = 4
    elif settings.get("load_in_8bit") or settings.get("_load_in_8bit"):
        bits = 8
    more = settings.get("format", settings.get("fmt"))
    words = [method]
    if isinstance(bits, int):
        words.append(f"{bits} bits")
    elif isinstance(more, str):
        words.append(printable(more, 32))
    return ", ".join(words)


def _find_by_tensors(tensors: Mapping[str, TensorLike]) -> str | None:
    for method, endings in SIGNS.items():
        if all(_any_ends(tensors, ending) for ending in endings):
            return method
    eight = (t.format.name for t in tensors.values() if t.format.name.startswith("F8_"))
    format_name = next(eight, None)
    return f"weights of {format_name}" if format_name else None


def _any_ends(names: Iterable[str], ending: str) -> bool:
    return any(name.endswith(ending) for name in names)
