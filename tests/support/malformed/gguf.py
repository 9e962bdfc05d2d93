"""GGUF files that are wrong: header, keys, tensor table, data."""

from collections.abc import Iterator

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
    with_data,
)

ONE = key("general.architecture", 8, text("llama"))
WORDS = {"2e31": 2**31, "2e61": 2**61, "2e63": 2**63, "minus one": 2**64 - 1}
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def header_cases() -> Iterator[Case]:
    yield file_case("an empty file", "magic", AT)
    for size in (1, 3):
        yield file_case(f"{size} bytes", "magic", AT, b"GGUF"[:size])
    yield file_case("only the magic", "version", b"GGUF", AT)
    yield file_case("23 bytes", "key count", head(0, 0)[:16], AT, bytes(7))
    for magic in (b"FUGG", b"GGJT", b"gguf", b"\0\0\0\0"):
        yield file_case(f"magic {magic!r}", "magic", AT, magic, head(0, 0)[4:])
    for version in (0, 1, 4, 2**31, 2**32 - 1):
        yield file_case(f"version {version}", "version", b"GGUF", AT, head(0, 0, version)[4:])
    for version in (2, 3):
        swapped = version.to_bytes(4, "big") + bytes(16)
        yield file_case(f"big-endian version {version}", "big-endian", b"GGUF", AT, swapped)
    for name, count in {**WORDS, "2e32 - 1": 2**32 - 1, "a million": 10**6}.items():
        rest = u64(0) + bytes(64)
        yield file_case(f"{name} tensors", "tensor count", head(0, 0)[:8], AT, u64(count), rest)
        yield file_case(f"{name} keys", "key count", head(0, 0)[:16], AT, u64(count), bytes(64))
    yield file_case("more keys than bytes", "key count", head(0, 0)[:16], AT, u64(9), bytes(64))
    yield file_case(
        "more tensors than bytes", "tensor count", head(0, 0)[:8], AT, u64(9), bytes(72)
    )


def key_cases() -> Iterator[Case]:
    start = head(0, 1)
    pad = bytes(64)
    for name, length in {**WORDS, "one more than is left": 13}.items():
        yield file_case(f"key of length {name}", "name length", start, AT, u64(length), bytes(12))
        at = text("general.name") + u32(8)
        rest = bytes(12)
        yield file_case(
            f"string of length {name}", "value length", start, at, AT, u64(length), rest
        )
        at = text("a.b") + u32(9) + u32(8)
        yield file_case(f"array of {name} strings", "count", start, at, AT, u64(length), rest)
        at += u64(1)
        yield file_case(
            f"array's string of length {name}", "string 0", start, at, AT, u64(length), rest
        )
        at = text("a.b") + u32(9) + u32(10)
        yield file_case(f"array of {name} u64", "count", start, at, AT, u64(length), rest)
        at = text("a.b") + u32(9) + u32(9)
        yield file_case(f"array of {name} arrays", "count", start, at, AT, u64(length), rest)
    for kind, size in SIZES.items():
        short = bytes(size - 1)
        yield file_case(f"type {kind} cut", "value", start, text("a" * 9), u32(kind), AT, short)
    yield file_case("string cut", "value", start, text("a"), u32(8), AT, u64(3), b"xy")
    for kind in (13, 255, 2**31, 2**32 - 1):
        yield file_case(f"value of type {kind}", "type", start, text("a"), AT, u32(kind), pad)
        yield file_case(
            f"array of type {kind}", "type", start, text("a"), u32(9), AT, array(kind, 1), pad
        )
    yield file_case(
        "array of 2^24 + 1 u8", "count", start, text("a"), u32(9), u32(0), AT, u64(2**24 + 1), pad
    )
    nested = u32(9) + u64(1)
    for depth in (5, 10_000):
        value = nested * (depth - 1) + array(0, 1, b"\1")
        yield file_case(
            f"arrays nested {depth} deep", "nested", start, text("a"), u32(9), nested * 3, AT,
            value[len(nested) * 3 :], pad,
        )  # fmt: skip
    yield file_case("bool 2", "a bool is 0 or 1", start, text("a"), u32(7), AT, b"\2", pad)
    yield file_case(
        "bool 255 in an array", "a bool is 0 or 1", start, text("a"), u32(9), array(7, 3, b"\0\1"),
        AT, b"\xff", pad,
    )  # fmt: skip
    for name, bad in {
        "latin-1": b"caf\xe9",
        "surrogate": b"\xed\xa0\x80",
        "cut": b"\xf0\x9f",
    }.items():
        good = bad.rstrip(b"\xe9\xed\xa0\x80\xf0\x9f")
        yield file_case(
            f"string that is not UTF-8: {name}", "'a.b'", start, text("a.b"), u32(8), u64(len(bad)),
            good, AT, bad[len(good) :], pad,
        )  # fmt: skip
        yield file_case(
            f"string in an array that is not UTF-8: {name}", "'a.b' string 1", start, text("a.b"),
            u32(9), array(8, 3, text("ä")), u64(len(bad)), good, AT, bad[len(good) :], text("x"),
            pad,
        )  # fmt: skip
    # The second string begins with what would complete the first: each must be whole by itself.
    yield file_case(
        "a character cut by the border of two strings", "string 0", start, text("a"), u32(9),
        array(8, 2), u64(1), AT, b"\xc3", text(b"\xa4"), pad,
    )  # fmt: skip
    for name, bad in {
        "empty": b"", "a NUL": b"a\0b", "not ASCII": "ä".encode(), "a line end": b"a\nb",
        "an escape": b"\x1b[2Jx", "not UTF-8": b"\xff",
    }.items():  # fmt: skip
        mark = (u64(1), AT, bad) if name == "not UTF-8" else (AT, text(bad))
        yield file_case(f"key: {name}", "name", start, *mark, u32(0), b"\0", pad)
    yield file_case(
        "key of 65,536 bytes", "name length", start, AT, text("a" * 65_536), u32(0), pad
    )
    yield file_case(
        "a key twice",
        "occurs twice",
        head(0, 2),
        ONE,
        AT,
        key("general.architecture", 0, b"\0"),
        pad,
    )
    for alignment in (0, 3, 13, 33, 2**21, 2**31, 2**32 - 1):
        yield file_case(
            f"alignment {alignment}", "'general.alignment'", start, AT,
            key("general.alignment", 4, u32(alignment)), pad,
        )  # fmt: skip
    for kind, value in ((5, u32(32)), (0, b"\x20"), (10, u64(32)), (8, text("32")), (6, u32(0))):
        yield file_case(
            f"alignment of type {kind}", "must be of type u32", start, AT,
            key("general.alignment", kind, value), pad,
        )  # fmt: skip
    yield file_case("no key where one is counted", "key 1 name", head(0, 2), ONE, AT)


