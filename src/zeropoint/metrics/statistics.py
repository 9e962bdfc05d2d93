"""Confidence intervals and tests for figures over chunks of text, whose tokens are dependent.

A figure is a ratio of sums over chunks, r = Σ s_c / Σ n_c, where s_c is the sum of a value over the
scored tokens of chunk c and n_c is their number. The tokens of a chunk share a text and a context,
so whole chunks are resampled. Resampling tokens would make the intervals several times too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from zeropoint.results.interval import Interval
from zeropoint.results.schema import UNKNOWN_NUMBER

F64 = NDArray[np.float64]

BOOTSTRAP_DRAWS = 4000
SIGN_FLIP_DRAWS = 10_000
MAX_EXACT_CHUNKS = 12  # up to which all 2^chunks flips of signs are counted
MIN_BOOTSTRAP_CHUNKS = 6
SEED = 20261121
NORMAL_QUANTILE = NormalDist().inv_cdf(0.975)
# The 97.5 % quantiles of Student's t with 1 … 4 degrees of freedom.
STUDENT_QUANTILES = (12.706, 4.303, 3.182, 2.776)


@dataclass(frozen=True)
class ConfidenceInterval:
    """A mean with its 95 % interval; `low` and `high` are NaN if they cannot be known."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


def estimate(sums: F64, counts: F64) -> ConfidenceInterval:
    """Estimate Σ sums / Σ counts over chunks, with a studentized cluster bootstrap interval.

    `sums` and `counts` are (chunks,). Chunks are drawn with replacement, and each draw gives
    t* = (r* − r) / se*. The interval r − t*(97.5 %) · se … r − t*(2.5 %) · se follows the skew of
    the data (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 12), where
    se² = C / (C − 1) · Σ (s_c − r n_c)² / (Σ n_c)². Draws are seeded, so that the same data give
    the same interval.

    Fewer than MIN_BOOTSTRAP_CHUNKS chunks are too few to draw from: most draws of 3 chunks contain
    one of them twice, which makes the interval 8 times as long as Student's r ± t · se. Student's
    interval is returned for them instead. With fewer than two chunks that hold tokens, `low` and
    `high` are NaN. If all chunks agree exactly, the interval is the mean.

    >>> estimate(np.array([1.0, 3.0]), np.array([2.0, 2.0])).mean
    1.0
    """
    used = counts > 0
    sums, counts = sums[used].astype(np.float64), counts[used].astype(np.float64)
    chunks = sums.size
    if chunks == 0:
        return ConfidenceInterval(np.nan, np.nan, np.nan)
    mean = float(sums.sum() / counts.sum())
    if chunks == 1:
        return ConfidenceInterval(mean, np.nan, np.nan)
    error = _standard_error(np.ones((1, chunks)), sums, counts)[1][0]
    if error <= 1e-14 * abs(mean):
        return ConfidenceInterval(mean, mean, mean)
    if chunks < MIN_BOOTSTRAP_CHUNKS:
        half = STUDENT_QUANTILES[chunks - 2] * float(error)
        return ConfidenceInterval(mean, mean - half, mean + half)
    means, errors = _standard_error(_draws(chunks), sums, counts)
    # A draw of equal chunks has a standard error of 0; the minimum keeps its t* finite.
    studentized = (means - mean) / np.maximum(errors, 0.05 * error)
    below, above = np.quantile(studentized, [0.025, 0.975])
    return ConfidenceInterval(mean, mean - float(above) * error, mean - float(below) * error)


