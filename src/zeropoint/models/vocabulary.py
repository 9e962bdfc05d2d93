"""Reads a file's vocabulary: tokens, their kinds, and which ones begin, end or stop a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.merging import BYTE_PAIRS, RANKED_PIECES, SENTENCEPIECE
from zeropoint.checkpoints.tokenizers.pretokenizers import stated_pre_tokenizer
from zeropoint.checkpoints.tokenizers.special_tokens import GGUF_NAMES
from zeropoint.checkpoints.tokenizers.token_rules import (
    ALWAYS_TEXT,
    CONTROL_TEXTS,
    STOP_TEXTS,
    TokenMatching,
    matching_by_name,
    ordinary_in,
)
from zeropoint.checkpoints.tokenizers.tokenizer_facts import read_tokenizer_facts
from zeropoint.errors import CheckpointError, UnsupportedModel

Scalar = TypeVar("Scalar", bound=np.generic)


class TokenKind(IntEnum):
    """The values of `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # parsed in chat text only
    USER_DEFINED = 4  # always one token, in any text
    UNUSED = 5
    BYTE = 6  # "<0x0A>": stands for one byte


# Kinds that are searched in a text before it is split.
SEARCHED = (TokenKind.USER_DEFINED, TokenKind.CONTROL, TokenKind.UNKNOWN)


@dataclass(frozen=True)
class Vocabulary:
    """The `tokenizer.ggml.*` keys of a file, checked."""

    model: str  # BYTE_PAIRS, SENTENCEPIECE or RANKED_PIECES
    pre: str
    tokens: list[str]
    ids: dict[str, int]  # by text; of two tokens with the same text the last one
    kinds: NDArray[np.int32]
    scores: NDArray[np.float32] | None
    merges: Sequence[str] | None
    bos: int | None
    eos: int | None
    add_bos: bool | None  # None: the file has no such key
    add_eos: bool
    add_space_prefix: bool | None
    stops: frozenset[int]  # tokens that end a generation
    unknown: int | None = None
    pad: int | None = None
    special_tokens: Mapping[str, str] = field(
        default_factory=dict
    )  # the names that chat templates use
    matching: TokenMatching = field(
        default_factory=TokenMatching
    )  # how special tokens are found in text
    # From `tokenizer_facts`; the defaults are what llama.cpp derives from the other keys.
    space_prefix: str | None = None
    composes: bool = False
    authors_pattern: bool = False

    def __len__(self) -> int:
        return len(self.tokens)


_STOP_KEYS = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")


def read_vocabulary(checkpoint: Checkpoint) -> Vocabulary:
    """Return a file's vocabulary, checked. Raises CheckpointError or UnsupportedModel."""
    metadata = checkpoint.metadata
    model = metadata.get("tokenizer.ggml.model")
    supported = (BYTE_PAIRS, SENTENCEPIECE, RANKED_PIECES)
    if not isinstance(model, str) or model not in supported:
        raise UnsupportedModel(
            f"{checkpoint.path}: tokenizer {model!r} is not supported; "
            f"supported: {', '.join(supported)}"
        )
    tokens = _strings(checkpoint, "tokenizer.ggml.tokens")
    if tokens is None:
        raise CheckpointError(checkpoint.path, "this key is missing", field="tokenizer.ggml.tokens")
    tokens = list(tokens)
    size = len(tokens)
    texts = {text: index for index, text in enumerate(tokens)}
    kinds = _numbers(checkpoint, "tokenizer.ggml.token_type", np.dtype(np.int32), size)
    if kinds is None:
        kinds = np.full(size, TokenKind.NORMAL, np.int32)
    ordinary = ordinary_in(texts)
    _follow_texts(kinds, texts, ordinary)
    names = (*_STOP_KEYS, *GGUF_NAMES.values())
    ids = {key: _token_id(checkpoint, key, size) for key in names}
    facts = read_tokenizer_facts(checkpoint.path, metadata, size)
    stops = {ids[key] for key in _STOP_KEYS if ids[key] is not None} | facts.stops
    stops |= {texts[text] for text in STOP_TEXTS - ordinary if text in texts}
    named = {f"{name}_token": ids[ours] for name, ours in GGUF_NAMES.items()}
    matching = facts.matching
    if matching is None:
        searched = np.flatnonzero(np.isin(kinds, SEARCHED)).tolist()
        matching = matching_by_name(metadata, tokens, searched)
    return Vocabulary(
        model=str(model),
        pre=stated_pre_tokenizer(metadata) or "default",
        tokens=tokens,
        ids=texts,
        kinds=kinds,
        scores=_numbers(checkpoint, "tokenizer.ggml.scores", np.dtype(np.float32), size),
        merges=_strings(checkpoint, "tokenizer.ggml.merges"),
        bos=ids["bos"],
        eos=ids["eos"],
        add_bos=_flag(checkpoint, "tokenizer.ggml.add_bos_token"),
        add_eos=bool(_flag(checkpoint, "tokenizer.ggml.add_eos_token")),
        add_space_prefix=_flag(checkpoint, "tokenizer.ggml.add_space_prefix"),
        stops=frozenset(index for index in stops if index is not None),
        unknown=ids["unknown"],
        pad=ids["padding"],
        special_tokens=facts.special_tokens
        or {name: tokens[index] for name, index in named.items() if index is not None},
        matching=matching,
        space_prefix=facts.space_prefix,
        composes=facts.composes,
        authors_pattern=facts.authors_pattern,
    )


def _follow_texts(
    kinds: NDArray[np.int32], texts: Mapping[str, int], ordinary: frozenset[str]
) -> None:
    """Correct the kinds of tokens that ggml recognizes by their text, whatever the file states."""
    marked = {
        TokenKind.CONTROL: CONTROL_TEXTS - ordinary,
        TokenKind.USER_DEFINED: (ALWAYS_TEXT | ordinary) - {"</s>"},
        TokenKind.NORMAL: ordinary & {"</s>"},
    }
    for kind, group in marked.items():
        kinds[[texts[text] for text in group if text in texts]] = kind


def _strings(checkpoint: Checkpoint, key: str) -> Sequence[str] | None:
    value = checkpoint.metadata.get(key)
    if value is None:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise CheckpointError(checkpoint.path, "expected an array of texts", field=key)
    return value


def _numbers(
    checkpoint: Checkpoint, key: str, dtype: "np.dtype[Scalar]", size: int
) -> "NDArray[Scalar] | None":
    value = checkpoint.metadata.get(key)
    if value is None:
        return None
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or array.size != size:
        raise CheckpointError(checkpoint.path, f"expected {size} numbers", field=key)
    return array.astype(dtype)


def _token_id(checkpoint: Checkpoint, name: str, size: int) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    value = checkpoint.metadata.get(key)
    if not isinstance(value, int | np.integer) or not 0 <= value < size:
        return None  # As in llama.cpp: some files contain -1, or an id outside their vocabulary.
    return int(value)


def _flag(checkpoint: Checkpoint, key: str) -> bool | None:
    value = checkpoint.metadata.get(key)
    if value is not None and not isinstance(value, bool | int | np.bool_ | np.integer):
        raise CheckpointError(checkpoint.path, "expected true or false", field=key)
    return None if value is None else bool(value)
