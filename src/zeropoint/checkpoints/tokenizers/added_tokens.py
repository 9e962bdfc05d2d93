"""Reads the added tokens of a Hugging Face folder, which are matched before text is split."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.checkpoints.folder import read_folder_json
from zeropoint.checkpoints.tokenizers.token_rules import TokenMatching, looks_special
from zeropoint.errors import CheckpointError

ADDED_BYTES = 8 << 20

Json = Mapping[str, object]


@dataclass(frozen=True)
class AddedToken:
    """An entry of `added_tokens`.

    `normalized` is ignored: llama.cpp searches these tokens in the unchanged text, and so does
    zeropoint.
    """

    id: int
    content: str
    special: bool
    lstrip: bool
    rstrip: bool
    single_word: bool

    @property
    def is_control(self) -> bool:
        """Whether GGUF has it as a control token: plain text never becomes one."""
        return self.special or looks_special(self.content)


def read_added_tokens(path: Path, data: Json, settings: Json) -> list[AddedToken]:
    """Return the added tokens by id: those of the tokenizer.json at `path` (its `data`), and those
    that only tokenizer_config.json (`settings`) or added_tokens.json names.

    Raises CheckpointError for a damaged one.
    """
    listed = data.get("added_tokens")
    tokens = [_read(path, entry) for entry in listed] if isinstance(listed, list) else []
    known = {token.id for token in tokens} | {token.content for token in tokens}
    more = [*_from_settings(path, settings), *_from_older_file(path, settings)]
    tokens += [token for token in more if not known & {token.id, token.content}]
    return sorted(tokens, key=lambda token: token.id)


def _from_settings(path: Path, settings: Json) -> list[AddedToken]:
    entries = settings.get("added_tokens_decoder")
    where = path.with_name("tokenizer_config.json")
    tokens = []
    for number, entry in entries.items() if isinstance(entries, dict) else ():
        if not number.isdecimal() or len(number) > 9 or not isinstance(entry, dict):
            raise CheckpointError(
                where, "holds an entry that is not an added token", field="added_tokens_decoder"
            )
        tokens.append(_read(where, {**entry, "id": int(number)}))
    return tokens


def _from_older_file(path: Path, settings: Json) -> list[AddedToken]:
    """Return the tokens of added_tokens.json, text → id, which newer folders do not have."""
    name = "added_tokens.json"
    entries = read_folder_json(path.parent, name, ADDED_BYTES)
    if "added_tokens_decoder" in settings or entries is None:
        return []
    if not isinstance(entries, dict):
        raise CheckpointError(path.with_name(name), "is not an object")
    return [
        _read(path.with_name(name), {"id": number, "content": text})
        for text, number in entries.items()
    ]


def matching_of(added: Iterable[AddedToken]) -> TokenMatching:
    """Return which of these tokens take white space, and which are found as whole words only."""
    tokens = list(added)
    return TokenMatching(
        lstrip=frozenset(token.id for token in tokens if token.lstrip),
        rstrip=frozenset(token.id for token in tokens if token.rstrip),
        single_word=frozenset(token.id for token in tokens if token.single_word),
    )


def _read(path: Path, entry: object) -> AddedToken:
    item = entry if isinstance(entry, dict) else {}
    number, content = item.get("id"), item.get("content")
    if type(number) is not int or not isinstance(content, str) or number < 0:
        raise CheckpointError(path, "an added token has no id or no content")
    flags = [bool(item.get(key)) for key in ("special", "lstrip", "rstrip", "single_word")]
    return AddedToken(number, content, *flags)
