"""Mutators: inputs that are almost right, as functions of a random generator."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from support.malformed.build import array, key, tensor, text, u32, u64

SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "B",
    10: "Q",
    11: "q",
    12: "d",
}
STRING, ARRAY = 8, 9
INTEGERS = (
    0, 1, 2, 3, 5, 7, 31, 32, 33, 63, 64, 65, 127, 255, 256, 513, 65535, 65536, 10**6, 2**31 - 1,
    2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1, -2,
)  # fmt: skip
FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-45, 1e38, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    b"", b"a", b"\0", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", b"../../x", b"/etc/passwd",
    b"\x1b[2J\x1b]0;x\x07", b"\xe2\x80\xae", b"A" * 70_000, b"<script>alert(1)</script>",
    b"[bold red]x[/]", b"[/nope]", b"\n\nerror: x\n", b"{% for i in range(10**9) %}x{% endfor %}",
    b"llama", b"gemma3", b"qwen2", b"qwen3moe", b"phi3", b"mistral3", b"smollm3", b"bitnet",
    b"bert", b"mamba", b"deepseek2", b"gpt2", b"none", b"default", b"llama-bpe", b"yarn", b"linear",
    b"longrope", b"adapter", b"imatrix", b"mmproj", b"%s%n", b"<0xZZ>",
)  # fmt: skip
SUFFIXES = (
    "attention.sliding_window", "attention.sliding_window_pattern", "rope.scaling.type",
    "rope.scaling.factor", "rope.scaling.original_context_length", "rope.scaling.attn_factor",
    "rope.dimension_count", "rope.freq_base", "rope.freq_base_swa", "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_log_multiplier", "attention.temperature_scale", "attention.key_length",
    "attention.value_length", "attention.head_count", "attention.head_count_kv", "attention.scale",
    "attention.causal", "attention.layer_norm_rms_epsilon", "expert_count", "expert_used_count",
    "expert_feed_forward_length", "expert_weights_norm", "expert_weights_scale", "vocab_size",
    "block_count", "context_length", "embedding_length", "feed_forward_length", "logit_scale",
    "attn_logit_softcapping", "final_logit_softcapping", "hidden_activation", "pooling_type",
)  # fmt: skip
GENERAL = (
    "general.alignment", "general.file_type", "general.name", "general.type",
    "general.architecture", "split.no", "split.count", "split.tensors.count", "zeropoint.recipe",
    "zeropoint.source.file", "zeropoint.source.sha256", "imatrix.datasets", "imatrix.chunk_count",
    "imatrix.chunk_size", "tokenizer.chat_template", "tokenizer.ggml.model", "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.chat_templates",
    "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.unknown_token_id",
)  # fmt: skip
TENSORS = (
    b"blk.99999999999999999999.attn_q.weight", b"blk.-1.x", b"blk.0.attn_q.bias",
    b"output.scale", b"rope_freqs.weight", b"rope_factors_long.weight", b"output.bias",
    b"blk.0.ffn_gate_exps.weight", b"blk.0.attn_sinks.weight", b"blk.0.ffn_up_shexp.weight",
    b"token_embd.weight", b"output.weight",
)  # fmt: skip


@dataclass
class Gguf:
    """The fields of a GGUF file, as they stand in it."""

    version: int
    keys: list[list[Any]]  # name, kind, value; an array's value is (kind, list of values)
    tensors: list[list[Any]]  # name, shape in ggml's order, type number, offset
    data: bytes
    counts: list[int | None]  # of tensors and of keys, where they are not the true ones
    alignment: int = 32


def parse_gguf(data: bytes) -> Gguf:
    """Take a valid file apart."""
    at = 4

    def number(code: str) -> Any:
        nonlocal at
        (found,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize(code)
        return found

    def string() -> bytes:
        nonlocal at
        size = number("Q")
        at += size
        return data[at - size : at]

    def value(kind: int) -> Any:
        if kind == STRING:
            return string()
        if kind == ARRAY:
            inner, count = number("I"), number("Q")
            return inner, [value(inner) for _ in range(count)]
        return number(SCALARS[kind])

    version, tensor_count, key_count = number("I"), number("Q"), number("Q")
    keys = []
    for _ in range(key_count):
        name, kind = string(), number("I")
        keys.append([name, kind, value(kind)])
    tensors = []
    for _ in range(tensor_count):
        name, axes = string(), number("I")
        tensors.append([name, [number("Q") for _ in range(axes)], number("I"), number("Q")])
    alignment = next((v for k, _, v in keys if k == b"general.alignment"), 32)
    start = -(-at // alignment) * alignment
    return Gguf(version, keys, tensors, data[start:], [None, None], alignment)


def join_gguf(file: Gguf) -> bytes:
    """Put a file together; its parts need not agree with each other."""
    counts = [
        said if said is not None else len(true)
        for said, true in zip(file.counts, (file.tensors, file.keys), strict=True)
    ]
    parts = [b"GGUF", u32(file.version), u64(counts[0]), u64(counts[1])]
    parts += [key(name, kind, _value(kind, value)) for name, kind, value in file.keys]
    parts += [tensor(name, tuple(s), kind, offset) for name, s, kind, offset in file.tensors]
    head = b"".join(parts)
    return head + bytes(-len(head) % file.alignment) + file.data


def _value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return text(value if isinstance(value, bytes) else b"x")
    if kind == ARRAY:
        inner, items, *count = value
        return array(
            inner, count[0] if count else len(items), b"".join(_value(inner, i) for i in items)
        )
    code = SCALARS.get(kind, "I")
    if code in "fd":
        return struct.pack("<" + code, value if isinstance(value, int | float) else 1.0)
    size = struct.calcsize(code)
    whole = int(value) if isinstance(value, int) else 1
    return int(whole % 256**size).to_bytes(size, "little")


def _random_value(random: Random, kind: int) -> Any:
    if kind == STRING:
        return random.choice(TEXTS)
    if kind == ARRAY:
        inner = random.choice((0, 2, 4, 5, 6, 7, 8, 10, 12))
        items = [_random_value(random, inner) for _ in range(random.choice((0, 1, 2, 3, 64, 315)))]
        items = items if inner != STRING else items[:8]
        return (inner, items) if random.random() < 0.8 else (inner, items, random.choice(INTEGERS))
    return random.choice(FLOATS) if kind in (6, 12) else random.choice(INTEGERS)


def _array_like(random: Random, value: Any) -> Any:
    """Return the same array with fewer, more, other or mixed elements, or another count."""
    inner, items = value[0], list(value[1])
    match random.randrange(6):
        case 0:
            return inner, items[:-1]
        case 1:
            return inner, [*items, *items[:1]]
        case 2:
            return inner, []
        case 3:
            for _ in range(random.choice((1, 3, len(items))) if items else 0):
                items[random.randrange(len(items))] = _random_value(random, inner)
        case 4:
            return inner, items, random.choice(INTEGERS)
        case 5:
            random.shuffle(items)
    return inner, items


def _change_key(random: Random, file: Gguf) -> None:
    entry = random.choice(file.keys)
    same = entry[1] == ARRAY and random.random() < 0.7
    entry[2] = _array_like(random, entry[2]) if same else _random_value(random, entry[1])


def _retype_key(random: Random, file: Gguf) -> None:
    entry = random.choice(file.keys)
    entry[1] = random.choice([*SCALARS, STRING, ARRAY, 13, 2**31])
    entry[2] = _random_value(random, entry[1]) if entry[1] in (*SCALARS, STRING, ARRAY) else 0


def _add_key(random: Random, file: Gguf) -> None:
    family = next((v for k, _, v in file.keys if k == b"general.architecture"), b"llama")
    name = (
        (family if isinstance(family, bytes) else b"llama")
        + b"."
        + random.choice(SUFFIXES).encode()
        if random.random() < 0.7
        else random.choice(GENERAL).encode()
    )
    kind = random.choice((4, 4, 5, 6, 7, STRING, ARRAY, 10, 12))
    file.keys[:] = [entry for entry in file.keys if entry[0] != name]
    file.keys.append([name, kind, _random_value(random, kind)])


def _drop_or_repeat_key(random: Random, file: Gguf) -> None:
    if random.random() < 0.7:
        file.keys.pop(random.randrange(len(file.keys)))
    else:
        file.keys.append(list(random.choice(file.keys)))


def _rename_family(random: Random, file: Gguf) -> None:
    new = random.choice(TEXTS[16:28])
    old = next((v for k, _, v in file.keys if k == b"general.architecture"), b"")
    for entry in file.keys:
        if entry[0] == b"general.architecture":
            entry[1:] = [STRING, new]
        elif isinstance(old, bytes) and old and entry[0].startswith(old + b"."):
            entry[0] = new + entry[0][len(old) :]


def _reshape(random: Random, file: Gguf) -> None:
    shape = random.choice(file.tensors)[1]
    match random.randrange(5):
        case 0 if shape:
            shape[random.randrange(len(shape))] = random.choice(INTEGERS)
        case 1:
            shape.reverse()
        case 2:
            shape += [1] * random.choice((1, 2, 3))
        case 3:
            shape.clear()
        case _ if shape:
            shape[random.randrange(len(shape))] = 0
    if random.random() < 0.6:
        _lay_out(file)


def _retype_tensor(random: Random, file: Gguf) -> None:
    random.choice(file.tensors)[2] = random.choice([*range(45), 2**31, 2**32 - 1])


def _move_tensor(random: Random, file: Gguf) -> None:
    entry = random.choice(file.tensors)
    entry[3] = random.choice([*INTEGERS, entry[3] + 1, entry[3] + 32, entry[3] - 32])


def _rename_tensor(random: Random, file: Gguf) -> None:
    random.choice(file.tensors)[0] = random.choice([*TEXTS, *TENSORS])


def _drop_tensor(random: Random, file: Gguf) -> None:
    file.tensors.pop(random.randrange(len(file.tensors)))
    _lay_out(file)


def _change_counts(random: Random, file: Gguf) -> None:
    file.counts[random.randrange(2)] = random.choice(INTEGERS) % 2**64


def _change_version(random: Random, file: Gguf) -> None:
    file.version = random.choice((0, 1, 2, 4, 2 << 24, 3 << 24, 2**32 - 1))


def _change_data(random: Random, file: Gguf) -> None:
    data = bytearray(file.data)
    for _ in range(random.choice((1, 10, 200)) if data else 0):
        data[random.randrange(len(data))] = random.choice((0, 0x7F, 0x80, 0xFF))
    file.data = bytes(
        data[: random.choice((len(data), len(data), random.randrange(len(data) + 1)))]
    )


def _lay_out(file: Gguf) -> None:
    """Give the tensors offsets one behind the other, as if each weight took 4 bytes."""
    offset = 0
    for entry in file.tensors:
        entry[3] = offset
        size = 4
        for axis in entry[1]:
            size *= axis
        offset = min(offset + -(-size // file.alignment) * file.alignment, 2**63)
    file.data = file.data.ljust(min(offset, 4 << 20), b"\0")[: max(offset, 0)]


STEPS: tuple[Callable[[Random, Gguf], None], ...] = (
    _change_key, _change_key, _change_key, _retype_key, _add_key, _add_key, _add_key,
    _drop_or_repeat_key, _rename_family, _reshape, _retype_tensor, _move_tensor, _rename_tensor,
    _drop_tensor, _change_counts, _change_version, _change_data,
)  # fmt: skip


def mutate_gguf(random: Random, data: bytes) -> bytes:
    """Change one to five fields of a valid GGUF file."""
    file = parse_gguf(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))):
        if file.keys and file.tensors:
            random.choice(STEPS)(random, file)
    return join_gguf(file)


ODD_JSON: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 64, 1 << 20, 2**31, 2**63, 10**30, 0.0, 0.5, -1.5, 1e308, "",
    "a", "\0", "\ud7ff", "../x", "A" * 5000, "{{ 1/0 }}", [], [1], [[1]], {}, {"a": 1}, [None],
    {"rope_type": "yarn", "factor": 2}, "yarn", "silu", "llama", "gemma3_text", ["full_attention"],
)  # fmt: skip


def mutate_json(random: Random, data: bytes) -> bytes:
    """Change one to three values of a JSON document, or the bytes that it is written in."""
    if random.random() < 0.15:
        return mutate_bytes(random, data)
    tree = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        places: list[tuple[Any, Any]] = []
        stack = [tree]
        while stack and len(places) < 5000:
            node = stack.pop()
            inner = node.items() if isinstance(node, dict) else enumerate(node)
            for name, child in inner:
                places.append((node, name))
                if isinstance(child, dict | list):
                    stack.append(child)
        if not places:
            break
        node, name = random.choice(places)
        if random.random() < 0.2:
            del node[name]
        elif isinstance(node, list) and random.random() < 0.2:
            node.append(node[name])
        else:
            node[name] = random.choice(ODD_JSON)
    return json.dumps(tree).encode()


def mutate_bytes(random: Random, data: bytes) -> bytes:
    """Turn, cut, repeat or insert some bytes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(changed) + 1)
        match random.randrange(5):
            case 0 if changed:
                changed[at - 1] = random.randrange(256)
            case 1:
                del changed[at : at + random.choice((1, 4, 100))]
            case 2:
                changed[at:at] = random.choice(TEXTS[:16])
            case 3:
                changed[at:at] = changed[at : at + 200]
            case _:
                del changed[at : None if random.random() < 0.3 else at + 1]
    return bytes(changed)
