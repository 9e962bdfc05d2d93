"""Converts text to token ids and back with the vocabulary of the file; the ids are llama.cpp's.

A file that was made from a Hugging Face folder may hold more than GGUF has keys for
(`zeropoint.tokenizer`). Then the ids are those of the folder, which the model was trained with.
Plain text never becomes a control token; chat text (`special=True`) does. Decoding works on bytes:
a token may be part of a character, which is held back until it is complete.
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.merging import BYTE_PAIRS, RANKED_PIECES, SENTENCEPIECE, Priority, merge
from zeropoint.checkpoints.tokenizers.pretokenizers import (
    PRE_TOKENIZERS,
    PreTokenizer,
    authors_form,
)
from zeropoint.errors import CheckpointError, UnsupportedModel, needs_packages
from zeropoint.models.literal_text import restore
from zeropoint.models.partition import Partition
from zeropoint.models.vocabulary import SEARCHED, TokenKind, Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer as Splitter

_CACHED_PIECES = 1 << 16
_SPACE = "▁"  # SentencePiece's character for a space
_LINES = re.compile(r"[^\n]+|\n+")


class Tokenizer:
    """Encodes and decodes text with one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, source: str = "this file") -> None:
        self.vocabulary = vocabulary
        self._source = source
        self._ids = vocabulary.ids
        self._cache: dict[str, list[int]] = {}
        if vocabulary.model == BYTE_PAIRS:
            self._begin_bytes()
        elif vocabulary.model == RANKED_PIECES:
            self._begin_ranked_pieces()
        else:
            self._begin_pieces()
        self._special = Partition(vocabulary, SEARCHED)
        self._user_defined = Partition(vocabulary, (TokenKind.USER_DEFINED,))

    @property
    def adds_bos(self) -> bool:
        """Return whether texts begin with BOS."""
        always = self.vocabulary.model == RANKED_PIECES  # as llama.cpp, whatever the file says
        said = True if always else self.vocabulary.add_bos
        return (self._begins if said is None else said) and self.vocabulary.bos is not None

    @property
    def adds_eos(self) -> bool:
        """Return whether whole texts end with EOS."""
        return self.vocabulary.add_eos and self.vocabulary.eos is not None

    @property
    def stops(self) -> frozenset[int]:
        """The tokens that end a generation."""
        return self.vocabulary.stops

    def encode(
        self,
        text: str,
        *,
        special: bool = False,
        ends: bool = False,
        literals: Mapping[str, str] | None = None,
        continues: bool = False,
    ) -> list[int]:
        """Return the token ids of `text`.

        With `special`, control tokens in the text are parsed ("<|im_start|>" is one token); chat
        templates need that, and other text must not have it. With `ends`, BOS and EOS are added if
        the file says so. `literals` are marks in the text and the ordinary text that each stands
        for, whatever it looks like (see `ControlTexts`). A text that `continues` another one gets
        no space in front.
        """
        text = text.encode("utf-8", "replace").decode()  # replaces lone surrogates
        ids = [self.vocabulary.bos] if ends and self.adds_bos else []
        after_special = first = not continues
        for part in (self._special if special else self._user_defined).cut(text):
            if isinstance(part, int):
                ids.append(part)
            else:
                if literals:
                    part = restore(part, literals)
                ids += self._encode_part(part, after_special, first)
            after_special, first = isinstance(part, int), False
        if ends and self.adds_eos:
            ids.append(self.vocabulary.eos)
        return ids  # type: ignore[return-value]  # bos and eos are not None where they are added

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Return the text of `ids`; control tokens are shown if `special` is true.

        Bytes that are not valid UTF-8 become U+FFFD.
        """
        data = b"".join(self.piece(index, special=special) for index in ids)
        if self._prefixed and data.startswith(b" "):
            data = data[1:]
        return data.decode("utf-8", "replace")

    def piece(self, index: int, *, special: bool = False) -> bytes:
        """Return the bytes that one token stands for."""
        if not 0 <= index < len(self.vocabulary):
            raise ValueError(
                f"token id {index} is outside the vocabulary of {len(self.vocabulary)}"
            )
        text, kind = self.vocabulary.tokens[index], self.vocabulary.kinds[index]
        if kind in (TokenKind.CONTROL, TokenKind.UNKNOWN):
            return text.encode() if special else b""
        if kind == TokenKind.USER_DEFINED:
            return text.encode()
        if kind == TokenKind.BYTE:
            return bytes([int(text[3:5], 16)])
        if kind != TokenKind.NORMAL:
            return b""
        if self.vocabulary.model == BYTE_PAIRS:
            return b"".join(self._byte_of.get(c, c.encode()) for c in text)
        return text.replace(_SPACE, " ").encode()

    def stream(self, *, special: bool = False) -> "TextStream":
        """Return a decoder that takes tokens one by one."""
        return TextStream(self, special)

    # Byte pairs: merges by rank, over bytes written as printable characters.

    def _begin_bytes(self) -> None:
        vocabulary = self.vocabulary
        pre = PRE_TOKENIZERS.get(vocabulary.pre)
        if pre is None:
            raise UnsupportedModel(
                f"{self._source}: pre-tokenizer {vocabulary.pre!r} is not supported; "
                f"supported: {', '.join(sorted(PRE_TOKENIZERS))}"
            )
        self._pre = authors_form(pre) if vocabulary.authors_pattern else pre
        self._prefixed = False
        self._begins = pre.begins
        self._ranks = self._read_ranks()
        self._char_of = _byte_characters()
        self._byte_of = {char: bytes([value]) for value, char in enumerate(self._char_of)}

    @cached_property
    def _splitter(self) -> "Splitter":
        return make_splitter(self._pre)

    def _encode_bytes(self, text: str) -> list[int]:
        ids: list[int] = []
        for piece, _ in self._splitter.pre_tokenize_str(text):
            cached = self._cache.get(piece)
            ids += self._remember(piece, self._merge_bytes(piece)) if cached is None else cached
        return ids

    def _merge_bytes(self, piece: str) -> list[int]:
        word = "".join(self._char_of[value] for value in piece.encode())
        if self._pre.whole_words and word in self._ids:
            return [self._ids[word]]
        ranks = self._ranks
        ids: list[int] = []
        for text in merge(list(word), lambda left, right: ranks.get(f"{left} {right}")):
            token = self._ids.get(text)
            if token is not None:
                ids.append(token)
            else:  # a merge that is no token: its bytes, as far as they are tokens
                ids += [self._ids[char] for char in text if char in self._ids]
        return ids

    def _read_ranks(self) -> dict[str, int]:
        """Return the rank of each pair "left right"; of equal pairs the first one's."""
        if self.vocabulary.merges is None:
            raise CheckpointError(
                self._source, "this key is missing", field="tokenizer.ggml.merges"
            )
        merges = list(self.vocabulary.merges)
        return dict(zip(reversed(merges), range(len(merges) - 1, -1, -1), strict=True))

    # Pieces, in which "▁" stands for a space: merges by score, or by rank within a line.

    def _begin_pieces(self) -> None:
        vocabulary = self.vocabulary
        if vocabulary.scores is None:
            raise CheckpointError(
                self._source, "this key is missing", field="tokenizer.ggml.scores"
            )
        self._prefixed = vocabulary.add_space_prefix is not False
        self._begins = True
        self._fallback = [self._byte_token(value) for value in range(256)]
        # If no token has a space after another character, words can be encoded one by one.
        joined = np.flatnonzero(
            np.isin(vocabulary.kinds, (TokenKind.NORMAL, TokenKind.UNUSED))
        ).tolist()
        self._cuttable = not any(
            _SPACE in vocabulary.tokens[index].lstrip(_SPACE) for index in joined
        )
        known, scores = self._ids, vocabulary.scores.tolist()

        def priority(left: str, right: str) -> float | None:
            index = known.get(left + right)
            return None if index is None else -scores[index]

        self._priority: Priority = priority

    def _begin_ranked_pieces(self) -> None:
        self._prefixed = False
        self._begins = True
        ranks = self._read_ranks()
        self._fallback = [self._ids.get(f"<0x{value:02X}>") for value in range(256)]
        self._cuttable = not any(_SPACE in pair.replace(" ", "").lstrip(_SPACE) for pair in ranks)
        self._priority = lambda left, right: ranks.get(f"{left} {right}")

    def _byte_token(self, value: int) -> int | None:
        token = self._ids.get(f"<0x{value:02X}>", self._ids.get(chr(value)))
        return self.vocabulary.unknown if token is None else token

    def _encode_pieces(self, text: str) -> list[int]:
        text = text.replace(" ", _SPACE)
        if self.vocabulary.model == SENTENCEPIECE:
            return self._encode_line(text)
        ids: list[int] = []
        for line in _LINES.findall(text):
            breaks = self._ids.get(line) if line[0] == "\n" else None
            ids += self._encode_line(line) if breaks is None else [breaks]
        return ids

    def _encode_line(self, text: str) -> list[int]:
        if not self._cuttable:
            return self._merge_pieces(text)
        ids: list[int] = []
        for piece in _cut_before_spaces(text):
            cached = self._cache.get(piece)
            ids += self._remember(piece, self._merge_pieces(piece)) if cached is None else cached
        return ids

    def _merge_pieces(self, piece: str) -> list[int]:
        ids: list[int] = []
        for text in merge(list(piece), self._priority):
            index = self._ids.get(text)
            if index is not None:
                ids.append(index)
                continue
            fallbacks = [self._fallback[value] for value in text.encode()]
            ids += [token for token in fallbacks if token is not None]
        return ids

    # Both kinds.

    def _encode_part(self, text: str, after_special: bool, first: bool) -> list[int]:
        """Encode text between special tokens; `first`: it begins the whole text."""
        if self.vocabulary.composes:
            text = normalize("NFC", text)
        if self.vocabulary.model == BYTE_PAIRS:
            return self._encode_bytes(text)
        match self.vocabulary.space_prefix:
            case None:
                spaced = self._prefixed and after_special
            case "first":
                spaced = first and not text.startswith((" ", _SPACE))
            case _:
                spaced = not text.startswith((" ", _SPACE))
        return self._encode_pieces(" " + text if spaced else text)

    def _remember(self, piece: str, ids: list[int]) -> list[int]:
        if len(self._cache) < _CACHED_PIECES:
            self._cache[piece] = ids
        return ids


