"""Facts about a tokenizer that GGUF has no key for, in zeropoint's own key `zeropoint.tokenizer`.

    {"stops": [7], "special_tokens": {"eos_token": "</s>"},
     "lstrip": [], "rstrip": [4], "single_word": [], "space_prefix": "first",
     "normalizer": "NFC", "authors_pattern": true}

The value is JSON. A field exists only if GGUF's own keys, read as llama.cpp reads them, differ:
`stops` are further ids that end a generation. `special_tokens` are the texts of the names that chat
templates use. The three lists are special tokens that absorb white space or match whole words only.
`space_prefix` adds a space before a text ("first"), or also after special tokens ("always"), but
only where there is none. `normalizer`: text is composed first. `authors_pattern`: text is split by
the pattern of the model's authors instead of llama.cpp's form of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.checkpoints.tokenizers.token_rules import TokenMatching
from zeropoint.errors import CheckpointError

TOKENIZER_KEY = "zeropoint.tokenizer"
_SETS = ("lstrip", "rstrip", "single_word")


@dataclass(frozen=True)
class TokenizerFacts:
    """The contents of `zeropoint.tokenizer`; None means: as llama.cpp reads the other keys."""

    stops: frozenset[int] = frozenset()
    special_tokens: Mapping[str, str] | None = None
    matching: TokenMatching | None = None
    space_prefix: str | None = None
    composes: bool = False  # to Unicode's normal form C
    authors_pattern: bool = False

    def as_metadata(self) -> dict[str, object]:
        """Return the key, or an empty mapping if all facts have their defaults."""
        data: dict[str, object] = {}
        if self.stops:
            data["stops"] = sorted(self.stops)
        if self.special_tokens is not None:
            data["special_tokens"] = dict(self.special_tokens)
        if self.matching is not None:
            data |= {name: sorted(getattr(self.matching, name)) for name in _SETS}
        if self.space_prefix is not None:
            data["space_prefix"] = self.space_prefix
        if self.composes:
            data["normalizer"] = "NFC"
        if self.authors_pattern:
            data["authors_pattern"] = True
        return {TOKENIZER_KEY: json.dumps(data, ensure_ascii=False)} if data else {}


def read_tokenizer_facts(path: Path, metadata: Mapping[str, object], tokens: int) -> TokenizerFacts:
    """Return the facts of a file with `tokens` tokens; raises CheckpointError for damaged ones."""
    text = metadata.get(TOKENIZER_KEY)
    if text is None:
        return TokenizerFacts()
    try:
        data = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise CheckpointError(path, "is not a JSON object", field=TOKENIZER_KEY)
    named = data.get("special_tokens")
    if named is not None and not (
        isinstance(named, dict) and all(isinstance(token, str) for token in named.values())
    ):
        raise CheckpointError(path, "special_tokens are not names and texts", field=TOKENIZER_KEY)
    prefix = data.get("space_prefix")
    if prefix not in (None, "first", "always"):
        raise CheckpointError(path, "space_prefix is neither first nor always", field=TOKENIZER_KEY)
    if data.get("normalizer") not in (None, "NFC"):
        raise CheckpointError(path, "normalizer is not NFC", field=TOKENIZER_KEY)
    matching = None
    if any(name in data for name in _SETS):
        lstrip, rstrip, single = (_ids(path, data.get(name, ()), tokens) for name in _SETS)
        matching = TokenMatching(lstrip=lstrip, rstrip=rstrip, single_word=single)
    return TokenizerFacts(
        stops=_ids(path, data.get("stops", ()), tokens),
        special_tokens=named,
        matching=matching,
        space_prefix=prefix,
        composes="normalizer" in data,
        authors_pattern=data.get("authors_pattern") is True,
    )


def _ids(path: Path, value: object, tokens: int) -> frozenset[int]:
    items = value if isinstance(value, list | tuple) else (None,)
    ids = frozenset(i for i in items if type(i) is int and 0 <= i < tokens)
    if len(ids) != len(items):
        raise CheckpointError(
            path, "a list contains something that is not a token id", field=TOKENIZER_KEY
        )
    return ids
