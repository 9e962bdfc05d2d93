"""How sure a figure is: intervals and tests that know that the tokens of a chunk belong together.

A figure is a ratio of sums over chunks, r = Σ s_c / Σ n_c (s_c the sum of a value over the scored
tokens of chunk c, n_c their number). Tokens of one chunk share a text and a context, so the chunk
is what is drawn again: resampling tokens would make intervals several times too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from zeropoint.results.interval import Interval
from zeropoint.results.schema import UNKNOWN

F64 = NDArray[np.float64]

RESAMPLES = 4000
SEED = 20261121
NORMAL = NormalDist().inv_cdf(0.975)
STUDENT = (12.706, 4.303, 3.182, 2.776)  # 97.5 % of Student's t with 1 … 4 degrees of freedom


@dataclass(frozen=True)
class ConfidenceInterval:
    """A mean with its 95 % interval; `low` and `high` are NaN where one chunk cannot tell."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


def estimate(sums: F64, counts: F64) -> ConfidenceInterval:
    """Estimate Σ sums / Σ counts over chunks, with a studentized cluster bootstrap interval.

    `sums` and `counts` are (chunks,). Chunks are drawn with replacement; each draw gives
    t* = (r* − r) / se*, and the interval is r − t*(97.5 %) · se … r − t*(2.5 %) · se, which follows
    the skew of the data (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
    12). se² = C / (C − 1) · Σ (s_c − r n_c)² / (Σ n_c)². Draws are seeded: the same data, the same
    interval. Fewer than 6 chunks are too few to draw from: of 3, most draws hold one twice, and the
    interval is 8 times as long as Student's r ± t · se, which stands there instead.

    With fewer than two chunks that hold tokens, low and high are NaN. Where all chunks agree
    exactly the interval is the mean.

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
    if chunks < 6:
        half = STUDENT[chunks - 2] * float(error)
        return ConfidenceInterval(mean, mean - half, mean + half)
    means, errors = _standard_error(_draws(chunks), sums, counts)
    # A draw of equal chunks has no spread of its own; the floor keeps its t* finite.
    studentized = (means - mean) / np.maximum(errors, 0.05 * error)
    below, above = np.quantile(studentized, [0.025, 0.975])
    return ConfidenceInterval(mean, mean - float(above) * error, mean - float(below) * error)


def share(hits: F64, trials: F64) -> ConfidenceInterval:
    """Estimate Σ hits / Σ trials over chunks, a share: also where none or all are hits.

    Wilson's interval of as many independent trials as these are worth: n = p (1 − p) / se², with
    the se² of `estimate` and never more than there are, times (1.96 / t)² for t of Student's with
    chunks − 1 degrees of freedom (Korn and Graubard, 1998). Where the trials of a chunk belong
    together so much that they are worth less than half, it reaches as far as the bootstrap's too.
    A share of 0 or 1 has no se: its trials count as independent, for all that is known. With fewer
    than two chunks that hold trials, low and high are NaN.

    >>> found = share(np.zeros(24), np.full(24, 64.0))
    >>> found.mean, found.low, round(found.high, 4)
    (0.0, 0.0, 0.0028)
    """
    used = trials > 0
    hits, trials = hits[used].astype(np.float64), trials[used].astype(np.float64)
    chunks, count = hits.size, float(trials.sum())
    if chunks < 2:
        return ConfidenceInterval(float(hits.sum() / count) if chunks else np.nan, np.nan, np.nan)
    part = float(hits.sum() / count)
    variance = part * (1 - part)
    error = float(_standard_error(np.ones((1, chunks)), hits, trials)[1][0])
    worth = variance / error**2 if variance < error**2 * count else count
    sure = (NORMAL / student(chunks - 1)) ** 2
    found = wilson(part * worth * sure, worth * sure)
    drawn = found if worth * 2 >= count else estimate(hits, trials)
    return ConfidenceInterval(
        part,
        0.0 if part == 0 else max(0.0, min(found.low, drawn.low)),
        1.0 if part == 1 else min(1.0, max(found.high, drawn.high)),
    )


def paired_share(lost: int, won: int, count: int) -> ConfidenceInterval:
    """Estimate (won − lost) / count, the difference of two shares of the same trials.

    The bootstrap of `estimate`, with one more trial lost and one won (as Bonett and Price, 2012,
    add to Wald's interval): where none or few differ, the trials alone would promise too much.

    >>> found = paired_share(0, 0, 56)
    >>> found.mean, -0.05 < found.low < 0 < found.high < 0.05
    (0.0, True)
    """
    if not count:
        return wilson(0, 0)
    changes = np.concatenate([[-1.0, 1.0], -np.ones(lost), np.ones(won)])
    found = estimate(np.pad(changes, (0, count - lost - won)), np.ones(count + 2))
    low, high = max(float(found.low), -1.0), min(float(found.high), 1.0)
    return ConfidenceInterval((won - lost) / count, low, high)


def student(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t (from 5 degrees on by its expansion in 1 / n).

    >>> round(student(5), 2), round(student(30), 3)
    (2.57, 2.042)
    """
    if degrees <= len(STUDENT):
        return STUDENT[degrees - 1]
    z, n = NORMAL, degrees  # Abramowitz and Stegun, 26.7.5
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def quick_half_width(sums: F64, counts: F64) -> float:
    """1.96 standard errors of Σ sums / Σ counts over chunks: what a running figure shows.

    NaN with fewer than two chunks. The bootstrap decides; this costs nothing.
    """
    if sums.size < 2:
        return float("nan")
    return 1.96 * float(_standard_error(np.ones((1, sums.size)), sums, counts)[1][0])


def paired_p_value(difference_sums: F64) -> float:
    """Tell how likely a mean difference this large is if each chunk's sign were a coin toss.

    `difference_sums` (chunks,) are sums of (value of A − value of B) over the same tokens.
    Two-sided sign-flip test: exact for up to 12 chunks, else 10,000 seeded draws, (1 + hits) / (1 +
    draws). Returns 1.0 where every difference is 0.

    >>> paired_p_value(np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    0.03125
    """
    differences = difference_sums[difference_sums != 0]
    chunks = differences.size
    if chunks == 0:
        return 1.0
    observed = abs(differences.sum()) * (1 - 1e-12)
    if chunks <= 12:
        bits = np.arange(2**chunks)[:, None] >> np.arange(chunks) & 1
        return float((np.abs((2.0 * bits - 1) @ differences) >= observed).mean())
    signs = np.random.default_rng(SEED).integers(0, 2, (10_000, chunks)) * 2.0 - 1
    hits = int((np.abs(signs @ differences) >= observed).sum())
    return (1 + hits) / (1 + 10_000)


@lru_cache(maxsize=4)  # 32 kB for each chunk of a text
def _draws(chunks: int) -> F64:
    """(RESAMPLES, chunks) how often each chunk is drawn."""
    generator = np.random.default_rng(SEED)
    return generator.multinomial(chunks, np.full(chunks, 1 / chunks), RESAMPLES).astype(np.float64)


def _standard_error(draws: F64, sums: F64, counts: F64) -> tuple[F64, F64]:
    """Ratio and its linearized standard error for each row of `draws` (n, chunks): (n,), (n,)."""
    tokens = draws @ counts
    ratio = (draws @ sums) / tokens
    squares = draws @ (sums * sums) - 2 * ratio * (draws @ (sums * counts))
    squares = np.maximum(squares + ratio * ratio * (draws @ (counts * counts)), 0)
    chunks = sums.size
    return ratio, np.sqrt(squares * chunks / (chunks - 1)) / tokens


def wilson(hits: float, trials: float, *, confidence: float = 0.95) -> ConfidenceInterval:
    """Estimate a share of independent trials, with Wilson's score interval (1927).

    It stays within 0 … 1 and says something where all or none are hits. NaN without trials.

    >>> found = wilson(0, 10)
    >>> found.mean, found.low, round(found.high, 3)
    (0.0, 0.0, 0.278)
    """
    if not trials:
        return ConfidenceInterval(np.nan, np.nan, np.nan)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z * sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return ConfidenceInterval(
        share,
        0.0 if hits == 0 else middle - half,
        1.0 if hits == trials else middle + half,
    )


def mcnemar(lost: int, won: int) -> float:
    """Tell how likely it is that pairs which changed split this unevenly if both ways were equal.

    Exact and two-sided (McNemar, 1947, by the binomial distribution); 1.0 where none changed.

    >>> mcnemar(5, 0), mcnemar(3, 3)
    (0.0625, 1.0)
    """
    count, least = lost + won, min(lost, won)
    tail = sum(comb(count, k) for k in range(least + 1))
    return float(min(1.0, 2 * tail / 2**count))


def holm(p_values: Sequence[float], *, level: float = 0.05) -> list[bool]:
    """Tell which of several tests are significant together (Holm, 1979).

    >>> holm([0.04, 0.001, 0.03])
    [False, True, False]
    """
    found = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] * (len(p_values) - rank) >= level:
            break
        found[index] = True
    return found


def interval(found: ConfidenceInterval, least: float = -np.inf, most: float = np.inf) -> Interval:
    """Return an estimate for a result, cut to what is possible; NaN ends become None."""
    mean, low, high = (
        None if np.isnan(value) else float(min(max(value, least), most))
        for value in (found.mean, found.low, found.high)
    )
    return Interval(UNKNOWN if mean is None else mean, low, high)
