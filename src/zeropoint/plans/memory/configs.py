"""A model from its config.json alone: its matrices, its vectors and its caches.

Any decoder of the Hugging Face Hub can be described, not only the families that zeropoint runs. The
kind of a layer comes from the config's lists and periods, and what it does not state from the
record of its type.
"""

from collections.abc import Mapping
from pathlib import Path

from zeropoint.checkpoints.families import HUGGINGFACE_TYPES
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.plans.memory import layers as parts
from zeropoint.plans.memory.cache_shape import WINDOWS, LayerCache, ModelShape
from zeropoint.plans.memory.config_values import ConfigValues
from zeropoint.plans.memory.layer_kinds import layer_kinds, single_parts
from zeropoint.plans.memory.layers import (
    AttentionHeads,
    DescribedModel,
    LatentSizes,
    LayerPart,
    Roles,
)
from zeropoint.plans.memory.vectors import attention_vectors, layer_vectors


def read_config(path: Path, config: Mapping[str, object], *, name: str = "") -> DescribedModel:
    """Return the model that a config.json describes.

    `path` names the file in errors. Raises CheckpointError with the key for a setting that is
    missing or not valid, UnsupportedModel for a config that describes no decoder.
    """
    outer = HUGGINGFACE_TYPES.get(str(config.get("model_type", "")))
    for inner in ("text_config", "llm_config", "language_config"):
        nested = config.get(inner)
        if isinstance(nested, Mapping):  # multimodal: the settings of its language model
            config = {**config, **nested}
    values = ConfigValues(path, config, outer.defaults if outer else {})
    return _LayerReader(values).described_model(name)


