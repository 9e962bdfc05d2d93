"""Options of `inspect`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """Which tensors are listed, and whether their weights are scanned and verified."""

    #: List only tensors whose name matches this glob, such as "*attn*"; "" lists all.
    tensors: str = ""
    #: Scan the weights for outliers; None: only of a model with at most 2 billion weights.
    outliers: bool | None = None
    #: Read all tensors and compare their digest with the one that the file states.
    verify: bool = False
