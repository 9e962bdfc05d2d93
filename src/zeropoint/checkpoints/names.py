"""What Hugging Face calls a tensor and what GGUF calls it.

Inside zeropoint every tensor has its GGUF name; this is the only place that knows the other. A
layer's tensor is known by its role: "self_attn.q_proj" there, "attn_q" here. Two families give the
same name two meanings: Gemma 2 and 3 have norms behind attention and feed-forward as well as before
them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_COMMON = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.attn_sub_norm": "attn_sub_norm",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.ffn_sub_norm": "ffn_sub_norm",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp",
    "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.up_proj": "ffn_up_exps",
    "mlp.experts.down_proj": "ffn_down_exps",
}
_ONE_NORM_EACH = {"post_attention_layernorm": "ffn_norm"}
_NORMS_AROUND = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_WHOLE = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_EXPERT_PARTS = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}  # as Mixtral calls them
_LAYER = re.compile(r"layers\.(\d+)\.(.+?)(\.weight|\.bias)?")
_EXPERT = re.compile(r"(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)")
_FUSED = re.compile(r"(?:mlp|block_sparse_moe)\.experts\.(gate_up_proj|down_proj)")
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.")


@dataclass(frozen=True)
class Place:
    """Where a Hugging Face tensor goes: into GGUF tensor `name`, whole or as one part of it."""

    name: str
    expert: int | None = None  # it is this expert's matrix of a stack
    fused: bool = False  # it holds all experts' gate rows and then up rows; `name` is the gate's


def find_place(name: str, roles: Mapping[str, str]) -> Place | None:
    """Return where a Hugging Face tensor goes, or None for one that is not of a text model.

    `roles` come from `roles_of`.

    >>> find_place("model.layers.3.self_attn.q_proj.bias", roles_of("qwen2")).name
    'blk.3.attn_q.bias'
    """
    short = bare_name(name)
    if short in _WHOLE:
        return Place(_WHOLE[short])
    layer = _LAYER.fullmatch(short)
    if not layer:
        return None
    index, role, suffix = layer[1], layer[2], layer[3] or ".weight"
    if expert := _EXPERT.fullmatch(role):
        part = _EXPERT_PARTS.get(expert[2], expert[2])
        target = roles.get(f"mlp.experts.{part}")
        return Place(f"blk.{index}.{target}{suffix}", int(expert[1])) if target else None
    if fused := _FUSED.fullmatch(role):
        gate_up = fused[1] == "gate_up_proj"
        return Place(f"blk.{index}.ffn_{'gate' if gate_up else 'down'}_exps.weight", fused=gate_up)
    target = roles.get(role)
    return Place(f"blk.{index}.{target}{suffix}") if target else None


def bare_name(name: str) -> str:
    """Return a tensor's name without what leads to the text model in a larger one."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def roles_of(architecture: str) -> Mapping[str, str]:
    """Return Hugging Face role → GGUF role for the layers of one architecture (GGUF's name)."""
    return _COMMON | (_NORMS_AROUND if architecture in ("gemma2", "gemma3") else _ONE_NORM_EACH)


def huggingface_name(name: str, architecture: str) -> str | None:
    """Return what transformers calls a GGUF tensor, or None if it has no such tensor.

    A stack of experts has the name of the stack without the expert's number, which is the caller's
    to put in.

    >>> huggingface_name("blk.3.attn_q.bias", "qwen2")
    'model.layers.3.self_attn.q_proj.bias'
    """
    for theirs, ours in _WHOLE.items():
        if name == ours:
            return theirs if theirs.startswith("lm_head") else f"model.{theirs}"
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)(\.weight|\.bias)", name)
    if not match:
        return None
    unwanted = {"block_sparse_moe.gate" if architecture == "qwen3moe" else "mlp.gate"}
    unwanted.add("mlp.up_proj" if architecture == "phi3" else "mlp.gate_up_proj")
    for theirs, ours in roles_of(architecture).items():
        if ours == match[2] and theirs not in unwanted:
            return f"model.layers.{match[1]}.{theirs}{match[3]}"
    return None
