"""llama.cpp's rules (2026-10) for tokens by their texts, and for files by the names of models.

GGUF has no keys for these facts. A file gives the same tokens in both programs only if both have
the same rules.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

STOP_TEXTS = frozenset(
    """<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn>
    <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance>
    <eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~[ <|fim_pad|> <fim-pad> <fim_pad> <PAD>
    [PAD] <|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame> <|file_sep|>""".split()
)
"""Tokens that end a turn or a text whatever the keys say."""

CONTROL_TEXTS = STOP_TEXTS | frozenset(
    """<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|>
    <|prefix|> <|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|>
    <|suffix|> <|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|>
    <|middle|>""".split()
)
"""Tokens that are control tokens even where the file calls them text."""

ALWAYS_TEXT = frozenset("<|channel|> <|message|> <|start|> <|constrain|>".split())
"""Tokens of gpt-oss that are shown, and found in any text, whatever the file calls them."""

SHOWN_TEXTS = frozenset(
    """<|channel> <channel|> <|tool_call> <tool_call|> <|tool_response> <tool_response|>
    <|"|>""".split()
)
"""Special tokens of Gemma 4 that files call text, so that they are shown."""

_LOOKS_SPECIAL = frozenset("<pad> <mask> <2mass> [@BOS@]".split())
_MASK_FIRST = ("jina-v2-de", "jina-v2-es", "jina-v2-code")
_MASK_FIRST_FAMILIES = ("nomic-bert-moe", "jina-bert-v3")
_RSTRIP_NAMES = ("phi-3", "phi3")  # parts of general.name
_KEEPS_SPACE = frozenset(("<unk>", "<s>", "<|endoftext|>"))
ASCII_SPACE = " \t\n\v\f\r"
UNICODE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def ordinary_in(texts: Collection[str]) -> frozenset[str]:
    """Return which of STOP_TEXTS end nothing in a vocabulary with these texts.

    <|end|> where calls have an end of their own (gpt-oss, Solar), </s> beside Gemma 4's tokens.
    """
    ordinary = set()
    calls = "<|call|>" in texts or "<|calls|>" in texts
    if calls and ("<|return|>" in texts or "<|flush|>" in texts):
        ordinary.add("<|end|>")
    if has_ranked_pieces(texts):
        ordinary.add("</s>")
    return frozenset(ordinary)


def has_ranked_pieces(texts: Collection[str]) -> bool:
    """Return whether a folder's pieces are merged by rank in a file: those of Gemma 4."""
    return "<|tool_response>" in texts


def looks_special(text: str) -> bool:
    """Return whether gguf-py writes an added token as a control token although it is not special.

    >>> looks_special("<|fim_prefix|>"), looks_special("<unused7>"), looks_special("<tool_call>")
    (True, True, False)
    """
    if text in _LOOKS_SPECIAL:
        return True
    ends = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
    return any(text.startswith(first) and text.endswith(last) for first, last in ends)


@dataclass(frozen=True)
class TokenMatching:
    """How special tokens are found in a text, apart from their own characters; sets of ids."""

    lstrip: frozenset[int] = frozenset()  # the token absorbs the white space before it
    rstrip: frozenset[int] = frozenset()  # the token absorbs the white space after it
    single_word: frozenset[int] = frozenset()  # the token is not matched within a word
    space: str = UNICODE_SPACE  # the characters that count as white space

    def same_ids(self, other: "TokenMatching") -> bool:
        """Return whether both treat the same tokens in the same way."""
        ours, theirs = (
            (m.lstrip, m.rstrip, m.single_word) for m in (self, other)
        )  # which characters are white space is not compared: text has ASCII's around tokens
        return ours == theirs


def matching_by_name(
    metadata: Mapping[str, object], tokens: Sequence[str], special: Iterable[int]
) -> TokenMatching:
    """Return llama.cpp's white-space rules for a file; `special` are the ids it looks for in text.

    Phi 3 (by `general.name`): every special token but three takes the white space behind it. Jina's
    models and ModernBERT: the mask takes the white space in front of it. The name may also have a
    space, "Phi 3 Mini", as llama.cpp's converter writes it and its tokenizer does not expect it.
    """
    name = str(metadata.get("general.name", "")).lower().replace(" ", "-")
    pre = str(metadata.get("tokenizer.ggml.pre", ""))
    family = str(metadata.get("general.architecture", ""))
    if any(part in pre for part in _MASK_FIRST) or any(
        part in family for part in _MASK_FIRST_FAMILIES
    ):
        masks = frozenset(i for i in special if tokens[i] == "<mask>")
        return TokenMatching(lstrip=masks, space=ASCII_SPACE)
    if any(part in name for part in _RSTRIP_NAMES):
        taking = frozenset(i for i in special if tokens[i] not in _KEEPS_SPACE)
        return TokenMatching(rstrip=taking, space=ASCII_SPACE)
    if "modern-bert" in name:
        masks = frozenset(i for i in special if tokens[i] == "[MASK]")
        return TokenMatching(lstrip=masks, space=ASCII_SPACE)
    return TokenMatching(space=ASCII_SPACE)
