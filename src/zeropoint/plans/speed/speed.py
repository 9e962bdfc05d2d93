"""Speed of a model on a device: the amount of each kind of work, times its cost.

    memory     Σ bytes(format) · cost(format)  +  cache bytes · cost  +  layers · cost
    products   tokens · (Σ weights(format) · cost(format) + elements · cost)  +  attention · cost

A generated token and a prompt each take as long as the slower of the two. For one user that is the
memory when generating, and the products when a prompt is processed or users are many.

A cost is known to within a factor. It starts from the bandwidth and peak arithmetic of the device
and from the share of the bandwidth that kernels reach with a format (`SHARES`), or from the
benchmark of this machine. Timings of real models (`bench`) then move it: the logarithms of the
costs are fitted to them by least squares, each held to its start by its uncertainty (a Gaussian
posterior). What all costs share, such as a machine that is slower than its data sheet, moves most,
so one timing corrects every estimate. The remaining uncertainty is the band of an estimate.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import find_format
from zeropoint.plans.machines.device import Device
from zeropoint.plans.memory.batch import BATCH_TOKENS
from zeropoint.plans.memory.bytes_read import StepTraffic

Features = Mapping[str, float]  # amount of work by kind; a cost is the seconds of one unit

# Share of the bandwidth that kernels reach with weights of a format, relative to F16: tokens per
# second times bytes, from llama.cpp's tables (tools/quantize/README, 2026-10). A format that is not
# listed takes the share of the listed format with the nearest number of bits.
SHARES = {
    "F32": 1.0, "F16": 1.0, "BF16": 1.0, "Q8_0": 0.93, "Q6_K": 0.83, "Q5_K": 0.82, "Q5_0": 0.82,
    "Q5_1": 0.82, "Q4_K": 0.76, "Q4_0": 0.80, "Q4_1": 0.80, "IQ4_NL": 0.74, "IQ4_XS": 0.74,
    "MXFP4": 0.76, "NVFP4": 0.76, "Q3_K": 0.61, "IQ3_S": 0.58, "IQ3_XXS": 0.52, "Q2_K": 0.57,
    "IQ2_S": 0.46, "IQ2_XS": 0.45, "IQ2_XXS": 0.41, "IQ1_M": 0.34, "IQ1_S": 0.34, "TQ1_0": 0.45,
    "TQ2_0": 0.57,
}  # fmt: skip
# By kind of device: the share of its bandwidth that F16 reaches, the seconds that each layer costs
# beside its bytes (launches, synchronization), and the share of its peak arithmetic that a prompt
# of 512 tokens reaches. They were chosen so that published timings of llama.cpp lie inside the
# band: P40 56.8 and 912 tokens/s (generation and prompt, Llama 7B Q4_0, its PR 4766), RTX 3080 112
# and 3807 (Llama 3.1 8B Q4_K_M, dmatora/LLM-inference-speed-benchmarks issue 12), RTX 5090 222
# (generation, Qwen3 8B Q4_K_M, CambrianTech/continuum PR 1627), M1 Max 61 (generation, Llama 7B
# Q4_0, discussion 4167). There was no timing of a card with HBM; its share is assumed to be lower,
# because small matrices use less of the bandwidth.
KINDS = {
    "gpu": (0.88, 25e-6, 0.45),
    "unified": (0.83, 35e-6, 0.60),
    "cpu": (0.75, 20e-6, 0.50),
    "hbm": (0.60, 30e-6, 0.20),
}
CPU_ELEMENT_SECONDS = 1e-9  # for one number of a norm, activation or sum
UNTIMED_SPEED_RATIO = 1.6  # highest speed divided by lowest of an estimate without any timing
HALF_BAND_SIGMAS = 2.0  # half a band, in standard deviations
# Standard deviations of logarithms: what all costs share, of a single cost, of a timing.
COMMON, OWN, NOISE = 0.12, 0.08, 0.05
FORMATLESS_COST_UNCERTAINTY = (
    0.5  # of the costs that no format has: layers, elements, cache, attention
)
UNCERTAIN_COSTS = ("layers", "elements", "cache", "attention")
GAUSS_NEWTON_STEPS = 12
CACHE_SHARE = 0.8  # of the bandwidth that F16 reaches
ATTENTION_SHARE = 0.5  # of the arithmetic that a prompt reaches
ASSUMED_FLOPS_PER_BYTE = 25  # of a device whose peak arithmetic is unknown


@dataclass(frozen=True, kw_only=True)
class SpeedEstimate:
    """A speed, tokens per second, with its band."""

    tokens_per_second: float
    low: float
    high: float
    #: "measured here" (this file), "calibrated" (by other timings) or "estimated".
    basis: str


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Work of `bench` with one model, and the seconds that it took."""

    features: Features
    seconds: float


