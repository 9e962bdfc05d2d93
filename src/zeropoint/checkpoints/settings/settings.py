"""Reads the settings of a config.json and accounts for every one of them.

A setting is *used* if a family's code reads it from a `Settings` object. `check_all_read` then
checks every other key of the file: either it is harmless (`HARMLESS` gives the reason), or it has
the only value that GGUF can express (`REQUIRED`), or it is reported. A setting that no code reads
therefore cannot change a model silently.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from zeropoint.checkpoints.typed_mapping import TypedMapping
from zeropoint.errors import printable

Config = Mapping[str, object]

_TOKENS = "the tokenizer's files and the reader of the vocabulary use it; the forward pass does not"
_TRAINING = "only training uses it"
_OUTPUTS = "selects what the Python call returns, not the logits"
_GENERATION = "a default of transformers' generate(); it does not change the logits"
_DESCRIPTION = "describes the file or the program that wrote it"
_CLASSIFIER = "belongs to classification heads, which a language model does not have"
_LOADING = "how transformers loads or shards the weights"

HARMLESS: Mapping[str, str] = {
    key: reason
    for reason, keys in {
        _TOKENS: "bos_token_id eos_token_id pad_token_id sep_token_id tokenizer_class prefix",
        _TRAINING: "initializer_range attention_dropout resid_pdrop embd_pdrop hidden_dropout "
        "router_aux_loss_coef router_jitter_noise output_router_logits use_cache ep_size "
        "gradient_checkpointing",
        _OUTPUTS: "output_hidden_states output_attentions output_scores return_dict "
        "return_dict_in_generate",
        _GENERATION: "assistant_confidence_threshold assistant_lookbehind bad_words_ids "
        "begin_suppress_tokens cache_implementation decoder_start_token_id diversity_penalty "
        "do_sample early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty "
        "epsilon_cutoff eta_cutoff exponential_decay_length_penalty forced_bos_token_id "
        "forced_eos_token_id length_penalty max_length max_new_tokens min_length min_p "
        "no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule "
        "num_beam_groups num_beams num_return_sequences target_lookbehind "
        "remove_invalid_values repetition_penalty suppress_tokens temperature top_k top_p "
        "typical_p",
        _DESCRIPTION: "_name_or_path name_or_path _commit_hash architectures auto_map "
        "finetuning_task language license model_type task_specific_params transformers_version "
        "transformers.js_config transformers_weights unsloth_fixed unsloth_version "
        "_sliding_window_pattern",
        _CLASSIFIER: "id2label label2id num_labels problem_type",
        _LOADING: "dtype torch_dtype _attn_implementation _attn_implementation_autoset "
        "attn_implementation _experts_implementation experts_implementation pretraining_tp "
        "chunk_size_feed_forward torchscript use_bfloat16 tf_legacy_loss pruned_heads",
        "only encoder-decoder models use it": "is_encoder_decoder is_decoder add_cross_attention "
        "cross_attention_hidden_size tie_encoder_decoder",
    }.items()
    for key in keys.split()
}

REQUIRED: Mapping[str, tuple[tuple[object, ...], str]] = {
    "is_causal": ((True, None), "attention here is always causal"),
    "use_bidirectional_attention": ((False, None), "attention here is always causal"),
    "per_layer_config": (({}, None), "GGUF cannot express settings of single layers"),
    "quantization_config": ((None,), "the weights are quantized; use the original 16-bit folder"),
}


MAX_INTEGER = 2**31 - 1
MAX_NUMBER = 1e30
_OFF: tuple[object, ...] = (None, False, [], {}, "")


class Settings(TypedMapping):
    """Values of a config.json, or of an object in it; it records which keys were read.

    `defaults` stand for keys that the file does not have. `name` is the object's name in
    config.json, such as "rope_parameters"; "" means the whole file.
    """

    def __init__(
        self, path: Path, config: Config, defaults: Config | None = None, name: str = ""
    ) -> None:
        super().__init__(path, {**dict(defaults or {}), **config})
        self.path = path
        self.given = config
        self.name = name

    def integer(
        self,
        key: str,
        default: int | None = None,
        *,
        minimum: int = 0,
        maximum: float = MAX_INTEGER,
        layer: int | None = None,
    ) -> int:
        """Return a whole number from 0 to 2³¹ − 1. A missing key needs a default."""
        return super().integer(key, default, minimum=minimum, maximum=maximum, layer=layer)

    def integer_or_none(self, key: str) -> int | None:
        """Return a whole number of at least 1, or None if the value is null or missing."""
        return None if self.get(key) is None else self.integer(key, minimum=1)

    def number(self, key: str, default: float | None = None, *, above: float = -math.inf) -> float:
        """Return a number greater than `above` and at most 1e30 in magnitude."""
        value = super().number(key, default, above=above)
        if abs(value) > MAX_NUMBER:
            raise self.wrong(key, f"expected a finite number, found {value!r}")
        return value

    def positive(self, key: str) -> float:
        """Return a number greater than 0."""
        return self.number(key, above=0)

    def positive_or_none(self, key: str) -> float | None:
        """Return a number greater than 0, or None if the value is null or missing."""
        return None if self.get(key) is None else self.positive(key)

    def flag(self, key: str, default: bool = False, *, layer: int | None = None) -> bool:
        """Return true or false; null and a missing key are false."""
        value = self.get(key)
        if value not in (None, False, True):
            raise self.wrong(key, f"expected true or false, found {value!r}")
        return bool(value)

    def group(self, key: str) -> Config:
        """Return an object; an empty one if the value is null or missing."""
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.wrong(key, f"expected an object, found {value!r}")
        return value

    def full_name(self, key: str) -> str:
        """Return a key with the object that it is in: "rope_parameters.factor"."""
        return f"{self.name}.{key}" if self.name else key

    def unread(self, harmless: Iterable[str] = ()) -> list[str]:
        """Return the full names of given keys that no code has read.

        Keys in `harmless` are left out, and so are null, false and empty values: they switch a
        setting off in all families.
        """
        left = sorted(set(self.given) - self.read - set(harmless))
        return [self.full_name(key) for key in left if self.given[key] not in _OFF]


def check_all_read(
    settings: Settings, parts: Iterable[Settings], harmless: Iterable[str]
) -> list[str]:
    """Return the names of keys that are neither read nor harmless.

    transformers' class of the family does not read them either, so the logits cannot depend on
    them. `parts` are objects within `settings`; `harmless` are keys without effect in this family,
    in addition to `HARMLESS`. Raises CheckpointError for a value that GGUF cannot express.
    """
    for key, (allowed, reason) in REQUIRED.items():
        if key not in settings.read and settings.get(key) not in allowed:
            value = printable(repr(settings.get(key)), 40)
            raise settings.wrong(key, f"is {value}, but {reason}")
    names = settings.unread({*HARMLESS, *harmless})
    return names + [name for part in parts for name in part.unread()]
