"""The built-in corpora: their size, their sources, and that no part has text of another."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from zeropoint.calibration import corpus
from zeropoint.calibration.corpus import KINDS, PARTS, builtin_corpus
from zeropoint.calibration.dialogues import plain_text

FOLDER = Path(corpus.__file__).with_name("corpora")
MIN_TOKENS = {"calibrate": 32 << 10, "select": 16 << 10, "evaluate": 16 << 10}  # of Qwen2.5
DOCUMENT_TOKENS = 8 << 10
SHARED_WORDS = 13  # words in a row that no two parts have in common
SHARED_IDEOGRAPHS = 26  # the same for Chinese and Japanese, which have no spaces
TABLE = [line.split("\t") for line in (FOLDER / "sources.tsv").read_text().splitlines()]


def rows(kind: str, part: str) -> list[dict[str, str]]:
    """The excerpts of one file, in their order."""
    table = [dict(zip(TABLE[0], row, strict=True)) for row in TABLE[1:]]
    return [row for row in table if (row["kind"], row["part"]) == (kind, part)]


def stored(kind: str, part: str) -> str:
    name = f"{kind}-{part}.jsonl.xz" if kind == "dialogue" else f"{kind}-{part}.txt.xz"
    return corpus._unpack(name)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_three_parts_of_enough_tokens(kind: str, part: str) -> None:
    tokens = [int(row["tokens"]) for row in rows(kind, part)]
    assert sum(tokens) >= MIN_TOKENS[part]
    if kind == "long":
        assert len(tokens) == 4 and min(tokens) >= 1.5 * DOCUMENT_TOKENS


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_excerpt_is_the_one_whose_source_is_listed(kind: str, part: str) -> None:
    text, at = stored(kind, part), 0
    separator = {"dialogue": 1, "long": 1}.get(kind, 2)
    for row in rows(kind, part):
        excerpt = text[at : at + int(row["characters"])]
        assert hashlib.sha256(excerpt.encode()).hexdigest() == row["sha256"], row
        at += len(excerpt) + separator
    assert at == len(text) + separator


def test_every_licence_is_in_the_notices() -> None:
    notices = (FOLDER / "LICENSES.md").read_text()
    for licence in {row[TABLE[0].index("licence")] for row in TABLE[1:]}:
        assert f"\n## {licence}\n" in notices
    for package in {row[TABLE[0].index("package")] for row in TABLE[1:]} - {"zeropoint"}:
        assert f"`{package}`" in notices


def sequences(text: str) -> Iterator[int]:
    words = re.findall(r"\w+", text.lower())
    signs = re.findall(r"[぀-ヿ㐀-䶿一-鿿豈-﫿]", text)
    for items, length in ((words, SHARED_WORDS), (signs, SHARED_IDEOGRAPHS)):
        for at in range(len(items) - length + 1):
            yield hash(tuple(items[at : at + length]))


def test_no_part_has_a_sequence_of_words_of_another() -> None:
    """Over all kinds together; the bound is 0 sequences."""
    found = {
        part: {
            value
            for text in builtin_corpus(part, KINDS).domains.values()
            for piece in text.split("\n\n")
            for value in sequences(piece)
        }
        for part in PARTS
    }
    for one, other in combinations(PARTS, 2):
        assert len(found[one] & found[other]) == 0, (one, other)


@pytest.mark.parametrize("part", PARTS)
def test_eight_scripts_have_a_share_of_the_languages(part: str) -> None:
    letters = Counter(
        unicodedata.name(c, "?").split()[0]
        for c in builtin_corpus(part, ["languages"]).domains["languages"]
        if c.isalpha()
    )
    scripts = "CYRILLIC GREEK ARABIC DEVANAGARI TAMIL CJK HIRAGANA HANGUL".split()
    for script in scripts:
        assert letters[script] > 0.02 * letters.total(), (script, letters.most_common(12))
    assert letters["LATIN"] < 0.15 * letters.total()


@pytest.mark.parametrize("part", PARTS)
def test_dialogues_call_tools_that_they_define_and_get_results(part: str) -> None:
    dialogues = builtin_corpus(part, ["dialogue"]).dialogues["dialogue"]
    called = 0
    for dialogue in dialogues:
        names = {tool["function"]["name"] for tool in dialogue.tools}
        assert [m["role"] for m in dialogue.messages][-1] == "assistant"
        for message, result in zip(dialogue.messages, dialogue.messages[1:], strict=False):
            for call in message.get("tool_calls", ()):
                assert call["function"]["name"] in names
                assert (result["role"], result["tool_call_id"]) == ("tool", call["id"])
                called += 1
    assert called >= 15
    assert plain_text(dialogues[0]).startswith(("System: ", "User: "))


def test_the_corpora_are_the_same_with_every_version_of_python() -> None:
    hashes = {part: builtin_corpus(part, KINDS).hash[:16] for part in PARTS}
    assert hashes == {
        "calibrate": "586c640b353edcf0",
        "select": "5f62b98e45b27852",
        "evaluate": "cd73c984d744422f",
    }