@dataclass(frozen=True)
class WorkCosts:
    """Cost of each kind of work, in seconds per unit, with its uncertainty."""

    seconds: Mapping[str, float]
    #: (kinds, kinds), of the logarithms of the costs, in the order of `names`.
    covariance: NDArray[np.float64] = field(repr=False)
    basis: str = "estimated"

    @property
    def names(self) -> list[str]:
        """The kinds of work, in order."""
        return list(self.seconds)

    def predict(self, features: Features) -> tuple[float, float]:
        """Return the seconds of some work, and the standard deviation of their logarithm.

        A format without a cost takes that of the format with the nearest number of bits.
        """
        amounts = np.zeros(len(self.names))
        for name, amount in features.items():
            amounts[self.names.index(nearest_cost(name, self.names))] += amount
        parts = amounts * np.array(list(self.seconds.values()))
        total = float(parts.sum())
        if total <= 0:
            return 0.0, 0.0
        slope = parts / total
        return total, math.sqrt(max(float(slope @ self.covariance @ slope), 0.0) + NOISE**2)


def nearest_cost(name: str, known: Sequence[str]) -> str:
    """Return the cost for a kind of work: its own, or of the format with the nearest bits."""
    if name in known:
        return name
    kind, _, format = name.partition(":")
    bits = weight_bits(format)
    others = [other for other in known if other.startswith(kind + ":")]
    return min(others, key=lambda other: abs(weight_bits(other.partition(":")[2]) - bits))


def weight_bits(name: str) -> float:
    """Return the bits per weight of a format; 16 for one whose blocks are whole rows."""
    format = find_format(name)
    return 8 * format.block_bytes / format.block_size if format.block_size else 16.0


def bandwidth_share(format: str) -> float:
    """Return the share of F16's bandwidth that kernels reach with a format.

    >>> bandwidth_share("Q4_K"), bandwidth_share("INT4_SYM_G32")
    (0.76, 0.76)
    """
    return SHARES[format] if format in SHARES else SHARES[
        min(SHARES, key=lambda name: (abs(weight_bits(name) - weight_bits(format)), name != "Q4_K"))
    ]  # fmt: skip


def generation_features(traffic: StepTraffic) -> dict[str, float]:
    """Return the memory work of one generated token of each user."""
    features = {f"read:{name}": size for name, size in traffic.read.items()}
    return features | {"cache": traffic.cache, "layers": float(traffic.layers)}


