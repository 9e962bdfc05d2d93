"""A model from its config.json alone: its matrices and caches.

Any decoder of the Hugging Face Hub can be described, not only the families that zeropoint runs. A
setting is looked up under each of the names that configs use for it, and the kind of a layer comes
from their lists and periods. Missing settings have the defaults of transformers (2026-10).
"""

from collections.abc import Mapping
from pathlib import Path

from zeropoint.checkpoints.families import HUGGINGFACE_TYPES, families_of
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.errors import UnsupportedModel, printable
from zeropoint.plans.memory import layers as parts
from zeropoint.plans.memory.cache_shape import MAX_LAYERS, WINDOWS, LayerCache, ModelShape
from zeropoint.plans.memory.layers import (
    AttentionHeads,
    DescribedModel,
    LatentSizes,
    LayerPart,
    Roles,
)

# GGUF names of architectures that zeropoint does not run but plans for.
ARCHITECTURES = {
    "cohere2": "cohere2", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2",
    "deepseek_v32": "deepseek2", "exaone4": "exaone4", "falcon_h1": "falcon-h1",
    "gemma3n_text": "gemma3n", "gpt_oss": "gpt-oss", "granitemoehybrid": "granitehybrid",
    "kimi_k2": "deepseek2", "kimi_linear": "kimi-linear", "llama4_text": "llama4",
    "nemotron_h": "nemotron_h", "olmo2": "olmo2", "qwen3_5": "qwen35", "qwen3_5_moe": "qwen35moe",
    "qwen3_5_text": "qwen35", "qwen3_5_moe_text": "qwen35moe", "qwen3_next": "qwen3next",
    "smallthinker": "smallthinker",
}  # fmt: skip
# Model types with a setting that their config does not state.
UNGATED = frozenset({
    "gpt2", "gpt_neox", "gptj", "phi", "falcon", "starcoder2", "opt", "bloom", "mpt", "nemotron",
    "nemotron_h", "gpt_bigcode", "stablelm_epoch", "arcee",
})  # fmt: skip
BIASED = frozenset({"qwen2_moe", "gpt2", "gpt_oss", "phi", "opt", "starcoder2"})
MAMBAS = frozenset({"mamba", "mamba2", "falcon_mamba"})
# Model types whose output matrix is the token embedding, unless the config has its own setting.
TIED = MAMBAS | {"gpt2", "gpt_bigcode", "falcon", "mpt", "bloom", "opt", "starcoder2", "cohere",
                 "cohere2", "recurrent_gemma", "gemma3n", "gemma3n_text", "gemma4",
                 "gemma4_text"}  # fmt: skip
# Parts of the model types of encoders and of encoder-decoder models.
NOT_DECODERS = (
    "bert",
    "t5",
    "whisper",
    "bart",
    "vit",
    "clip",
    "wav2vec",
    "marian",
    "pegasus",
    "electra",
)
# Kind of a layer, by its name in `layer_types`.
LAYER_KINDS = {
    "full_attention": "full", "attention": "full", "sliding_attention": "window",
    "chunked_attention": "window", "linear_attention": "delta", "mamba": "mamba", "mamba2": "mamba",
    "conv": "conv", "hybrid": "both", "kda": "kda", "moe": "none", "mlp": "none",
    "recurrent": "recurrent",
}  # fmt: skip
# Kind of a layer, by its letter in `hybrid_override_pattern`.
PATTERN_KINDS = {"M": "mamba", "*": "full", "-": "none", "E": "none"}


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
    return _Config(path, config, outer.defaults if outer else {}).described_model(name)