class _LayerReader:
    """Reads the layers of a config.json."""

    def __init__(self, values: ConfigValues) -> None:
        self.values = values
        self.read, self.type = values.read, values.type
        self.width, self.number, self.positive = values.width, values.number, values.positive
        self.single = single_parts(values)
        #: Layers from this one on use the keys and values of earlier layers.
        self.first_sharing = values.count - self.number("num_kv_shared_layers")
        self.per_layer = self.number("hidden_size_per_layer_input")

    def described_model(self, name: str) -> DescribedModel:
        """Return the model."""
        values = self.values
        mixers, rows = [], []
        for index, kind in enumerate(layer_kinds(values)):
            part = self.mixer(kind, index)
            feed = self.feed(index, alone=kind == "none")
            mixers.append(part)
            rows.append(part.roles | feed | layer_vectors(self.type, self.width, feed)
                        | self.per_layer_input())  # fmt: skip
        used = values.experts_used
        every = bool(used) and not any("ffn_down" in roles for roles in rows)
        shape = ModelShape(
            architecture=values.architecture,
            layers=tuple(part.cache for part in mixers),
            width=self.width,
            vocabulary=self.positive("vocab_size"),
            feed_forward=max(0 if every else values.dense_inner(), used * values.expert_inner()),
            experts=values.experts,
            experts_used=used,
            context=self.number("max_position_embeddings", "n_positions", "max_sequence_length",
                                "max_seq_len", "seq_length")
            or None,
            name=name,
        )  # fmt: skip
        return parts.assemble(
            shape,
            rows,
            tied=values.tied,
            norms=self.type.layer_norms,
            others=self.other_tensors() | {self.type.output_norm: (self.width,)},
            experts=self.expert_format(),
        )

    def mixer(self, kind: str, index: int) -> LayerPart:
        """Return the part of a layer that mixes positions."""
        match kind:
            case "none":
                return LayerPart(LayerCache())
            case "latent":
                return self.latent()
            case "delta":
                heads = self.positive("linear_num_value_heads")
                sizes = (self.positive("linear_key_head_dim"),
                         self.positive("linear_value_head_dim"),
                         self.number("linear_conv_kernel_dim") or 4)  # fmt: skip
                keys = self.positive("linear_num_key_heads")
                joint = self.type.joint_delta_gates
                return parts.delta_net(self.width, (keys, heads), sizes, joint_gates=joint)
            case "kda":
                linear = self.read.get("linear_attn_config")
                given = linear if isinstance(linear, Mapping) else {}
                inner = Settings(self.values.path, given, {"short_conv_kernel_size": 4})
                return parts.kimi_delta(
                    self.width, inner.integer("num_heads"), inner.integer("head_dim"),
                    inner.integer("short_conv_kernel_size"),
                )  # fmt: skip
            case "mamba":
                return self.mamba()
            case "conv":
                return parts.short_convolution(self.width, self.number("conv_L_cache") or 3)
            case "recurrent":
                taps = self.number("conv1d_width") or 4
                return parts.gated_recurrence(
                    self.width, self.number("lru_width") or self.width, taps
                )
            case "both":
                return parts.both(self.attention(index, None), self.mamba())
        return self.attention(index, self.window() if kind == "window" else None)

    def attention(self, index: int, window: int | None) -> LayerPart:
        """Return attention."""
        heads = self.heads(index, windowed=window is not None)
        given = self.read.get("attention_bias")
        part = parts.attention(
            self.width,
            heads,
            window=window,
            gated=bool(self.number("linear_num_value_heads")),
            biased=self.type.biased if given is None else bool(given),
        )
        shared = index >= self.first_sharing
        if shared:
            part = parts.without_cache(part)
        elif window is None and self.read.get("attention_k_eq_v") is True:
            part.roles.pop("attn_v")  # its values are its keys
        if self.type.fused_qkv:
            part = parts.with_fused_qkv(part)
        vectors = attention_vectors(self.type, self.width, heads, cached=not shared)
        return LayerPart(part.cache, part.roles | vectors)

    def heads(self, index: int, *, windowed: bool) -> AttentionHeads:
        """Return the heads of a layer. Gemma 4 has others in the layers without a window."""
        values = self.values
        count = values.at("num_attention_heads", "n_head", "num_heads", "n_heads", index=index)
        groups = values.at("num_key_value_heads", "n_head_kv", "num_kv_heads", index=index) or count
        size = self.number("head_dim", "attention_head_dim") or self.width // max(count, 1)
        if self.read.get("multi_query") is True:
            groups = 1
        if not windowed:
            groups = self.number("num_global_key_value_heads") or groups
            size = self.number("global_head_dim") or size
        own = self.read.group("per_layer_config").get(str(index))
        if isinstance(own, Mapping):
            layer = Settings(self.values.path, own, {}, f"per_layer_config.{index}")
            groups = layer.integer("num_key_value_heads", groups)
            size = layer.integer("head_dim", size)
        if count < 1:
            self.positive("num_attention_heads")  # raises
        if groups > count or count % groups:
            raise self.read.wrong("num_attention_heads", f"{count} heads cannot share {groups}")
        if size < 1:
            raise self.read.wrong("head_dim", f"{count} heads do not fit a width of {self.width}")
        return AttentionHeads(count, groups, size, self.number("v_head_dim"))

    def latent(self) -> LayerPart:
        """Return multi-head latent attention."""
        heads = self.positive("num_attention_heads")
        return parts.latent_attention(
            self.width, heads,
            LatentSizes(
                rank=self.positive("kv_lora_rank"), query_rank=self.number("q_lora_rank"),
                plain=self.positive("qk_nope_head_dim"), rope=self.positive("qk_rope_head_dim"),
                value=self.positive("v_head_dim"), indexer=self.number("index_head_dim"),
            ),
        )  # fmt: skip

    def mamba(self) -> LayerPart:
        """Return a Mamba 1 or Mamba 2 layer."""
        heads = self.number("mamba_n_heads", "mamba_num_heads")
        size = self.number("mamba_d_head", "mamba_head_dim")
        expand = self.number("mamba_expand", "expand") or 2
        inner = self.number("mamba_d_ssm") or heads * size or expand * self.width
        if self.type.mamba_head:
            heads = heads or self.number("num_heads") or inner // self.type.mamba_head
        return parts.mamba(
            self.width, inner,
            self.number("mamba_d_state", "ssm_state_size", "state_size") or 16,
            self.number("mamba_d_conv", "conv_kernel") or 4,
            groups=self.number("mamba_n_groups", "n_groups") or 1, heads=heads,
        )  # fmt: skip

    def window(self) -> int:
        """Return the positions of a sliding window."""
        rule = WINDOWS.get(self.values.architecture)
        size = self.number("attention_chunk_size", "sliding_window", "attention_window_size")
        size = size or (rule.default if rule else 0)
        if not size:
            raise self.read.wrong("sliding_window", "is missing, but some layers need it")
        return size

    def feed(self, index: int, *, alone: bool) -> Roles:
        """Return the feed-forward part of a layer; if `alone`, the layer has no other part."""
        letter = self.single[index] if self.single else ""
        if letter in ("M", "*") or (self.type.layers == "mamba" and not alone):
            return {}
        values, gated = self.values, self.type.gated
        inner = values.dense_inner()
        if self.read.get("use_double_wide_mlp") is True and index >= self.first_sharing:
            inner *= 2
        dense = parts.dense(self.width, inner, gated=gated)
        if self.type.fused_gate:
            dense = {"ffn_up": (2 * inner, self.width), "ffn_down": (self.width, inner)}
        if letter == "-" or (letter != "E" and not values.has_experts(index)):
            return dense
        if self.read.get("enable_moe_block") is True:  # Gemma 4
            beside = parts.mixture_beside(self.width, values.expert_inner(), values.experts)
            return dense | beside
        shared = self.number("shared_expert_intermediate_size", "shared_intermediate_size",
                             "moe_shared_expert_intermediate_size")  # fmt: skip
        count = self.number("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
        shared = shared or (count or self.type.shared_experts) * values.expert_inner()
        roles = parts.experts(
            self.width, values.expert_inner(), values.experts, shared=shared, gated=gated,
            latent=self.number("moe_latent_size"),
        )  # fmt: skip
        return roles

    def per_layer_input(self) -> Roles:
        """Return the matrices that add an embedding of the token to each layer (Gemma 3n, 4)."""
        size = self.per_layer
        if not size:
            return {}
        return {
            "inp_gate": (size, self.width), "proj": (self.width, size), "post_norm": (self.width,),
        }  # fmt: skip

    def other_tensors(self) -> Roles:
        """Return the tensors that belong to no layer, beside embedding, output and its norm."""
        found: Roles = {}
        if size := self.per_layer:
            total = self.values.count * size
            vocabulary = self.number("vocab_size_per_layer_input") or self.positive("vocab_size")
            found = {
                "per_layer_token_embd": (vocabulary, total),
                "per_layer_model_proj": (total, self.width),
                "per_layer_proj_norm": (size,),
            }
        return found | self.rope_factors()

    def rope_factors(self) -> Roles:
        """Return the tensors of divisors of the rotary frequencies."""
        rope = self.read.get("rope_scaling") or self.read.get("rope_parameters")
        groups = [rope, *rope.values()] if isinstance(rope, Mapping) else []
        kinds = {
            str(group.get("rope_type") or group.get("type"))
            for group in groups
            if isinstance(group, Mapping)
        }
        if not kinds & {"llama3", "proportional", "longrope"}:
            return {}
        kinds_of_layers = layer_kinds(self.values)
        full = next((at for at, kind in enumerate(kinds_of_layers) if kind == "full"), 0)
        size = self.heads(full, windowed=False).size
        if "longrope" not in kinds:
            return {"rope_freqs": (size // 2,)}
        rotated = int(size * (self.read.positive_or_none("partial_rotary_factor") or 1.0))
        return {f"rope_factors_{length}": (rotated // 2,) for length in ("long", "short")}

    def expert_format(self) -> str:
        """Return the format of the experts' matrices as they are published."""
        method = self.read.get("quantization_config")
        quantized = isinstance(method, Mapping) and method.get("quant_method") == "mxfp4"
        return "MXFP4" if quantized else "BF16"
