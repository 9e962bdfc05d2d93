"""Reads typed values out of a mapping that came from a file, and records which keys were read."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path

import numpy as np

from zeropoint.errors import CheckpointError, printable


class TypedMapping:
    """A mapping from a file whose values are checked when they are read.

    `source` is the file that errors name. With a `prefix`, `integer("block_count")` reads the key
    "llama.block_count". `read` is the set of keys, without the prefix, that have been read. All
    accessors raise CheckpointError with the full key for a value of another type.
    """

    def __init__(
        self, source: Path | str, values: Mapping[str, object], *, prefix: str = ""
    ) -> None:
        self.source = source
        self.values = values
        self.prefix = prefix
        self.read: set[str] = set()

    def get(self, key: str) -> object | None:
        """Return the value as the file has it, or None, and record that the key was read."""
        self.read.add(key)
        return self.peek(key)

    def peek(self, key: str) -> object | None:
        """Return the value as the file has it, or None, without recording the key as read."""
        return self.values.get(f"{self.prefix}{key}")

    def full_name(self, key: str) -> str:
        """Return the key as error messages show it."""
        return f"{self.prefix}{key}"

    def wrong(self, key: str, reason: str) -> CheckpointError:
        """Return an error that names the file and the key."""
        return CheckpointError(self.source, reason, field=self.full_name(key))

    def integer(
        self,
        key: str,
        default: int | None = None,
        *,
        minimum: int = 0,
        maximum: float = inf,
        layer: int | None = None,
    ) -> int:
        """Return a whole number from `minimum` to `maximum`.

        An array (one value per layer) is read at index `layer`. A missing key without a default
        is an error.
        """
        value = self._value(key, default, layer)
        valid = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not valid or not minimum <= value <= maximum:  # type: ignore[operator]
            at_least = f" of at least {minimum}" if minimum else ""
            raise self._unexpected(key, f"a whole number{at_least}", value)
        return int(value)  # type: ignore[call-overload, no-any-return]

    def number(self, key: str, default: float | None = None, *, above: float = -inf) -> float:
        """Return a finite number greater than `above`. A missing key needs a default."""
        value = self._value(key, default)
        numeric = isinstance(value, int | float | np.integer | np.floating)
        if not numeric or isinstance(value, bool) or not isfinite(value):  # type: ignore[arg-type]
            raise self._unexpected(key, "a finite number", value)
        if value <= above:  # type: ignore[operator]
            raise self._unexpected(key, f"a number above {above:g}", value)
        return float(value)  # type: ignore[arg-type]

    def flag(self, key: str, default: bool = False, *, layer: int | None = None) -> bool:
        """Return true or false; a whole number is false if it is 0.

        An array (one value per layer) is read at index `layer`.
        """
        value = self._value(key, default, layer)
        if not isinstance(value, bool | np.bool_ | int | np.integer):
            raise self._unexpected(key, "true or false", value)
        return bool(value)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string. A missing key without a default is an error."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self._unexpected(key, "a string", value)
        return value

    def _value(self, key: str, default: object, layer: int | None = None) -> object:
        value = self.get(key)
        if value is None:
            if default is None:
                missing = f"{self.prefix}{key}" not in self.values
                raise self.wrong(key, "this key is missing" if missing else "is null")
            return default
        if layer is not None and is_array(value):
            if layer >= len(value):  # type: ignore[arg-type]
                raise self.wrong(key, f"there is no value for layer {layer}")
            return value[layer]  # type: ignore[index]
        return value

    def _unexpected(self, key: str, expected: str, value: object) -> CheckpointError:
        return self.wrong(key, f"expected {expected}, found {printable(repr(value))}")


def is_array(value: object) -> bool:
    """Return whether a value of a file's metadata is an array (a string is not)."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)
