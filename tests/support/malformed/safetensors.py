"""safetensors files that are wrong: length, JSON, entries, offsets."""

import json
from collections.abc import Iterator

from support.malformed.build import AT, Case, Part, entry, file_case, header_json, u64

GOOD = json.dumps(entry()).encode()


def case(name: str, says: str, *parts: Part) -> Case:
    return file_case(name, says, *parts, suffix=".safetensors")


def text_case(name: str, says: str, before: bytes, after: bytes, data: bytes = bytes(4)) -> Case:
    """Build a header of JSON text that is wrong where `after` begins."""
    return case(name, says, u64(len(before + after)), before, AT, after, data)


def entry_case(name: str, says: str, value: dict[str, object], data: bytes = bytes(4)) -> Case:
    """Build a file with one tensor, wrong as a whole."""
    return text_case(name, says, b'{"a":', json.dumps(value).encode() + b"}", data)


def length_cases() -> Iterator[Case]:
    for size in (0, 1, 7):
        yield case(f"{size} bytes for a length", "header length", AT, bytes(size))
    for name, size in {
        "one more than is left": 3, "100,000,001": 100_000_001, "2e31": 2**31, "2e61": 2**61,
        "2e63": 2**63, "2e64 - 1": 2**64 - 1,
    }.items():  # fmt: skip
        yield case(f"header of {name}", "header length", AT, u64(size), b"{}")
    yield case("header of nothing", "expected '{'", u64(0), AT)


def json_cases() -> Iterator[Case]:
    for name, before, after in (
        ("a BOM", b"", b"\xef\xbb\xbf{}"),
        ("an array", b"", b"[]"),
        ("a string", b"", b'"a"'),
        ("a number", b"", b"0"),
        ("only spaces", b"   ", b""),
        ("a NUL", b"", b"\0{}"),
        ("not closed", b"{", b""),
        ("two objects", b"{}", b"{}"),
        ("a NUL behind", b"{}", b"\0"),
        ("a word behind", b"{} ", b"x"),
        ("no colon", b'{"a"', b"}"),
        ("no value", b'{"a":', b"}"),
        ("no key", b"{", b":1}"),
        ("a number as key", b"{", b"1:1}"),
        ("a comma first", b"{", b",}"),
        ("a comma last", b'{"a":' + GOOD + b",", b"}"),
        ("a comment", b"{", b"/**/}"),
        ("single quotes", b"{", b"'a':1}"),
        ("an array for a tensor", b'{"a":', b"[]}"),
        ("null for a tensor", b'{"a":', b"null}"),
        ("10^5 arrays deep", b'{"a":', b"[" * 10**5),
        ("10^5 objects deep", b'{"a":{"dtype":', b'{"dtype":' * 10**5),
    ):
        yield text_case(f"JSON: {name}", "", before, after)
    for name, string in {
        "never closed": b'"a\\', "a line end": b'"a\nb"', "a NUL": b'"a\0"', "not UTF-8": b'"\xff"',
        "a lone surrogate": b'"\\ud800"', "an unknown escape": b'"\\x41"', 
        "a cut escape": b'"\\u00"',
        "a NUL, escaped": b'"\\u0000"', "empty": b'""', "a terminal's escape": b'"\\u001b[2J"',
        "4097 bytes": b'"' + b"a" * 4097 + b'"',
    }.items():  # fmt: skip
        says = "name" if name in ("a NUL, escaped", "empty", "a terminal's escape") else "key"
        place = b"{" + string + b":" if says == "name" else b"{"
        yield text_case(
            f"name: {name}", says, place, (b"" if says == "name" else string) + GOOD + b"}"
        )


