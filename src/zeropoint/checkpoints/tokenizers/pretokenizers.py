"""The meaning of `tokenizer.ggml.pre`: how text is split before byte pairs are merged.

A pre-tokenizer is a list of patterns in Oniguruma's dialect, which `tokenizers` uses. Each one
splits the pieces that the one before left: its matches are pieces, and so is the text between them.
Names and meanings are llama.cpp's (2026-10). The models' authors wrote the patterns. They have the
form in which llama.cpp runs them, because a file must give the same tokens in every runtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_ANY_CASE = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_SPACES = r"\s+(?!\S)|\s+"
_LINES = r"\s*[\r\n]+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_GPT2 = rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)"
# llama.cpp has no classes for upper and lower case: a letter outside of a…z may start or continue
# an upper-case word, one outside of A…Z a lower-case word.
_UPPER, _LOWER = r"(?:(?=[\p{L}])(?:[^a-z]))", r"(?:(?=[\p{L}])(?:[^A-Z]))"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_SIGNS_PATH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_ASCII_SIGN = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
_HAN_KANA = "[一-龥぀-ゟ゠-ヿ]+"


@dataclass(frozen=True)
class PreTokenizer:
    """One way of splitting text, and its side conditions."""

    patterns: tuple[str, ...]
    whole_words: bool = False  # a piece that is a token is not merged
    begins: bool = False  # texts begin with BOS unless a key of the file disables it


def _code_range(text: str) -> str:
    r"""Write a range in Oniguruma's way.

    >>> print(_code_range("41-5A"), _code_range("B5"))
    \x{41}-\x{5A} \x{B5}
    """
    return "-".join(rf"\x{{{code}}}" for code in text.split("-"))


def _modern(digits: str, tail: str = f"{_SIGNS}|{_LINES}|{_SPACES}") -> str:
    return rf"(?:{_ANY_CASE})|{_WORD}|{digits}|{tail}"


def _cased(digits: str, suffix: str = "", upper: str = _UPPER, lower: str = _LOWER) -> str:
    words = f"{_BEFORE}{upper}*{lower}+{suffix}|{_BEFORE}{upper}+{lower}*{suffix}"
    return f"{words}|{digits}|{_SIGNS_PATH}|{_LINES}|{_SPACES}"


_LLAMA3 = (_modern(r"\p{N}{1,3}"),)
_QWEN2 = (_modern(r"\p{N}"),)
_SMOLLM = (r"\p{N}", _GPT2)
_GPT4O = (_cased(r"\p{N}{1,3}", f"(?:{_ANY_CASE})?"),)
_DEEPSEEK3 = (
    r"\p{N}{1,3}",
    _HAN_KANA,
    _ASCII_SIGN
    + r"[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    + f"|{_LINES}|{_SPACES}",
)
_DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")
_CASCADE = "|".join(rf"\s{{{n}}}(?!\S)" for n in ("512", "256", "128", "64", "32", "16", "8", "4"))
# Hexadecimal code points: several of these letters would change if this file was normalized.
_LETTERS = """
    41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386
    388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD
    1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D
    1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3
    1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128
    212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE
    2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17
    FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2
    118A0-118DF 1E900-1E943
