"""GGUF files whose bytes are in order and whose keys cannot be true of their tensors."""

import struct
from collections.abc import Iterator, Mapping

from support.malformed.build import (
    AT,
    Case,
    Part,
    array,
    file_case,
    head,
    key,
    padded,
    tensor,
    text,
    u32,
    u64,
)

TEXT, ARRAY, FLOAT, NUMBER, INT32, UINT64 = 8, 9, 6, 4, 5, 10
COLUMNS, TOKENS, LAYERS = 8, 3, 2
Value = tuple[int, bytes]


def number(value: int) -> Value:
    return NUMBER, u32(value)


def real(value: float) -> Value:
    return FLOAT, struct.pack("<f", value)


def words(*values: str) -> Value:
    return ARRAY, array(TEXT, len(values), b"".join(map(text, values)))


def numbers(kind: int, *values: float) -> Value:
    return ARRAY, array(
        kind, len(values), struct.pack(f"<{len(values)}{'fi'[kind == INT32]}", *values)
    )


SOUND: Mapping[str, Value] = {
    "general.architecture": (TEXT, text("llama")),
    "llama.block_count": number(LAYERS),
    "llama.context_length": number(16),
    "llama.embedding_length": number(COLUMNS),
    "llama.attention.head_count": number(4),
    "llama.attention.head_count_kv": number(2),
    "llama.attention.layer_norm_rms_epsilon": real(1e-6),
    "llama.rope.freq_base": real(10000),
    "tokenizer.ggml.model": (TEXT, text("llama")),
    "tokenizer.ggml.tokens": words("<unk>", "a", "<0x0A>"),
    "tokenizer.ggml.scores": numbers(FLOAT, 0, -1, 0),
    "tokenizer.ggml.token_type": numbers(INT32, 2, 1, 6),
}
NAMES = ("token_embd.weight", "blk.0.attn_norm.weight", "blk.1.attn_norm.weight")


def model(changes: Mapping[str, Value | None], names: tuple[str, ...] = NAMES) -> tuple[Part, ...]:
    """Return a model's file with other keys, the mark before the last of them; None: no key."""
    keys = {name: value for name, value in {**SOUND, **changes}.items() if value}
    parts: list[Part] = [head(len(names), len(keys))]
    last = list(changes)[-1] if changes else None
    for name, (kind, value) in keys.items():
        parts += [AT] * (name == last) + [key(name, kind, value)]
    size = 4 * COLUMNS * TOKENS
    table = b"".join(tensor(name, (COLUMNS, TOKENS), 0, size * i) for i, name in enumerate(names))
    header = b"".join(part for part in parts if isinstance(part, bytes)) + table
    return (*parts, table, padded(header)[len(header) :], bytes(size * len(names)))


def meaning_cases() -> Iterator[Case]:
    def case(name: str, says: str, last: str, value: Value, **others: Value | None) -> Case:
        full = last if last.startswith("tokenizer.") else f"llama.{last}"
        before = {f"llama.{other.replace('__', '.')}": given for other, given in others.items()}
        return file_case(name, says, *model({**before, full: value}))

    for count, says in (
        (0, "at least 1"), (1, "tensors of layer 1"), (3, "layer 2 has no tensors"),
        (513, "layer 2 has no tensors"), (2**32 - 1, "layer 2 has no tensors"),
    ):  # fmt: skip
        yield case(f"{count} blocks", says, "block_count", number(count))
    gap = (*NAMES[:2], "blk.2.attn_norm.weight")
    yield file_case(
        "a block that is not there", "layer 1 has no", *model({"llama.block_count": number(3)}, gap)
    )
    far = (*NAMES[:2], "blk.99999999999999999999.attn_norm.weight")
    yield file_case(
        "a block far away", "layer 99999999", *model({"llama.block_count": number(2)}, far)
    )
    yield case("blocks in words", "the text 'two'", "block_count", (TEXT, text("two")))
    yield case("half a block", "not a whole number", "block_count", real(1.5))
    yield case("true blocks", "not a whole number", "block_count", (7, b"\1"))
    heads, shared = "attention.head_count", "attention.head_count_kv"
    yield case("no heads", "at least 1", heads, number(0))
    yield case("heads that do not divide the width", "divide the width", heads, number(3))
    yield case("2^32 - 1 heads", "divide the width", heads, number(2**32 - 1))
    yield case("heads of too few layers", "there are 2 layers", heads, numbers(INT32, 4))
    yield case("minus one head", "at least 1", heads, (INT32, u32(-1)))
    yield case("no key-value heads", "at least 1", shared, number(0))
    yield case("key-value heads that do not divide", "divide 4", shared, number(3))
    yield case("more key-value heads than heads", "divide 4", shared, number(8))
    yield case("key-value heads that differ", "divide 4", shared, numbers(INT32, 2, 3))
    yield case("keys of no size", "at least 1", "attention.key_length", number(0))
    yield case("keys of 2^63", "at most", "attention.key_length", (UINT64, u64(2**63)))
    yield case("a width of 0", "at least 1", "embedding_length", number(0))
    yield case("another width", "has rows of 8", "embedding_length", number(16))
    yield case("no context", "at least 1", "context_length", number(0))
    epsilon = "attention.layer_norm_rms_epsilon"
    for value in (float("nan"), float("inf"), -1e-6):
        yield case(f"epsilon {value}", "must be finite", epsilon, real(value))
    yield case("epsilon in words", "not a number", epsilon, (TEXT, text("1e-6")))
    for value in (0.0, -1.0, float("nan")):
        yield case(f"rotations of base {value}", "must be", "rope.freq_base", real(value))
    yield case("rotations stretched by NaN", "finite", "rope.scaling.factor", real(float("nan")))
    used = "expert_used_count"
    yield case(
        "more experts used than there are", "4 experts", used, number(5), expert_count=number(4)
    )
    yield case("no expert used", "at least 1", used, number(0), expert_count=number(4))
    tokens = "tokenizer.ggml.tokens"
    yield case("fewer tokens than rows", "has 3 rows", tokens, words("<unk>", "a"))
    yield case("tokens that are numbers", "array of strings", tokens, numbers(INT32, 1, 2, 3))
    yield case("tokens that are one text", "the text 'abc'", tokens, (TEXT, text("abc")))
    yield case("a token for byte -1", "'<0x-1>'", tokens, words("<unk>", "a", "<0x-1>"))
    yield case("a token for no byte", "'b'", tokens, words("<unk>", "a", "b"))
    scores, kinds = "tokenizer.ggml.scores", "tokenizer.ggml.token_type"
    yield case("fewer scores than tokens", "has 2 values", scores, numbers(FLOAT, 0, 1))
    yield case("more kinds than tokens", "has 4 values", kinds, numbers(INT32, 1, 1, 1, 1))
    yield case("scores in words", "array of numbers", scores, words("0", "1", "2"))
    merges = "tokenizer.ggml.merges"
    yield case("merges that are numbers", "array of strings", merges, numbers(INT32, 1, 2))


MEANING_CASES = list(meaning_cases())
