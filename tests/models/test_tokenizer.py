"""Text to ids by rules that can be followed by hand on small vocabularies.

The four real vocabularies stand beside llama.cpp's in tests/models/test_peer.py.
"""

from pathlib import Path

import numpy as np
import pytest

from support.vocabularies import AWKWARD, byte_characters, byte_pairs, checkpoint_with, pieces
from zeropoint.checkpoints.tokenizers.pretokenizers import PRE_TOKENIZERS
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.models.tokenizer import make_splitter, read_tokenizer


def cut(pre: str, text: str) -> list[str]:
    return [piece for piece, _ in make_splitter(PRE_TOKENIZERS[pre]).pre_tokenize_str(text)]


def test_pairs_are_merged_by_rank_and_the_leftmost_of_equals_first(tmp_path: Path) -> None:
    tokenizer = byte_pairs(tmp_path / "v.gguf", ["b c", "a b", "ab c", "a a"])
    names = tokenizer.vocabulary.tokens
    assert [names[i] for i in tokenizer.encode("abc")] == ["a", "bc"]  # rank 0 before rank 1
    assert [names[i] for i in tokenizer.encode("abd")] == ["ab", "d"]
    assert [names[i] for i in tokenizer.encode("aaa")] == ["aa", "a"]


def test_bytes_without_a_merge_are_tokens_of_their_own(tmp_path: Path) -> None:
    tokenizer = byte_pairs(tmp_path / "v.gguf", [])
    assert tokenizer.encode("é ") == list("é ".encode())
    assert byte_characters()[0] == "Ā"


def test_pieces_are_merged_by_score_not_by_length(tmp_path: Path) -> None:
    scores = {"a": -9.0, "b": -9.0, "c": -9.0, "ab": -3.0, "bc": -2.0, "abc": -5.0, "▁": -9.0}
    tokenizer = pieces(tmp_path / "v.gguf", scores, add_space_prefix=False)
    names = tokenizer.vocabulary.tokens
    # bc (−2) joins before ab (−3); then a + bc is abc.
    assert [names[i] for i in tokenizer.encode("abc")] == ["abc"]
    assert [names[i] for i in tokenizer.encode("abb c")] == ["ab", "b", "▁", "c"]


def test_a_character_that_is_no_token_falls_back_to_bytes_but_may_be_joined(tmp_path: Path) -> None:
    """SentencePiece joins what stands in the vocabulary, even of parts that do not."""
    tokenizer = pieces(tmp_path / "v.gguf", {"éé": -1.0}, add_space_prefix=False)
    assert tokenizer.encode("éé") == [259]
    assert tokenizer.encode("é") == [3 + byte for byte in "é".encode()]


def test_spaces_inside_tokens_are_merged_across_words(tmp_path: Path) -> None:
    """With a token such as "a▁b", text cannot be encoded word by word."""
    scores = {"a": -9.0, "b": -9.0, "▁": -9.0, "a▁": -2.0, "a▁b": -1.0}
    tokenizer = pieces(tmp_path / "v.gguf", scores, add_space_prefix=False)
    assert [tokenizer.vocabulary.tokens[i] for i in tokenizer.encode("a b")] == ["a▁b"]


def test_a_space_prefix_stands_before_text_and_after_control_tokens(tmp_path: Path) -> None:
    scores = {"a": -9.0, "▁": -9.0, "▁a": -1.0}
    tokenizer = pieces(tmp_path / "v.gguf", scores)
    names = tokenizer.vocabulary.tokens
    assert [names[i] for i in tokenizer.encode("a")] == ["▁a"]
    assert [names[i] for i in tokenizer.encode("</s>a", special=True)] == ["</s>", "▁a"]
    assert tokenizer.decode(tokenizer.encode("a")) == "a"


@pytest.mark.parametrize("text", ["<|a|>", "x<|a|>y", "<|a|><|a|>"])
def test_plain_text_never_becomes_a_control_token(text: str, tmp_path: Path) -> None:
    tokenizer = byte_pairs(tmp_path / "v.gguf", [])
    control = tokenizer.vocabulary.ids["<|a|>"]
    assert control not in tokenizer.encode(text)
    assert tokenizer.encode(text, special=True).count(control) == text.count("<|a|>")
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_text_that_is_always_one_token_is_so_without_asking(tmp_path: Path) -> None:
    tokenizer = byte_pairs(tmp_path / "v.gguf", [])
    assert tokenizer.encode("a[user]b") == [97, tokenizer.vocabulary.ids["[user]"], 98]