def tensor_cases() -> Iterator[Case]:
    start = head(1, 0)
    rest = bytes(256)
    for name, length in WORDS.items():
        yield file_case(f"name of length {name}", "name length", start, AT, u64(length), rest)
        lengths = u64(length) + u64(4)
        table = start + text("a") + u32(2)
        mark = (lengths, u32(0), AT) if length == 2**31 else (AT, lengths, u32(0))
        yield file_case(f"{name} columns", "tensor 0", table, *mark, u64(0), rest)
        yield file_case(
            f"offset {name}",
            "offset",
            start,
            text("a"),
            u32(1),
            u64(4),
            u32(0),
            AT,
            u64(length),
            rest,
        )
    for size in (64, 65, 1000):
        yield file_case(f"name of {size} bytes", "name length", start, AT, text("a" * size), rest)
    for name, bad in {
        "empty": b"", "a NUL": b"a\0x", "an escape": b"\x1b[31m", "up": b"../a", "root": b"/etc/a",
        "right to left": "a\u202eb".encode(),
    }.items():  # fmt: skip
        yield file_case(f"tensor name: {name}", "name", start, AT, text(bad), rest)
    yield file_case("name that is not UTF-8", "name", start, u64(2), b"a", AT, b"\xff", rest)
    for axes in (5, 2**16, 2**31, 2**32 - 1):
        yield file_case(f"{axes} axes", "axes", start, text("a"), AT, u32(axes), rest)
    # Products that wrap to a small number in 64 bits: F32, Q4_0 (llama.cpp #27200), Q4_K, I64, F16.
    for name, kind, shape in (
        ("F32", 0, (2**32, 2**32)),
        ("F32 to 4 bytes", 0, (2**62 + 1, 1)),
        ("Q4_0 as in #27200", 2, (5124095576030431008, 1)),
        ("Q4_K", 12, (2**56, 2**8, 1)),
        ("I64", 27, (2**61, 1)),
        ("F16 in four axes", 1, (2**16, 2**16, 2**16, 2**16)),
        ("empty but for numpy", 0, (0, 2**60)),
    ):
        place: tuple[Part, ...] = (
            text("a"),
            u32(len(shape)),
            AT,
            *map(u64, shape),
            u32(kind),
            u64(0),
            rest,
        )
        yield file_case(f"product wraps: {name}", "shape", start, *place)
    for size in (2**64 - 16, 2**64 - 1):  # bytes whose padding wraps to 0
        yield file_case(
            f"padding of {size} bytes wraps", "shape", start, text("a"), u32(1), AT, u64(size),
            u32(24), u64(0), rest,
        )  # fmt: skip


