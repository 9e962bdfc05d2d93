"""Reads how a tokenizer.json treats spaces before SentencePiece's pieces are merged.

GGUF can express one way: spaces are written as "▁", and `add_space_prefix` puts one before a text
and before what follows a special token. Anything else is refused by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.errors import UnsupportedModel

SPACE = "▁"
Json = Mapping[str, object]


@dataclass(frozen=True)
class SpaceRules:
    """How a folder treats spaces; `prefix` is None, "each", "always" or "first".

    "each": in front of every text between special tokens, as GGUF does it. "always": the same, but
    not if there is a space already. "first": only at the very beginning, and only if there is none.
    """

    prefix: str | None
    words: bool  # words are merged one by one, so no token may contain a space


def read_spaces(path: Path, data: Json) -> SpaceRules:
    """Return how the tokenizer.json at `path` treats spaces.

    Raises UnsupportedModel for a normalizer or a pre-tokenizer that does anything else to a text.
    """
    prefix: str | None = None
    written = words = False
    for step in _steps(data.get("normalizer"), "normalizers"):
        kind = step.get("type")
        if kind == "Prepend" and step.get("prepend") == SPACE:
            prefix = "each"
        elif kind == "Replace" and _string(step) == " " and step.get("content") == SPACE:
            written = True
        else:
            raise UnsupportedModel(f"{path}: normalizer {kind!r} has no place in GGUF")
    for step in _steps(data.get("pre_tokenizer"), "pretokenizers"):
        kind = step.get("type")
        if kind == "Metaspace" and step.get("replacement") == SPACE:
            scheme = step.get("prepend_scheme")
            if scheme is None:
                scheme = "always" if step.get("add_prefix_space", True) else "never"
            written, words = True, bool(step.get("split", True))
            prefix = prefix if scheme == "never" else str(scheme)
        elif not (kind == "Split" and _string(step) == " " and written):  # then no space is left
            raise UnsupportedModel(f"{path}: pre_tokenizer {kind!r} has no place in GGUF")
    if not written:
        raise UnsupportedModel(f"{path}: spaces are not written as '{SPACE}', which GGUF requires")
    return SpaceRules(prefix, words)


def check_pieces(path: Path, model: Json, spaces: SpaceRules, pieces: Sequence[str]) -> None:
    """Raise UnsupportedModel if GGUF's merging would give these pieces another meaning."""
    if model.get("ignore_merges"):
        raise UnsupportedModel(f"{path}: ignore_merges has no place in a GGUF of pieces")
    inner = next((text for text in pieces if SPACE in text[1:]), None) if spaces.words else None
    if inner is not None:
        raise UnsupportedModel(
            f"{path}: text is split at spaces before merging, which GGUF has no key for; "
            f"it matters for token {inner!r}"
        )


def _steps(stage: object, parts: str) -> Iterator[Json]:
    """Yield the steps of a normalizer or a pre-tokenizer, which may be a sequence of sequences."""
    if isinstance(stage, dict):
        inner = stage.get(parts)
        if stage.get("type") == "Sequence" and isinstance(inner, list):
            for step in inner:
                yield from _steps(step, parts)
        else:
            yield stage


def _string(step: Json) -> object:
    pattern = step.get("pattern")
    return pattern.get("String") if isinstance(pattern, dict) else None
