"""The header of a model's file: its typed keys, and the shapes of its tensors."""

from collections.abc import Mapping

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

    def inner_size(self, tensors: Mapping[str, str], layer: int) -> int:
        """Return the inner size of a layer's feed-forward part.

        The file's key has priority over the columns of the layer's last matrix.
        """
        has_experts = "ffn_down_exps" in tensors
        name = tensors["ffn_down_exps" if has_experts else "ffn_down"]
        size = self.integer("feed_forward_length", 0, layer=layer)
        if has_experts:
            size = self.integer("expert_feed_forward_length", size)
        return size or int(self.tensor(name).shape[-1])