"""
_DEEPSEEK_LETTERS = rf"\s?[{''.join(map(_code_range, _LETTERS.split()))}]+"
_DEEPSEEK_LLM = (
    "[\r\n]",
    _DEEPSEEK_LETTERS,
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    "[一-龥ࠀ-一가-퟿]+",
    r"\p{N}+",
)
_DEEPSEEK_CODER = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}")
_FALCON = (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")
_PORO = r" ?[^(\s|.,!?…。，、।۔،)]+"
_BAILING = (
    r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"
    rf"|{_WORD}|\p{{N}}|{_SIGNS}|\s*[\r\n]|{_SPACES}",
)
_SEED = (_modern(r"\p{N}", rf" ?[^\s\p{{L}}\p{{N}}\r\n]+|{_LINES}|{_SPACES}"),)
_JAIS2 = (_modern(r"\p{N}{1,3}", rf"{_SIGNS}|{_LINES}|{_CASCADE}|\s{{1,2}}(?!\S)|\s{{1}}"),)
_QWEN35 = (
    rf"(?:{_ANY_CASE})|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_LINES}|{_SPACES}",
)
_EXAONE_MOE = (
    rf"(?:{_ANY_CASE})|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+"
    rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?|\s*[\r\n]|{_SPACES}",
)
_UFAKZEKA = (rf"{_WORD}|\p{{N}}|{_SIGNS}|{_LINES}|{_SPACES}",)


def _table() -> dict[str, PreTokenizer]:
    table = {}

    def add(
        names: str, patterns: tuple[str, ...], *, whole: bool = False, begins: bool = False
    ) -> None:
        for name in names.split():
            table[name] = PreTokenizer(patterns, whole, begins)

    add("default", _DEFAULT)
    add("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
        _LLAMA3, whole=True, begins=True)  # fmt: skip
    add("dbrx smaug-bpe chatglm-bpe", _LLAMA3)
    add("glm4 glm5", _LLAMA3, whole=True)
    add("qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2", _QWEN2)
    add("gpt-2 phi-2 gigachat a.x-4.0 mellum mpt olmo jais trillion granite-docling exaone4"
        " jina-es jina-de jina-v2-es jina-v2-de", (_GPT2,))  # fmt: skip
    add("smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", _SMOLLM)
    add("deepseek-llm", _DEEPSEEK_LLM)
    add("deepseek-coder", _DEEPSEEK_CODER)
    add("deepseek-v3 hunyuan-dense joyai-llm hy_v4", _DEEPSEEK3)
    add("falcon", _FALCON)
    add("tekken", (_cased(r"\p{N}"),), whole=True, begins=True)
    add("gpt-4o llama4 kanana2 talkie minimax-m2", _GPT4O)
    add("bailingmoe bailingmoe2 llada-moe", _BAILING)
    add("seed-coder", _SEED)
    add("jais-2", _JAIS2)
    add("poro-chat bloom gpt3-finnish", (_PORO,))
    add("qwen35", _QWEN35)
    add("exaone-moe", _EXAONE_MOE)
    add("ufakzeka", _UFAKZEKA)
    add("laguna", (r"[^\n]+|[\n]+", *_QWEN2))
    add("minicpm5", (r"\p{N}{1,3}", _modern(r"\p{N}+")), whole=True)
    add("viking", (_PORO, r"\p{N}"))
    return table


PRE_TOKENIZERS: Mapping[str, PreTokenizer] = _table()


def _authors() -> dict[str, str]:
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    ending = f"(?i:{_CONTRACTIONS})?"
    return {
        _cased(r"\p{N}"): _cased(r"\p{N}", upper=upper, lower=lower),
        _GPT4O[0]: _cased(r"\p{N}{1,3}", ending, upper, lower),
    }


AUTHORS_PATTERNS: Mapping[str, str] = _authors()
"""A pattern of the table → that of the model's authors, where llama.cpp's form is only nearly it.

Where the authors have classes for upper and lower case and for combining marks, llama.cpp has ASCII
letters and no marks: words of other scripts are cut differently.
"""


def _spellings() -> dict[str, str]:
    letters = "".join(
        "-".join(chr(int(code, 16)) for code in part.split("-")) for part in _LETTERS.split()
    )
    return {
        **{theirs: ours for ours, theirs in AUTHORS_PATTERNS.items()},
        rf"{_GPT2}|\s+": _GPT2,
        rf"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{{L}}\p{{N}}]?+\p{{L}}+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]++[\r\n]*|\s*[\r\n]|{_SPACES}": _BAILING[0],
        _modern(r"\p{N}{1}", rf" ?[^\s\p{{L}}\p{{N}}\r\n]+|{_LINES}|{_SPACES}"): _SEED[0],
        rf"\s?[{letters}]+": _DEEPSEEK_LETTERS,
    }


SPELLINGS: Mapping[str, str] = _spellings()
"""A pattern as a folder's tokenizer.json spells it → how the table above does."""


def plain_spelling(pattern: str) -> str:
    """Return a folder's pattern as the table spells it, or the pattern itself."""
    pattern = SPELLINGS.get(pattern, pattern)
    for group in (f"(?i:{_CONTRACTIONS})", "(?i:'s|'t|'re|'ve|'m|'d|'ll)"):
        pattern = pattern.replace(group, f"(?:{_ANY_CASE})")
    return SPELLINGS.get(pattern, pattern)


def authors_form(pre: PreTokenizer) -> PreTokenizer:
    """Return a pre-tokenizer with the patterns of the model's authors (see AUTHORS_PATTERNS)."""
    patterns = tuple(AUTHORS_PATTERNS.get(pattern, pattern) for pattern in pre.patterns)
    return replace(pre, patterns=patterns)


def stated_pre_tokenizer(metadata: Mapping[str, object]) -> str | None:
    """Return the value of `tokenizer.ggml.pre`; None if the key is missing or empty."""
    value = metadata.get("tokenizer.ggml.pre")
    return None if value is None or (isinstance(value, str) and not value) else str(value)
