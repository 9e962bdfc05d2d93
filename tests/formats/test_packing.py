"""Codes of every width share bytes, low bit first."""

import numpy as np
import pytest

from zeropoint.formats.packing import pack, packed_bytes, unpack

WIDTHS = pytest.mark.parametrize("bits", range(1, 9))


@WIDTHS
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 15, 16, 31, 32, 33, 100])
def test_codes_are_one_stream_of_bits(bits: int, count: int) -> None:
    """The judge is a whole number: code i times 2^(i · bits), written low byte first."""
    codes = np.random.default_rng(bits * 1000 + count).integers(0, 2**bits, (5, count), np.uint8)
    packed = pack(codes, bits)
    assert packed.shape == (5, packed_bytes(count, bits))
    for row, stream in zip(codes.tolist(), packed, strict=True):
        number = sum(code << (place * bits) for place, code in enumerate(row))
        assert stream.tobytes() == number.to_bytes(-(-count * bits // 8), "little")
    np.testing.assert_array_equal(unpack(packed, count, bits), codes)


@WIDTHS
def test_bits_that_fill_up_the_last_byte_mean_nothing(bits: int) -> None:
    stream = np.full((1, packed_bytes(3, bits)), 255, np.uint8)
    assert unpack(stream, 3, bits).tolist() == [[2**bits - 1] * 3]
