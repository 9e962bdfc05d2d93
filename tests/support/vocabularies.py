"""Tiny vocabularies in files: just enough keys for a tokenizer."""

from pathlib import Path

import numpy as np

from zeropoint.checkpoints import (
    Checkpoint,
    NewTensor,
    StringArray,
    create_checkpoint,
    open_checkpoint,
)
from zeropoint.formats import FORMATS
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer

AWKWARD = [
    "", " ", "   ", "\n", "\n\n", " \n ", "\t\t", "a", " a  b   c ", "Hello, World! They'll DON'T",
    "def f(x):\n    return x ** 2\n", "1234567 89", "日本語、漢字", "한국어", "Привет", "مرحبا",
    "🙂👩‍👩‍👧", "e\u0301 ﬁ Ⅷ ½", "\u00a0\u200b\ufeff\u0085\u2028", "<|a|> [user] </s>", "▁ a▁b",
    "\x00\x7f", "x" * 70, "!" * 40, " " * 70 + "y", "{\"k\": [1, 2.5e-10]}", "a\rb\r\nc",
]  # fmt: skip

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def checkpoint_with(path: Path, **keys: object) -> Checkpoint:
    """A GGUF file with one number and these `tokenizer.ggml.*` keys ("chat_template" apart)."""
    metadata: dict[str, object] = {"general.architecture": "none"}
    for name, value in keys.items():
        place = "tokenizer." if name == "chat_template" else "tokenizer.ggml."
        metadata[place + name] = value
    with create_checkpoint(path, [NewTensor("x", (1,), FORMATS["F32"])], metadata) as writer:
        writer.write("x", np.zeros(4, np.uint8))
    return open_checkpoint(path)


def byte_characters() -> list[str]:
    """GPT-2's printable characters for bytes, made in another way than the tokenizer does."""
    kept = [
        chr(code) for code in range(256) if chr(code).isprintable() and chr(code) not in " \xad"
    ]
    kept = [char for char in kept if char != "\xa0"]
    table, extra = [], 256
    for code in range(256):
        if chr(code) in kept:
            table.append(chr(code))
        else:
            table.append(chr(extra))
            extra += 1
    return table


def byte_pairs(path: Path, merges: list[str], pre: str = "gpt-2", **keys: object) -> Tokenizer:
    """A byte-pair vocabulary: 256 bytes, one token per merge, then `<|a|>` and `[user]`."""
    tokens = byte_characters() + ["".join(pair.split(" ")) for pair in merges]
    kinds = [NORMAL] * len(tokens) + [CONTROL, USER_DEFINED]
    tokens += ["<|a|>", "[user]"]
    facts = {
        "model": "gpt2",
        "pre": pre,
        "tokens": StringArray.of(tokens),
        "token_type": np.array(kinds, np.int32),
        "merges": StringArray.of(merges or ["a b"]),
        "bos_token_id": len(tokens) - 2,
        "eos_token_id": len(tokens) - 2,
    }
    return read_tokenizer(checkpoint_with(path, **(facts | keys)))


def pieces(path: Path, scores: dict[str, float], **keys: object) -> Tokenizer:
    """A SentencePiece vocabulary: <unk>, <s>, </s>, 256 bytes, then `scores`, then `[user]`."""
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{value:02X}>" for value in range(256)),
        *scores,
        "[user]",
    ]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(scores) + [USER_DEFINED]
    facts = {
        "model": "llama",
        "tokens": StringArray.of(tokens),
        "token_type": np.array(kinds, np.int32),
        "scores": np.array([0.0] * 259 + list(scores.values()) + [0.0], np.float32),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    return read_tokenizer(checkpoint_with(path, **(facts | keys)))
