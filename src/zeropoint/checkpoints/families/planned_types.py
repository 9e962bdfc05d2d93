"""Model types of Hugging Face that `plan` describes from a config.json alone.

zeropoint need not run them. A record has what the config does not state: which matrices, biases and
norms a layer has, and the name of the architecture in GGUF files. Types of the table of families
without a record here are described by their family.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Layers = Literal["attention", "mamba", "mamba and attention"]
#: Vectors and small matrices of a layer beside its matrices and its norms of the width.
Extra = Literal[
    "sinks",  # one number for each query head
    "output bias",  # of attention's output matrix
    "router bias",
    "selection bias",  # added to the router's scores when experts are chosen
    "expert biases",
    "shared expert's gate",
    "layer scale",
]


@dataclass(frozen=True, kw_only=True)
class PlannedType:
    """What the config.json of a model type does not state."""

    #: `general.architecture` of GGUF files.
    architecture: str = ""
    #: The mixer of every layer for which the config names no other.
    layers: Layers = "attention"
    #: Feed-forward parts multiply by an activated gate.
    gated: bool = True
    #: The width of the feed-forward part counts gate and up together.
    joint_width: bool = False
    #: Queries, keys and values have biases unless the config says otherwise.
    biased: bool = False
    #: The output matrix is the token embedding unless the config says otherwise.
    tied: bool = False
    #: Queries, keys and values are one matrix, and so are gate and up.
    fused_qkv: bool = False
    fused_gate: bool = False
    #: The last norm's name without ".weight".
    output_norm: str = "output_norm"
    #: Roles of the norms of the width that every layer has.
    layer_norms: tuple[str, ...] = ("attn_norm", "ffn_norm")
    #: Roles of the other norms.
    norms: tuple[str, ...] = ()
    #: The setting that enables these norms; "": all models have them.
    norms_setting: str = ""
    #: The norms of queries and keys span all heads instead of one.
    wide_norms: bool = False
    #: Experts that every token uses, each as wide as the others, if the config states none.
    shared_experts: int = 0
    #: Elements of a Mamba 2 head, if the config states neither heads nor size; 0: Mamba 1.
    mamba_head: int = 0
    #: The matrices of the two gates of a delta net are one (`ssm_ba`).
    joint_delta_gates: bool = False
    extras: frozenset[Extra] = frozenset()


_QK = ("attn_q_norm", "attn_k_norm")
_AFTER = ("post_attention_norm", "post_ffw_norm")
_UNGATED = PlannedType(gated=False)
_DEEPSEEK = PlannedType(architecture="deepseek2", extras=frozenset({"selection bias"}))
_BEFORE_BOTH = ("attn_norm", "post_attention_norm")  # as Qwen 3.5, gpt-oss and GLM name them
_DELTA = PlannedType(architecture="qwen35", layer_norms=_BEFORE_BOTH, norms=_QK)
_DELTA_EXPERTS = replace(
    _DELTA, architecture="qwen35moe", extras=frozenset({"shared expert's gate"})
)
_GEMMA4 = PlannedType(
    architecture="gemma4", tied=True, norms=(*_QK, *_AFTER), extras=frozenset({"layer scale"})
)
_GEMMA3N = PlannedType(architecture="gemma3n", tied=True)
_COHERE = PlannedType(tied=True)
_LFM2 = PlannedType(architecture="lfm2", tied=True, norms=_QK, output_norm="token_embd_norm")
_OLMO = PlannedType(architecture="olmo2", layer_norms=_AFTER, norms=_QK, wide_norms=True)

PLANNED_TYPES: Mapping[str, PlannedType] = {
    "arcee": _UNGATED,
    "bloom": PlannedType(gated=False, tied=True),
    "cohere": _COHERE,
    "cohere2": replace(_COHERE, architecture="cohere2"),
    "deepseek_v2": replace(_DEEPSEEK, extras=frozenset()),
    "deepseek_v3": _DEEPSEEK,
    "deepseek_v32": _DEEPSEEK,
    "ernie4_5_moe": PlannedType(
        architecture="ernie4_5-moe", tied=True, extras=frozenset({"selection bias"})
    ),
    "exaone4": PlannedType(architecture="exaone4"),
    "falcon": PlannedType(gated=False, tied=True),
    "falcon_h1": PlannedType(architecture="falcon-h1", layers="mamba and attention"),
    "falcon_mamba": PlannedType(layers="mamba", tied=True),
    "gemma3n": _GEMMA3N,
    "gemma3n_text": _GEMMA3N,
    "gemma4": _GEMMA4,
    "gemma4_text": _GEMMA4,
    "glm4_moe": PlannedType(
        architecture="glm4moe",
        layer_norms=_BEFORE_BOTH,
        norms=_QK,
        norms_setting="use_qk_norm",
        extras=frozenset({"selection bias"}),
    ),
    "gpt2": PlannedType(gated=False, biased=True, tied=True),
    "gpt_bigcode": PlannedType(gated=False, tied=True),
    "gpt_neox": _UNGATED,
    "gpt_oss": PlannedType(
        architecture="gpt-oss",
        biased=True,
        layer_norms=_BEFORE_BOTH,
        extras=frozenset({"sinks", "output bias", "router bias", "expert biases"}),
    ),
    "gptj": _UNGATED,
    "granitemoehybrid": PlannedType(architecture="granitehybrid"),
    "kimi_k2": _DEEPSEEK,
    "kimi_linear": PlannedType(architecture="kimi-linear"),
    "lfm2": _LFM2,
    "lfm2_moe": replace(_LFM2, architecture="lfm2moe", extras=frozenset({"selection bias"})),
    "llama4": PlannedType(architecture="llama4", shared_experts=1),
    "llama4_text": PlannedType(architecture="llama4", shared_experts=1),
    "mamba": PlannedType(layers="mamba", tied=True),
    "mamba2": PlannedType(layers="mamba", tied=True, mamba_head=64),
    "minimax_m2": PlannedType(
        architecture="minimax-m2",
        norms=_QK,
        wide_norms=True,
        extras=frozenset({"selection bias"}),
    ),
    "mpt": PlannedType(gated=False, tied=True),
    "nemotron": _UNGATED,
    "nemotron_h": PlannedType(
        architecture="nemotron_h",
        gated=False,
        layer_norms=("attn_norm",),
        extras=frozenset({"selection bias"}),
    ),
    "olmo2": _OLMO,
    "olmo3": _OLMO,
    "opt": PlannedType(gated=False, biased=True, tied=True),
    "phi": PlannedType(gated=False, biased=True),
    "qwen2_moe": PlannedType(biased=True, extras=frozenset({"shared expert's gate"})),
    "qwen3_5": _DELTA,
    "qwen3_5_text": _DELTA,
    "qwen3_5_moe": _DELTA_EXPERTS,
    "qwen3_5_moe_text": _DELTA_EXPERTS,
    "qwen3_next": replace(_DELTA_EXPERTS, architecture="qwen3next", joint_delta_gates=True),
    "recurrent_gemma": PlannedType(tied=True, joint_width=True),
    "smallthinker": PlannedType(architecture="smallthinker"),
    "stablelm_epoch": _UNGATED,
    "starcoder2": PlannedType(gated=False, biased=True, tied=True),
}