def table_cases() -> Iterator[Case]:
    start = head(1, 0)
    rest = bytes(256)
    for kind in (4, 5, 31, 32, 33, 36, 37, 38):
        yield file_case(
            f"removed type {kind}", "was removed", start, text("a"), u32(1), u64(256), AT,
            u32(kind), u64(0), rest,
        )  # fmt: skip
    for kind in (9, 15, 43, 255, 2**31, 2**32 - 1):
        yield file_case(
            f"type {kind}", "type", start, text("a"), u32(1), u64(256), AT, u32(kind), u64(0), rest
        )
    for kind, columns in (
        (2, 31),
        (8, 33),
        (12, 255),
        (12, 128),
        (39, 16),
        (40, 32),
        (41, 64),
        (42, 1),
    ):
        yield file_case(
            f"type {kind} with rows of {columns}", "blocks of", start, text("a"), u32(1),
            u64(columns), AT, u32(kind), u64(0), rest,
        )  # fmt: skip
    first = tensor("a", (8,))
    for name, offset, says in (
        ("unaligned", 36, "no multiple of the alignment"),
        ("overlapping", 0, "overlaps"),
        ("with a gap", 64, "leaves a gap"),
        ("past the end", 2**40, "leaves a gap"),
    ):
        table = head(2, 0) + first + tensor("b", (8,))[:-8]
        yield file_case(f"offset {name}", says, table, AT, u64(offset), rest)
    table = head(2, 0) + tensor("a", (8,))[:-8]
    second = tensor("b", (8,), 0, 0)
    yield file_case("out of order", "leaves a gap", table, AT, u64(32), second, rest)
    yield file_case(
        "a name twice", "occurs twice", head(2, 0), first, AT, tensor("a", (8,), 0, 32), rest
    )
    custom = key("general.alignment", 4, u32(64))
    yield file_case(
        "offset by the default alignment where another is set", "no multiple", head(2, 1), custom,
        first, tensor("b", (8,))[:-8], AT, u64(32), rest,
    )  # fmt: skip
    yield file_case(
        "offset by an alignment that is not set", "leaves a gap", head(2, 0), first,
        tensor("b", (8,))[:-8], AT, u64(64), rest,
    )  # fmt: skip
    long = head(2, 0) + tensor("n" * 63, (8,))  # so that the count alone does not tell
    whole = tensor("abc", (8,), 0, 32)
    for begin, end, what in (
        (0, 8, "name length"), (8, 11, "name"), (11, 15, "axes"), (15, 23, "shape"),
        (23, 27, "type"), (27, 35, "offset"),
    ):  # fmt: skip
        at = 0 if what == "name" else begin  # a length that does not fit is told where it stands
        for cut in (begin, end - 1):
            parts = (long, whole[:at], AT, whole[at:cut])
            yield file_case(f"table cut at byte {cut}, {what}", f"tensor 1 {what}", *parts)


def data_cases() -> Iterator[Case]:
    header = head(2, 0) + tensor("a", (8,), 0, 0) + tensor("b", (9,), 0, 32)
    for name, missing, offset in (
        ("1 byte", 1, 32), ("1 number", 4, 32), ("1 tensor", 36, 32),
    ):  # fmt: skip
        parts = with_data(header, bytes(offset), AT, bytes(36 - missing))
        yield file_case(f"data short by {name}", "tensor 'b' data", *parts)
    yield file_case("no data", "tensor", *with_data(header))
    yield file_case("data short by everything but 1 byte", "tensor", *with_data(header, AT, b"\0"))
    yield file_case(
        "no padding before the data", "tensor 'a' data", head(1, 0) + tensor("a", (8,)), AT
    )
    whole = padded(padded(header) + bytes(32 + 36))
    for count in (1, 10**6):
        parts = (padded(header) + bytes(32 + 36), AT, bytes(28), bytes(count))
        yield file_case(f"{count} bytes behind the end", "end", *parts)
    for place, what in (
        (len(header), "table"),
        (len(whole) - 28, "last tensor"),
        (len(whole) - 1, "end"),
    ):
        yield file_case(
            f"padding behind the {what} is not zero", "padding", whole[:place], AT, b"\1",
            whole[place + 1 :],
        )  # fmt: skip
    inner = head(2, 0) + tensor("a", (7,), 0, 0) + tensor("b", (8,), 0, 32)
    yield file_case(
        "padding between tensors is not zero", "padding", padded(inner), bytes(28), AT, b"\1",
        bytes(3), bytes(32),
    )  # fmt: skip
    # Ollama's CVE-2026-7482: the shape asks for more than the file has, for each source type.
    for kind, name in ((0, "F32"), (1, "F16"), (30, "BF16"), (8, "Q8_0"), (12, "Q4_K")):
        table = head(1, 0) + text("a") + u32(2) + u64(256) + u64(2**20) + u32(kind)
        yield file_case(f"{name} larger than the file", "tensor 0", table, AT, u64(0), bytes(4096))
    yield file_case("bytes without a tensor", "end", head(0, 0), AT, bytes(41))
    yield file_case("not zero without a tensor", "padding", head(0, 0), AT, b"\1")


GGUF_CASES = [
    *header_cases(),
    *key_cases(),
    *tensor_cases(),
    *table_cases(),
    *data_cases(),
]
