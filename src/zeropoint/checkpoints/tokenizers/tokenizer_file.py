"""Writes GGUF's vocabulary as tokenizer.json and tokenizer_config.json.

The inverse of `vocabulary_files`.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.merging import BYTE_PAIRS, RANKED_PIECES, SENTENCEPIECE
from zeropoint.checkpoints.tokenizers.chat_templates import chat_template_setting
from zeropoint.checkpoints.tokenizers.piece_rules import SPACE
from zeropoint.checkpoints.tokenizers.pretokenizers import (
    PRE_TOKENIZERS,
    authors_form,
    stated_pre_tokenizer,
)
from zeropoint.checkpoints.tokenizers.special_tokens import GGUF_NAMES
from zeropoint.checkpoints.tokenizers.token_rules import SHOWN_TEXTS, matching_by_name
from zeropoint.checkpoints.tokenizers.tokenizer_facts import TokenizerFacts, read_tokenizer_facts
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.formats import F32

Json = dict[str, object]
Metadata = Mapping[str, object]

CONTROL, USER_DEFINED, UNKNOWN = 3, 4, 2


def make_tokenizer(metadata: Metadata) -> tuple[Json, Json]:
    """Return tokenizer.json and tokenizer_config.json for a GGUF file's vocabulary.

    Raises UnsupportedModel for a kind of vocabulary that `tokenizers` cannot express.
    """
    tokens = list(_sequence(metadata, "tokenizer.ggml.tokens"))
    kinds = np.asarray(metadata.get("tokenizer.ggml.token_type", np.ones(len(tokens), np.int32)))
    facts = read_tokenizer_facts(Path("the source"), metadata, len(tokens))
    model = metadata.get("tokenizer.ggml.model")
    if model == BYTE_PAIRS:
        data = _byte_level(metadata, tokens, facts)
    elif model == SENTENCEPIECE:
        scores = metadata.get("tokenizer.ggml.scores", np.zeros(len(tokens)))
        merges = merges_of_scores(tokens, np.asarray(scores, np.float32), kinds)
        data = _pieces(metadata, tokens, kinds, merges)
    elif model == RANKED_PIECES:
        data = _pieces(metadata, tokens, kinds, _stated_merges(metadata))
    else:
        raise UnsupportedModel(
            f"a vocabulary of kind {model!r} cannot be written as tokenizer.json"
        )
    special = np.flatnonzero(np.isin(kinds, (CONTROL, USER_DEFINED, UNKNOWN))).tolist()
    shown = SHOWN_TEXTS if model == RANKED_PIECES else ()
    matching = facts.matching or matching_by_name(metadata, tokens, special)
    data["added_tokens"] = [
        {
            "id": index,
            "content": tokens[index],
            "single_word": index in matching.single_word,
            "lstrip": index in matching.lstrip,
            "rstrip": index in matching.rstrip,
            "normalized": False,
            "special": bool(kinds[index] != USER_DEFINED) or tokens[index] in shown,
        }
        for index in special
    ]
    if facts.composes:
        data["normalizer"] = {"type": "NFC"}
    if facts.space_prefix is not None:  # instead of a normalizer
        data["normalizer"] = None
        data["pre_tokenizer"] = {
            "type": "Metaspace",
            "replacement": SPACE,
            "prepend_scheme": facts.space_prefix,
            "split": False,
        }
    settings = _settings(metadata, tokens)
    ends = {n: str(settings[f"{n}_token"]) for n in ("bos", "eos") if _is_added(n, settings)}
    if ends:
        data["post_processor"] = _adds_ends(ends, tokens)
    return data, settings | dict(facts.special_tokens or {})


def _settings(metadata: Metadata, tokens: list[str]) -> Json:
    """Return tokenizer_config.json."""
    settings: Json = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    }
    for theirs, ours in GGUF_NAMES.items():
        index = metadata.get(f"tokenizer.ggml.{ours}_token_id")
        if isinstance(index, int) and 0 <= index < len(tokens):
            settings[f"{theirs}_token"] = tokens[index]
    for key in ("add_bos_token", "add_eos_token"):
        if f"tokenizer.ggml.{key}" in metadata:
            settings[key] = bool(metadata[f"tokenizer.ggml.{key}"])
    template = chat_template_setting(metadata)
    if template is not None:
        settings["chat_template"] = template
    return settings


def _is_added(name: str, settings: Json) -> bool:
    return bool(settings.get(f"add_{name}_token")) and f"{name}_token" in settings


def _sequence(metadata: Metadata, key: str) -> Iterable[str]:
    value = metadata.get(key)
    if value is None or isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise CheckpointError("the source", f"{key} is missing")
    return value


def _frame(model: Json) -> Json:
    plain: Json = {"dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", **plain, **model},
    }


def _byte_level(metadata: Metadata, tokens: list[str], facts: TokenizerFacts) -> Json:
    name = stated_pre_tokenizer(metadata) or "default"
    pre = PRE_TOKENIZERS.get(name)
    if pre is None:
        raise UnsupportedModel(f"pre-tokenizer {name!r} is not supported")
    if facts.authors_pattern:
        pre = authors_form(pre)
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in pre.patterns
    ]
    data = _frame(
        {
            "unk_token": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre.whole_words,
            "vocab": {text: index for index, text in enumerate(tokens)},
            "merges": _stated_merges(metadata),
        }
    )
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*splits, byte_level]}
    data["decoder"] = byte_level
    return data


def _stated_merges(metadata: Metadata) -> list[list[str]]:
    return [pair.split(" ") for pair in _sequence(metadata, "tokenizer.ggml.merges")]


def _pieces(
    metadata: Metadata, tokens: list[str], kinds: NDArray[np.int32], merges: list[list[str]]
) -> Json:
    unknown = next((tokens[i] for i in np.flatnonzero(kinds == UNKNOWN).tolist()), None)
    data = _frame(
        {
            "unk_token": unknown,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {text: index for index, text in enumerate(tokens)},
            "merges": merges,
        }
    )
    steps: list[Json] = [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    decoders: list[Json] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if metadata.get("tokenizer.ggml.add_space_prefix", True):
        steps.insert(0, {"type": "Prepend", "prepend": "▁"})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    data["normalizer"] = {"type": "Sequence", "normalizers": steps}
    data["decoder"] = {"type": "Sequence", "decoders": decoders}
    return data


def merges_of_scores(tokens: list[str], scores: F32, kinds: NDArray[np.int32]) -> list[list[str]]:
    """Return every pair of pieces that makes a piece, best score first: merging by rank agrees
    then.

    >>> merges_of_scores(["a", "b", "ab"], np.array([0, 0, -1.0], np.float32), np.ones(3, np.int32))
    [['a', 'b']]
    """
    usable = {text: i for i, text in enumerate(tokens) if kinds[i] in (1, 5)}
    scored_pairs: list[tuple[float, int, list[str]]] = []
    for text, index in usable.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in usable and right in usable:
                scored_pairs.append((-float(scores[index]), index, [left, right]))
    scored_pairs.sort(key=lambda item: item[:2])
    return [pair for score, _, pair in scored_pairs if math.isfinite(score)]


def _adds_ends(ends: Mapping[str, str], tokens: list[str]) -> Json:
    """Return a post-processor that puts "bos" before a text and "eos" behind it, where given."""

    def around(sequence: str, number: int) -> list[Json]:
        parts: list[Json] = [{"Sequence": {"id": sequence, "type_id": number}}]
        if "bos" in ends:
            parts.insert(0, {"SpecialToken": {"id": ends["bos"], "type_id": number}})
        if "eos" in ends:
            parts.append({"SpecialToken": {"id": ends["eos"], "type_id": number}})
        return parts

    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": around("A", 0) + around("B", 1),
        "special_tokens": {
            text: {"id": text, "ids": [tokens.index(text)], "tokens": [text]}
            for text in ends.values()
        },
    }
