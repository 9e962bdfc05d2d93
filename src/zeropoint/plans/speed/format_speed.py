"""Formats that are slow on a kind of device, whatever the model: the menus of profiles omit them.

A format is slow on a CPU if llama.cpp takes more than 1.5 times as long for a weight as with Q8_0,
in generation or in prompt processing. It is slow on a GPU if llama.cpp has no kernel for it, so
that the CPU has to compute the product (`multiply.toml`), or if a weight takes longer to read than
with Q8_0: its bits, divided by the share of the bandwidth that kernels reach (`SHARES`).
"""

from zeropoint.errors import RecipeError
from zeropoint.formats import FORMATS, find_format
from zeropoint.plans.machines.catalog import shipped_families
from zeropoint.plans.speed.multiply import PHASES, find_arithmetic
from zeropoint.plans.speed.speed import SHARES, bandwidth_share, weight_bits

PROFILES = ("any", "cpu", "gpu")
SLOW_CPU_RATIO = 1.5  # seconds per weight over those of Q8_0
RUNTIME = "llama.cpp"
GPU_FAMILY = "ampere"  # has the kernels of all other families that run CUDA and ROCm
BASE_FORMAT = "Q8_0"

# Seconds per weight over those of Q8_0, in generation and in prompt processing: llama.cpp of
# 2026-10-01, one thread of a server processor with AVX-512 that was not idle, 2026-11-29, by
# benchmarks/format_speed.py.
CPU_SECONDS_PER_WEIGHT = {
    "Q4_0": (0.59, 0.77), "Q4_1": (0.91, 2.26), "Q5_0": (1.32, 1.18), "Q5_1": (1.26, 2.56),
    "Q8_0": (1.01, 1.01), "Q2_K": (0.33, 0.68), "Q3_K": (0.48, 0.48), "Q4_K": (0.50, 0.66),
    "Q5_K": (1.11, 0.46), "Q6_K": (0.87, 0.52), "IQ4_NL": (0.58, 0.78), "IQ4_XS": (0.96, 0.42),
    "MXFP4": (1.49, 4.39), "NVFP4": (2.12, 2.86), "Q1_0": (0.32, 1.56), "Q2_0": (3.06, 15.04),
    "TQ1_0": (0.34, 1.62), "TQ2_0": (0.18, 0.77), "IQ1_S": (0.64, 0.40), "IQ1_M": (0.71, 0.48),
    "IQ2_XXS": (0.66, 0.44), "IQ2_XS": (0.81, 0.46), "IQ2_S": (0.70, 0.46),
    "IQ3_XXS": (0.88, 0.44), "IQ3_S": (1.29, 0.43),
}  # fmt: skip


def slow_formats(profile: str) -> frozenset[str]:
    """Return the formats that are slow on "cpu" or "gpu"; none for "any".

    >>> sorted(slow_formats("gpu")), "MXFP4" in slow_formats("cpu")
    (['TQ1_0', 'TQ2_0'], True)

    Raises RecipeError for another profile.
    """
    if profile not in PROFILES:
        raise RecipeError(f"there is no profile {profile!r}; supported: {', '.join(PROFILES)}")
    if profile == "any":
        return frozenset()
    if profile == "cpu":
        ratios = CPU_SECONDS_PER_WEIGHT.items()
        return frozenset(name for name, ratio in ratios if max(ratio) > SLOW_CPU_RATIO)
    return frozenset(name for name in FORMATS if _slow_on_gpu(name))


def relative_seconds(name: str, profile: str) -> float:
    """Return the time that a weight takes in generation, over that in Q8_0.

    On a GPU it is the time to read the weight. On a CPU, and for "any", it is measured; a format
    without a measurement takes the time to read it.
    """
    if profile != "gpu" and name in CPU_SECONDS_PER_WEIGHT:
        return CPU_SECONDS_PER_WEIGHT[name][0]
    return _read_seconds(name) / _read_seconds(BASE_FORMAT)


def _read_seconds(name: str) -> float:
    return weight_bits(name) / bandwidth_share(name)


def _slow_on_gpu(name: str) -> bool:
    native = shipped_families()[GPU_FAMILY].native
    ways = [find_arithmetic(RUNTIME, GPU_FAMILY, find_format(name), p, native) for p in PHASES]
    if any(way is not None and not way.unit for way in ways):
        return True
    unquantized = name in ("F64", "F32", "F16", "BF16")
    slower = _read_seconds(name) > _read_seconds(BASE_FORMAT)
    return name in SHARES and not unquantized and slower
