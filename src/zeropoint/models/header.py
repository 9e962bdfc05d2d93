"""The header of a model's file: its typed keys, and the shapes of its tensors."""

from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.checkpoints.typed_mapping import TypedMapping
from zeropoint.errors import CheckpointError


class ModelHeader(TypedMapping):
    """The typed keys of a checkpoint's architecture, and its tensors."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        name = checkpoint.metadata.get("general.architecture")
        if not isinstance(name, str):
            raise CheckpointError(
                checkpoint.path,
                "this key is missing, so the architecture of the model is unknown",
                field="general.architecture",
            )
        self.architecture = name
        super().__init__(checkpoint.path, checkpoint.metadata, prefix=f"{name}.")

    def tensor(self, name: str) -> TensorInfo:
        """Return a tensor's entry. Raises CheckpointError if the file has no such tensor."""
        info = self.checkpoint.tensors.get(name)
        if info is None:
            raise CheckpointError(self.checkpoint.path, "this tensor is missing", field=name)
        return info

    def optional(self, name: str) -> str | None:
        """Return a tensor's name if the file has it, otherwise None."""
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

    def cap(self, key: str, default: float | None) -> float | None:
        """Return a soft cap, or None for no cap, which 0 in the file means too.

        A `default` of None means that the family has no such cap; the key is then not read.
        """
        return None if default is None else self.number(key, default) or None
