"""The record type of the table of model families.

A *family* is what `general.architecture` names in a GGUF file. Several `model_type`s of Hugging
Face may be stored as one family: Llama, Mistral and Mixtral are all "llama" files. The same names
are never compared in code: every room reads the fields of these records.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings

Metadata = dict[str, object]
Json = dict[str, object]
Gating = Literal["softmax", "sigmoid", "softmax_chosen"]
Feature = Literal["experts", "window", "temperature"]


@dataclass(frozen=True, kw_only=True)
class HuggingFaceType:
    """One kind of Hugging Face folder, and transformers' classes for it."""

    #: Values of `model_type` in config.json. The first one is written.
    model_types: tuple[str, ...]
    #: Names of transformers' model and configuration classes.
    model_class: str
    config_class: str
    #: Condition under which this type, and not a later one of its family, describes a model.
    needs: frozenset[Feature] = frozenset()

    #: Returns the type's own GGUF keys (without the architecture), read from config.json.
    #: None: such folders cannot be read or written yet; the type is only used as a reference.
    read_settings: Callable[["ModelFamily", Settings], Metadata] | None = None
    #: Returns the type's own entries of config.json, from the keys of a GGUF file and the entries
    #: that all types have.
    write_config: Callable[["ModelFamily", GgufKeys, Json], Json] | None = None
    #: The defaults of transformers' configuration class that config.json may rely on.
    defaults: Mapping[str, object] = field(default_factory=dict)
    #: The setting that names the activation function. "": the type has only one.
    activation_key: str = "hidden_act"
    #: Settings with an item for each layer, which may stand in place of `num_hidden_layers`.
    layer_lists: tuple[str, ...] = ()
    #: The setting of the epsilon of norms.
    epsilon_key: str = "rms_norm_eps"
    #: transformers' default of `rope_theta`.
    rope_theta: float = 10000.0
    #: Settings that determine whether matrices have a bias, and the roles of these matrices.
    biases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Roles of matrices that always have a bias.
    biased_roles: tuple[str, ...] = ()
    #: The `quant_method` of folders whose layers round their 16-bit weights to three levels when
    #: they run. "": there are no such folders.
    ternary_method: str = ""
    #: The `quant_method` of folders whose weights have a format of GGUF. "": there is none.
    packed_method: str = ""
    #: Types of rotary scaling of layers without a window, in folders with such parameters for each
    #: kind of layer; windowed layers have the default type. (): one set for all layers.
    rope_types_of_full_layers: tuple[str, ...] = ()
    #: Settings without effect on the logits of this type, and why (beyond `settings.HARMLESS`).
    harmless: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_inner(self) -> int | None:
        """The default of `intermediate_size`; None: folders must have it."""
        default = self.defaults.get("intermediate_size")
        return default if isinstance(default, int) else None

    @property
    def convertible(self) -> bool:
        """Whether folders of this type can be read and written."""
        return self.read_settings is not None


@dataclass(frozen=True, kw_only=True)
class WindowRule:
    """Which layers attend to a sliding window of positions only."""

    #: Of so many layers, the last one attends to all positions. 0: all layers have the window.
    period: int = 0
    #: The default window in positions, for a file without this key. 0: no window.
    default_positions: int = 0
    #: Whether `attention.sliding_window_pattern` may select the layers with the window.
    per_layer: bool = False


