"""Does the header of a model contradict itself? Then it is refused when the file is opened.

Checked are whole models (those with a token embedding) of the decoders whose layers are all alike;
other files may leave out or mean what they like. A missing key is the error of whoever needs it.
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

EMBEDDING = "token_embd.weight"
TOKENS = "tokenizer.ggml.tokens"
KINDS = "tokenizer.ggml.token_type"
BYTE = 6  # the kind of a token that stands for a byte
LARGEST = float(np.finfo(np.float32).max)
HEAD_SIZE = 65_536
_LAYER = re.compile(r"blk\.(\d+)\.", re.ASCII)
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def check_header(path: Path, header: GgufHeader, tensors: Iterable[TensorInfo]) -> None:
    """Raise CheckpointError, with the byte where the key stands, if a key cannot be true."""
    name = header.metadata.get("general.architecture")
    named = {tensor.name: tensor for tensor in tensors}
    if isinstance(name, str) and name in FAMILIES and EMBEDDING in named:
        claims = _Claims(path, header, name)
        embedding = named[EMBEDDING].shape
        if len(embedding) != 2:
            file = named[EMBEDDING].file
            reason, place = f"has {len(embedding)} axes, not 2", find_entry(file, EMBEDDING)
            raise CheckpointError(file, reason, offset=place, field=EMBEDDING)
        _check_layers(claims, named)
        _check_heads(claims, embedding[1])
        _check_numbers(claims)
        _check_vocabulary(claims, embedding[0])


class _Claims:
    """The keys of a header, read with suspicion."""

    def __init__(self, path: Path, header: GgufHeader, architecture: str) -> None:
        self.path = path
        self.header = header
        self.architecture = architecture

    def get(self, key: str) -> object | None:
        """Return the value of "block_count" or "tokenizer.ggml.tokens", or None."""
        return self.header.metadata.get(self.full(key))

    def full(self, key: str) -> str:
        """Return the key as the file has it."""
        return key if key.startswith("tokenizer.") else f"{self.architecture}.{key}"

    def fail(self, key: str, reason: str) -> NoReturn:
        """Raise the error that says what is wrong with a key."""
        key = self.full(key)
        raise CheckpointError(self.path, reason, offset=self.header.places[key], field=key)

    def count(self, key: str, value: object = None, *, least: int = 1) -> int | None:
        """Return a whole number: that of a key, or a `value` that belongs to it."""
        value = self.get(key) if value is None else value
        if value is None:
            return None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            self.fail(key, f"is {_told(value)} and not a whole number")
        if value < least:
            self.fail(key, f"is {value}; there must be at least one")
        return int(value)

    def each(self, key: str, layers: int) -> list[int]:
        """Return one whole number for each layer, or a single one for all of them."""
        value = self.get(key)
        if not isinstance(value, np.ndarray | list):
            single = self.count(key)
            return [] if single is None else [single]
        if len(value) < layers:
            self.fail(key, f"has {len(value)} values, and there are {layers} layers")
        return [count for item in value[:layers] if (count := self.count(key, item)) is not None]

    def number(self, key: str) -> float | None:
        """Return a finite number ≥ 0."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, f"is {_told(value)} and not a number")
        if not isfinite(value) or not 0 <= value <= LARGEST:
            self.fail(key, f"is {value}; it must be finite and not negative")
        return float(value)


def _check_layers(claims: _Claims, tensors: Iterable[str]) -> None:
    count = claims.count("block_count")
    if count is None:
        return
    found = {int(match[1]) for name in tensors if (match := _LAYER.match(name))}
    if found and max(found) >= count:
        claims.fail("block_count", f"is {count}, but there are tensors of layer {max(found)}")
    if len(found) < count:
        missing = next(layer for layer in range(count) if layer not in found)
        claims.fail("block_count", f"is {count}, but layer {missing} has no tensors")


def _check_heads(claims: _Claims, columns: int) -> None:
    width = claims.count("embedding_length")
    if width is not None and width != columns:
        claims.fail("embedding_length", f"is {width}, but {EMBEDDING} has rows of {columns}")
    layers = claims.count("block_count") or 0
    heads = claims.each("attention.head_count", layers)
    shared = claims.each("attention.head_count_kv", layers)
    size = claims.count("attention.key_length")
    for key in ("attention.key_length", "attention.value_length"):
        if (claims.count(key) or 0) > HEAD_SIZE:
            claims.fail(key, f"is {claims.get(key)}; heads have at most {HEAD_SIZE}")
    odd = next((count for count in heads if columns % count), None)
    if size is None and odd is not None:
        claims.fail("attention.head_count", f"is {odd}, which does not divide the width {columns}")
    for layer in range(max(len(heads), len(shared)) if heads and shared else 0):
        count, pairs = heads[layer % len(heads)], shared[layer % len(shared)]
        if count % pairs:
            claims.fail("attention.head_count_kv", f"is {pairs}, which does not divide {count}")


def _check_numbers(claims: _Claims) -> None:
    claims.count("context_length")
    for key in ("attention.layer_norm_rms_epsilon", "rope.scaling.factor"):
        claims.number(key)
    for key in ("rope.freq_base", "rope.freq_base_swa"):
        if claims.number(key) == 0:
            claims.fail(key, "is 0; it must be positive")
    experts = claims.count("expert_count", least=0)  # 0: as if it were not there
    used = claims.count("expert_used_count", least=1 if experts else 0)
    if experts and used and used > experts:
        claims.fail("expert_used_count", f"is {used}, and there are {experts} experts")


def _check_vocabulary(claims: _Claims, rows: int) -> None:
    tokens = claims.get(TOKENS)
    if tokens is None:
        return
    if not isinstance(tokens, StringArray):
        claims.fail(TOKENS, f"is {_told(tokens)} and not an array of texts")
    if len(tokens) != rows:
        claims.fail(TOKENS, f"has {len(tokens)} tokens, but {EMBEDDING} has {rows} rows")
    merges = claims.get("tokenizer.ggml.merges")
    if merges is not None and not isinstance(merges, StringArray):
        claims.fail("tokenizer.ggml.merges", f"is {_told(merges)} and not an array of texts")
    for key in (KINDS, "tokenizer.ggml.scores"):
        values = claims.get(key)
        if values is None:
            continue
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
            claims.fail(key, f"is {_told(values)} and not an array of numbers")
        if len(values) != rows:
            claims.fail(key, f"has {len(values)} values, but there are {rows} tokens")
    _check_bytes(claims, tokens)


def _check_bytes(claims: _Claims, tokens: StringArray) -> None:
    kinds = claims.get(KINDS)
    for index in np.flatnonzero(kinds == BYTE) if isinstance(kinds, np.ndarray) else ():
        if not _BYTE.fullmatch(tokens[int(index)]):
            text = printable(tokens[int(index)])
            claims.fail(TOKENS, f"token {index} stands for a byte and is '{text}', not '<0x0A>'")


def _told(value: object) -> str:
    """Say what a value is, shortly: it may be a megabyte of text."""
    if isinstance(value, str):
        return f"the text '{printable(value)}'"
    if isinstance(value, StringArray | np.ndarray | list):
        return f"an array of {len(value)}"
    return str(value)
