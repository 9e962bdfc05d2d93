"""How fast a model reads and writes on a device: what is counted, times what each of it costs.

    reading    Σ bytes(format) · cost(format)  +  cache bytes · cost  +  layers · cost
    products   tokens · (Σ weights(format) · cost(format) + elements)  +  attention

A step of generation and a prompt each take as long as the slower of the two: for one user that is
reading, for a prompt or many users products.

A cost is known to within a factor. It starts from the device's bandwidth and arithmetic, and a
share of them for each format (what of the bandwidth its kernels reach; `SHARES`); where this
machine was measured, from that; and timings of real models (`bench`) move it: the costs are fitted
to them by least squares in the logarithm, each held to where it began by how uncertain it was (a
Gaussian posterior). What all share (the machine is slower than thought) moves most, so that one
timing corrects every estimate. What remains uncertain is the band around an estimate.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import find_format
from zeropoint.plans.machines.machines import Device
from zeropoint.plans.memory.bytes_read import Traffic
from zeropoint.plans.memory.memory import BATCH

Features = Mapping[str, float]  # how much of what is done; costs are in seconds of one of it

# What of its bandwidth a device reaches on weights of a format, relative to F16's: ratios of tokens
# per second times bytes on llama.cpp's own tables (tools/quantize/README, 2026-10). Formats that
# are not listed take that of the listed one nearest in bits.
SHARES = {
    "F32": 1.0, "F16": 1.0, "BF16": 1.0, "Q8_0": 0.93, "Q6_K": 0.83, "Q5_K": 0.82, "Q5_0": 0.82,
    "Q5_1": 0.82, "Q4_K": 0.76, "Q4_0": 0.80, "Q4_1": 0.80, "IQ4_NL": 0.74, "IQ4_XS": 0.74,
    "MXFP4": 0.76, "NVFP4": 0.76, "Q3_K": 0.61, "IQ3_S": 0.58, "IQ3_XXS": 0.52, "Q2_K": 0.57,
    "IQ2_S": 0.46, "IQ2_XS": 0.45, "IQ2_XXS": 0.41, "IQ1_M": 0.34, "IQ1_S": 0.34, "TQ1_0": 0.45,
    "TQ2_0": 0.57,
}  # fmt: skip
# Of a kind of device: what of its bandwidth F16 reaches, seconds that each layer costs beside its
# bytes (launches, synchronisation), and what of its peak a prompt of 512 tokens reaches. Chosen so
# that timings of llama.cpp lie inside the band: P40 56.8 and 912 tokens/s (Llama 7B Q4_0, its PR
# 4766), RTX 3080 112 and 3807 (Llama 3.1 8B Q4_K_M, dmatora/LLM-inference-speed-benchmarks issue
# 12), RTX 5090 222 (Qwen3 8B Q4_K_M, CambrianTech/continuum PR 1627), M1 Max 61 (Llama 7B Q4_0,
# discussion 4167). Of cards with HBM no timing was at hand: their share is assumed to be lower, as
# small matrices fill them less.
KINDS = {
    "gpu": (0.88, 25e-6, 0.45),
    "unified": (0.83, 35e-6, 0.60),
    "cpu": (0.75, 20e-6, 0.50),
    "hbm": (0.60, 30e-6, 0.20),
}
ELEMENT = 1e-9  # seconds that a processor takes for one number between two products
BAND = 1.6  # how wide an estimate is that nothing was measured for: highest ÷ lowest
SIGMAS = 2.0  # a band is so many standard deviations to both sides
COMMON, OWN, NOISE = 0.12, 0.08, 0.05  # standard deviations of logarithms: all costs, one, a timing


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A speed with its band and where it comes from."""

    tokens_per_second: float
    low: float
    high: float
    basis: str  # measured here, calibrated, estimated


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What `bench` found for one model: one kind of step, and the seconds it took."""

    features: Features
    seconds: float


@dataclass(frozen=True)
class Costs:
    """Seconds of one unit of each feature, with what is uncertain about their logarithms."""

    seconds: Mapping[str, float]
    covariance: NDArray[np.float64] = field(repr=False)  # of the logarithms, in the order of names
    basis: str = "estimated"

    @property
    def names(self) -> list[str]:
        """The features in order."""
        return list(self.seconds)

    def predict(self, features: Features) -> tuple[float, float]:
        """Return the seconds of some work, and the standard deviation of their logarithm.

        A format that has no cost of its own takes the one nearest in bits.
        """
        amounts = np.zeros(len(self.names))
        for name, amount in features.items():
            amounts[self.names.index(nearest(name, self.names))] += amount
        parts = amounts * np.array(list(self.seconds.values()))
        total = float(parts.sum())
        if total <= 0:
            return 0.0, 0.0
        slope = parts / total
        return total, math.sqrt(max(float(slope @ self.covariance @ slope), 0.0) + NOISE**2)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the cost that stands for a feature: its own, or of the format nearest in bits."""
    if name in known:
        return name
    kind, _, format = name.partition(":")
    bits = bits_of(format)
    others = [other for other in known if other.startswith(kind + ":")]
    return min(others, key=lambda other: abs(bits_of(other.partition(":")[2]) - bits))


