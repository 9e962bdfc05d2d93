"""The kinds of blocks and of importance that encoders must survive: makers of n numbers."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Make = Callable[[np.random.Generator, int], F32]


def with_peak(peak: float) -> Make:
    """Return a maker of normal weights whose largest magnitude is `peak`."""

    def make(rng: np.random.Generator, n: int) -> F32:
        weights = rng.normal(size=n)
        return np.asarray(weights / np.abs(weights).max() * peak, np.float32)

    return make


def outlier(factor: float) -> Make:
    """Return a maker of normal weights, one of which is `factor` times as large."""

    def make(rng: np.random.Generator, n: int) -> F32:
        weights = rng.normal(size=n) * 0.01
        weights[n // 3] *= factor
        return weights.astype(np.float32)

    return make


def single(rng: np.random.Generator, n: int) -> F32:
    weights = np.zeros(n, np.float32)
    weights[n - 2] = -0.37
    return weights


def ulp(value: float, steps: int) -> float:
    toward = np.float32(np.inf if steps > 0 else 0)
    return float(np.nextafter(np.float32(value), toward))


BLOCKS: dict[str, Make] = {
    "zeros": lambda rng, n: np.zeros(n, np.float32),
    "negative zeros": lambda rng, n: np.full(n, -0.0, np.float32),
    "one that is not zero": single,
    "constant": lambda rng, n: np.full(n, 0.123, np.float32),
    "negative constant": lambda rng, n: np.full(n, -7.0, np.float32),
    "two values": lambda rng, n: rng.choice(np.array([-0.5, 1.25], np.float32), n),
    "largest float16": lambda rng, n: rng.choice(np.array([-65504, 65504], np.float32), n),
    "beyond the float16 scale of 4 bits": with_peak(8 * 65504 * 1.01),
    "beyond every float16 scale": with_peak(3e7),
    "largest float32": lambda rng, n: rng.choice(
        np.array([1, -1], np.float32) * np.finfo(np.float32).max, n
    ),
    "peak 3e38 and small ones": outlier(3e38),
    **{
        f"peak {peak:g} {name}": with_peak(value)
        for peak in (1e-15, 1e-12, 1e-8, 1e-7)
        for name, value in (("- ulp", ulp(peak, -1)), ("", peak), ("+ ulp", ulp(peak, 1)))
    },
    "subnormal float16 scale": with_peak(2e-5),
    "least float16 scale": with_peak(2.0**-24 * 6),
    "subnormal float32": with_peak(1e-40),
    "least float32": lambda rng, n: rng.choice(np.array([0, 1e-45, -1e-45], np.float32), n),
    "outlier 1e2": outlier(1e2),
    "outlier 1e4": outlier(1e4),
    "outlier 1e8": outlier(1e8),
    "alternating": lambda rng, n: np.float32(0.7) * np.where(np.arange(n) % 2, 1, -1).astype("f4"),
    "ties": lambda rng, n: (rng.integers(-16, 16, n) + 0.5).astype(np.float32) / np.float32(4),
    "normal": lambda rng, n: rng.normal(size=n).astype(np.float32) * np.float32(0.02),
    "Laplace": lambda rng, n: rng.laplace(size=n).astype(np.float32) * np.float32(0.02),
    "heavy tail": lambda rng, n: rng.standard_t(2, n).astype(np.float32) * np.float32(0.02),
    "offset": lambda rng, n: (rng.normal(size=n) * 0.01 + 3).astype(np.float32),
}

IMPORTANCE: dict[str, Make] = {
    "zeros": lambda rng, n: np.zeros(n, np.float32),
    "one column zero": lambda rng, n: np.where(np.arange(n) == 5, 0, 1).astype(np.float32),
    "one that is not zero": lambda rng, n: np.where(np.arange(n) == 5, 1, 0).astype(np.float32),
    "half zero": lambda rng, n: (np.arange(n) % 32 < 16).astype(np.float32),
    "1e30": lambda rng, n: np.full(n, 1e30, np.float32),
    "1e-30": lambda rng, n: np.full(n, 1e-30, np.float32),
    "1e-42": lambda rng, n: np.full(n, 1e-42, np.float32),
    "1e±30": lambda rng, n: rng.choice(np.array([1e30, 1, 1e-30], np.float32), n),
    "exponential": lambda rng, n: rng.exponential(size=n).astype(np.float32),
    "lognormal": lambda rng, n: np.exp(3 * rng.normal(size=n)).astype(np.float32),
    "a few large": lambda rng, n: np.where(rng.random(n) < 0.03, 1e5, 1).astype(np.float32),
}