class TextStream:
    """Decodes tokens one by one; incomplete characters wait for their last byte."""

    def __init__(self, tokenizer: Tokenizer, special: bool) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def push(self, index: int) -> str:
        """Return the text that this token completes: often empty, never half a character."""
        return self._decoder.decode(self._tokenizer.piece(index, special=self._special))

    def finish(self) -> str:
        """Return an incomplete character at the end, as U+FFFD, or an empty string."""
        return self._decoder.decode(b"", final=True)


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Return the tokenizer of a file. Raises CheckpointError or UnsupportedModel."""
    return Tokenizer(read_vocabulary(checkpoint), str(checkpoint.path))


def make_splitter(pre: PreTokenizer) -> "Splitter":
    """Return the `tokenizers` object that cuts text by these patterns.

    Raises MissingPackage without `tokenizers`.
    """
    with needs_packages("reading text"):
        from tokenizers import Regex
        from tokenizers.pre_tokenizers import Sequence, Split

    return Sequence([Split(Regex(pattern), "isolated") for pattern in pre.patterns])


def _byte_characters() -> list[str]:
    """Return the printable character that stands for each byte (GPT-2's encoder, 2019).

    >>> _byte_characters()[ord("a")], _byte_characters()[ord(" ")], _byte_characters()[10]
    ('a', 'Ġ', 'Ċ')
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(value if value in printable else next(others)) for value in range(256)]


def _cut_before_spaces(text: str) -> list[str]:
    """Cut before each run of "▁".

    >>> _cut_before_spaces("a▁b▁▁c")
    ['a', '▁b', '▁▁c']
    """
    pieces: list[str] = []
    start = 0
    for index in range(1, len(text)):
        if text[index] == _SPACE and text[index - 1] != _SPACE:
            pieces.append(text[start:index])
            start = index
    pieces.append(text[start:])
    return pieces
