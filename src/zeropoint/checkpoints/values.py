"""The values of GGUF metadata: plain Python values that record how the file stores them.

    u8 i8 u16 i16 u32 i32 u64 i64     UInt8 … Int64: ints (sums and products are plain ints)
    f32 f64                           Float32, Float64: floats
    bool, str                         bool, str
    array of numbers or bools         one-dimensional numpy array, read-only
    array of strings                  StringArray: a sequence of str over the bytes of the file
    array of arrays                   list of the above

A value that was read is therefore written with the same bytes. Values without such a type get the
one that llama.cpp expects: int → u32 (i32 if negative, 64 bits if too large), float → f32,
list[str] → strings, list[int] → i32, list[float] → f32, numpy scalars → their own type.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class UInt8(int):
    """An int stored in one byte."""


class Int8(int):
    """An int stored in one byte, with a sign."""


class UInt16(int):
    """An int stored in two bytes."""


class Int16(int):
    """An int stored in two bytes, with a sign."""


class UInt32(int):
    """An int stored in four bytes."""


class Int32(int):
    """An int stored in four bytes, with a sign."""


class UInt64(int):
    """An int stored in eight bytes."""


class Int64(int):
    """An int stored in eight bytes, with a sign."""


class Float32(float):
    """A float stored in four bytes. NaN is NaN: its payload may change."""

    def __repr__(self) -> str:
        return str(np.float32(self))


class Float64(float):
    """A float stored in eight bytes."""


BOOL, STRING, ARRAY = 7, 8, 9
SCALARS: dict[int, type[int] | type[float]] = {
    0: UInt8, 1: Int8, 2: UInt16, 3: Int16, 4: UInt32, 5: Int32,
    6: Float32, 10: UInt64, 11: Int64, 12: Float64,
}  # fmt: skip
TYPE_OF = {kind: number for number, kind in SCALARS.items()}
# Name, dtype and struct code of each type number with a fixed size.
DTYPES = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4",
    BOOL: "?", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
TYPE_OF_DTYPE = {np.dtype(code): number for number, code in DTYPES.items()}
STRUCTS = {
    number: struct.Struct("<" + code) for number, code in zip(DTYPES, "BbHhIif?Qqd", strict=True)
}
TYPE_NAMES = {
    0: "u8", 1: "i8", 2: "u16", 3: "i16", 4: "u32", 5: "i32", 6: "f32",
    BOOL: "bool", STRING: "str", ARRAY: "array", 10: "u64", 11: "i64", 12: "f64",
}  # fmt: skip
_LENGTH = struct.Struct("<Q")
_ARRAY = struct.Struct("<IQ")


class StringArray(Sequence[str]):
    """Many strings in one buffer: (length u64, UTF-8 bytes), one after another.

    A vocabulary of 262,144 tokens takes 4 MB this way, and 20 MB as a list. It is equal to any
    sequence of the same strings.
    """

    __slots__ = ("_starts", "raw")

    def __init__(self, raw: bytes | bytearray, starts: NDArray[np.uint32]) -> None:
        self.raw = raw  # as in the file; the caller checked that it is UTF-8
        self._starts = starts  # (n,) offset of each length in `raw`

    @classmethod
    def of(cls, strings: Iterable[str]) -> "StringArray":
        """Store these strings.

        >>> StringArray.of(["a", "bc"])[1]
        'bc'
        """
        parts: list[bytes] = []
        starts: list[int] = []
        position = 0
        for text in strings:
            data = text.encode()
            starts.append(position)
            parts += (_LENGTH.pack(len(data)), data)
            position += 8 + len(data)
        return cls(b"".join(parts), np.array(starts, np.uint32))

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._at(start) for start in self._starts[index].tolist()]
        return self._at(int(self._starts[index]))

    def __iter__(self) -> Iterator[str]:
        return map(self._at, self._starts.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StringArray):
            return self.raw == other.raw
        if isinstance(other, Sequence) and not isinstance(other, str | bytes):
            return len(self) == len(other) and all(map(str.__eq__, self, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3])) + (", …" if len(self) > 3 else "")
        return f"StringArray({len(self)}: {shown})"

    def _at(self, start: int) -> str:
        (length,) = _LENGTH.unpack_from(self.raw, start)
        return str(self.raw[start + 8 : start + 8 + length], "utf-8")


def encode_value(value: object) -> tuple[int, bytes]:
    """Return the type number and the bytes of a value (an array's bytes begin with type, count).

    Raises TypeError for what GGUF cannot store, OverflowError for a number too large for its type.
    """
    if isinstance(value, bool | np.bool_):
        return BOOL, bytes([bool(value)])
    if isinstance(value, str):
        data = value.encode()
        return STRING, _LENGTH.pack(len(data)) + data
    if isinstance(value, np.generic):
        number = _dtype_type(value.dtype)
        return number, value.tobytes()
    if isinstance(value, int | float):
        number = _scalar_type(value)
        try:
            return number, STRUCTS[number].pack(value)
        except (struct.error, OverflowError):
            name = TYPE_NAMES[number]
            raise OverflowError(f"{value} does not fit into {name}") from None
    return ARRAY, _encode_array(value)


def _scalar_type(value: int | float) -> int:
    number = TYPE_OF.get(type(value))
    if number is not None:
        return number
    if isinstance(value, float):
        return TYPE_OF[Float32]
    if value < 0:
        return TYPE_OF[Int32] if value >= -(2**31) else TYPE_OF[Int64]
    return TYPE_OF[UInt32] if value < 2**32 else TYPE_OF[UInt64]


def _dtype_type(dtype: np.dtype[np.generic]) -> int:
    number = TYPE_OF_DTYPE.get(dtype)
    if number is None:
        raise TypeError(f"GGUF metadata has no type for numpy's {dtype}")
    return number


def _encode_array(value: object) -> bytes:
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise TypeError(f"an array in GGUF metadata has one axis, this one has {value.ndim}")
        return _ARRAY.pack(_dtype_type(value.dtype), value.size) + value.tobytes()
    if isinstance(value, StringArray):
        return _ARRAY.pack(STRING, len(value)) + value.raw
    if not isinstance(value, list | tuple):
        raise TypeError(f"GGUF metadata cannot store a {type(value).__name__}")
    if not value:
        raise TypeError("an empty list has no element type; use an empty numpy array")
    return _encode_list(value)


def _encode_list(value: Sequence[object]) -> bytes:
    def all_are(*kinds: type) -> bool:
        return all(isinstance(item, kinds) for item in value)

    if all_are(str):
        return _encode_array(StringArray.of(str(item) for item in value))
    if all_are(bool):
        return _encode_array(np.array(value, bool))
    if all_are(int, np.integer):
        return _encode_array(np.array(value, np.int32))
    if all_are(int, float, np.number):
        return _encode_array(np.array(value, np.float32))
    if all_are(np.ndarray, StringArray, list):
        return _ARRAY.pack(ARRAY, len(value)) + b"".join(map(_encode_array, value))
    raise TypeError("a list in GGUF metadata holds values of one kind")
