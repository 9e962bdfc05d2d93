"""A folder's tokenizer files as GGUF's `tokenizer.*` keys.

tokenizer.json says what the tokens are; tokenizer_config.json which of them begin and end a text,
and how a chat is written; tokenizer.model, where there is one, what score each piece of
SentencePiece has. Two kinds of vocabulary are known: byte pairs by rank ("gpt2") and
SentencePiece's pieces by score ("llama").
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zeropoint.checkpoints.folder import find_in_folder, read_folder_json, read_folder_text
from zeropoint.checkpoints.pretokenizers import PRE_TOKENIZERS
from zeropoint.checkpoints.sentencepiece import read_scores
from zeropoint.checkpoints.values import StringArray, UInt32
from zeropoint.errors import CheckpointError, UnsupportedModel

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

_LIMIT = 128 << 20
_SMALL = 8 << 20
_ANY_CASE = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_SPECIAL_KEYS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}

Json = Mapping[str, object]


def read_vocabulary_files(folder: Path, rows: int) -> dict[str, object]:
    """Return the `tokenizer.*` keys of a folder, for an embedding of `rows` tokens.

    Raises CheckpointError for files that are missing or damaged, UnsupportedModel for a kind of
    tokenizer that GGUF has no name for.
    """
    path = folder / "tokenizer.json"
    found_json = read_folder_json(folder, path.name, _LIMIT)
    if found_json is None:
        raise CheckpointError(folder, "has no tokenizer.json; transformers can write one")
    data = _object(path, found_json)
    settings = _optional(folder, "tokenizer_config.json")
    model = _object(path, data.get("model"), "model")
    if model.get("type") != "BPE":
        kind = model.get("type")
        raise UnsupportedModel(f"{path}: a tokenizer of type {kind!r} has no place in GGUF here")
    vocab = _vocabulary(path, model)
    tokens, kinds = _tokens(path, vocab, data.get("added_tokens"), rows)
    found: dict[str, object] = {}
    if model.get("byte_fallback"):
        found |= _pieces(path, data, model, tokens, kinds)
    else:
        found |= _byte_pairs(path, data, model)
    found["tokenizer.ggml.tokens"] = StringArray.of(tokens)
    found["tokenizer.ggml.token_type"] = np.array(kinds, np.int32)
    found |= _special_tokens(folder, settings, data, tokens)
    template = settings.get("chat_template")
    template_file = read_folder_text(folder, "chat_template.jinja", _SMALL)
    if template_file is not None:
        template = template_file
    if isinstance(template, list):  # several by name; "default" is the chat's
        named = [item for item in template if isinstance(item, Mapping)]
        template = next((t.get("template") for t in named if t.get("name") == "default"), None)
    if isinstance(template, str):
        found["tokenizer.chat_template"] = template
    return found


def _object(path: Path, value: object, what: str = "the file") -> Json:
    if not isinstance(value, dict):
        raise CheckpointError(path, f"{what} is not an object")
    return value


def _optional(folder: Path, name: str) -> Json:
    """Return a JSON object of the folder; empty if there is no such file."""
    data = read_folder_json(folder, name, _SMALL)
    return {} if data is None else _object(folder / name, data)


def _vocabulary(path: Path, model: Json) -> dict[str, int]:
    vocab = _object(path, model.get("vocab"), "model.vocab")
    if not all(isinstance(index, int) and 0 <= index < 2**24 for index in vocab.values()):
        raise CheckpointError(path, "model.vocab holds an id that is no whole number")
    return dict(vocab)  # type: ignore[arg-type]


def _tokens(
    path: Path, vocab: Mapping[str, int], added: object, rows: int
) -> tuple[list[str], list[int]]:
    """Return text and kind of every id below `rows`; ids without a token are unused."""
    tokens, kinds = [f"[PAD{index}]" for index in range(rows)], [UNUSED] * rows
    for text, index in vocab.items():
        if index >= rows:
            raise CheckpointError(path, f"token {index} is beyond the embedding's {rows} rows")
        tokens[index], kinds[index] = text, NORMAL
    for entry in added if isinstance(added, list) else []:
        item = _object(path, entry, "an added token")
        number, content = item.get("id"), item.get("content")
        if not isinstance(number, int) or not isinstance(content, str) or number < 0:
            raise CheckpointError(path, "an added token has no id or no content")
        if number >= rows:  # known to the tokenizer and not to the model: cannot be given to it
            continue
        tokens[number] = content
        kinds[number] = CONTROL if item.get("special") else USER_DEFINED
    return tokens, kinds


def _byte_pairs(path: Path, data: Json, model: Json) -> dict[str, object]:
    # A space inside of a token is written as byte-level tokens write it: GGUF parts at the space.
    merges = [" ".join(part.replace(" ", "Ġ") for part in pair) for pair in _merges(path, model)]
    name = name_pre_tokenizer(data, bool(model.get("ignore_merges")))
    if name is None:
        raise UnsupportedModel(
            f"{path}: how it cuts text before merging (pre_tokenizer) is not known here, so no "
            "name can be given to it that other programs would understand"
        )
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.merges": StringArray.of(merges),
    }


def _merges(path: Path, model: Json) -> list[tuple[str, str]]:
    """Return the pairs in order; a file writes them as "a b" or as [a, b]."""
    found = []
    raw = model.get("merges")
    for entry in raw if isinstance(raw, list) else []:
        pair = entry.split(" ") if isinstance(entry, str) else entry
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(p, str) for p in pair)
        ):
            raise CheckpointError(path, f"merge {str(entry)[:40]!r} is no pair of tokens")
        found.append((pair[0], pair[1]))
    return found


def name_pre_tokenizer(data: Json, whole_words: bool) -> str | None:
    """Return the name that GGUF has for a tokenizer.json's way of cutting text, or None."""
    patterns = _patterns(data.get("pre_tokenizer"))
    if patterns is None:
        return None
    for name, known in PRE_TOKENIZERS.items():
        if known.patterns == patterns and known.whole_words == whole_words:
            return name
    return None