def test_texts_begin_and_end_as_the_file_says(tmp_path: Path) -> None:
    control = 256
    for key, wanted in ((None, [97]), (True, [control, 97]), (False, [97])):
        keys = {} if key is None else {"add_bos_token": key}
        tokenizer = byte_pairs(tmp_path / f"{key}.gguf", [], **keys)
        assert tokenizer.encode("a", ends=True) == wanted
        assert tokenizer.encode("a") == [97]
    tokenizer = byte_pairs(tmp_path / "llama3.gguf", [], pre="llama-bpe", add_eos_token=True)
    assert tokenizer.encode("a", ends=True) == [control, 97, control]
    assert pieces(tmp_path / "spm.gguf", {"▁a": -1.0}).encode("a", ends=True) == [1, 259]


@pytest.mark.parametrize("text", AWKWARD)
def test_decoding_gives_the_text_back(text: str, tmp_path: Path) -> None:
    merges = ["h e", "l l", "Ġ Ġ", "Ġ a", "e l"]
    assert byte_pairs(tmp_path / "b.gguf", merges).decode(
        byte_pairs(tmp_path / "c.gguf", merges).encode(text)
    ) == text  # fmt: skip
    scores = {"▁": -9.0, "a": -8.0, "▁a": -1.0, "ll": -2.0}
    # A prefix is added behind "[user]" too, and cannot be told from a space then.
    for prefix in (True, False) if "[user]" not in text else (False,):
        tokenizer = pieces(tmp_path / f"{prefix}.gguf", scores, add_space_prefix=prefix)
        # A literal ▁ is what a space is written as: it comes back as one.
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("▁", " ")


def test_a_stream_holds_back_half_a_character(tmp_path: Path) -> None:
    tokenizer = byte_pairs(tmp_path / "v.gguf", [])
    stream = tokenizer.stream()
    assert [stream.push(byte) for byte in "é€".encode()] == ["", "é", "", "", "€"]
    assert stream.push("é".encode()[0]) == "" and stream.finish() == "\ufffd"


def test_tokens_that_end_turns_stop_a_generation_whatever_the_file_says(tmp_path: Path) -> None:
    tokenizer = byte_pairs(tmp_path / "v.gguf", ["a b"])
    assert tokenizer.stops == {tokenizer.vocabulary.ids["<|a|>"]}  # its EOS
    tokens = [*byte_characters(), "<|im_end|>", "<|a|>"]
    marked = checkpoint_with(
        tmp_path / "im.gguf", model="gpt2", pre="qwen2", tokens=tokens, merges=["a b"]
    )
    assert read_tokenizer(marked).stops == {256}
    assert 256 not in read_tokenizer(marked).encode("<|im_end|>")


# Behaviour of each pattern, from the descriptions of the models that use it.
@pytest.mark.parametrize(
    ("pre", "text", "wanted"),
    [
        ("gpt-2", "it's 2026", ["it", "'s", " 2026"]),
        ("gpt-2", "a  b", ["a", " ", " b"]),
        ("qwen2", "it'S 2026", ["it", "'S", " ", "2", "0", "2", "6"]),
        ("qwen2", "?\n\n", ["?\n\n"]),
        ("smollm", "?\n\n12", ["?", "\n\n", "1", "2"]),
        ("llama-bpe", "12345", ["123", "45"]),
        ("llama-bpe", "a\n\n b", ["a", "\n\n", " b"]),
        ("deepseek-coder", "12 漢字ab", ["1", "2", " ", "漢字", "ab"]),
        ("tekken", "CamelCase", ["Camel", "Case"]),
        ("default", "a+b", ["a", "+", "b"]),
    ],
)
def test_text_is_cut_as_the_vocabulary_was_trained(pre: str, text: str, wanted: list[str]) -> None:
    assert cut(pre, text) == wanted


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_every_pattern_compiles_and_loses_nothing(pre: str) -> None:
    for text in AWKWARD:
        assert "".join(cut(pre, text)) == text


