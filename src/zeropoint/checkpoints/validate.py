"""Checks whether the header of a model contradicts itself, when the file is opened.

Checked are whole models (those with a token embedding) of the families of the table. Other files
may leave keys out or use them differently. A missing key is reported by the code that needs it.
Nothing is refused here that llama.cpp (2026-10) runs.
"""

import re
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import NoReturn

import numpy as np

from zeropoint.checkpoints.base import TensorInfo
from zeropoint.checkpoints.families import FAMILIES
from zeropoint.checkpoints.gguf import GgufHeader, find_entry
from zeropoint.checkpoints.values import StringArray
from zeropoint.errors import CheckpointError, printable

EMBEDDING_NAME = "token_embd.weight"
TOKENS_KEY = "tokenizer.ggml.tokens"
KINDS = "tokenizer.ggml.token_type"
BYTE_TOKEN_TYPE = 6  # the token type of a byte
MAX_FLOAT32 = float(np.finfo(np.float32).max)
HEAD_SIZE = 65_536
_LAYER = re.compile(r"blk\.(\d+)\.", re.ASCII)
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def check_header(path: Path, header: GgufHeader, tensors: Iterable[TensorInfo]) -> None:
    """Raise CheckpointError, with the byte offset of the key, for a contradiction."""
    name = header.metadata.get("general.architecture")
    named = {tensor.name: tensor for tensor in tensors}
    if isinstance(name, str) and name in FAMILIES and EMBEDDING_NAME in named:
        keys = _CheckedKeys(path, header, name)
        embedding = named[EMBEDDING_NAME].shape
        if len(embedding) != 2:
            file = named[EMBEDDING_NAME].file
            reason, place = f"has {len(embedding)} axes, not 2", find_entry(file, EMBEDDING_NAME)
            raise CheckpointError(file, reason, offset=place, field=EMBEDDING_NAME)
        _check_layers(keys, named)
        _check_heads(keys, embedding[1])
        _check_numbers(keys)
        _check_vocabulary(keys, embedding[0])


