"""Classes of tokens, so that a loss on digits or tool calls is not hidden by prose."""

import re

CLASSES = ("words", "digits", "code", "syntax", "whitespace")

_DIGITS = re.compile(r"[\d.,%:/+-]*\d[\d.,%:/+-]*")
_SYNTAX = re.compile(r"""["'{}\[\]:,]+|</?\|?\w[^<>]*\|?>|<\||\|>""")
_IDENTIFIER = re.compile(r"\w_|_\w|[a-z][A-Z]|\w[().=]\w|[(){};=]")


def token_class(text: str) -> str:
    """Return the class of a token by its own characters.

    whitespace  no visible character; also a byte that is only a part of a character (empty text)
    digits      a number or a part of one
    syntax      the punctuation of JSON and tool calls: quotes, braces, brackets, colons, commas,
                tags and special tokens
    code        any other token without a letter, and identifiers that prose does not contain
                (snake_case, camelCase, calls, dotted names)
    words       everything else

    >>> [token_class(text) for text in (" the", "42", '":', "snake_case", "<|im_end|>", "  ")]
    ['words', 'digits', 'syntax', 'code', 'syntax', 'whitespace']
    """
    visible = text.strip()
    if not visible:
        return "whitespace"
    if _SYNTAX.fullmatch(visible):
        return "syntax"
    if _DIGITS.fullmatch(visible):
        return "digits"
    if not any(character.isalpha() for character in visible):
        return "code"
    return "code" if _IDENTIFIER.search(visible) else "words"
