"""Codes of 1 to 8 bits as a consecutive stream of bits, lowest bit first."""

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


def packed_bytes(count: int, bits: int) -> int:
    """Return the bytes of `count` codes; the last byte is filled with zero bits."""
    return (count * bits + 7) // 8


def pack(codes: U8, bits: int) -> U8:
    """Pack (n, m) codes below 2^bits into (n, packed_bytes(m, bits)) bytes.

    Two codes of four bits share a byte; eight codes of three bits take three bytes:

    >>> pack(np.array([[0x1, 0xF, 0x2]], np.uint8), 4).tolist()
    [[241, 2]]
    >>> pack(np.array([[7, 0, 0, 0, 0, 0, 0, 1]], np.uint8), 3).tolist()
    [[7, 0, 32]]
    """
    n, count = codes.shape
    eights = -(-count // 8)
    words = np.zeros((n, eights), "<u8")  # eight codes are `bits` whole bytes
    for place in range(min(8, count)):
        eighth = codes[:, place::8].astype(np.uint64) << np.uint64(place * bits)
        words[:, : eighth.shape[1]] |= eighth
    stream = words.view(np.uint8).reshape(n, eights, 8)[:, :, :bits].reshape(n, eights * bits)
    return np.ascontiguousarray(stream[:, : packed_bytes(count, bits)])


def unpack(stream: U8, count: int, bits: int) -> U8:
    """Return the (n, count) codes of (n, packed_bytes(count, bits)) bytes.

    >>> unpack(np.array([[241, 2]], np.uint8), 3, 4).tolist()
    [[1, 15, 2]]
    """
    n = stream.shape[0]
    eights = -(-count // 8)
    padded = np.zeros((n, eights * bits), np.uint8)
    padded[:, : stream.shape[1]] = stream
    octets = np.zeros((n, eights, 8), np.uint8)
    octets[:, :, :bits] = padded.reshape(n, eights, bits)
    words = octets.view("<u8")[:, :, 0]
    codes = np.empty((n, eights, 8), np.uint8)
    for place in range(8):
        codes[:, :, place] = (words >> np.uint64(place * bits)) & np.uint64(2**bits - 1)
    return np.ascontiguousarray(codes.reshape(n, eights * 8)[:, :count])