def clustered_rate(hits: F64, trials: F64) -> ConfidenceInterval:
    """Estimate Σ hits / Σ trials over chunks, a rate between 0 and 1 that may be exactly 0 or 1.

    `hits` and `trials` are (chunks,). The interval is Wilson's, for the number of independent
    trials that the dependent ones are worth: n = p (1 − p) / se², with the se² of `estimate` and at
    most Σ trials, times (1.96 / t)² for Student's t with chunks − 1 degrees of freedom (Korn and
    Graubard, 1998). If the trials are worth less than half of their number, the interval also
    covers that of the bootstrap. A rate of 0 or 1 has no standard error, so its trials count as
    independent. With fewer than two chunks that hold trials, `low` and `high` are NaN.

    >>> rate = clustered_rate(np.zeros(24), np.full(24, 64.0))
    >>> rate.mean, rate.low, round(rate.high, 4)
    (0.0, 0.0, 0.0028)
    """
    used = trials > 0
    hits, trials = hits[used].astype(np.float64), trials[used].astype(np.float64)
    chunks, count = hits.size, float(trials.sum())
    if chunks < 2:
        return ConfidenceInterval(float(hits.sum() / count) if chunks else np.nan, np.nan, np.nan)
    rate = float(hits.sum() / count)
    variance = rate * (1 - rate)
    error = float(_standard_error(np.ones((1, chunks)), hits, trials)[1][0])
    effective = variance / error**2 if variance < error**2 * count else count
    correction = (NORMAL_QUANTILE / student_quantile(chunks - 1)) ** 2
    score = wilson(rate * effective * correction, effective * correction)
    bootstrap = score if effective * 2 >= count else estimate(hits, trials)
    return ConfidenceInterval(
        rate,
        0.0 if rate == 0 else max(0.0, min(score.low, bootstrap.low)),
        1.0 if rate == 1 else min(1.0, max(score.high, bootstrap.high)),
    )


def paired_share(lost: int, won: int, count: int) -> ConfidenceInterval:
    """Estimate (won − lost) / count, the difference of two rates over the same trials.

    The interval is the bootstrap of `estimate` with one more trial lost and one more won, as Bonett
    and Price (2012) add to Wald's interval. Without them, the interval would be too narrow where
    none or few trials differ.

    >>> difference = paired_share(0, 0, 56)
    >>> difference.mean, -0.05 < difference.low < 0 < difference.high < 0.05
    (0.0, True)
    """
    if not count:
        return wilson(0, 0)
    changes = np.concatenate([[-1.0, 1.0], -np.ones(lost), np.ones(won)])
    bootstrap = estimate(np.pad(changes, (0, count - lost - won)), np.ones(count + 2))
    low, high = max(float(bootstrap.low), -1.0), min(float(bootstrap.high), 1.0)
    return ConfidenceInterval((won - lost) / count, low, high)