def _patterns(pre: object) -> tuple[str, ...] | None:
    """Return the patterns of a pre-tokenizer of splits, digits and bytes; None for any other."""
    if not isinstance(pre, dict):
        return None
    match pre.get("type"):
        case "Sequence":
            steps = pre.get("pretokenizers")
            parts = [_patterns(part) for part in steps] if isinstance(steps, list) else [None]
            if any(part is None for part in parts):
                return None
            return tuple(pattern for part in parts if part for pattern in part)
        case "Split":
            pattern = pre.get("pattern")
            regex = pattern.get("Regex") if isinstance(pattern, dict) else None
            if not isinstance(regex, str) or pre.get("invert"):
                return None
            if pre.get("behavior") not in ("Isolated", "Removed"):
                return None
            return (regex.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", _ANY_CASE),)
        case "Digits" if pre.get("individual_digits"):
            return (r"\p{N}",)
        case "ByteLevel" if not pre.get("add_prefix_space"):
            return PRE_TOKENIZERS["gpt-2"].patterns if pre.get("use_regex", True) else ()
    return None


def _pieces(
    path: Path, data: Json, model: Json, tokens: Sequence[str], kinds: list[int]
) -> dict[str, object]:
    """Return the keys of a SentencePiece vocabulary, and mark its bytes and its unknown token."""
    for index, text in enumerate(tokens):
        if kinds[index] == NORMAL and len(text) == 6 and text.startswith("<0x") and text[5] == ">":
            kinds[index] = BYTE
        if text == model.get("unk_token"):
            kinds[index] = UNKNOWN
    sentencepiece = find_in_folder(path.parent, "tokenizer.model")
    if sentencepiece is not None:
        scores = read_scores(sentencepiece, tokens)
    else:
        scores = _scores_of_merges(_merges(path, model), tokens)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.add_space_prefix": _begins_with_space(data),
    }


def _scores_of_merges(
    merges: Sequence[tuple[str, str]], tokens: Sequence[str]
) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """Score a piece by −rank of the first merge that makes it: merging by score then agrees."""
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)
    last = len(merges)
    return np.array([-float(ranks.get(text, last)) for text in tokens], np.float32)


def _begins_with_space(data: Json) -> bool:
    """Tell whether a space is put before a text (Llama 2 does, Gemma does not)."""
    for stage in (data.get("normalizer"), data.get("pre_tokenizer")):
        if not isinstance(stage, dict):
            continue
        steps = stage.get("normalizers") or stage.get("pretokenizers") or [stage]
        for step in steps if isinstance(steps, list) else []:
            if not isinstance(step, dict):
                continue
            if step.get("type") == "Prepend" or step.get("prepend_scheme") in ("first", "always"):
                return True
            if step.get("type") == "Metaspace" and step.get("add_prefix_space"):
                return True
    return False


def _special_tokens(
    folder: Path, settings: Json, data: Json, tokens: Sequence[str]
) -> dict[str, object]:
    ids = {text: index for index, text in enumerate(tokens)}
    config = _optional(folder, "config.json")
    found: dict[str, object] = {}
    for theirs, ours in _SPECIAL_KEYS.items():
        token = settings.get(f"{theirs}_token")
        text = token.get("content") if isinstance(token, dict) else token
        index = ids.get(text) if isinstance(text, str) else None
        if index is None:
            number = config.get(f"{theirs}_token_id")
            first = number[0] if isinstance(number, list) and number else number
            index = first if isinstance(first, int) and 0 <= first < len(tokens) else None
        if index is not None:
            found[f"tokenizer.ggml.{ours}_token_id"] = UInt32(index)
    for key in ("add_bos_token", "add_eos_token"):
        if isinstance(settings.get(key), bool):
            found[f"tokenizer.ggml.{key}"] = settings[key]
    bos = found.get("tokenizer.ggml.bos_token_id")
    if "tokenizer.ggml.add_bos_token" not in found and isinstance(bos, int):
        found["tokenizer.ggml.add_bos_token"] = _post_processor_adds(data, tokens[bos])
    return found


def _post_processor_adds(data: Json, bos: str) -> bool:
    """Tell whether tokenizer.json's template puts BOS before a single text."""
    processor = data.get("post_processor")
    steps = [processor] if isinstance(processor, dict) else []
    if steps and isinstance(steps[0].get("processors"), list):
        steps = steps[0]["processors"]
    for step in steps:
        single = step.get("single") if isinstance(step, dict) else None
        if isinstance(single, list) and single and isinstance(single[0], dict):
            special = single[0].get("SpecialToken")
            if isinstance(special, dict) and special.get("id") == bos:
                return True
    return False
