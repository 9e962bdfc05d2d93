"""Grammars for generated text, by the optional package llguidance.

A JSON schema or a Lark grammar becomes a mask over the vocabulary for each token. The package
needs the bytes of every token, from which it builds a trie once for each model.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import UnsupportedModel, needs_packages
from zeropoint.models import Tokenizer
from zeropoint.models.vocabulary import TokenKind


class GrammarError(UnsupportedModel):
    """A schema or grammar that cannot be compiled."""


class _VocabularyBytes:
    """The vocabulary in the form that llguidance takes."""

    def __init__(self, tokenizer: Tokenizer, eos: int) -> None:
        vocabulary = tokenizer.vocabulary
        hidden = (TokenKind.CONTROL, TokenKind.UNKNOWN, TokenKind.UNUSED)
        kinds = vocabulary.kinds.tolist()
        self.eos_token_id = eos
        self.bos_token_id = vocabulary.bos
        self.special_token_ids = [at for at, kind in enumerate(kinds) if kind in hidden]
        self.tokens = [
            vocabulary.tokens[at].encode() if kind in hidden else tokenizer.piece(at)
            for at, kind in enumerate(kinds)
        ]
        self._tokenizer = tokenizer

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenizer.encode(text.decode("utf-8", "replace"), continues=True)


class GrammarCompiler:
    """Compiles grammars for one vocabulary; its trie is built by the first one."""

    def __init__(self, tokenizer: Tokenizer, vocabulary_size: int) -> None:
        self._tokenizer = tokenizer
        self._size = vocabulary_size

    def compile(self, request: Mapping[str, Any]) -> "GrammarMask":
        """Return the mask of {"schema": …} or {"lark": …}.

        Raises GrammarError for what cannot be compiled, and MissingPackage without llguidance.
        """
        with needs_packages("a grammar"):
            from llguidance import LLMatcher
        if "schema" in request:
            try:
                grammar = LLMatcher.grammar_from_json_schema(json.dumps(request["schema"]))
            except ValueError as error:
                raise GrammarError(_first_line(error)) from None
        else:
            grammar = request["lark"]
        matcher = LLMatcher(self._vocabulary, grammar, log_level=0)
        if matcher.is_error():
            raise GrammarError(_first_line(matcher.get_error()))
        return GrammarMask(matcher, self._size)

    @cached_property
    def _vocabulary(self) -> Any:
        from llguidance import LLTokenizer, TokenizerWrapper

        stops = sorted(self._tokenizer.stops)
        if not stops:
            raise GrammarError("the file names no token that ends a text")
        eos = self._tokenizer.vocabulary.eos
        wrapped = TokenizerWrapper(
            _VocabularyBytes(self._tokenizer, stops[0] if eos is None else eos)
        )
        return LLTokenizer(wrapped, n_vocab=self._size, eos_token=stops)


class GrammarMask:
    """Where a text stands in its grammar."""

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher = matcher
        self._size = size

    def allowed(self) -> NDArray[np.bool_]:
        """Return (vocabulary,) booleans: the tokens that may come next.

        Raises GrammarError if the grammar has become too complex.
        """
        if self._matcher.is_error():
            raise GrammarError(_first_line(self._matcher.get_error()))
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        mask = np.zeros(self._size, bool)
        found = np.unpackbits(bits, bitorder="little")[: self._size]
        mask[: found.size] = found
        return mask

    def accept(self, token: int) -> None:
        """Advance by a token that was allowed."""
        self._matcher.consume_token(token)

    @property
    def complete(self) -> bool:
        """Whether nothing may follow."""
        return bool(self._matcher.is_stopped())


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "it cannot be compiled"
