"""Reads a folder's tokenizer files as GGUF's `tokenizer.*` keys.

tokenizer.json has the tokens, tokenizer_config.json lists those that begin and end a text, and
tokenizer.model, if it exists, has the scores of SentencePiece's pieces. Three kinds of vocabulary
are supported: byte pairs by rank, SentencePiece's pieces by score, and pieces by rank (see
`merging`).

These settings are not read because they change no id: `clean_up_tokenization_spaces` and
`decoder` (they affect displayed text), `truncation`, `padding`, `model_max_length` and the sides
of both (they affect batches), `legacy` and `add_prefix_space` of tokenizer_config.json
(tokenizer.json contains their effect), `normalized` of added tokens (see `added_tokens`).
"""

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from zeropoint.checkpoints.folder import find_in_folder, read_folder_json
from zeropoint.checkpoints.merging import BYTE_PAIRS, RANKED_PIECES, SENTENCEPIECE
from zeropoint.checkpoints.tokenizers.added_tokens import AddedToken, matching_of, read_added_tokens
from zeropoint.checkpoints.tokenizers.chat_templates import read_chat_templates
from zeropoint.checkpoints.tokenizers.piece_rules import (
    SPACE,
    SpaceRules,
    check_pieces,
    read_spaces,
)
from zeropoint.checkpoints.tokenizers.pretokenizer_names import (
    name_pre_tokenizer,
    uses_authors_pattern,
)
from zeropoint.checkpoints.tokenizers.sentencepiece import read_scores
from zeropoint.checkpoints.tokenizers.special_tokens import read_names, read_special_tokens
from zeropoint.checkpoints.tokenizers.token_rules import (
    CONTROL_TEXTS,
    SHOWN_TEXTS,
    has_ranked_pieces,
    matching_by_name,
)
from zeropoint.checkpoints.tokenizers.tokenizer_facts import TokenizerFacts
from zeropoint.checkpoints.values import StringArray
from zeropoint.errors import CheckpointError, UnsupportedModel, printable
from zeropoint.formats import F32

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

TOKENIZER_BYTES = 128 << 20
SETTINGS_BYTES = 8 << 20

Json = Mapping[str, object]
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
LOG = logging.getLogger("zeropoint")


def read_vocabulary_files(folder: Path, rows: int, *, name: str = "") -> dict[str, object]:
    """Return the `tokenizer.*` keys of a folder, for an embedding of `rows` tokens.

    `name` is the model's (`general.name`): llama.cpp has rules by name. Warns (by logging) of what
    llama.cpp cannot know of the resulting file, and of tokens that the model has no row for. Raises
    CheckpointError for files that are missing or damaged, UnsupportedModel for a tokenizer that
    GGUF cannot express.
    """
    path = folder / "tokenizer.json"
    content = read_folder_json(folder, path.name, TOKENIZER_BYTES)
    if content is None:
        raise _no_tokenizer(folder)
    data = _object(path, content)
    settings = _read_settings(folder)
    model = _read_model(path, data)
    pieces = bool(model.get("byte_fallback"))
    added = read_added_tokens(path, data, settings)
    _warn_of_absent_rows(path, added, rows)
    added = [token for token in added if token.id < rows]
    tokens, kinds = _tokens(path, model, added, rows)
    _mark_special(tokens, kinds, settings)
    merges = _merges(path, model)
    keys: dict[str, object] = {}
    spaces = read_spaces(path, data) if pieces else SpaceRules(None, words=False)
    if pieces:
        keys |= _pieces(path, model, tokens, kinds, merges, spaces)
    else:
        texts = {token.content for token in added}
        keys |= _byte_pairs(path, data, merges, texts)
    keys["tokenizer.ggml.tokens"] = StringArray.of(tokens)
    keys["tokenizer.ggml.token_type"] = np.array(kinds, np.int32)
    special = read_special_tokens(folder, settings, data, tokens)
    keys |= special.as_metadata()
    keys |= read_chat_templates(folder, settings)
    searched = [i for i, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED, UNKNOWN)]
    matching = matching_of(added)
    by_name = matching_by_name(keys | {"general.name": name}, tokens, searched)
    facts = TokenizerFacts(
        stops=special.further_stops,
        special_tokens=special.named,
        matching=None if matching.same_ids(by_name) else matching,
        space_prefix=spaces.prefix if spaces.prefix in ("always", "first") else None,
        composes=not pieces and bool(_kinds_of(data.get("normalizer"), "normalizers")),
        authors_pattern=not pieces and uses_authors_pattern(data.get("pre_tokenizer")),
    )
    _warn_of_own_facts(folder, facts, tokens)
    return keys | facts.as_metadata()


