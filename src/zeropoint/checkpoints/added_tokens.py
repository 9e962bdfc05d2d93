"""The added tokens of a Hugging Face folder: whole texts that are found before text is cut."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.checkpoints.token_rules import Matching, looks_special
from zeropoint.errors import CheckpointError

Json = Mapping[str, object]


@dataclass(frozen=True)
class AddedToken:
    """An entry of `added_tokens`.

    `normalized` is not kept: llama.cpp finds these tokens in the text as it is, and so do we.
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
    that only tokenizer_config.json (`settings`) names. Raises CheckpointError for a damaged one.
    """
    listed = data.get("added_tokens")
    found = [_read(path, entry) for entry in listed] if isinstance(listed, list) else []
    known = {token.id for token in found} | {token.content for token in found}
    more = settings.get("added_tokens_decoder")
    where = path.with_name("tokenizer_config.json")
    for number, entry in more.items() if isinstance(more, dict) else ():
        if not number.isdecimal() or len(number) > 9 or not isinstance(entry, dict):
            raise CheckpointError(where, "holds no added token", field="added_tokens_decoder")
        token = _read(where, {**entry, "id": int(number)})
        if not known & {token.id, token.content}:
            found.append(token)
    return sorted(found, key=lambda token: token.id)


def matching_of(added: Iterable[AddedToken]) -> Matching:
    """Return which of these tokens take white space, and which are found as whole words only."""
    tokens = list(added)
    return Matching(
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