@pytest.mark.parametrize(
    ("keys", "error", "says"),
    [
        ({"model": "bert"}, UnsupportedModel, "'bert'"),
        ({"model": "gpt2", "pre": "never-heard"}, UnsupportedModel, "'never-heard'"),
        ({"model": "gpt2", "pre": "gpt-2", "merges": None}, CheckpointError, "merges"),
        ({"model": "llama"}, CheckpointError, "scores"),
        ({"model": "gpt2", "tokens": 7}, CheckpointError, "tokens"),
        ({"model": "gpt2", "token_type": np.zeros(3, np.int32)}, CheckpointError, "token_type"),
    ],
)
def test_a_vocabulary_that_is_unknown_or_broken_is_one_sentence(
    keys: dict[str, object], error: type[Exception], says: str, tmp_path: Path
) -> None:
    facts = {"tokens": ["a", "b"], "pre": "gpt-2", "merges": ["a b"]} | keys
    facts = {name: value for name, value in facts.items() if value is not None}
    with pytest.raises(error, match=says) as caught:
        read_tokenizer(checkpoint_with(tmp_path / "v.gguf", **facts))
    assert "\n" not in str(caught.value)


# llama.cpp's corrections of what a file says, by the texts of its tokens.
@pytest.mark.parametrize(
    ("texts", "ends", "shown"),
    [
        (["<|end|>"], ["<|end|>"], []),
        (["<|end|>", "<|call|>"], ["<|end|>", "<|call|>"], []),
        (["<|end|>", "<|call|>", "<|return|>"], ["<|call|>", "<|return|>"], ["<|end|>"]),
        (["<|end|>", "<|calls|>", "<|flush|>"], ["<|calls|>", "<|flush|>"], ["<|end|>"]),
        (["</s>", "<|tool_response>"], ["<|tool_response>"], []),
        (["</s>", "[PAD]", "<turn|>"], ["</s>", "[PAD]", "<turn|>"], []),
        (["<|channel|>", "<|start|>"], [], ["<|channel|>", "<|start|>"]),
    ],
)
def test_tokens_end_a_generation_or_are_shown_by_their_texts(
    texts: list[str], ends: list[str], shown: list[str], tmp_path: Path
) -> None:
    tokens = [*byte_characters(), *texts]
    keys = {"model": "gpt2", "pre": "qwen2", "tokens": tokens, "merges": ["a b"]}
    tokenizer = read_tokenizer(checkpoint_with(tmp_path / "v.gguf", **keys))
    assert {tokens[index] for index in tokenizer.stops} == set(ends)
    assert tokenizer.decode(range(256, len(tokens))) == "".join(
        text for text in texts if text in shown or ("<|tool_response>" in texts and text == "</s>")
    )


# White-space rules that llama.cpp has by the name of a model, its pre-tokenizer or its family.
@pytest.mark.parametrize(
    ("keys", "chat", "wanted"),
    [
        ({"general.name": "Phi-3-mini"}, "<a> \n<b>\t x", ["<a>", "<b>", "x"]),
        ({"general.name": "Phi 3.5 mini"}, "<a> \n<b>\t x", ["<a>", "<b>", "x"]),
        ({"general.name": "my-phi3"}, "<|endoftext|> <a> x", ["<|endoftext|>", " ", "<a>", "x"]),
        ({"general.name": "phi-4"}, "<a> x", ["<a>", " ", "x"]),
        ({"general.name": "modern-bert"}, "x  [MASK] x", ["x", "[MASK]", " ", "x"]),
        ({"tokenizer.ggml.pre": "jina-v2-de"}, "x  <mask> x", ["x", "<mask>", " ", "x"]),
        ({"general.architecture": "jina-bert-v3"}, "x <mask>x", ["x", "<mask>", "x"]),
        ({}, "x  [MASK]<mask> <a> x", ["x", " ", " ", "[MASK]", "<mask>", " ", "<a>", " ", "x"]),
    ],
)
def test_special_tokens_take_white_space_by_the_name_of_the_model(
    keys: dict[str, object], chat: str, wanted: list[str], tmp_path: Path
) -> None:
    special = ["<a>", "<b>", "<|endoftext|>", "</s>", "<mask>", "[MASK]"]
    tokens = [*byte_characters(), *special]
    facts = {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "merges": ["a b"],
             "token_type": np.array([1] * 256 + [3] * len(special), np.int32)}  # fmt: skip
    checkpoint = checkpoint_with(tmp_path / "v.gguf", **facts)
    checkpoint.metadata = {**checkpoint.metadata, **keys}
    found = read_tokenizer(checkpoint).encode(chat, special=True)
    assert [tokens[index].replace("Ġ", " ") for index in found] == wanted
