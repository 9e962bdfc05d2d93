"""The scores in a SentencePiece model file: a protobuf message of which two fields are read.

    message ModelProto { repeated Piece pieces = 1; … }     message Piece { string piece = 1; float
    score = 2; … }

(sentencepiece_model.proto, 2018). Read by hand: a dependency for two fields would be larger than
they are.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from zeropoint.checkpoints.source import read_file
from zeropoint.errors import CheckpointError
from zeropoint.formats import F32

_MAX_FILE_BYTES = 64 << 20
_ADDED = -1000.0  # llama.cpp's score of a token that is not in the model file


def read_scores(path: Path, tokens: Sequence[str]) -> F32:
    """Return the score of each token (n,). Raises CheckpointError for any other file."""
    data = read_file(path, _MAX_FILE_BYTES)
    known: dict[str, float] = {}
    try:
        for number, value in _fields(data):
            if number == 1 and isinstance(value, bytes):
                fields = dict(_fields(value))
                piece, score = fields.get(1), fields.get(2, 0.0)
                if isinstance(piece, bytes) and isinstance(score, float):
                    known[piece.decode("utf-8", "replace")] = score
    except (IndexError, struct.error):
        raise CheckpointError(path, "is not a SentencePiece model") from None
    if not known:
        raise CheckpointError(path, "is not a SentencePiece model: it has no pieces")
    return np.array([known.get(text, _ADDED) for text in tokens], np.float32)


def _fields(data: bytes) -> Iterator[tuple[int, bytes | float | int]]:
    """Yield (number, value) of a message's fields; bytes for what has a length."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        elif kind == 5:
            yield number, struct.unpack_from("<f", data, at)[0]
            at += 4
        elif kind == 1:
            yield number, struct.unpack_from("<d", data, at)[0]
            at += 8
        elif kind == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise IndexError
            yield number, data[at : at + length]
            at += length
        else:
            raise IndexError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise IndexError
