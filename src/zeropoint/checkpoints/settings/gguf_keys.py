"""Reads the keys of one architecture of a GGUF file, for the way back to a config.json."""

from collections.abc import Iterable, Mapping
from math import isfinite

import numpy as np

from zeropoint.checkpoints.settings.harmless_keys import is_harmless_key
from zeropoint.errors import CheckpointError, UnsupportedModel, printable


class Keys:
    """The keys of one architecture; `read` are those that were asked for."""

    def __init__(self, metadata: Mapping[str, object], tensors: Iterable[str]) -> None:
        self.metadata = metadata
        self.architecture = str(metadata.get("general.architecture"))
        self.tensors = frozenset(tensors)
        self.read: set[str] = set()

    def get(self, key: str, default: object = None) -> object:
        """Return a key's value as a plain number or text."""
        self.read.add(key)
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, bool | str) or value is None:
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(np.format_float_positional(np.float32(value), unique=True))
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a key's value as a whole number of at least 0. Without a default it must exist."""
        value = self._needed(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(key, value, "a whole number of at least 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a key's value as a finite number. Without a default it must exist."""
        value = self._needed(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self._wrong(key, value, "a finite number")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a key's value as true or false."""
        value = self.get(key, default)
        if not isinstance(value, bool | int):
            raise self._wrong(key, value, "true or false")
        return bool(value)

    def text(self, key: str, default: str = "") -> str:
        """Return a key's value as text."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "text")
        return value

    def flags(self, key: str, count: int, default: int) -> list[bool]:
        """Return one flag for each of `count` layers.

        The key is an array of flags, or a period: of so many layers the last one has none, and
        with a period of 0 all have one.
        """
        value = self.get(key, default)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biu" and value.size == count:
            return [bool(flag) for flag in value]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(key, value, f"a period or {count} flags")
        return [value == 0 or (index + 1) % value != 0 for index in range(count)]

    def _needed(self, key: str, default: object) -> object:
        value = self.get(key, default)
        if value is None:
            raise CheckpointError("the source", f"{self.architecture}.{key} is missing")
        return value

    def _wrong(self, key: str, value: object, expected: str) -> CheckpointError:
        shown = printable(str(value), 40)
        reason = f"{self.architecture}.{key} is {shown}; {expected} is expected"
        return CheckpointError("the source", reason)

    def peek(self, key: str) -> object:
        """Return a key's value as the file has it, without using it."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def check_all_read(self) -> None:
        """Raise UnsupportedModel for a key that was not read and is not harmless."""
        for name, value in self.metadata.items():
            key = name.removeprefix(f"{self.architecture}.")
            if key != name and key not in self.read and not is_harmless_key(key, value, self.peek):
                raise self.unsupported(key)

    def unsupported(self, key: str) -> UnsupportedModel:
        """Return the error that names a key whose value transformers has no setting for."""
        value = printable(str(self.get(key)), 40)
        return UnsupportedModel(
            f"transformers has no setting for {self.architecture}.{key} = {value} in such a model"
        )
