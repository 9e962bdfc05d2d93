"""The facts about each family of decoders that its files do not state."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """What `general.architecture` says beyond the keys and tensors of the file.

    It also says which optional keys mean something: `settings` refuses the others.
    """

    interleaved: bool = False  # rotary pairs are (2i, 2i+1)
    activation: str = "silu"
    scaled_embedding: bool = False  # embeddings are multiplied by √width
    windowed: bool = False  # there may be layers that see a window of positions
    patterned: bool = False  # and the file may say which ones
    default_window: int | None = None
    window_period: int = 0  # of so many layers, the last one sees everything; 0: all are windowed
    window_base: float | None = None  # rotary base of windowed layers, unless the file says
    ropeless_period: int = 0  # every so many layers, one without positions
    wide_blocks: int = 0  # with so many layers, the score's scale is that of width / heads
    attention_cap: float | None = None  # the cap of scores unless the file says; None: no cap
    logit_cap: float | None = None  # likewise of logits
    partial_rope: bool = False  # the last elements of heads may stay unturned
    tempered: bool = False  # queries may have a temperature
    mixture: bool = False  # layers may have experts
    chosen_norm: bool = False  # the file says whether the chosen experts' weights are normalized
    fused_gate: bool = False  # gate and up are one matrix
    required: tuple[str, ...] = ()  # norms beyond the common ones; a layer has no others


_QK_NORMS = ("attn_q_norm", "attn_k_norm")
_POST_NORMS = ("post_attention_norm", "post_ffw_norm")
_SUB_NORMS = ("attn_sub_norm", "ffn_sub_norm")

FAMILIES: Mapping[str, Family] = {
    # Llama 2/3, Mistral, Mixtral, SmolLM 1/2
    "llama": Family(interleaved=True, windowed=True, mixture=True),
    "mistral3": Family(interleaved=True, windowed=True, mixture=True, tempered=True),
    "smollm3": Family(interleaved=True, windowed=True, patterned=True, ropeless_period=4),
    "qwen2": Family(windowed=True, patterned=True),
    "qwen3": Family(windowed=True, patterned=True, required=_QK_NORMS),
    "qwen3moe": Family(windowed=True, mixture=True, chosen_norm=True, required=_QK_NORMS),
    "phi3": Family(windowed=True, partial_rope=True, fused_gate=True),
    "gemma": Family(activation="gelu", scaled_embedding=True),
    "gemma2": Family(
        activation="gelu",
        scaled_embedding=True,
        windowed=True,
        patterned=True,
        default_window=4096,
        window_period=2,
        attention_cap=50.0,
        logit_cap=30.0,
        wide_blocks=46,
        required=_POST_NORMS,
    ),
    "gemma3": Family(
        activation="gelu",
        scaled_embedding=True,
        windowed=True,
        patterned=True,
        window_period=6,
        window_base=10000.0,
        logit_cap=0.0,
        wide_blocks=62,
        required=_QK_NORMS + _POST_NORMS,
    ),
    "bitnet": Family(required=_SUB_NORMS),  # As ggml: SiLU, not ReLU²
    "bitnet-b1.58": Family(activation="relu2", required=_SUB_NORMS),
}
