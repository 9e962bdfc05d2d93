"""The problem that a search solves: one format for each group of tensors, within a budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

#: The format of each tensor that may be quantized, by GGUF name.
Assignment: TypeAlias = Mapping[str, str]

#: By tensor and format: the predicted mean KL divergence, in nats per token, of a model in which
#: only this tensor has this format, rounded to nearest with importance.
LossTable: TypeAlias = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class FormatOption:
    """A format that a group of tensors may have."""

    format: str
    #: Bytes of all tensors of the group.
    nbytes: int
    #: Predicted loss of the group, in nats per token.
    loss: float


@dataclass(frozen=True)
class TensorGroup:
    """Tensors that must have the same format; usually there is only one."""

    names: tuple[str, ...]
    options: tuple[FormatOption, ...]
