"""Reads the keys of one architecture of a GGUF file, for the way back to a config.json."""

from collections.abc import Iterable, Mapping

import numpy as np

from zeropoint.checkpoints.harmless_keys import is_harmless_key
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

    def need(self, key: str) -> object:
        """Return a key's value, or raise CheckpointError if it is missing."""
        value = self.get(key)
        if value is None:
            raise CheckpointError("the source", f"{self.architecture}.{key} is missing")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a key's value as a whole number."""
        value = self.get(key, default)
        if not isinstance(value, int):
            raise CheckpointError("the source", f"{self.architecture}.{key} is {value!r}")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a key's value as a number."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError("the source", f"{self.architecture}.{key} is {value!r}")
        return float(value)

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
