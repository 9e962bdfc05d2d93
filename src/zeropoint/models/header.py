"""Reads typed values out of a checkpoint's metadata; a file that lies gets one clear sentence."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite

import numpy as np

from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.errors import CheckpointError


class Header:
    """The keys of one architecture: `integer("block_count")` reads "llama.block_count"."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        name = checkpoint.metadata.get("general.architecture")
        if not isinstance(name, str):
            raise CheckpointError(
                checkpoint.path, "the architecture is not named", field="general.architecture"
            )
        self.architecture = name
        self.read: set[str] = set()  # the keys that `get` was called for

    def get(self, key: str) -> object | None:
        """Return the value as the file has it, or None, and note that the key is used."""
        self.read.add(key)
        return self.peek(key)

    def peek(self, key: str) -> object | None:
        """Return the value as the file has it, or None, without using it for the model."""
        return self.checkpoint.metadata.get(f"{self.architecture}.{key}")

    def wrong(self, key: str, reason: str) -> CheckpointError:
        """Return the error that says what is wrong with a key."""
        return CheckpointError(self.checkpoint.path, reason, field=f"{self.architecture}.{key}")

    @staticmethod
    def is_array(value: object) -> bool:
        """Tell whether a value is an array (and not a text)."""
        return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))

    @staticmethod
    def array(value: object) -> list[object]:
        """Return an array's elements."""
        return list(value)  # type: ignore[call-overload, no-any-return]

    def integer(
        self, key: str, default: int | None = None, *, layer: int | None = None, least: int = 0
    ) -> int:
        """Return a whole number ≥ `least`; an array (one value per layer) is read at `layer`."""
        value = self.get(key)
        if value is None:
            if default is None:
                raise self.wrong(key, "this key is missing")
            return default
        if layer is not None and self.is_array(value):
            values = self.array(value)
            if layer >= len(values):
                raise self.wrong(key, f"there is no value for layer {layer}")
            value = values[layer]
        if not isinstance(value, (int, np.integer, np.bool_)) or value < least:
            from_one = f" of at least {least}" if least else ""
            raise self.wrong(key, f"expected a whole number{from_one}, found {value!r}")
        return int(value)

    def number(self, key: str, default: float | None = None, *, above: float = -inf) -> float:
        """Return a finite number > `above`."""
        value = self.get(key)
        if value is None:
            if default is None:
                raise self.wrong(key, "this key is missing")
            return default
        if not isinstance(value, (int, float, np.integer, np.floating)) or not isfinite(value):
            raise self.wrong(key, f"expected a finite number, found {value!r}")
        if value <= above:
            raise self.wrong(key, f"expected a number above {above:g}, found {value!r}")
        return float(value)

    def text(self, key: str, default: str) -> str:
        """Return a text."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, f"expected a text, found {value!r}")
        return value

    def tensor(self, name: str) -> TensorInfo:
        """Return a tensor's entry, or raise CheckpointError."""
        info = self.checkpoint.tensors.get(name)
        if info is None:
            raise CheckpointError(self.checkpoint.path, "this tensor is missing", field=name)
        return info

    def optional(self, name: str) -> str | None:
        """Return a tensor's name if the file has it."""
        return name if name in self.checkpoint.tensors else None

    def expect(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise CheckpointError unless tensor `name` exists and has this shape."""
        info = self.tensor(name)
        if tuple(info.shape) != shape:
            raise CheckpointError(
                self.checkpoint.path,
                f"has shape {tuple(info.shape)}; this architecture needs {shape}",
                field=name,
            )

    def inner_size(self, tensors: Mapping[str, str], layer: int) -> int:
        """Return how wide a layer's feed-forward part is: as a key says, else its last matrix."""
        mixed = "ffn_down_exps" in tensors
        name = tensors["ffn_down_exps" if mixed else "ffn_down"]
        said = self.integer("feed_forward_length", 0, layer=layer)
        if mixed:
            said = self.integer("expert_feed_forward_length", said)
        return said or int(self.tensor(name).shape[-1])
