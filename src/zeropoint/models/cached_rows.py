"""How keys and values are stored in the cache: F32 (exact), F16, Q8_0 or Q4_0.

A block of 32 values x has one scale, stored as float16:

    Q8_0    d = max |x| / 127     q = round(x / d), ties to even            x ≈ d · q
    Q4_0    d = m / −8            q = min(15, ⌊x / d + 8.5⌋)                x ≈ d · (q − 8)
            with m the value of the largest magnitude; byte i holds elements i and i + 16

This is how llama.cpp rounds keys and values (2026-10). Before that it rotates them: x becomes H x,
with the Walsh-Hadamard matrix H of a power of 2 divided by the square root of its size, which is
its own inverse. Queries are rotated as the keys are, so that scores stay; the mix of values is
rotated back. A rotation spreads large values over the whole block. Source: Ashkboos et al., QuaRot
(arXiv 2404.00456).

Values are stored in rows of such blocks, keys in tiles of 16 positions: for each block the 16
scales, then byte 0 of the 16 positions, byte 1, and so on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32, U8

BLOCK = 32  # values with one scale
CODE_BYTES = {"Q8_0": 32, "Q4_0": 16}  # of a block
CACHE_TYPES = ("F32", "F16", *CODE_BYTES)
ROTATED_SIZE = 64  # heads whose size is a multiple of it are rotated; the rotation of values
_NAN = np.float16(np.nan)


@dataclass(frozen=True)
class CachedRows:
    """How the keys, or the values, of one layer are stored."""

    type: str = "F32"  # one of CACHE_TYPES
    rotation: int = 0  # the size of the Hadamard matrix; 0: none

    @property
    def block_bytes(self) -> int:
        """Bytes of a block of 32 values; 0 if there are no blocks."""
        return 2 + CODE_BYTES[self.type] if self.type in CODE_BYTES else 0

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of the elements of stored arrays."""
        return np.dtype({"F32": np.float32, "F16": np.float16}.get(self.type, np.uint8))

    def elements(self, size: int) -> int:
        """Return the number of stored elements of a row of `size` values."""
        return size // BLOCK * self.block_bytes if self.block_bytes else size

    def rotate(self, x: F32) -> F32:
        """Return H x over the last axis, for each `rotation` of its elements."""
        return hadamard(x, self.rotation) if self.rotation else x

    def encode(self, rows: F32) -> np.ndarray:
        """Return rows (…, size) float32 as they are stored: (…, elements) of `dtype`."""
        if self.block_bytes:
            return _encode_blocks(self.type, rows)
        with np.errstate(over="ignore"):  # to infinity
            return rows.astype(self.dtype)

    def decode(self, stored: np.ndarray) -> F32:
        """Return what `encode` has stored, (…, size) float32."""
        if self.block_bytes:
            return _decode_blocks(self.type, stored)
        return stored.astype(np.float32)


EXACT_ROWS = CachedRows()


@dataclass(frozen=True)
class CacheTypes:
    """The types of the keys and of the values of a model's cache."""

    keys: str = "F32"
    values: str = "F32"
    rotated: bool = True  # blocks hold rotated keys and values, as in llama.cpp

    @property
    def exact(self) -> bool:
        """Whether everything is stored as it is."""
        return self.keys == self.values == "F32"

    @property
    def name(self) -> str:
        """The types as `parse` reads them, such as "q8_0/q4_0", and ", not rotated" if so."""
        both = [self.keys.lower()] + ([] if self.keys == self.values else [self.values.lower()])
        plain = not self.rotated and not {self.keys, self.values}.isdisjoint(CODE_BYTES)
        return "/".join(both) + (", not rotated" if plain else "")

    @classmethod
    def parse(cls, text: str, *, rotated: bool = True) -> "CacheTypes":
        """Return the types that `text` names: "q8_0", or "q8_0/q4_0" for keys/values.

        Raises UnsupportedModel for another name.
        """
        names = text.upper().split("/")
        if len(names) > 2 or not set(names) <= set(CACHE_TYPES):
            known = ", ".join(CACHE_TYPES).lower()
            raise UnsupportedModel(
                f"{text!r} is not a type of the KV cache; use one of {known} for both, or K/V such"
                " as q8_0/q4_0"
            )
        return cls(names[0], names[-1], rotated)

    def of_keys(self, size: int) -> CachedRows:
        """Return how keys of heads of this size are stored; all powers of 2 in it are rotated."""
        rotation = size & -size
        return self._rows(self.keys, size, rotation, "keys")

    def of_values(self, size: int) -> CachedRows:
        """Return how values of heads of this size are stored."""
        return self._rows(self.values, size, ROTATED_SIZE, "values")

    def _rows(self, type: str, size: int, rotation: int, what: str) -> CachedRows:
        if type in CODE_BYTES and size % BLOCK:
            raise UnsupportedModel(
                f"{what} of heads of size {size} cannot be stored as {type}, whose blocks have"
                f" {BLOCK} values; use F16"
            )
        rotates = self.rotated and type in CODE_BYTES and size % ROTATED_SIZE == 0
        return CachedRows(type, rotation if rotates else 0)


def hadamard(x: F32, size: int) -> F32:
    """Return H x for each `size` elements of the last axis of x; `size` is a power of 2."""
    if not x.size:
        return x
    out = x.reshape(-1, size)
    step = 1
    while step < size:
        pairs = out.reshape(len(out), -1, 2, step)
        out = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        step *= 2
    return (out.reshape(x.shape) * np.float32(1.0 / np.sqrt(size))).astype(np.float32)


def _encode_blocks(type: str, rows: F32) -> U8:
    x = rows.reshape(*rows.shape[:-1], -1, BLOCK)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(x).all(axis=-1))
    x = np.where(finite[..., None], x, np.float32(0))
    top = np.take_along_axis(x, np.abs(x).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.abs(top) / np.float32(127) if type == "Q8_0" else top / np.float32(-8)
        inverse = np.float32(1) / scale
    usable: NDArray[np.bool_] = np.isfinite(inverse)
    inverse = np.where(usable, inverse, np.float32(0))[..., None]
    with np.errstate(over="ignore"):
        stored_scale = np.where(usable, scale, np.float32(0)).astype(np.float16)
    stored_scale = np.where(finite, stored_scale, _NAN)
    if type == "Q8_0":
        codes = np.rint(x * inverse).astype(np.int8).view(np.uint8)
    else:
        levels = np.minimum(15, (x * inverse + np.float32(8.5)).astype(np.int32))
        levels = np.where(usable[..., None], levels, 0)
        half = BLOCK // 2
        codes = (levels[..., :half] | levels[..., half:] << 4).astype(np.uint8)
    codes = np.where((usable & finite)[..., None], codes, np.uint8(0))
    scales = np.ascontiguousarray(stored_scale)[..., None].view(np.uint8)
    return np.concatenate([scales, codes], axis=-1).reshape(*rows.shape[:-1], -1)


def _decode_blocks(type: str, stored: U8) -> F32:
    blocks = stored.reshape(*stored.shape[:-1], -1, 2 + CODE_BYTES[type])
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    codes = blocks[..., 2:]
    if type == "Q8_0":
        levels = codes.view(np.int8).astype(np.float32)
    else:
        both = np.concatenate([codes & 15, codes >> 4], axis=-1)
        levels = both.astype(np.float32) - np.float32(8)
    with np.errstate(invalid="ignore"):  # 0 · infinity, where a scale exceeds float16
        return (levels * scales).reshape(*stored.shape[:-1], -1)