class _Config:
    """Settings of a config.json, by their meaning."""

    def __init__(
        self, path: Path, config: Mapping[str, object], defaults: Mapping[str, object]
    ) -> None:
        self.path = path
        self.kind = str(config.get("model_type", ""))
        self.known = HUGGINGFACE_TYPES.get(self.kind)
        family = families_of(self.known)[0] if self.known else None
        architecture = family.architecture if family else ARCHITECTURES.get(self.kind)
        self.architecture = architecture or self.kind.replace("_", "-") or "unnamed"
        given = {key: value for key, value in config.items() if value is not None}
        self.read = Settings(
            path, given, {**defaults, **(self.known.defaults if self.known else {})}
        )
        encoder = any(word in self.kind for word in NOT_DECODERS)
        encoder = encoder or bool(config.get("is_encoder_decoder"))
        if encoder and config.get("is_decoder") is not True:
            raise UnsupportedModel(
                f"{path}: describes no decoder but a model of type {printable(self.kind)}"
            )
        self.width = self.positive("hidden_size", "n_embd", "d_model", "model_dim")
        self.count = self.positive("num_hidden_layers", "n_layer", "n_layers", "num_layers")
        if self.count > MAX_LAYERS:
            raise self.read.wrong(
                "num_hidden_layers",
                f"{self.count} layers are more than the maximum of {MAX_LAYERS}",
            )

    def described_model(self, name: str) -> DescribedModel:
        """Return the model."""
        mixers, feeds = [], []
        for index, kind in enumerate(self.kinds()):
            mixers.append(self.mixer(kind, index))
            feeds.append(self.feed(index, alone=kind == "none"))
        used = self.number("num_experts_per_tok", "experts_per_token", "moe_top_k", "moe_topk",
                           "num_experts_per_token")  # fmt: skip
        used = used if self.experts else 0
        shape = ModelShape(
            architecture=self.architecture,
            layers=tuple(part.cache for part in mixers),
            width=self.width,
            vocabulary=self.positive("vocab_size"),
            feed_forward=max(self.dense_inner(), used * self.expert_inner()),
            experts=self.experts,
            experts_used=used,
            context=self.number("max_position_embeddings", "n_positions", "max_sequence_length",
                                "max_seq_len", "seq_length")
            or None,
            name=name,
        )  # fmt: skip
        rows: list[Roles] = [part.roles | feed for part, feed in zip(mixers, feeds, strict=True)]
        tied = self.read.get("tie_word_embeddings")
        tied = self.kind in TIED if tied is None else bool(tied)
        return parts.assemble(shape, rows, tied=tied)

    def kinds(self) -> list[str]:
        """Return the kind of each layer, such as full, window, latent, delta, mamba or none."""
        listed = self.read.get("layer_types") or self.read.get("layers_block_type")
        cycle = self.read.get("block_types") or self.read.get("_block_types")
        pattern = self.read.get("hybrid_override_pattern")
        if isinstance(pattern, str):
            kinds = [PATTERN_KINDS.get(letter, "full") for letter in pattern]
        elif isinstance(listed, list):
            kinds = [LAYER_KINDS.get(str(kind), "full") for kind in listed]
        elif isinstance(cycle, list) and cycle:  # Griffin, whose attention has a window
            kinds = ["window" if kind == "attention" else "recurrent" for kind in cycle]
            kinds = (kinds * self.count)[: self.count]
        else:
            kinds = [self.kind_by_period(index) for index in range(self.count)]
        if len(kinds) < self.count:
            raise self.read.wrong(
                "layer_types", f"it has {len(kinds)} kinds for {self.count} layers"
            )
        if self.kind == "falcon_h1":
            kinds = ["both"] * self.count
        if self.read.get("kv_lora_rank"):
            kinds = ["latent" if kind in ("full", "window") else kind for kind in kinds]
        return kinds[: self.count]

    def kind_by_period(self, index: int) -> str:
        """Return the kind of a layer from periods, where the config has no list of kinds."""
        if self.kind in MAMBAS:
            return "mamba"
        linear = self.read.get("linear_attn_config")
        if isinstance(linear, Mapping):
            layers = linear.get("kda_layers")
            return "kda" if isinstance(layers, list) and index + 1 in layers else "full"
        if self.number("linear_num_value_heads"):
            interval = self.number("full_attention_interval") or 4
            return "full" if (index + 1) % interval == 0 else "delta"
        period = self.number("attn_layer_period")
        if period:
            return "full" if index % period == self.number("attn_layer_offset") else "mamba"
        chosen = self.read.get("attn_layer_indices")
        if isinstance(chosen, list):
            return "full" if index in chosen else "mamba"
        rule = WINDOWS.get(self.architecture)
        unused = self.read.get("use_sliding_window") is False
        if rule is None or unused or (rule.layers and rule.layers != self.count):
            return "full"
        period = self.number("sliding_window_pattern", "_sliding_window_pattern") or rule.period
        global_layer = 0 if rule.first else period - 1
        return "window" if period == 0 or index % period != global_layer else "full"

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
                return parts.delta_net(self.width, keys, heads, sizes)
            case "kda":
                linear = self.read.get("linear_attn_config")
                given = linear if isinstance(linear, Mapping) else {}
                inner = Settings(self.path, given, {"short_conv_kernel_size": 4})
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
        heads = self.at("num_attention_heads", "n_head", "num_heads", "n_heads", index=index)
        groups = self.at("num_key_value_heads", "n_head_kv", "num_kv_heads", index=index) or heads
        if self.read.get("multi_query") is True:
            groups = 1
        if heads < 1:
            self.positive("num_attention_heads")  # raises
        if groups > heads or heads % groups:
            raise self.read.wrong("num_attention_heads", f"{heads} heads cannot share {groups}")
        head_size = self.number("head_dim", "attention_head_dim") or self.width // heads
        if head_size < 1:
            raise self.read.wrong("head_dim", f"{heads} heads do not fit a width of {self.width}")
        biased = self.read.get("attention_bias")
        return parts.attention(
            self.width,
            AttentionHeads(heads, groups, head_size, self.number("v_head_dim")),
            window=window,
            gated=bool(self.number("linear_num_value_heads")),
            biased=self.is_biased() if biased is None else bool(biased),
        )  # fmt: skip

    def is_biased(self) -> bool:
        """Return whether queries have a bias although no setting enables it."""
        return bool(self.known and self.known.biased_roles) or self.kind in BIASED

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
        if self.kind == "mamba2":
            heads = heads or self.number("num_heads") or inner // 64
        return parts.mamba(
            self.width, inner,
            self.number("mamba_d_state", "ssm_state_size", "state_size") or 16,
            self.number("mamba_d_conv", "conv_kernel") or 4,
            groups=self.number("mamba_n_groups", "n_groups") or 1, heads=heads,
        )  # fmt: skip

    def window(self) -> int:
        """Return the positions of a sliding window."""
        rule = WINDOWS.get(self.architecture)
        size = self.number("attention_chunk_size", "sliding_window", "attention_window_size")
        size = size or (rule.default if rule else 0)
        if not size:
            raise self.read.wrong("sliding_window", "is missing, but some layers need it")
        return size

    def feed(self, index: int, *, alone: bool) -> Roles:
        """Return the feed-forward part of a layer; if `alone`, the layer has no other part."""
        pattern = self.read.get("hybrid_override_pattern")
        letter = pattern[index] if isinstance(pattern, str) else ""
        if letter in ("M", "*") or (self.kind in MAMBAS and not alone):
            return {}
        gated = self.kind not in UNGATED
        if letter != "E" and not self.has_experts(index):
            return parts.dense(self.width, self.dense_inner(), gated=gated)
        shared = self.number("shared_expert_intermediate_size", "shared_intermediate_size",
                             "moe_shared_expert_intermediate_size")  # fmt: skip
        count = self.number("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
        shared = shared or count * self.expert_inner()
        if self.kind == "llama4_text":
            shared = self.expert_inner()
        return parts.experts(self.width, self.expert_inner(), self.experts, shared=shared,
                             gated=gated)  # fmt: skip

    @property
    def experts(self) -> int:
        """Number of experts of a layer."""
        return self.number("num_experts", "n_routed_experts", "num_local_experts",
                           "moe_num_experts", "moe_num_primary_experts")  # fmt: skip

    def has_experts(self, index: int) -> bool:
        """Return whether a layer has experts."""
        if self.experts < 2:
            return False
        if index < self.number("first_k_dense_replace", "moe_layer_start_index"):
            return False
        dense = self.read.get("mlp_only_layers")
        if isinstance(dense, list) and index in dense:
            return False
        chosen = self.read.get("moe_layers")
        if isinstance(chosen, list):
            return index in chosen
        frequency = self.read.get("moe_layer_freq")
        if isinstance(frequency, list):
            return index < len(frequency) and bool(frequency[index])
        period = self.number("expert_layer_period")
        if period:
            return index % period == self.number("expert_layer_offset")
        step = self.number("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq")
        return (index + 1) % (step or 1) == 0 if self.kind != "deepseek_v2" else True

    def expert_inner(self) -> int:
        """Return the hidden elements of an expert."""
        width = self.number("moe_intermediate_size", "expert_ffn_hidden_size",
                            "moe_ffn_hidden_size", "intermediate_size")  # fmt: skip
        return width or self.dense_inner()

    def dense_inner(self) -> int:
        """Return the hidden elements of a dense feed-forward part."""
        if self.kind == "llama4_text" and (size := self.number("intermediate_size_mlp")):
            return size
        width = self.number("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim", "d_ff",
                            "block_ff_dim")  # fmt: skip
        if self.read.get("block_auto_adjust_ff_dim") is True:  # LFM2: two thirds, rounded up
            step = self.number("block_multiple_of") or 256
            multiplier = self.read.positive_or_none("block_ffn_dim_multiplier") or 1.0
            width = -(-int(multiplier * (2 * width // 3)) // step) * step
        if self.kind == "recurrent_gemma":  # its setting counts gate and up together
            width //= 2
        return width or 4 * self.width

    def number(self, *keys: str) -> int:
        """Return the first of these settings that is a whole number; 0 if none of them is."""
        for key in keys:
            value = self.read.get(key)
            if isinstance(value, list):
                numbers = [item for item in value if isinstance(item, int)]
                return max(numbers, default=0)
            if value is not None and not isinstance(value, str | Mapping):
                return self.read.integer(key)
        return 0

    def at(self, *keys: str, index: int) -> int:
        """Return a number for a layer, from a setting that may be a list with one per layer."""
        for key in keys:
            value = self.read.get(key)
            if isinstance(value, list) and index < len(value) and isinstance(value[index], int):
                return int(value[index])
        return self.number(*keys)

    def positive(self, *keys: str) -> int:
        """Return a whole number that every decoder needs; an error names the setting."""
        value = self.number(*keys)
        if value < 1:
            if self.read.get(keys[0]) is None and not self.kind:
                raise UnsupportedModel(f"{self.path}: describes no decoder: it has no {keys[0]}")
            raise self.read.wrong(keys[0], "is missing or 0; the memory of a token depends on it")
        return value
