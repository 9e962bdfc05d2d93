"""Modules of pages that compute without a browser: unpacking data, and the words that differ."""

import base64
import gzip
import zlib

import pytest

from support.javascript import run_in_node

UNPACK = """(modules, packed) => packed.map((text) =>
  Buffer.from(modules.gunzip(new Uint8Array(Buffer.from(text, "base64")))).toString("base64"))"""
DIFFER = "(modules, pairs) => pairs.map(([a, b]) => modules.wordDifferences(a, b))"
TEXTS = {
    "empty": b"",
    "one byte": b"a",
    "long repetitions": b"abcabcabc" * 9000,
    "hardly compressible": bytes((i * 7919 + (i >> 3) * 31) % 251 for i in range(70_000)),
    "every byte": bytes(range(256)) * 3,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_data_of_a_page_is_unpacked_to_the_same_bytes(text: bytes) -> None:
    """Stored, fixed and dynamic blocks: levels 0, 1 and 9, and a strategy without tables."""
    plain = zlib.compressobj(9, zlib.DEFLATED, 31, strategy=zlib.Z_FIXED)
    packed = [gzip.compress(text, level, mtime=0) for level in (0, 1, 9)]
    packed.append(plain.compress(text) + plain.flush())
    given = [base64.b64encode(data).decode() for data in packed]
    found = run_in_node(["lib/gunzip.js"], UNPACK, given)
    assert [base64.b64decode(one) for one in found] == [text] * len(packed)


def test_words_that_differ_are_marked_in_both_texts() -> None:
    pairs = [
        ("the rain in spain", "the rain in spain"),
        ("Paris is big", "Paris is very big"),
        ("a b c d", "a x y d"),
        ("", "all of it"),
    ]
    found = run_in_node(["lib/word_diff.js"], DIFFER, pairs)
    marked = [[[text for text, differs in side if differs] for side in pair] for pair in found]
    assert marked == [[[], []], [[], ["very"]], [["b c"], ["x y"]], [[], ["all of it"]]]
    for pair, (first, second) in zip(found, pairs, strict=True):
        assert ["".join(text for text, _ in side) for side in pair] == [first, second]
