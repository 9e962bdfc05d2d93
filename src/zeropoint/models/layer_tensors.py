"""The tensors of one layer, found in a header by their roles.

A role is the tensor's GGUF name without "blk.N." and ".weight": "attn_q", "attn_q.bias". Where a
family stores a tensor under another name than the step that uses it, the role is the step's.
"""

from collections.abc import Callable

from zeropoint.checkpoints.families import ModelFamily
from zeropoint.models.header import ModelHeader

Shapes = dict[str, tuple[int, ...]]  # by role
Has = Callable[[str], bool]  # whether a layer has the tensor of a role


class LayerTensors:
    """Finds tensors of layer `index` and collects their names by role."""

    def __init__(self, header: ModelHeader, family: ModelFamily, index: int) -> None:
        self.header, self.family, self.index = header, family, index
        self.names: dict[str, str] = {}

    def has(self, role: str) -> bool:
        """Return whether the file has this weight."""
        return self._name(role) in self.header.checkpoint.tensors

    def weights(self, *roles: str) -> None:
        """Take these weights. Raises CheckpointError if one is missing."""
        for role in roles:
            self.names[role] = self._name(role)
            self.header.tensor(self.names[role])  # raises if it is missing

    def vector(self, role: str, stored: str) -> None:
        """Take a tensor that the file stores as `stored`, without ".weight"."""
        self.names[role] = f"blk.{self.index}.{stored}"
        self.header.tensor(self.names[role])  # raises if it is missing

    def take(self, role: str) -> None:
        """Take a tensor whose role has an ending (".bias") if the file has it."""
        name = f"blk.{self.index}.{role}"
        if name in self.header.checkpoint.tensors:
            self.names[role] = name

    def norms(self, *roles: str) -> None:
        """Take those of these norms that the family has."""
        family = self.family
        for role in roles:
            if role in family.norms and (role not in family.optional_norms or self.has(role)):
                self.weights(role)

    def matrices(self, *roles: str, biased: bool = True) -> None:
        """Take these matrices, each with the scale and, if `biased`, the bias that it may have."""
        self.weights(*roles)
        for role in roles:
            for extra in (".bias", ".scale") if biased else (".scale",):
                name = f"blk.{self.index}.{self.family.stored_name(role)}{extra}"
                if name in self.header.checkpoint.tensors:
                    self.names[role + extra] = name

    def _name(self, role: str) -> str:
        return f"blk.{self.index}.{self.family.stored_name(role)}.weight"


def with_extras(matrices: Shapes, *, biased: bool = True) -> Shapes:
    """Return the shapes of matrices, and those of the biases and scales that they may have.

    A stack of matrices, one for each expert, has a scale for each.
    """
    shapes = dict(matrices)
    for role, shape in matrices.items():
        if biased:
            shapes[f"{role}.bias"] = shape[:-1]
        shapes[f"{role}.scale"] = shape[:-2] or (1,)
    return shapes
