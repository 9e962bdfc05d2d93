"""What kind of text a token is: so that loss on digits or tool syntax is not hidden by prose."""

import re

CLASSES = ("words", "digits", "code", "syntax", "whitespace")

_DIGITS = re.compile(r"[\d.,%:/+-]*\d[\d.,%:/+-]*")
_SYNTAX = re.compile(r"""["'{}\[\]:,]+|</?\|?\w[^<>]*\|?>|<\||\|>""")


def token_class(text: str) -> str:
    """Return the class of a token by its own characters.

    whitespace  nothing visible (also the empty text of a byte that is no character alone)
    digits      a number or a part of one
    syntax      what JSON and tool calls are held together by: quotes, braces, brackets, colons,
                commas, tags and special tokens
    code        any other token without a letter, and identifiers that no prose holds (snake_case,
                camelCase, calls, dotted names)
    words       the rest

    >>> [token_class(text) for text in (" the", "42", '":', "snake_case", "<|im_end|>", "  ")]
    ['words', 'digits', 'syntax', 'code', 'syntax', 'whitespace']
    """
    bare = text.strip()
    if not bare:
        return "whitespace"
    if _SYNTAX.fullmatch(bare):
        return "syntax"
    if _DIGITS.fullmatch(bare):
        return "digits"
    if not any(character.isalpha() for character in bare):
        return "code"
    if re.search(r"\w_|_\w|[a-z][A-Z]|\w[().=]\w|[(){};=]", bare):
        return "code"
    return "words"
