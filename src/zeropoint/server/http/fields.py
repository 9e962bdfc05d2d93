"""Reads the fields of a JSON request; a wrong type or value is an error that names the field."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from zeropoint.server.http.errors import ApiError, bad

MAX_DEPTH = 64  # nested arrays and objects
MAX_SAFE_INTEGER = 2**53


def parse_body(data: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises ApiError 400."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(400, f"the body is not JSON: {reason}") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body must be a JSON object")
    if not _is_shallow(value):
        raise ApiError(400, f"the body is nested more than {MAX_DEPTH} levels deep")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return True
    return False


class Fields:
    """The fields of one JSON object. A field that is null counts as absent."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self.values = {key: value for key, value in values.items() if value is not None}
        self._prefix = prefix

    def __contains__(self, name: str) -> bool:
        """Return whether the field is there."""
        return name in self.values

    def path(self, name: str) -> str:
        """Return the name of a field as errors give it."""
        return f"{self._prefix}{name}"

    def bad(self, name: str, message: str) -> ApiError:
        """Return the error of a field."""
        return bad(self.path(name), f"{self.path(name)} {message}")

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a finite number within bounds, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.bad(name, "must be a number")
        if not (math.isfinite(value) and low <= value <= high):
            raise self.bad(name, f"must be from {low:g} to {high:g}")
        return float(value)

    def integer(self, name: str, low: int, high: int = MAX_SAFE_INTEGER) -> int | None:
        """Return an integer within bounds, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.bad(name, "must be an integer")
        if not low <= value <= high:
            raise self.bad(name, f"must be from {low} to {high}")
        return value

    def boolean(self, name: str, default: bool = False) -> bool:
        """Return a truth value."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.bad(name, "must be true or false")
        return value

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return a string, or the default."""
        value = self.values.get(name, default)
        if value is not None and not isinstance(value, str):
            raise self.bad(name, "must be a string")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.bad(name, "must be an object")
        return value

    def sequence(self, name: str) -> list[Any] | None:
        """Return an array, or None."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, list):
            raise self.bad(name, "must be an array")
        return value

    def texts(self, name: str, maximum: int) -> list[str]:
        """Return a string or an array of strings as a list of strings that are not empty."""
        value = self.values.get(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            raise self.bad(name, "must be a string or an array of strings")
        if len(values) > maximum:
            raise self.bad(name, f"may have at most {maximum} strings")
        return [one for one in values if one]


def token_ids(values: Sequence[Any], param: str) -> list[int]:
    """Return an array of token ids. Raises ApiError."""
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in values):
        raise bad(param, f"{param} must be an array of token ids")
    return list(values)