def prompt_features(traffic: StepTraffic, tokens: int) -> dict[str, float]:
    """Return the products of a whole prompt of this many tokens."""
    features = {f"multiply:{n}": count * tokens for n, count in traffic.products.items()}
    features |= {f"multiply:{n}": features.get(f"multiply:{n}", 0) + count * traffic.users
                 for n, count in traffic.head.items()}  # fmt: skip
    return features | {
        "attention": traffic.attention
        * tokens
        / 2,  # on average a token attends to half of the prompt
        "elements": float(traffic.elements * tokens),
        "layers": float(traffic.layers * -(-tokens // BATCH_TOKENS)),
    }


def step_products(traffic: StepTraffic) -> dict[str, float]:
    """Return the products of one generated token of each user."""
    users = traffic.users
    features = {f"multiply:{n}": count * users for n, count in traffic.products.items()}
    for name, count in traffic.head.items():
        features[f"multiply:{name}"] = features.get(f"multiply:{name}", 0) + count * users
    return features | {
        "attention": traffic.attention * users,
        "elements": float(traffic.elements * users),
        "layers": float(traffic.layers),
    }


def prompt_reading(traffic: StepTraffic, tokens: int) -> dict[str, float]:
    """Return the memory work of a whole prompt: weights are read once per batch."""
    batches = -(-tokens // BATCH_TOKENS)
    read = traffic.read_at_once(min(tokens, BATCH_TOKENS))
    features = {f"read:{name}": size * batches for name, size in read.items()}
    return features | {"layers": float(traffic.layers * batches)}


def generation_speed(costs: WorkCosts, traffic: StepTraffic) -> SpeedEstimate:
    """Return the speed of generation, of all users together."""
    memory = estimate(costs, generation_features(traffic), traffic.users)
    return _slower(memory, estimate(costs, step_products(traffic), traffic.users))


def prompt_speed(costs: WorkCosts, traffic: StepTraffic, tokens: int) -> SpeedEstimate:
    """Return the speed of prompt processing, for a prompt of this many tokens."""
    products = estimate(costs, prompt_features(traffic, tokens), tokens)
    return _slower(products, estimate(costs, prompt_reading(traffic, tokens), tokens))


def _slower(first: SpeedEstimate, second: SpeedEstimate) -> SpeedEstimate:
    """Return the lower of two limits; a limit of 0 does not count."""
    limits = [limit for limit in (first, second) if limit.tokens_per_second > 0]
    return min(limits, key=lambda limit: limit.tokens_per_second, default=first)


def device_kind(device: Device) -> tuple[float, float, float]:
    """Return the shares and the seconds per layer of a device's kind (see `KINDS`)."""
    return KINDS["hbm" if device.hbm else device.kind]


def device_costs(device: Device, measured: Mapping[str, float] | None = None) -> WorkCosts:
    """Return the costs of a device before any model has been timed on it.

    `measured` holds the seconds of single products by kind, if the device is this machine and was
    benchmarked; they replace those of all formats.
    """
    share, layer, prompt = device_kind(device)
    seconds: dict[str, float] = {}
    for name, relative in SHARES.items():
        seconds[f"read:{name}"] = 1 / (device.bandwidth * share * relative)
    flops = max(
        device.fp16_flops or ASSUMED_FLOPS_PER_BYTE * device.bandwidth, (device.int8_ops or 0) / 2
    )
    for name in SHARES:
        seconds[f"multiply:{name}"] = 2 / (flops * prompt)
    seconds |= {
        "cache": 1 / (device.bandwidth * share * CACHE_SHARE),
        "layers": layer,
        "attention": 2 / (flops * prompt * ATTENTION_SHARE),
        "elements": 0.2 / flops if device.kind != "cpu" else CPU_ELEMENT_SECONDS,
    }
    if measured:  # a format that was not measured takes the cost of the one nearest in bits
        kinds = ("read:", "multiply:")
        seconds = {k: s for k, s in seconds.items() if not k.startswith(kinds)}
        seconds |= measured
    return WorkCosts(seconds, _prior(list(seconds)), "estimated")


def _prior(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the (kinds, kinds) covariance before any timing.

    Every cost has its own variance, and one that it shares with all costs of memory or of products.
    """
    covariance = np.diag(np.full(len(names), OWN**2))
    prompt = np.array([n.startswith(("multiply", "attention", "elements")) for n in names])
    for kind in (prompt, ~prompt):
        covariance += np.outer(kind, kind) * COMMON**2
    for index, name in enumerate(names):
        if name in UNCERTAIN_COSTS:
            covariance[index, index] += FORMATLESS_COST_UNCERTAINTY**2
    return covariance


def calibrate_costs(costs: WorkCosts, timings: Iterable[Timing]) -> WorkCosts:
    """Return costs fitted to timings of real models: the Gaussian posterior.

    Minimizes Σ (log measured − log predicted)² / NOISE² + (θ − θ₀)ᵀ C₀⁻¹ (θ − θ₀) over the
    logarithms θ of the costs, by Gauss–Newton. Without timings the costs are returned unchanged.
    """
    timings = [timing for timing in timings if timing.seconds > 0]
    if not timings:
        return costs
    names = costs.names
    amounts = np.zeros((len(timings), len(names)))
    for row, timing in enumerate(timings):
        for name, amount in timing.features.items():
            amounts[row, names.index(nearest_cost(name, names))] += amount
    start = np.log(np.array(list(costs.seconds.values())))
    theta, wanted = start.copy(), np.log([timing.seconds for timing in timings])
    noise = NOISE**2 * np.eye(len(timings))
    covariance = costs.covariance
    for _ in range(GAUSS_NEWTON_STEPS):
        parts = amounts * np.exp(theta)
        total = parts.sum(axis=1)
        slope = parts / total[:, None]
        gain = (
            costs.covariance @ slope.T @ np.linalg.inv(slope @ costs.covariance @ slope.T + noise)
        )
        theta = start + gain @ (wanted - np.log(total) + slope @ (theta - start))
        covariance = costs.covariance - gain @ slope @ costs.covariance
    seconds = dict(zip(names, np.exp(theta).tolist(), strict=True))
    return WorkCosts(seconds, covariance, "calibrated")


def estimate(costs: WorkCosts, features: Features, tokens: float) -> SpeedEstimate:
    """Return the speed, tokens per second, of work that produces `tokens` tokens."""
    seconds, sigma = costs.predict(features)
    rate = tokens / seconds if seconds else 0.0
    factor = min(math.exp(HALF_BAND_SIGMAS * sigma), math.sqrt(UNTIMED_SPEED_RATIO))
    if costs.basis == "estimated":
        factor = math.sqrt(UNTIMED_SPEED_RATIO)
    return SpeedEstimate(
        tokens_per_second=rate, low=rate / factor, high=rate * factor, basis=costs.basis
    )
