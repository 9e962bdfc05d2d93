"""The table of model families: every fact about a family is written here once.

One module per family holds its record, and the code that reads and writes the settings that only
this family has. docs/adding-a-model.md describes how to add one.
"""

from collections.abc import Mapping

from zeropoint.checkpoints.families.bitnet import BITNET, BITNET_B158
from zeropoint.checkpoints.families.ernie4_5 import ERNIE4_5, ERNIE4_5_MOE
from zeropoint.checkpoints.families.gemma import GEMMA, GEMMA2, GEMMA3
from zeropoint.checkpoints.families.gemma4 import GEMMA4
from zeropoint.checkpoints.families.glm4_moe import GLM4MOE
from zeropoint.checkpoints.families.gpt_oss import GPT_OSS
from zeropoint.checkpoints.families.granite import GRANITE, GRANITEMOE
from zeropoint.checkpoints.families.lfm2 import LFM2, LFM2MOE
from zeropoint.checkpoints.families.llama import LLAMA, MISTRAL3
from zeropoint.checkpoints.families.nemotron_h import NEMOTRON_H
from zeropoint.checkpoints.families.olmo import OLMO2
from zeropoint.checkpoints.families.phi3 import PHI3
from zeropoint.checkpoints.families.qwen import QWEN2, QWEN3, QWEN3MOE
from zeropoint.checkpoints.families.qwen3_5 import QWEN35
from zeropoint.checkpoints.families.qwen3_next import QWEN3NEXT, QWEN35MOE
from zeropoint.checkpoints.families.record import (
    ExpertRule,
    Feature,
    Gating,
    HuggingFaceType,
    ModelFamily,
    StoredChange,
    WindowRule,
)
from zeropoint.checkpoints.families.seed_oss import SEED_OSS
from zeropoint.checkpoints.families.smollm3 import SMOLLM3

__all__ = [
    "FAMILIES",
    "HUGGINGFACE_TYPES",
    "ExpertRule",
    "Feature",
    "Gating",
    "HuggingFaceType",
    "ModelFamily",
    "StoredChange",
    "WindowRule",
    "families_of",
]

# By `general.architecture` of GGUF files.
FAMILIES: Mapping[str, ModelFamily] = {
    family.architecture: family
    for family in (
        LLAMA, MISTRAL3, SMOLLM3, QWEN2, QWEN3, QWEN3MOE, PHI3, GEMMA, GEMMA2, GEMMA3, BITNET,
        BITNET_B158, ERNIE4_5, SEED_OSS, QWEN35, QWEN35MOE, QWEN3NEXT, LFM2, OLMO2, GRANITE,
        GRANITEMOE, GPT_OSS, NEMOTRON_H, LFM2MOE, ERNIE4_5_MOE, GLM4MOE, GEMMA4,
    )
}  # fmt: skip

# By `model_type` of config.json; of two records for one name that which can be converted.
HUGGINGFACE_TYPES: Mapping[str, HuggingFaceType] = {
    name: kind
    for convertible in (False, True)
    for family in FAMILIES.values()
    for kind in family.huggingface
    if kind.convertible == convertible
    for name in kind.model_types
}


def families_of(kind: HuggingFaceType) -> list[ModelFamily]:
    """Return the families that folders of this type may become."""
    return [family for family in FAMILIES.values() if kind in family.huggingface]
