"""Finds GGUF's name for the way a tokenizer.json splits text before byte pairs are merged."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from zeropoint.checkpoints.merging import merge
from zeropoint.checkpoints.tokenizers.pretokenizers import (
    AUTHORS_PATTERNS,
    PRE_TOKENIZERS,
    plain_spelling,
)
from zeropoint.errors import UnsupportedModel, printable

Json = Mapping[str, object]
Merges = Sequence[tuple[str, str]]


def name_pre_tokenizer(path: Path, data: Json, merges: Merges, added: Collection[str]) -> str:
    """Return the name for `tokenizer.ggml.pre`; `data` is the tokenizer.json at `path`.

    `added` are the texts of its added tokens, which are found before text is cut.

    Raises UnsupportedModel if GGUF has no name for it: another name would mean other tokens.
    """
    patterns = _patterns(path, data.get("pre_tokenizer"))
    model = data.get("model")
    model = model if isinstance(model, dict) else {}
    whole_words = bool(model.get("ignore_merges"))
    names = [name for name, known in PRE_TOKENIZERS.items() if known.patterns == patterns]
    for name in names:
        if PRE_TOKENIZERS[name].whole_words == whole_words:
            return name
    if not names:
        raise _unknown(path, "GGUF has no name for its patterns")
    # The name matches except for taking whole words that are tokens. If merging produces every
    # token from its characters, that changes nothing.
    lost = _unmerged_token([t for t in _texts(model) if t not in added], merges)
    if lost is None:
        return names[0]
    raise UnsupportedModel(
        f"{path}: ignore_merges is {str(whole_words).lower()}, and GGUF's name for its patterns "
        f"({names[0]}) means the other: merging does not produce token '{printable(lost)}'"
    )


def uses_authors_pattern(pre: object) -> bool:
    """Return whether a pre-tokenizer that has a name in GGUF has another pattern than llama.cpp."""
    if not isinstance(pre, dict):
        return False
    steps, pattern = pre.get("pretokenizers"), pre.get("pattern")
    if isinstance(steps, list):
        return any(uses_authors_pattern(step) for step in steps)
    return isinstance(pattern, dict) and pattern.get("Regex") in AUTHORS_PATTERNS.values()


def _unknown(path: Path, reason: str) -> UnsupportedModel:
    return UnsupportedModel(f"{path}: pre_tokenizer is unsupported: {reason}")


def _patterns(path: Path, pre: object) -> tuple[str, ...]:
    """Return the patterns of a pre-tokenizer that is made of splits, digits and bytes."""
    kind = pre.get("type") if isinstance(pre, dict) else None
    match pre, kind:
        case dict(), "Sequence":
            steps = pre.get("pretokenizers")
            parts = steps if isinstance(steps, list) else [None]
            return tuple(pattern for part in parts for pattern in _patterns(path, part))
        case dict(), "Split":
            return (_split(path, pre),)
        case dict(), "Digits" if pre.get("individual_digits"):
            return (r"\p{N}",)
        case dict(), "ByteLevel":
            if pre.get("add_prefix_space"):
                raise _unknown(path, "add_prefix_space is true, and GGUF has no key for that")
            return PRE_TOKENIZERS["gpt-2"].patterns if pre.get("use_regex", True) else ()
    raise _unknown(path, f"a step of type {kind!r}")


def _split(path: Path, step: Json) -> str:
    pattern, behavior = step.get("pattern"), step.get("behavior")
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    if not isinstance(regex, str):
        raise _unknown(path, "a split that is not by a regular expression")
    plain = plain_spelling(regex)
    # "Removed" and inverted keeps the matches and drops the rest. That is the same as isolating
    # the matches if every character is in a match.
    keeps_all = bool(step.get("invert")) and _matches_everything(plain)
    if behavior == "Isolated" or (behavior == "Removed" and keeps_all):
        return plain
    raise _unknown(path, f"a split with behavior {behavior!r} and invert {step.get('invert')!r}")


def _matches_everything(pattern: str) -> bool:
    """Return whether the pattern, as the table spells it, leaves no character unmatched.

    True for those whose last alternatives take letters, digits, any run of white space, and one of
    the rest each.
    """
    return pattern.endswith(r"\s+(?!\S)|\s+") and all(
        part in pattern for part in (r"\p{L}", r"\p{N}", r"| ?[^\s\p{L}\p{N}]+")
    )


def _texts(model: Json) -> list[str]:
    vocab = model.get("vocab")
    return list(vocab) if isinstance(vocab, dict) else []


def _unmerged_token(texts: Sequence[str], merges: Merges) -> str | None:
    """Return a text that its characters are not merged to, or None."""
    ranks = {pair: rank for rank, pair in reversed(list(enumerate(merges)))}
    for text in texts:
        if len(text) > 1 and merge(list(text), lambda a, b: ranks.get((a, b))) != [text]:
            return text
    return None
