"""Other codes into blocks whose scales stay: what error feedback and coordinate descent need.

A format stores codes in bit fields beside its scales. `code_set` says which codes a weight can have
and what each means before the scale is applied; `CodeSet.store` writes codes into the bits that
`Format.parts` reads them from, and leaves every other bit as it is.

Formats whose codes name points of a grid (IQ1 to IQ3) have no codes of single weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, U8, Format
from zeropoint.formats.kquants import gather
from zeropoint.formats.legacy import pack_fifth_bits, pack_nibbles
from zeropoint.formats.nonlinear import E2M1_DOUBLED, IQ4_VALUES
from zeropoint.formats.ternary import pack_trits

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class CodeSet:
    """The codes that one weight of a format can have, ordered by their values."""

    #: (L,) as `Parts.codes` numbers them.
    codes: Codes
    #: (L,) ascending; the weight is scale · value + minimum.
    values: F32
    #: Whether values are consecutive integers, so that the nearest one needs no search.
    consecutive: bool
    _store: Callable[[U8, Codes], None]

    def store(self, blocks: U8, codes: NDArray[np.signedinteger]) -> U8:
        """Return (n, block_bytes) blocks that have (n, block_size) other codes, and their scales.

        `codes` are numbered as in `Parts.codes`, each one of `self.codes`.
        """
        stored = blocks.copy()
        self._store(stored, codes.astype(np.int32))
        return stored

    def nearest(self, values: F32) -> NDArray[np.intp]:
        """Return the index of the nearest value: an array of the same shape.

        Halfway between two values the even integer wins, or the lower entry of a table. NaN gives
        an arbitrary index.
        """
        if self.consecutive:
            low, high = self.values[0], self.values[-1]
            with np.errstate(invalid="ignore"):
                codes = np.clip(np.nan_to_num(np.rint(values)), low, high) - low
            index: NDArray[np.intp] = codes.astype(np.intp)
            return index
        middles = (self.values[1:] + self.values[:-1]) / 2
        return np.searchsorted(middles, values)


def code_set(format: Format) -> CodeSet:
    """Return the codes of a format. Raises FormatError for one that cannot be recoded."""
    if format.name not in _CODE_SETS:
        raise FormatError(
            f"{format.name} has no codes of single weights that could be chosen again; formats that"
            f" have: {', '.join(_CODE_SETS)}"
        )
    return _CODE_SETS[format.name]


def can_recode(format: Format) -> bool:
    """Return whether `code_set` supports the format."""
    return format.name in _CODE_SETS


def _integers(low: int, high: int, store: Callable[[U8, Codes], None]) -> CodeSet:
    codes = np.arange(low, high + 1, dtype=np.int32)
    return CodeSet(codes, codes.astype(np.float32), True, store)


def _table(values: F32, store: Callable[[U8, Codes], None]) -> CodeSet:
    """The codes of a table, each value once, by the first code that means it."""
    distinct, first = np.unique(values, return_index=True)
    return CodeSet(first.astype(np.int32), distinct, False, store)


def _nibbles(start: int, offset: int) -> Callable[[U8, Codes], None]:
    """32 codes + offset in the 16 bytes from `start` on."""

    def store(blocks: U8, codes: Codes) -> None:
        blocks[:, start : start + 16] = pack_nibbles((codes + offset).astype(np.uint8))

    return store


def _five_bits(start: int, offset: int) -> Callable[[U8, Codes], None]:
    """32 codes + offset: their fifth bits in the 4 bytes from `start` on, then 16 nibbles."""

    def store(blocks: U8, codes: Codes) -> None:
        fields = (codes + offset).astype(np.uint8)
        blocks[:, start : start + 4] = pack_fifth_bits(fields)
        blocks[:, start + 4 : start + 20] = pack_nibbles(fields)

    return store


def _store_q8_0(blocks: U8, codes: Codes) -> None:
    blocks[:, 2:34] = codes.astype(np.int8).view(np.uint8)


def _store_q2_k(blocks: U8, codes: Codes) -> None:
    blocks[:, 16:80] = gather(codes, 2)


def _store_q3_k(blocks: U8, codes: Codes) -> None:
    fields = codes + 4
    blocks[:, :32] = gather(fields >> 2, 1)
    blocks[:, 32:96] = gather(fields & 3, 2)


def _store_q4_k(blocks: U8, codes: Codes) -> None:
    blocks[:, 16:144] = gather(codes, 4)


def _store_q5_k(blocks: U8, codes: Codes) -> None:
    blocks[:, 16:48] = gather(codes >> 4, 1)
    blocks[:, 48:176] = gather(codes & 15, 4)


def _store_q6_k(blocks: U8, codes: Codes) -> None:
    fields = codes + 32
    blocks[:, :128] = gather((fields & 15).reshape(-1, 2, 2, 64), 4)
    blocks[:, 128:192] = gather(fields >> 4, 2)


def _store_iq4_xs(blocks: U8, codes: Codes) -> None:
    blocks[:, 8:] = gather(codes.reshape(-1, 8, 2, 16), 4)


def _store_nvfp4(blocks: U8, codes: Codes) -> None:
    groups = codes.reshape(-1, 4, 16)
    blocks[:, 4:] = (groups[:, :, :8] | groups[:, :, 8:] << 4).astype(np.uint8).reshape(-1, 32)


def _store_q2_0(blocks: U8, codes: Codes) -> None:
    fields = (codes + 1).reshape(-1, 16, 4) << np.array([0, 2, 4, 6])
    blocks[:, 2:] = np.bitwise_or.reduce(fields, axis=2).astype(np.uint8)


def _store_tq2_0(blocks: U8, codes: Codes) -> None:
    blocks[:, :64] = gather(codes + 1, 2)


def _store_tq1_0(blocks: U8, codes: Codes) -> None:
    fields = (codes + 1).astype(np.uint8)
    blocks[:, :32] = pack_trits(fields[:, :160], 5)
    blocks[:, 32:48] = pack_trits(fields[:, 160:240], 5)
    blocks[:, 48:52] = pack_trits(fields[:, 240:], 4)


_CODE_SETS: Mapping[str, CodeSet] = {
    "Q4_0": _integers(-8, 7, _nibbles(2, 8)),
    "Q4_1": _integers(0, 15, _nibbles(4, 0)),
    "Q5_0": _integers(-16, 15, _five_bits(2, 16)),
    "Q5_1": _integers(0, 31, _five_bits(4, 0)),
    "Q8_0": _integers(-127, 127, _store_q8_0),  # −128 is never written, see `legacy.Q8_0`
    "Q2_K": _integers(0, 3, _store_q2_k),
    "Q3_K": _integers(-4, 3, _store_q3_k),
    "Q4_K": _integers(0, 15, _store_q4_k),
    "Q5_K": _integers(0, 31, _store_q5_k),
    "Q6_K": _integers(-32, 31, _store_q6_k),
    "IQ4_NL": _table(IQ4_VALUES, _nibbles(2, 0)),
    "IQ4_XS": _table(IQ4_VALUES, _store_iq4_xs),
    "MXFP4": _table(E2M1_DOUBLED, _nibbles(1, 0)),
    "NVFP4": _table(E2M1_DOUBLED, _store_nvfp4),
    "Q2_0": _integers(-1, 2, _store_q2_0),
    "TQ1_0": _integers(-1, 1, _store_tq1_0),
    "TQ2_0": _integers(-1, 1, _store_tq2_0),
}
