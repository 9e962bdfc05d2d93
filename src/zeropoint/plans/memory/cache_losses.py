"""What a KV cache in fewer bits was measured to cost; other types are not recommended.

The figures are those of docs/kv-cache.md, which `benchmarks/kv_cache.py` measured: mean KL of a
model with this cache to the same model with an F32 cache, in nats per token.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SMALL_KL = 0.001  # nats per token: below it, a cache is recommended without a warning


@dataclass(frozen=True)
class CacheLoss:
    """The least and the largest mean KL over the models and lengths of context."""

    least: float
    largest: float

    @property
    def warning(self) -> str:
        """The loss as the end of a sentence."""
        verb = "costs accuracy" if self.largest > SMALL_KL else "costs little"
        return (
            f", and {verb}: a KL of {self.least:.2g} to {self.largest:.2g} in the models of"
            " docs/kv-cache.md; measure --kv measures yours"
        )


#: By type of keys and values, those with the smallest loss first; both are rotated.
CACHE_LOSSES: Mapping[str, CacheLoss] = {
    "Q8_0": CacheLoss(0.00015, 0.00036),
    "Q4_0": CacheLoss(0.040, 0.107),
}