def entry_cases() -> Iterator[Case]:
    for name, before, after in (
        ("tensor", b'{"a":' + GOOD + b",", b'"a":' + GOOD + b"}"),
        ("metadata", b'{"__metadata__":{},', b'"__metadata__":{}}'),
        ("metadata's key", b'{"__metadata__":{"x":"1",', b'"x":"2"}}'),
        ("dtype", b'{"a":{"dtype":"F32",', b'"dtype":"F32"}}'),
    ):
        yield text_case(f"twice: {name}", "occurs twice", before, after)
    yield text_case(
        "twice: a name, once escaped",
        "occurs twice",
        b'{"a":' + GOOD + b",",
        b'"\\u0061":' + GOOD,
    )
    for name, value in {
        "a number": b"1", "null": b"null", "an object": b"{}", "an array": b'["x"]',
        "true": b"true",
    }.items():  # fmt: skip
        yield text_case(
            f"metadata of {name}", "expected a string", b'{"__metadata__":{"a":', value + b"}}"
        )
    yield text_case("metadata that are a string", "expected '{'", b'{"__metadata__":', b'"a"}')
    for field in ("dtype", "shape", "data_offsets"):
        lacking = {k: v for k, v in entry().items() if k != field}
        yield entry_case(f"entry without {field}", "must have", lacking)
    start = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]'
    yield text_case("entry with a fourth field", "more than 3 keys", start + b",", b'"x":1}}')
    yield text_case("entry with another field", "is no field", b'{"a":{"x":', b"1}}")
    for dtype in ("F31", "f32", "", "Q4_K", "F32 ", "\x1b"):
        text = json.dumps(dtype).encode()
        yield text_case(f"dtype {dtype!r}", "there is no type", b'{"a":{"dtype":', text + b"}}")
    yield text_case("dtype 1", "expected a string", b'{"a":{"dtype":', b"1}}")
    for number in (
        b"-1",
        b"1.0",
        b"1e3",
        b'"1"',
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"01",
        b"[1]",
        b"1" * 21,
    ):
        for place in (b"shape", b"data_offsets"):
            name = f"{place.decode()} of {number.decode()}"
            yield text_case(name, "expected", b'{"a":{"' + place + b'":[', number + b",1]}}")
    yield text_case("shape that is a number", "expected '['", b'{"a":{"shape":', b"1}}")
    for count in (0, 1):
        numbers = b"[" + b"0" * count + b"]}}"
        yield text_case(f"{count} offsets", "begin and end", b'{"a":{"data_offsets":', numbers)
    yield text_case("3 offsets", "more than 2", b'{"a":{"data_offsets":[0,4,', b"4]}}")
    yield text_case("33 axes", "more than 32", b'{"a":{"shape":[' + b"1," * 32, b"1]}}")


def size_cases() -> Iterator[Case]:
    for name, shape, end in (
        ("wraps to 0", (2**32, 2**32), 0),
        ("wraps to 4", (2**62 + 1,), 4),
        ("is 2^64 - 1 long", (2**64 - 1,), 4),
        ("is empty but for numpy", (0, 2**60), 0),
    ):
        yield entry_case(f"shape {name}", "cannot be", entry(0, end, shape))
    for name, begin, end in (
        ("end before begin", 4, 0),
        ("end too early", 0, 3),
        ("end too late", 0, 5),
    ):
        yield entry_case(name, "apart", entry(begin, end))
    yield entry_case("half a byte", "blocks of", entry(0, 1, (1,), "F4"))
    yield entry_case("three quarters of a byte", "blocks of", entry(0, 1, (1,), "F6_E2M3"))
    yield entry_case("past the end", "past the end", entry(0, 8, (2,)))
    yield entry_case("short by 1", "past the end", entry(), bytes(3))
    yield entry_case("begin 2^63", "leaves a gap", entry(2**63, 2**63 + 4))
    for name, second, says in (
        ("overlap", entry(2, 6), "overlaps"),
        ("the same bytes", entry(0, 4), "overlaps"),
        ("one in the other", entry(1, 2, (1,), "U8"), "overlaps"),
        ("a gap in the middle", entry(5, 9), "leaves a gap"),
    ):
        before = b'{"a":' + GOOD + b',"b":'
        yield text_case(name, says, before, json.dumps(second).encode() + b"}", bytes(9))
    yield entry_case("a gap at the start", "leaves a gap", entry(4, 8), bytes(8))
    for count in (1, 4096):
        header = header_json({"a": entry()})
        yield case(
            f"{count} bytes behind the last tensor", "end", header, bytes(4), AT, bytes(count)
        )
    yield case("bytes without a tensor, safetensors", "end", header_json({}), AT, b"\0")


SAFETENSORS_CASES = [*length_cases(), *json_cases(), *entry_cases(), *size_cases()]
