"""The few numbers of a model on which presets depend, from its GGUF metadata."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeropoint.checkpoints import TensorLike
from zeropoint.checkpoints.families import FAMILIES
from zeropoint.checkpoints.names import OUTPUT
from zeropoint.plans.formats.roles import layer_of


class CheckpointLike(Protocol):
    """What a plan reads of a checkpoint: no weight is among it."""

    @property
    def metadata(self) -> Mapping[str, object]: ...
    @property
    def tensors(self) -> Mapping[str, TensorLike]: ...


# Models that llama.cpp calls "70B": one value head serves eight query heads.
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
    """Numbers of a model. Missing metadata count as 0, missing layers are counted by name."""

    architecture: str
    layers: int  # all of them, those for multi-token prediction included
    grouping: int  # query heads per key-value head in layer 0; 0 if there is none
    experts: int
    seventy_b: bool
    tied: bool  # no output.weight: the token embedding is the output matrix too

    @classmethod
    def of(cls, metadata: Mapping[str, object], names: Iterable[str]) -> "ModelFacts":
        """Read them. Facts: llama.cpp of 2026-10-01, `load_hparams` and the 70B models."""
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
            layers = 0  # As llama.cpp: it reads no numbers of image encoders
        if architecture == "graniteswitch":
            layers += 1 - predicting
        if architecture == "nanbeige" and (loops := number("num_loops", 1)) > 1:
            layers = (layers - predicting) * loops
        return cls(
            architecture=architecture, layers=layers, seventy_b=seventy_b, experts=experts,
            grouping=heads // kv_heads if kv_heads else 0, tied=OUTPUT not in names,
        )  # fmt: skip


def _first(value: object, default: int) -> int:
    """Return a number, or that of layer 0 where there is one for each layer."""
    if isinstance(value, np.ndarray | list | tuple) and len(value):
        value = value[0]
    return int(value) if isinstance(value, int | np.integer) else default
