"""The names of tensors in Hugging Face folders and in GGUF files.

Inside zeropoint every tensor has its GGUF name. The names of a layer's tensors are in the record of
the model's family: `ModelFamily.roles`.
"""

import re
from dataclasses import dataclass

from zeropoint.checkpoints.families import ModelFamily

TOKEN_EMBEDDING = "token_embd.weight"
OUTPUT = "output.weight"  # without it the token embedding is the output matrix too
JOINED_STACKS = "ffn_gate_up_exps"
_WHOLE = {
    "embed_tokens.weight": TOKEN_EMBEDDING,
    "norm.weight": "output_norm.weight",
    "lm_head.weight": OUTPUT,
}
_LAYER = re.compile(r"layers\.(\d+)\.(.+?)(\.weight|\.bias)?")
_EXPERT = re.compile(r"(.+\.experts\.)(\d+)(\.\w+)")
_FUSED = re.compile(r"(?:mlp|block_sparse_moe|feed_forward)\.experts\.(gate_up_proj|down_proj)")
# Tensors of two axes that multiply element by element.
_ELEMENTWISE = re.compile(r"blk\.\d+\.(ssm_conv1d|shortconv\.conv|ssm_a|ssm_d|ssm_norm)(\.weight)?")
_ROLE = re.compile(r"blk\.\d+\.(.+?)(?:\.weight|\.bias|\.scale)?")
_ALTERNATING = re.compile(r"mlp\.experts\.(gate_up_proj|down_proj)(_bias|_blocks|_scales)?")
# Of the draft head, beside its layers: a folder's name to that of a tensor of a layer.
_DRAFT = {
    "fc": "eh_proj",
    "pre_fc_norm_embedding": "enorm",
    "pre_fc_norm_hidden": "hnorm",
    "norm": "shared_head.norm",
}
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.",
             "backbone.")  # fmt: skip


@dataclass(frozen=True)
class GgufPlace:
    """The GGUF tensor that a Hugging Face tensor becomes, or becomes part of."""

    #: The GGUF tensor.
    name: str
    #: The Hugging Face tensor is the matrix of this expert of a stack.
    expert: int | None = None
    #: It holds the gate rows of all experts and then their up rows; `name` is the gate's stack.
    fused: bool = False
    #: It is a whole stack in the order of `expert_stacks`. If it is `fused`, gate and up alternate.
    alternating: bool = False
    #: It holds codes or scales of MXFP4.
    packed: bool = False

    def alternating_stacks(self) -> list[tuple[str, int, int]]:
        """Return the GGUF stacks of an alternating tensor: name, step and first of its rows."""
        if not self.fused:
            return [(self.name, 1, 0)]
        return [(self.name, 2, 0), (self.name.replace("ffn_gate_exps", "ffn_up_exps"), 2, 1)]


def find_place(name: str, family: ModelFamily) -> GgufPlace | None:
    """Return the GGUF place of a Hugging Face tensor, or None if text models do not have it.

    >>> from zeropoint.checkpoints.families import FAMILIES
    >>> find_place("model.layers.3.self_attn.q_proj.bias", FAMILIES["qwen2"]).name
    'blk.3.attn_q.bias'
    """
    short = bare_name(name)
    whole = {**_WHOLE, **family.whole_names}
    if short in whole:
        return GgufPlace(whole[short])
    layer = _LAYER.fullmatch(short)
    if not layer:
        return None
    index, role, suffix = layer[1], layer[2], layer[3] or ".weight"
    if role + (layer[3] or "") in family.parameters:
        return GgufPlace(f"blk.{index}.{family.parameters[role + (layer[3] or '')]}")
    if family.alternating_experts and (alternating := _ALTERNATING.fullmatch(role)):
        return _alternating_place(index, alternating[1], alternating[2] or "")
    if family.has_experts and (fused := _FUSED.fullmatch(role)):
        gate_up = fused[1] == "gate_up_proj"
        stack = f"blk.{index}.ffn_{'gate' if gate_up else 'down'}_exps.weight"
        return GgufPlace(stack, fused=gate_up)
    expert = None
    if match := _EXPERT.fullmatch(role):
        role, expert = f"{match[1]}*{match[3]}", int(match[2])
    target = family.roles.get(role)
    if target == JOINED_STACKS:
        return GgufPlace(f"blk.{index}.ffn_gate_exps{suffix}", fused=True)
    return GgufPlace(f"blk.{index}.{target}{suffix}", expert) if target else None