class _CheckedKeys:
    """The keys of a header, with the checks of their values."""

    def __init__(self, path: Path, header: GgufHeader, architecture: str) -> None:
        self.path = path
        self.header = header
        self.architecture = architecture

    def get(self, key: str) -> object | None:
        """Return the value of "block_count" or "tokenizer.ggml.tokens", or None."""
        return self.header.metadata.get(self.full(key))

    def full(self, key: str) -> str:
        """Return the full name of a key."""
        return key if key.startswith("tokenizer.") else f"{self.architecture}.{key}"

    def fail(self, key: str, reason: str) -> NoReturn:
        """Raise an error for a key, with its byte offset."""
        key = self.full(key)
        raise CheckpointError(self.path, reason, offset=self.header.places[key], field=key)

    def count(self, key: str, value: object = None, *, minimum: int = 1) -> int | None:
        """Return a whole number of at least `minimum`: a key's, or `value`, which belongs to it."""
        value = self.get(key) if value is None else value
        if value is None:
            return None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            self.fail(key, f"is {_describe(value)}, not a whole number")
        if value < minimum:
            self.fail(key, f"is {value}; it must be at least {minimum}")
        return int(value)

    def each(self, key: str, layers: int) -> list[int]:
        """Return one whole number per layer, or a single one for all layers.

        In a list, 0 means that the layer has no attention.
        """
        value = self.get(key)
        if not isinstance(value, np.ndarray | list):
            single = self.count(key)
            return [] if single is None else [single]
        if len(value) < layers:
            self.fail(key, f"has {len(value)} values, and there are {layers} layers")
        counts = (self.count(key, item, minimum=0) for item in value[:layers])
        return [count for count in counts if count is not None]

    def number(self, key: str) -> float | None:
        """Return a finite number of at least 0."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, f"is {_describe(value)}, not a number")
        if not isfinite(value) or not 0 <= value <= MAX_FLOAT32:
            self.fail(key, f"is {value}; it must be finite and not negative")
        return float(value)


def _check_layers(keys: _CheckedKeys, tensors: Iterable[str]) -> None:
    count = keys.count("block_count")
    if count is None:
        return
    layers = {int(match[1]) for name in tensors if (match := _LAYER.match(name))}
    if layers and max(layers) >= count:
        keys.fail("block_count", f"is {count}, but there are tensors of layer {max(layers)}")
    if len(layers) < count:
        missing = next(layer for layer in range(count) if layer not in layers)
        keys.fail("block_count", f"is {count}, but layer {missing} has no tensors")


def _check_heads(keys: _CheckedKeys, columns: int) -> None:
    width = keys.count("embedding_length")
    if width is not None and width != columns:
        keys.fail("embedding_length", f"is {width}, but {EMBEDDING_NAME} has rows of {columns}")
    layers = keys.count("block_count") or 0
    heads = keys.each("attention.head_count", layers)
    shared = keys.each("attention.head_count_kv", layers)
    size = keys.count("attention.key_length")
    for key in ("attention.key_length", "attention.value_length"):
        if (keys.count(key) or 0) > HEAD_SIZE:
            keys.fail(key, f"is {keys.get(key)}; heads have at most {HEAD_SIZE}")
    odd = next((count for count in heads if count and columns % count), None)
    if size is None and odd is not None:
        keys.fail("attention.head_count", f"is {odd}, which does not divide the width {columns}")
    for layer in range(max(len(heads), len(shared)) if heads and shared else 0):
        count, pairs = heads[layer % len(heads)], shared[layer % len(shared)]
        if pairs and count % pairs:
            keys.fail("attention.head_count_kv", f"is {pairs}, which does not divide {count}")


def _check_numbers(keys: _CheckedKeys) -> None:
    keys.count("context_length")
    for key in ("attention.layer_norm_rms_epsilon", "rope.scaling.factor"):
        keys.number(key)
    for key in ("rope.freq_base", "rope.freq_base_swa"):
        if keys.number(key) == 0:
            keys.fail(key, "is 0; it must be positive")
    experts = keys.count("expert_count", minimum=0)  # 0: no experts
    used = keys.count("expert_used_count", minimum=1 if experts else 0)
    if experts and used and used > experts:
        keys.fail("expert_used_count", f"is {used}, and there are {experts} experts")


def _check_vocabulary(keys: _CheckedKeys, rows: int) -> None:
    tokens = keys.get(TOKENS_KEY)
    if tokens is None:
        return
    if not isinstance(tokens, StringArray):
        keys.fail(TOKENS_KEY, f"is {_describe(tokens)}, not an array of strings")
    if len(tokens) != rows:
        keys.fail(TOKENS_KEY, f"has {len(tokens)} tokens, but {EMBEDDING_NAME} has {rows} rows")
    merges = keys.get("tokenizer.ggml.merges")
    if merges is not None and not isinstance(merges, StringArray):
        keys.fail("tokenizer.ggml.merges", f"is {_describe(merges)}, not an array of strings")
    for key in (KINDS, "tokenizer.ggml.scores"):
        values = keys.get(key)
        if values is None:
            continue
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
            keys.fail(key, f"is {_describe(values)}, not an array of numbers")
        if len(values) != rows:
            keys.fail(key, f"has {len(values)} values, but there are {rows} tokens")
    _check_bytes(keys, tokens)


def _check_bytes(keys: _CheckedKeys, tokens: StringArray) -> None:
    kinds = keys.get(KINDS)
    for index in np.flatnonzero(kinds == BYTE_TOKEN_TYPE) if isinstance(kinds, np.ndarray) else ():
        if not _BYTE.fullmatch(tokens[int(index)]):
            text = printable(tokens[int(index)])
            keys.fail(
                TOKENS_KEY,
                f"token {index} is a byte token with the text '{text}'; it must look like '<0x0A>'",
            )


def _describe(value: object) -> str:
    """Return a short description of a value, which may be a megabyte of text."""
    if isinstance(value, str):
        return f"the text '{printable(value)}'"
    if isinstance(value, StringArray | np.ndarray | list):
        return f"an array of {len(value)}"
    return str(value)
