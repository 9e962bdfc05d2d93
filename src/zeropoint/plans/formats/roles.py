"""The role of a tensor, from its GGUF name, and whether it may be quantized.

The rules are those of llama.cpp of 2026-10-01 (`llama-quant.cpp`). Names are matched as it matches
them, by parts of the text, so that the same tensors are chosen.
"""

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

from zeropoint.checkpoints.names import OUTPUT, TOKEN_EMBEDDING


class Role(Enum):
    """A kind of matrix that presets treat alike. The value is its name in a reason."""

    TOKEN_EMBEDDING = "the token embedding"
    OUTPUT = "the output matrix"
    VALUES = "values"
    KEYS = "keys"
    QUERIES = "queries"
    ATTENTION_OUTPUT = "attention outputs"
    FFN_UP = "ffn_up"
    FFN_GATE = "ffn_gate"
    FFN_DOWN = "ffn_down"
    OTHER = "other matrices"


TOKEN_EMBEDDINGS = (TOKEN_EMBEDDING, "per_layer_token_embd.weight")
# In this order; a fused or compressed projection that contains the values counts as values.
PARTS = (
    ("attn_qkv.weight", Role.VALUES),
    ("attn_kv_b.weight", Role.VALUES),
    ("attn_v.weight", Role.VALUES),
    ("attn_k.weight", Role.KEYS),
    ("attn_q.weight", Role.QUERIES),
    ("attn_output.weight", Role.ATTENTION_OUTPUT),
    ("ffn_up", Role.FFN_UP),
    ("ffn_gate", Role.FFN_GATE),
    ("ffn_down", Role.FFN_DOWN),
)

# (parts of the name, why such a tensor is not quantized). Exact names end with a dollar sign.
NEVER: tuple[tuple[tuple[str, ...], str], ...] = (
    (("_norm.weight",), "norms are not quantized"),
    (("ffn_gate_inp.weight",), "routers are not quantized: they are small and select the experts"),
    (("ffn_gate_tid2eid.weight",), "a table of expert numbers is not quantized"),
    (("altup", "laurel"), "these matrices are very small"),
    (("per_layer_model_proj",), "the projection of per-layer embeddings is small"),
    (("position_embd.weight$",), "position embeddings are not quantized"),
    (("token_types.weight$",), "token types are not quantized"),
    (("ssm_conv1d", "shortconv.conv.weight"), "short convolutions are very small"),
    (("indexer.k_proj.weight", "indexer.q_proj.weight"), "indexer projections are very small"),
    (
        (
            "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight",
            "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight",
            "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
            "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight",
            "time_mix_lerp_fused.weight",
        ),
        "RWKV's small mixing matrices are not quantized",
    ),
    (("attn_rel_b.weight",), "relative positions are not quantized"),
    (
        (
            ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd",
            ".patch_merger",
        ),
        "these parts of an image encoder are not quantized",
    ),
    (("a.rvq.codebook", "mm.a.code_embd"), "audio code books are not quantized"),
)  # fmt: skip
NEVER_GLM5_NEXT = (
    "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate",
    "indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight",
    "ssm_g_b.weight", "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight",
    "attn_v_b.weight",
)  # fmt: skip

CACHED_NAMES = 1 << 13  # a search chooses formats of the same model thousands of times

_LAYER = re.compile(r"blk\.(\d+)", re.ASCII)
_NEVER = re.compile("|".join(
    "(" + "|".join(
        rf"\A{re.escape(part[:-1])}\Z" if part.endswith("$") else re.escape(part) for part in parts
    ) + ")"
    for parts, _ in NEVER
))  # fmt: skip


@lru_cache(CACHED_NAMES)
def role_of(name: str) -> Role:
    """Return the role of the tensor of this name.

    >>> role_of("blk.0.attn_qkv.weight").name, role_of("blk.0.ffn_down_exps.weight").name
    ('VALUES', 'FFN_DOWN')
    """
    if name == OUTPUT:
        return Role.OUTPUT
    if name in TOKEN_EMBEDDINGS:
        return Role.TOKEN_EMBEDDING
    return next((role for part, role in PARTS if part in name), Role.OTHER)


@lru_cache(CACHED_NAMES)
def layer_of(name: str) -> int | None:
    """Return the number in `blk.N…`, or None for a tensor outside the layers."""
    match = _LAYER.match(name)
    return int(match[1]) if match else None


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in llama.cpp's order: by layer, then by the bytes of the name.

    Rules such as "in the first four" count in this order.
    """

    def key(name: str) -> tuple[int, bytes]:
        layer = layer_of(name)
        return -1 if layer is None else layer, name.encode()

    return sorted(names, key=key)


@lru_cache(CACHED_NAMES)
def why_never_quantized(name: str, shape: tuple[int, ...], architecture: str) -> str | None:
    """Return why a tensor keeps the format of its source, or None if it may be quantized.

    >>> why_never_quantized("blk.0.attn_norm.weight", (640,), "gemma3")
    'vectors are not quantized'
    >>> why_never_quantized("blk.0.attn_q.weight", (1024, 640), "gemma3") is None
    True
    """
    # As in ggml, leading axes of length 1 do not count: (1, 640) is a vector.
    if not any(size > 1 for size in shape[:-1]):
        return "vectors are not quantized"
    if not name.endswith("weight"):
        return "only names that end with `weight` are quantized"
    match = _NEVER.search(name)
    if match and match.lastindex:
        return NEVER[match.lastindex - 1][1]
    if architecture == "glm5-next" and any(part in name for part in NEVER_GLM5_NEXT):
        return "this matrix of GLM5-NEXT is small or sensitive"
    return None
