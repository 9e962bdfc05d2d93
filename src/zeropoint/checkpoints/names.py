"""Hugging Face's names of tensors as GGUF's: the map of the `gguf` package, and what it lacks.

The package is imported when a name is first asked for: reading and writing GGUF does not need it.
"""

import re
from functools import cache

# BitNet's norms inside attention and feed-forward, and heads of families that ggml ties.
_ADDITIONS = (
    (re.compile(r"model\.layers\.(\d+)\.self_attn\.attn_sub_norm$"), r"blk.\1.attn_sub_norm"),
    (re.compile(r"model\.layers\.(\d+)\.mlp\.ffn_sub_norm$"), r"blk.\1.ffn_sub_norm"),
    (re.compile(r"model\.layers\.(\d+)\.mlp\.experts\.down_proj$"), r"blk.\1.ffn_down_exps"),
    (re.compile(r"lm_head$"), "output"),
)
_SUFFIXES = (".weight", ".bias")


def gguf_name(architecture: str, layers: int, name: str) -> str | None:
    """Return GGUF's name of a Hugging Face tensor, or None if it has none of its own.

    `architecture` is GGUF's ("qwen3moe"), `layers` how many there are. A tensor without a suffix
    (stacked experts) gets ".weight".

    >>> gguf_name("llama", 2, "model.layers.1.self_attn.q_proj.weight")
    'blk.1.attn_q.weight'
    """
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
    stem = name.removesuffix(suffix)
    found = _map(architecture, layers).get_name(stem)
    for pattern, replacement in _ADDITIONS:
        if found is None and pattern.match(stem):
            found = pattern.sub(replacement, stem)
    return None if found is None else found + (suffix or ".weight")


@cache
def _map(architecture: str, layers: int):  # type: ignore[no-untyped-def]
    import gguf

    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    return gguf.get_tensor_name_map(kinds.get(architecture, gguf.MODEL_ARCH.LLAMA), layers)