def _alternating_place(index: str, matrix: str, kind: str) -> GgufPlace:
    stack, suffix = "gate" if matrix == "gate_up_proj" else "down", kind.replace("_", ".")
    target = f"blk.{index}.ffn_{stack}_exps{suffix if kind == '_bias' else '.weight'}"
    packed = kind in ("_blocks", "_scales")
    return GgufPlace(target, fused=stack == "gate", alternating=True, packed=packed)


def bare_name(name: str) -> str:
    """Return a tensor's name without the prefix that leads to the text model."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def huggingface_name(name: str, family: ModelFamily) -> str | None:
    """Return transformers' name of a GGUF tensor, or None if it has no such tensor.

    In the name of a stack of experts, "*" stands for the expert's number.

    >>> from zeropoint.checkpoints.families import FAMILIES
    >>> huggingface_name("blk.3.attn_q.bias", FAMILIES["qwen2"])
    'model.layers.3.self_attn.q_proj.bias'
    """
    for theirs, ours in {**family.whole_names, **_WHOLE}.items():
        if name == ours:
            return theirs if theirs.startswith("lm_head") else f"model.{theirs}"
    if block := re.fullmatch(r"blk\.(\d+)\.(.+)", name):
        for theirs, ours in family.parameters.items():
            if ours == block[2]:
                return f"model.layers.{block[1]}.{theirs}"
    match = re.fullmatch(r"blk\.(\d+)\.(.+?)(\.weight|\.bias)", name)
    if not match:
        return None
    for theirs, ours in family.roles.items():
        if ours == match[2]:
            return f"model.layers.{match[1]}.{theirs}{match[3]}"
    return None


def role_of(name: str) -> str:
    """Return a GGUF tensor's role in its layer; a tensor outside of layers is its own.

    >>> role_of("blk.0.attn_q.bias"), role_of("blk.3.shortconv.conv.weight")
    ('attn_q', 'shortconv.conv')
    """
    match = _ROLE.fullmatch(name)
    return match[1] if match else name


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Return whether a GGUF tensor is a matrix, or a stack of them, that multiplies inputs.

    The others, also those of two axes, are biases or multiply element by element.
    """
    return len(shape) > 1 and not (name.endswith(".bias") or _ELEMENTWISE.fullmatch(name))


def layer_name(name: str, family: ModelFamily, layers: int) -> str:
    """Return the name of a folder's tensor with draft layers counted after the `layers` others.

    >>> from zeropoint.checkpoints.families import FAMILIES
    >>> layer_name("mtp.fc.weight", FAMILIES["qwen35"], 24)
    'model.layers.24.eh_proj.weight'
    """
    short, prefix = name.removeprefix("model."), family.draft_prefix
    if not prefix or not short.startswith(prefix):
        return name
    short = short.removeprefix(prefix)
    if layer := _LAYER.fullmatch(short):
        return f"model.layers.{layers + int(layer[1])}.{layer[2]}{layer[3] or ''}"
    role, _, suffix = short.rpartition(".")
    return f"model.layers.{layers}.{_DRAFT.get(role, role)}.{suffix}"


def draft_name(name: str, family: ModelFamily, layers: int) -> str:
    """Return the folder's name of a tensor: the inverse of `layer_name`.

    >>> from zeropoint.checkpoints.families import FAMILIES
    >>> draft_name("model.layers.24.eh_proj.weight", FAMILIES["qwen35"], 24)
    'mtp.fc.weight'
    """
    layer = _LAYER.fullmatch(name.removeprefix("model."))
    if not family.draft_prefix or not layer or int(layer[1]) < layers:
        return name
    theirs = {role: their for their, role in _DRAFT.items()}.get(layer[2])
    own = f"layers.{int(layer[1]) - layers}.{layer[2]}"
    return f"{family.draft_prefix}{theirs or own}{layer[3] or ''}"
