"""The settings of any decoder's config.json, by their meaning.

A setting is looked up under each of the names that configs use for it. Missing settings have the
defaults of transformers (2026-10).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from zeropoint.checkpoints.families import HUGGINGFACE_TYPES, families_of
from zeropoint.checkpoints.families.planned_types import PLANNED_TYPES, PlannedType
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.errors import UnsupportedModel, printable
from zeropoint.plans.memory.cache_shape import MAX_LAYERS

# Parts of the model types of encoders and of encoder-decoder models.
NOT_DECODERS = (
    "bert", "t5", "whisper", "bart", "vit", "clip", "wav2vec", "marian", "pegasus", "electra",
)  # fmt: skip


class ConfigValues:
    """Numbers of a config.json."""

    def __init__(
        self, path: Path, config: Mapping[str, object], defaults: Mapping[str, object]
    ) -> None:
        self.path = path
        self.kind = str(config.get("model_type", ""))
        known = HUGGINGFACE_TYPES.get(self.kind)
        kind = PLANNED_TYPES.get(self.kind) or _type_of_family(self.kind)
        if kind.norms_setting and config.get(kind.norms_setting) is not True:
            kind = replace(kind, norms=())
        self.type = kind
        self.architecture = self.type.architecture or self.kind.replace("_", "-") or "unnamed"
        given = {key: value for key, value in config.items() if value is not None}
        self.read = Settings(path, given, {**defaults, **(known.defaults if known else {})})
        encoder = any(word in self.kind for word in NOT_DECODERS)
        encoder = encoder or bool(config.get("is_encoder_decoder"))
        if encoder and config.get("is_decoder") is not True:
            raise UnsupportedModel(
                f"{path}: describes no decoder but a model of type {printable(self.kind)}"
            )
        self.width = self.positive("hidden_size", "n_embd", "d_model", "model_dim")
        listed = config.get("layers_block_type")
        self.count = len(listed) if isinstance(listed, list) else self.positive(
            "num_hidden_layers", "n_layer", "n_layers", "num_layers"
        )  # fmt: skip
        if self.count > MAX_LAYERS:
            raise self.read.wrong(
                "num_hidden_layers",
                f"{self.count} layers are more than the maximum of {MAX_LAYERS}",
            )

    @property
    def tied(self) -> bool:
        """Whether the output matrix is the token embedding."""
        given = self.read.get("tie_word_embeddings")
        return self.type.tied if given is None else bool(given)

    @property
    def experts(self) -> int:
        """Number of experts of a layer."""
        return self.number("num_experts", "n_routed_experts", "num_local_experts",
                           "moe_num_experts", "moe_num_primary_experts")  # fmt: skip

    @property
    def experts_used(self) -> int:
        """Number of experts of a layer that a token uses."""
        used = self.number("num_experts_per_tok", "experts_per_token", "moe_top_k", "moe_topk",
                           "num_experts_per_token", "top_k_experts", "moe_k")  # fmt: skip
        return used if self.experts else 0

    def has_experts(self, index: int) -> bool:
        """Return whether a layer has experts."""
        if self.experts < 2:
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
        first = self.number("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers")
        if index < first:
            return False
        period = self.number("expert_layer_period")
        if period:
            return index % period == self.number("expert_layer_offset")
        step = self.number("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq")
        return (index + 1) % (step or 1) == 0

    def expert_inner(self) -> int:
        """Return the hidden elements of an expert."""
        width = self.number("moe_intermediate_size", "expert_ffn_hidden_size",
                            "moe_ffn_hidden_size", "intermediate_size")  # fmt: skip
        return width or self.dense_inner()

    def dense_inner(self) -> int:
        """Return the hidden elements of a dense feed-forward part."""
        if size := self.number("intermediate_size_mlp"):  # Llama 4, whose other size is an expert's
            return size
        width = self.number("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim", "d_ff",
                            "block_ff_dim")  # fmt: skip
        if self.read.get("block_auto_adjust_ff_dim") is True:  # LFM2: two thirds, rounded up
            step = self.number("block_multiple_of") or 256
            multiplier = self.read.positive_or_none("block_ffn_dim_multiplier") or 1.0
            width = -(-int(multiplier * (2 * width // 3)) // step) * step
        if self.type.joint_width:
            width //= 2
        return width or 4 * self.width

    def number(self, *keys: str) -> int:
        """Return the first of these settings that is a whole number; 0 if none of them is.

        A setting that the file has comes before a default of one with another name.
        """
        for key in sorted(keys, key=lambda key: key not in self.read.given):
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


def _type_of_family(kind: str) -> PlannedType:
    """Return the record of a type that only the table of families has; else the defaults."""
    known = HUGGINGFACE_TYPES.get(kind)
    if known is None:
        return PlannedType()
    family, first = families_of(known)[0], PlannedType.layer_norms
    return PlannedType(
        architecture=family.architecture,
        biased=bool(known.biased_roles),
        fused_qkv=family.fused_qkv,
        fused_gate=family.fused_gate,
        layer_norms=tuple(family.stored_name(role) for role in first if role in family.norms),
        norms=tuple(family.stored_name(role) for role in sorted(family.norms - set(first))),
    )
