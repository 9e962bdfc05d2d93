"""Reads the keys of one architecture of a GGUF file, to write them as a config.json."""

from collections.abc import Iterable, Mapping
from math import inf

import numpy as np

from zeropoint.checkpoints.settings.harmless_keys import is_harmless_key
from zeropoint.checkpoints.typed_mapping import TypedMapping, is_array
from zeropoint.errors import UnsupportedModel, printable


class GgufKeys(TypedMapping):
    """The keys of the architecture that `general.architecture` names, and the tensors' names."""

    def __init__(self, metadata: Mapping[str, object], tensors: Iterable[str]) -> None:
        self.architecture = str(metadata.get("general.architecture"))
        super().__init__("the source", metadata, prefix=f"{self.architecture}.")
        self.tensors = frozenset(tensors)

    def number(self, key: str, default: float | None = None, *, above: float = -inf) -> float:
        """Return a finite number: the shortest decimal that is the same float32."""
        value = super().number(key, default, above=above)
        return float(np.format_float_positional(np.float32(value), unique=True))

    def largest(self, key: str, default: int | None = None) -> int:
        """Return a whole number; of an array with one for each layer the largest."""
        value = self.get(key)
        if is_array(value):
            return max((self.integer(key, layer=at) for at in range(len(value))), default=0)  # type: ignore[arg-type]
        return self.integer(key, default)

    def flags(self, key: str, count: int, default_period: int) -> list[bool]:
        """Return one flag for each of `count` layers.

        The key is an array of flags, or a period n: in each group of n layers the last one is
        false, and with a period of 0 all are true.
        """
        value = self.get(key)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biu" and value.size == count:
            return [bool(flag) for flag in value]
        if is_array(value):
            raise self.wrong(key, f"expected a period or {count} flags")
        period = self.integer(key, default_period)
        return [period == 0 or (index + 1) % period != 0 for index in range(count)]

    def check_all_read(self) -> None:
        """Raise UnsupportedModel for a key that was not read and is not harmless."""
        for name, value in self.values.items():
            key = name.removeprefix(self.prefix)
            if key != name and key not in self.read and not is_harmless_key(key, value, self.peek):
                raise self.unsupported(key)

    def unsupported(self, key: str) -> UnsupportedModel:
        """Return an error for a key whose value no setting of transformers can express."""
        value = printable(str(self.get(key)), 40)
        return UnsupportedModel(
            f"transformers has no setting for {self.architecture}.{key} = {value} in such a model"
        )