def _no_tokenizer(folder: Path) -> CheckpointError:
    reason = "has no tokenizer.json"
    others = [n for n in ("tokenizer.model", "vocab.json", "tekken.json") if (folder / n).exists()]
    if others:
        reason += f", and {others[0]} alone is not read"
    return CheckpointError(
        folder, f"{reason}; AutoTokenizer.from_pretrained(...).save_pretrained(...) writes one"
    )


def _object(path: Path, value: object, what: str = "the file") -> Json:
    if not isinstance(value, dict):
        raise CheckpointError(path, f"{what} is not an object")
    return value


def _read_settings(folder: Path) -> Json:
    """Return tokenizer_config.json, or {}; as transformers, with what older folders keep apart."""
    path = folder / "tokenizer_config.json"
    content = read_folder_json(folder, path.name, SETTINGS_BYTES)
    settings = {} if content is None else _object(path, content)
    if "added_tokens_decoder" in settings:
        return settings
    path = folder / "special_tokens_map.json"
    content = read_folder_json(folder, path.name, SETTINGS_BYTES)
    return settings if content is None else {**settings, **_object(path, content)}


def _read_model(path: Path, data: Json) -> Json:
    """Return the `model` of tokenizer.json if it is one that GGUF can express."""
    model = _object(path, data.get("model"), "model")
    kind = model.get("type")
    if kind != "BPE":
        raise UnsupportedModel(
            f"{path}: a tokenizer of type {kind!r} is unsupported; those of language models are "
            "of type 'BPE' (WordPiece and Unigram belong to embedding models and older ones)"
        )
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise UnsupportedModel(f"{path}: {key} is {model[key]!r}, which has no place in GGUF")
    return model


def _tokens(
    path: Path, model: Json, added: Sequence[AddedToken], rows: int
) -> tuple[list[str], list[int]]:
    """Return text and kind of every id below `rows`; ids without a token are unused."""
    tokens, kinds = [f"[PAD{index}]" for index in range(rows)], [UNUSED] * rows
    vocab = _object(path, model.get("vocab"), "model.vocab")
    for text, index in vocab.items():
        if type(index) is not int or index < 0:
            raise CheckpointError(path, "model.vocab holds an id that is not a whole number")
        if index >= rows:
            raise CheckpointError(path, f"token {index} is beyond the embedding's {rows} rows")
        tokens[index], kinds[index] = text, NORMAL
    for token in added:
        kinds[token.id] = CONTROL if token.is_control else USER_DEFINED
        # Tokens are matched in unchanged text; pieces write spaces as "▁" (Gemma's runs of spaces).
        spaced = bool(model.get("byte_fallback")) and kinds[token.id] == USER_DEFINED
        tokens[token.id] = token.content.replace(SPACE, " ") if spaced else token.content
    if len(set(tokens)) < rows:
        twice = next(text for text, count in Counter(tokens).items() if count > 1)
        raise CheckpointError(path, f"two tokens have the text '{printable(twice)}'")
    return tokens, kinds


def _mark_special(tokens: Sequence[str], kinds: list[int], settings: Json) -> None:
    """Make control tokens of those that are special by another file, or by llama.cpp's rules."""
    names = {*read_names(settings).values(), *CONTROL_TEXTS}
    for key in ("additional_special_tokens", "extra_special_tokens"):
        listed = settings.get(key)
        for token in listed if isinstance(listed, list) else ():
            text = token.get("content") if isinstance(token, dict) else token
            names |= {text} if isinstance(text, str) else set()
    for index, text in enumerate(tokens):
        if text in names and kinds[index] in (NORMAL, USER_DEFINED):
            kinds[index] = CONTROL


def _byte_pairs(
    path: Path, data: Json, merges: Sequence[tuple[str, str]], added: Collection[str]
) -> dict[str, object]:
    normalizer = data.get("normalizer")
    for kind in _kinds_of(normalizer, "normalizers"):
        if kind != "NFC":
            raise UnsupportedModel(f"{path}: normalizer {kind!r} has no place in GGUF")
    # A space within a token is written as "Ġ", because GGUF separates a pair by a space.
    joined = [" ".join(part.replace(" ", "Ġ") for part in pair) for pair in merges]
    return {
        "tokenizer.ggml.model": BYTE_PAIRS,
        "tokenizer.ggml.pre": name_pre_tokenizer(path, data, merges, added),
        "tokenizer.ggml.merges": StringArray.of(joined),
    }


def _kinds_of(stage: object, parts: str) -> list[object]:
    """Return the types of the steps of a normalizer, which may be a sequence."""
    if not isinstance(stage, dict):
        return []
    inner = stage.get(parts)
    if stage.get("type") == "Sequence" and isinstance(inner, list):
        return [kind for step in inner for kind in _kinds_of(step, parts)]
    return [stage.get("type")]


