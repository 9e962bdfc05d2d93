"""The numbers of a model that presets depend on, from its GGUF metadata."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeropoint.checkpoints import TensorLike
from zeropoint.checkpoints.families import FAMILIES
from zeropoint.checkpoints.names import OUTPUT
from zeropoint.plans.formats.roles import layer_of


class CheckpointLike(Protocol):
    """A checkpoint without its weights: metadata and tensors by name."""

    @property
    def metadata(self) -> Mapping[str, object]: ...
    @property
    def tensors(self) -> Mapping[str, TensorLike]: ...


# Layers of models that llama.cpp calls "70B", where eight query heads share one value head.
SEVENTY_B_LAYERS = {"llama-embed": 80, "deci": 80, "olmo": 80, "jais2": 68} | {
    family.architecture: family.layers_of_70b
    for family in FAMILIES.values()
    if family.layers_of_70b
}
# Where such a model may also have experts: only dense ones with shared value heads are meant.
GROUPED_70B = {"llama-embed"} | {
    family.architecture
    for family in FAMILIES.values()
    if family.layers_of_70b and family.has_experts
}


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Numbers of a model. A missing key counts as 0; a missing number of layers is counted."""

    architecture: str
    #: All layers, those for multi-token prediction included.
    layers: int
    #: The layers for multi-token prediction.
    drafts: range
    #: Query heads per key-value head in layer 0; 0 if it has none.
    grouping: int
    experts: int
    seventy_b: bool
    #: Whether the token embedding is the output matrix too, because there is no output.weight.
    tied: bool

    @classmethod
    def of(cls, metadata: Mapping[str, object], names: Iterable[str]) -> "ModelFacts":
        """Read them as llama.cpp of 2026-10-01 does (`load_hparams`)."""
        names = list(names)
        architecture = str(metadata.get("general.architecture", ""))

        def number(key: str, default: int = 0) -> int:
            return _first(metadata.get(f"{architecture}.{key}"), default)

        counted = 1 + max((layer for name in names if (layer := layer_of(name)) is not None),
                          default=-1)  # fmt: skip
        layers = number("block_count", counted)
        predicting = number("nextn_predict_layers")
        heads = number("attention.head_count")
        kv_heads = number("attention.head_count_kv", heads)
        experts = number("expert_count")
        seventy_b = layers - predicting == SEVENTY_B_LAYERS.get(architecture)
        if architecture in GROUPED_70B:
            seventy_b &= heads != kv_heads and experts != 8
        if architecture == "clip":
            layers = 0  # as in llama.cpp, which reads no numbers of image encoders
        if architecture == "graniteswitch":
            layers += 1 - predicting
        if architecture == "nanbeige" and (loops := number("num_loops", 1)) > 1:
            layers = (layers - predicting) * loops
        return cls(
            architecture=architecture, layers=layers,
            seventy_b=seventy_b, experts=experts,
            drafts=range(number("block_count", counted))[-predicting:] if predicting else range(0),
            grouping=heads // kv_heads if kv_heads else 0, tied=OUTPUT not in names,
        )  # fmt: skip


def _first(value: object, default: int) -> int:
    """Return a number; of a list with one number per layer, that of layer 0."""
    if isinstance(value, np.ndarray | list | tuple) and len(value):
        value = value[0]
    return int(value) if isinstance(value, int | np.integer) else default