def student_quantile(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t; from 5 degrees of freedom on by its expansion.

    >>> round(student_quantile(5), 2), round(student_quantile(30), 3)
    (2.57, 2.042)
    """
    if degrees <= len(STUDENT_QUANTILES):
        return STUDENT_QUANTILES[degrees - 1]
    z, n = NORMAL_QUANTILE, degrees  # Abramowitz and Stegun, 26.7.5
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def quick_half_width(sums: F64, counts: F64) -> float:
    """Return 1.96 standard errors of Σ sums / Σ counts over chunks, for running figures.

    `sums` and `counts` are (chunks,). NaN with fewer than two chunks. It costs much less than the
    bootstrap, which decides in the end.
    """
    if sums.size < 2:
        return float("nan")
    return 1.96 * float(_standard_error(np.ones((1, sums.size)), sums, counts)[1][0])


def paired_p_value(difference_sums: F64) -> float:
    """Return the p-value of a paired sign-flip test: that chunks differ only by chance.

    `difference_sums` (chunks,) are sums of (value of A − value of B) over the same tokens. The test
    is two-sided. It is exact for up to MAX_EXACT_CHUNKS chunks; otherwise it uses SIGN_FLIP_DRAWS
    seeded draws, p = (1 + hits) / (1 + draws). Returns 1.0 if every difference is 0.

    >>> paired_p_value(np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    0.03125
    """
    differences = difference_sums[difference_sums != 0]
    chunks = differences.size
    if chunks == 0:
        return 1.0
    observed = abs(differences.sum()) * (1 - 1e-12)
    if chunks <= MAX_EXACT_CHUNKS:
        bits = np.arange(2**chunks)[:, None] >> np.arange(chunks) & 1
        return float((np.abs((2.0 * bits - 1) @ differences) >= observed).mean())
    signs = np.random.default_rng(SEED).integers(0, 2, (SIGN_FLIP_DRAWS, chunks)) * 2.0 - 1
    hits = int((np.abs(signs @ differences) >= observed).sum())
    return (1 + hits) / (1 + SIGN_FLIP_DRAWS)


@lru_cache(maxsize=4)  # an entry takes 32 kB per chunk
def _draws(chunks: int) -> F64:
    """Return how often each chunk is in each draw, (BOOTSTRAP_DRAWS, chunks)."""
    generator = np.random.default_rng(SEED)
    return generator.multinomial(chunks, np.full(chunks, 1 / chunks), BOOTSTRAP_DRAWS).astype(
        np.float64
    )


def _standard_error(draws: F64, sums: F64, counts: F64) -> tuple[F64, F64]:
    """Return the ratio and its linearized standard error for each row of `draws`: (n,), (n,).

    `draws` (n, chunks) are the weights of the chunks; `sums` and `counts` are (chunks,).
    """
    tokens = draws @ counts
    ratio = (draws @ sums) / tokens
    squares = draws @ (sums * sums) - 2 * ratio * (draws @ (sums * counts))
    squares = np.maximum(squares + ratio * ratio * (draws @ (counts * counts)), 0)
    chunks = sums.size
    return ratio, np.sqrt(squares * chunks / (chunks - 1)) / tokens


def wilson(hits: float, trials: float, *, confidence: float = 0.95) -> ConfidenceInterval:
    """Estimate a rate over independent trials, with Wilson's score interval (1927).

    The interval stays within 0 … 1, and is not empty if all or no trials are hits. NaN without
    trials.

    >>> rate = wilson(0, 10)
    >>> rate.mean, rate.low, round(rate.high, 3)
    (0.0, 0.0, 0.278)
    """
    if not trials:
        return ConfidenceInterval(np.nan, np.nan, np.nan)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, weight = hits / trials, z * z / trials
    middle = (rate + weight / 2) / (1 + weight)
    half = z * sqrt(rate * (1 - rate) / trials + weight / (4 * trials)) / (1 + weight)
    return ConfidenceInterval(
        rate,
        0.0 if hits == 0 else middle - half,
        1.0 if hits == trials else middle + half,
    )


def mcnemar(lost: int, won: int) -> float:
    """Return the p-value of McNemar's exact test: that losing and winning are equally likely.

    `lost` and `won` are the numbers of pairs that changed in each direction. Two-sided, by the
    binomial distribution (McNemar, 1947). Returns 1.0 if no pair changed.

    >>> mcnemar(5, 0), mcnemar(3, 3)
    (0.0625, 1.0)
    """
    count, fewer = lost + won, min(lost, won)
    tail = sum(comb(count, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**count))


def holm(p_values: Sequence[float], *, level: float = 0.05) -> list[bool]:
    """Return which of several tests are significant, corrected for their number (Holm, 1979).

    >>> holm([0.04, 0.001, 0.03])
    [False, True, False]
    """
    significant = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] * (len(p_values) - rank) >= level:
            break
        significant[index] = True
    return significant


def interval(
    estimated: ConfidenceInterval, minimum: float = -np.inf, maximum: float = np.inf
) -> Interval:
    """Return an estimate as a field of a result, clipped to the possible values.

    NaN at an end of the interval becomes None.
    """
    mean, low, high = (
        None if np.isnan(value) else float(min(max(value, minimum), maximum))
        for value in (estimated.mean, estimated.low, estimated.high)
    )
    return Interval(UNKNOWN_NUMBER if mean is None else mean, low, high)