def _merges(path: Path, model: Json) -> list[tuple[str, str]]:
    """Return the pairs in order; a file writes them as "a b" or as [a, b]."""
    pairs = []
    raw = model.get("merges")
    for entry in raw if isinstance(raw, list) else []:
        pair = entry.split(" ") if isinstance(entry, str) else entry
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(p, str) for p in pair)
        ):
            raise CheckpointError(path, f"merge {str(entry)[:40]!r} is not a pair of tokens")
        pairs.append((pair[0], pair[1]))
    return pairs


def _pieces(
    path: Path,
    model: Json,
    tokens: Sequence[str],
    kinds: list[int],
    merges: Sequence[tuple[str, str]],
    spaces: SpaceRules,
) -> dict[str, object]:
    """Return the keys of a SentencePiece vocabulary, and mark its bytes and its unknown token."""
    for index, text in enumerate(tokens):
        if kinds[index] == NORMAL and _BYTE.fullmatch(text):
            kinds[index] = BYTE
        if text == model.get("unk_token"):
            kinds[index] = UNKNOWN
    normal = [text for text, kind in zip(tokens, kinds, strict=True) if kind == NORMAL]
    check_pieces(path, model, spaces, normal)
    if has_ranked_pieces(tokens):
        return _ranked_pieces(path, tokens, kinds, merges, spaces)
    sentencepiece = find_in_folder(path.parent, "tokenizer.model")
    if sentencepiece is not None:
        scores = read_scores(sentencepiece, tokens)
    else:
        scores = _scores_of_merges(merges, tokens)
    return {
        "tokenizer.ggml.model": SENTENCEPIECE,
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.add_space_prefix": spaces.prefix is not None,
    }


def _ranked_pieces(
    path: Path,
    tokens: Sequence[str],
    kinds: list[int],
    merges: Sequence[tuple[str, str]],
    spaces: SpaceRules,
) -> dict[str, object]:
    """Return the keys of pieces that are merged by rank, and mark the tokens that are shown."""
    for index, text in enumerate(tokens):
        if kinds[index] == CONTROL and text in SHOWN_TEXTS - CONTROL_TEXTS:
            kinds[index] = USER_DEFINED
    mixed = next((text for text in map("".join, merges) if "\n" in text and text.strip("\n")), None)
    if spaces.prefix is not None or mixed is not None:
        reason = (
            "a space in front of a text" if spaces.prefix else f"token {mixed!r}, with a line break"
        )
        raise UnsupportedModel(f"{path}: {reason} has no place in a GGUF of this vocabulary")
    return {
        "tokenizer.ggml.model": RANKED_PIECES,
        "tokenizer.ggml.scores": np.full(len(tokens), -1000.0, np.float32),
        "tokenizer.ggml.merges": StringArray.of([" ".join(pair) for pair in merges]),
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.add_bos_token": True,
    }


def _scores_of_merges(merges: Sequence[tuple[str, str]], tokens: Sequence[str]) -> F32:
    """Score a piece by −rank of the first merge that makes it: merging by score then agrees."""
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)
    last = len(merges)
    return np.array([-float(ranks.get(text, last)) for text in tokens], np.float32)


def _warn_of_absent_rows(path: Path, added: Sequence[AddedToken], rows: int) -> None:
    absent = [token for token in added if token.id >= rows]
    if absent:
        shown = _some([token.content for token in absent])
        LOG.warning(
            f"{path}: added tokens without a row in the embedding are left out: {shown} (there are "
            f"{rows} rows, and the first of these tokens has id {absent[0].id})"
        )


def _warn_of_own_facts(folder: Path, facts: TokenizerFacts, tokens: Sequence[str]) -> None:
    """Say once what GGUF has no key for, so that llama.cpp will do something else."""
    ignored = []
    if facts.stops:
        ignored.append(f"more than three end tokens ({_some([tokens[i] for i in facts.stops])})")
    if facts.matching is not None:
        sets = facts.matching.lstrip | facts.matching.rstrip | facts.matching.single_word
        some = f" ({_some([tokens[i] for i in sorted(sets)])})" if sets else ""
        ignored.append(f"white space and words around special tokens{some}")
    if facts.space_prefix is not None:
        ignored.append("a space in front of a text only where there is none (Metaspace)")
    if facts.authors_pattern:
        ignored.append("the pattern that cuts words of other scripts than ASCII")
    if ignored:
        LOG.warning(
            f"{folder}: GGUF has no key for {', for '.join(ignored)}; zeropoint follows the "
            "folder, llama.cpp will not"
        )


def _some(texts: Sequence[str]) -> str:
    shown = ", ".join(printable(text) for text in texts[:3])
    return f"{shown} and {len(texts) - 3} more" if len(texts) > 3 else shown
