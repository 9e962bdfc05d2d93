"""The JSON data of a page's scripts, and its encoding."""

import base64
import gzip
import json
from math import isfinite
from typing import Any

import numpy as np

PageData = dict[str, Any]


def pack(data: object) -> str:
    """Return data as base64 of gzipped JSON, arrays of numbers as typed arrays inside it."""
    text = json.dumps(plain(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()


def plain(value: object) -> object:
    """Return `value` in JSON's types; numbers that are not finite become null."""
    if isinstance(value, np.ndarray):
        kind = {"f": "<f4", "i": "<i4", "u": "<i4"}[value.dtype.kind]
        data = np.ascontiguousarray(value, kind).tobytes()
        return {"$": kind[1:], "data": base64.b64encode(data).decode()}
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