def bits_of(format: str) -> float:
    """Return the bits of one weight in a format."""
    found = find_format(format)
    return 8 * found.block_bytes / found.block_size if found.block_size else 16.0


def share_of(format: str) -> float:
    """Return what of F16's bandwidth a format reaches.

    >>> share_of("Q4_K"), share_of("INT4_SYM_G32")
    (0.76, 0.76)
    """
    return SHARES[format] if format in SHARES else SHARES[
        min(SHARES, key=lambda name: (abs(bits_of(name) - bits_of(format)), name != "Q4_K"))
    ]  # fmt: skip


def generation_features(traffic: Traffic) -> dict[str, float]:
    """Return what one step of generation does."""
    features = {f"read:{name}": size for name, size in traffic.read.items()}
    return features | {"cache": traffic.cache, "layers": float(traffic.layers)}


def prompt_features(traffic: Traffic, tokens: int) -> dict[str, float]:
    """Return what reading a prompt of so many tokens does, for all of it."""
    features = {f"multiply:{n}": count * tokens for n, count in traffic.products.items()}
    features |= {f"multiply:{n}": features.get(f"multiply:{n}", 0) + count * traffic.users
                 for n, count in traffic.head.items()}  # fmt: skip
    return features | {
        "attention": traffic.attention * tokens / 2,  # a prompt's tokens see half of it on average
        "elements": float(traffic.elements * tokens),
        "layers": float(traffic.layers * -(-tokens // BATCH)),
    }


def step_products(traffic: Traffic) -> dict[str, float]:
    """Return what one step of generation multiplies, for all users."""
    users = traffic.users
    features = {f"multiply:{n}": count * users for n, count in traffic.products.items()}
    for name, count in traffic.head.items():
        features[f"multiply:{name}"] = features.get(f"multiply:{name}", 0) + count * users
    return features | {
        "attention": traffic.attention * users,
        "elements": float(traffic.elements * users),
        "layers": float(traffic.layers),
    }


def prompt_reading(traffic: Traffic, tokens: int) -> dict[str, float]:
    """Return what reading a prompt of so many tokens takes out of memory: weights by the batch."""
    batches = -(-tokens // BATCH)
    read = traffic.read_at_once(min(tokens, BATCH))
    features = {f"read:{name}": size * batches for name, size in read.items()}
    return features | {"layers": float(traffic.layers * batches)}


def generating(costs: Costs, traffic: Traffic) -> Estimate:
    """Return the speed of generation, all users together."""
    reading = estimate(costs, generation_features(traffic), traffic.users)
    return slower(reading, estimate(costs, step_products(traffic), traffic.users))


def prompting(costs: Costs, traffic: Traffic, tokens: int) -> Estimate:
    """Return the speed at which a prompt of so many tokens is read."""
    products = estimate(costs, prompt_features(traffic, tokens), tokens)
    return slower(products, estimate(costs, prompt_reading(traffic, tokens), tokens))


def slower(first: Estimate, second: Estimate) -> Estimate:
    """Return the lower of two ceilings; one that is 0 was not counted."""
    known = [found for found in (first, second) if found.tokens_per_second > 0]
    return min(known, key=lambda found: found.tokens_per_second, default=first)


def kind_of(device: Device) -> tuple[float, float, float]:
    """Return what a device's kind reaches (see `KINDS`)."""
    return KINDS["hbm" if device.hbm else device.kind]


def costs_of(device: Device, rates: "Rates | None" = None) -> Costs:
    """Return a device's costs before any model was timed on it.

    `rates`: what was measured of this machine's kernels.
    """
    share, layer, prompt = kind_of(device)
    seconds: dict[str, float] = {}
    for name, relative in SHARES.items():
        seconds[f"read:{name}"] = 1 / (device.bandwidth * share * relative)
    flops = max(device.fp16_flops or 25 * device.bandwidth, (device.int8_ops or 0) / 2)
    for name in SHARES:
        seconds[f"multiply:{name}"] = 2 / (flops * prompt)
    seconds |= {
        "cache": 1 / (device.bandwidth * share * 0.8),
        "layers": layer,
        "attention": 2 / (flops * prompt * 0.5),
        "elements": 0.2 / flops if device.kind != "cpu" else ELEMENT,
    }
    if rates is not None:  # what was not measured stands for the format nearest in bits
        kinds = ("read:", "multiply:")
        seconds = {k: s for k, s in seconds.items() if not k.startswith(kinds)}
        seconds |= rates.seconds
    return Costs(seconds, _prior(list(seconds)), "estimated")


@dataclass(frozen=True)
class Rates:
    """Costs that were measured here on single kernels: part of those of `Costs`."""

    seconds: Mapping[str, float]


def _prior(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the covariance that costs begin with: each its own, and one for all of a kind."""
    count = len(names)
    found = np.diag(np.full(count, OWN**2))
    prompt = np.array([n.startswith(("multiply", "attention", "elements")) for n in names])
    for kind in (prompt, ~prompt):
        found += np.outer(kind, kind) * COMMON**2
    for index, name in enumerate(names):
        if name in ("layers", "elements", "cache", "attention"):
            found[index, index] += 0.5**2
    return found


def calibrated(costs: Costs, timings: Iterable[Timing]) -> Costs:
    """Return the costs that timings of real models leave: the Gaussian posterior.

    Minimizes Σ (log measured − log predicted)²/NOISE² + (θ − θ₀)ᵀ C₀⁻¹ (θ − θ₀) over the logarithms
    θ of the costs, by Gauss–Newton.
    """
    timings = [timing for timing in timings if timing.seconds > 0]
    if not timings:
        return costs
    names = costs.names
    amounts = np.zeros((len(timings), len(names)))
    for row, timing in enumerate(timings):
        for name, amount in timing.features.items():
            amounts[row, names.index(nearest(name, names))] += amount
    start = np.log(np.array(list(costs.seconds.values())))
    theta, wanted = start.copy(), np.log([timing.seconds for timing in timings])
    noise = NOISE**2 * np.eye(len(timings))
    covariance = costs.covariance
    for _ in range(12):
        parts = amounts * np.exp(theta)
        total = parts.sum(axis=1)
        slope = parts / total[:, None]
        gain = (
            costs.covariance @ slope.T @ np.linalg.inv(slope @ costs.covariance @ slope.T + noise)
        )
        theta = start + gain @ (wanted - np.log(total) + slope @ (theta - start))
        covariance = costs.covariance - gain @ slope @ costs.covariance
    seconds = dict(zip(names, np.exp(theta).tolist(), strict=True))
    return Costs(seconds, covariance, "calibrated")


def estimate(costs: Costs, features: Features, tokens: float) -> Estimate:
    """Return the speed of work that gives `tokens` tokens, with its band."""
    seconds, sigma = costs.predict(features)
    rate = tokens / seconds if seconds else 0.0
    factor = min(math.exp(SIGMAS * sigma), math.sqrt(BAND))
    if costs.basis == "estimated":
        factor = math.sqrt(BAND)
    return Estimate(
        tokens_per_second=rate, low=rate / factor, high=rate * factor, basis=costs.basis
    )