# From the file's keys (without the architecture) and a number of rows or columns: the folder's row
# or column for each of the file's.
Order = Callable[[Mapping[str, object], int], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class StoredChange:
    """How a file stores a tensor of a folder, where it is more than another name."""

    rows: Order | None = None
    columns: Order | None = None
    #: The file holds −e^x.
    negative_exponential: bool = False
    #: The axis of length 1 that only the folder's tensor has; a bias has none.
    unit_axis: int | None = None
    #: The file's rows of a tensor that the folder holds as one, from the file's keys.
    rows_of_vector: Callable[[Mapping[str, object]], int] | None = None


@dataclass(frozen=True, kw_only=True)
class ExpertRule:
    """How the mixtures of experts of a family differ from Mixtral's; see `models.routing`."""

    #: The scores of the router.
    gating: Gating = "softmax"
    #: `expert_gating_func` may select another.
    optional_gating: bool = False
    #: The router and each expert's matrices may have a bias.
    biased: bool = False
    #: A bias `exp_probs_b` takes part in the choice of experts.
    selection_bias: bool = False
    #: Experts may lie in groups (`expert_group_count`), of which a row uses some.
    grouped: bool = False
    #: Whether the weights of the chosen experts are divided by their sum plus `epsilon`.
    normalize: bool = True
    epsilon: float = 0.0
    #: The weight of an expert multiplies its input.
    weights_inputs: bool = False
    #: There may be an expert that all rows share.
    shared: bool = False
    #: Experts lie beside a dense part, each with norms of its own; see `models.feed_forward`.
    beside_dense: bool = False
    #: `leading_dense_block_count` and `interleave_moe_layer_step` say which layers have no experts.
    some_layers_dense: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """One family of decoders. The keys of the file determine everything else."""

    #: `general.architecture` of GGUF files.
    architecture: str
    #: The Hugging Face types that are stored as this family, those with more `needs` first.
    huggingface: tuple[HuggingFaceType, ...]
    #: Hugging Face role ("self_attn.q_proj") to GGUF role ("attn_q") of a layer's tensors. Of two
    #: names for one role the first is written. "*" stands for the number of an expert.
    roles: Mapping[str, str]

    #: Names of a folder's tensors outside of layers to those of a file, beyond `names.WHOLE`.
    whole_names: Mapping[str, str] = field(default_factory=dict)
    #: Names of a layer's parameters that have no ".weight" or ".bias" in a folder, to their names
    #: in a file: "self_attn.sinks" to "attn_sinks.weight".
    parameters: Mapping[str, str] = field(default_factory=dict)
    #: Engine's role to the role that the file has for it, where the two differ.
    stored_names: Mapping[str, str] = field(default_factory=dict)

    # How a GGUF file stores a folder's tensors.
    #: Roles whose rows, columns, values or axes differ.
    changes: Mapping[str, StoredChange] = field(default_factory=dict)
    #: Roles in `roles` that stand for one matrix of a folder, to the roles of its parts in a file.
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Folders hold stacks of experts as (experts, in, out), in which gate and up alternate, or as
    #: MXFP4 (see `checkpoints.expert_stacks`).
    alternating_experts: bool = False
    #: Roles whose rows are permuted within each head, from halves to neighbouring pairs.
    permuted_roles: tuple[str, ...] = ()
    #: Constant that GGUF files add to the weights of norms (transformers multiplies by 1 + weight).
    norm_offset: float = 0.0
    #: Norms that are stored as they are, whatever the offset of the others.
    plain_norms: frozenset[str] = frozenset()

    # The computation of the layers.
    #: Keys of the epsilon of norms: the first one that a file has is read, the last one is written.
    epsilon_keys: tuple[str, ...] = ("attention.layer_norm_rms_epsilon",)
    #: "silu", "gelu_pytorch_tanh" or "relu2", unless the file's `hidden_activation` is set.
    activation: str = "silu"
    #: Embeddings are multiplied by the square root of the embedding length.
    scaled_embedding: bool = False
    #: Rotary pairs are the elements (2i, 2i + 1) of a head; otherwise (i, i + size / 2).
    interleaved_rope: bool = False
    #: `rope.dimension_count` may be less than the head size; the other elements stay unrotated.
    partial_rope: bool = False
    #: Folders with scaled rotary positions have longrope, by any of its older names.
    longrope_only: bool = False
    #: The default of `rope.dimension_sections`, which cut the pairs of a head into those that
    #: rotate by time, height and width; of text all three are equal. (): there is no such key.
    rope_sections: tuple[int, ...] = ()
    #: YaRN rounds the range of pairs that it mixes to whole pairs.
    yarn_truncates: bool = True
    #: In each group of so many layers the last one has no rotary positions. 0: all layers have.
    rope_skip_period: int = 0
    #: Base of the rotary frequencies in windowed layers, if the file gives none. None: no own base.
    window_rope_base: float | None = None
    #: Windowed layers do not scale rotary positions, and may have a base of their own.
    plain_window_rope: bool = False
    #: `rope.scaling.finetuned` = false means that no layer has rotary positions.
    rope_switch: bool = False
    #: The norms of queries and of keys are over all heads together.
    norms_of_all_heads: bool = False
    #: Norms that only some models of the family have.
    optional_norms: frozenset[str] = frozenset()
    #: Folders may have layers of multi-token prediction behind the others; files count them.
    draft_layers: bool = False
    #: The embeddings, what is added to the residual stream, and the logits have a scale.
    multipliers: bool = False
    #: The sliding windows; None: no layer has one.
    windows: WindowRule | None = None
    #: Models of exactly so many layers scale attention scores by (embedding length / heads)^-1/2;
    #: all others by (head size)^-1/2.
    width_scaled_layers: int = 0
    #: Soft cap of attention scores and of logits if the file gives none (0: no cap).
    #: None: the family has no such cap, and the key is refused.
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    #: What names of the layer for multi-token prediction begin with in a folder; the layer runs as
    #: a draft head. "": such layers do not run, and folders have none.
    draft_prefix: str = ""
    #: The recurrent mixer of the layers that have no attention. None: all layers have attention.
    recurrent_mixer: Literal["delta_net", "mamba2", "short_convolution"] | None = None
    #: Value head h of a delta net uses key head h % key heads; otherwise neighbours share one.
    tiled_values: bool = False
    #: A layer is one part behind the norm `attn_norm`: a feed-forward part, or else a mixer.
    single_parts: bool = False
    #: Feed-forward parts multiply by an activated gate.
    gated: bool = True
    #: Attention has an output gate, whose rows are part of the matrix `attn_q`.
    gated_attention: bool = False
    #: Each head has a score `attn_sinks` that takes a share of attention.
    attention_sinks: bool = False
    #: Queries may have a temperature that grows with the position.
    query_temperature: bool = False
    #: Attention scores are not scaled.
    unscaled: bool = False
    #: Values have a norm without weights; in layers without `attn_v` they are the keys.
    normed_values: bool = False
    #: Windowed layers have heads of another size (`attention.key_length_swa`).
    window_sizes: bool = False
    #: The last layers may use the keys and values of earlier ones (`attention.shared_kv_layers`).
    shared_caches: bool = False
    #: Layers may take inputs of their own, per-layer embeddings; see `models.layer_inputs`.
    layer_inputs: bool = False
    #: Layers may scale the stream behind them (`layer_output_scale`).
    layer_scales: bool = False
    #: How experts are chosen.
    experts: ExpertRule = ExpertRule()
    #: `expert_weights_norm` may disable the normalization of the chosen experts' weights.
    optional_expert_norm: bool = False

    # Differences from llama.cpp (2026-10).
    #: Keys that zeropoint and transformers obey and llama.cpp does not read.
    unread_by_llama_cpp: frozenset[str] = frozenset()
    #: The number of layers of the model that llama.cpp calls "70B". 0: no such model.
    layers_of_70b: int = 0

    @property
    def llama_cpp_windows(self) -> WindowRule | None:
        """The sliding windows as llama.cpp computes them; None: it attends to all positions."""
        return None if "attention.sliding_window" in self.unread_by_llama_cpp else self.windows

    @property
    def rotates(self) -> bool:
        """Whether some layers have rotary positions."""
        return self.rope_skip_period != 1

    @property
    def fused_qkv(self) -> bool:
        """Whether folders have queries, keys and values of attention in one matrix."""
        return "attn_qkv" in self.roles.values() and "attn_q" not in self.roles.values()

    @property
    def fused_gate(self) -> bool:
        """Whether the gate is the first half of the matrix `ffn_up`."""
        roles = self.roles.values()
        return self.gated and "ffn_up" in roles and "ffn_gate" not in roles

    @property
    def has_dense(self) -> bool:
        """Whether some layers may have no experts."""
        return "ffn_up" in self.roles.values()

    @property
    def has_experts(self) -> bool:
        """Whether the layers of a model may be mixtures of experts."""
        return "ffn_gate_inp" in self.roles.values()

    @property
    def output_norm(self) -> str:
        """The name of the last norm in a file."""
        names = (name for name in self.whole_names.values() if name.endswith("_norm.weight"))
        return next(names, "output_norm.weight")

    @property
    def norms(self) -> frozenset[str]:
        """The engine's roles of the norms that this family has."""
        engine = {stored: role for role, stored in self.stored_names.items()}
        norms = (role for role in self.roles.values() if role.endswith("_norm"))
        return frozenset(engine.get(role, role) for role in norms)

    def stored_name(self, role: str) -> str:
        """Return the role that a file has for the engine's role."""
        return self.stored_names.get(role, role)

    def norm_shift(self, role: str) -> float:
        """Return what GGUF files add to a tensor of this role."""
        return self.norm_offset if "norm" in role and role not in self.plain_norms else 0.0

    @property
    def convertible(self) -> bool:
        """Whether folders of the family's types can be read and written."""
        return all(kind.convertible for kind in self.huggingface)

    def is_ropeless(self, layer: int) -> bool:
        """Return whether layer `layer` (from 0) has no rotary positions."""
        return self.rope_skip_period > 0 and (layer + 1) % self.rope_skip_period == 0

    def type_for(self, features: frozenset[Feature]) -> HuggingFaceType:
        """Return the Hugging Face type of a model with these features."""
        return next(kind for kind in self.huggingface if kind.needs <= features)
