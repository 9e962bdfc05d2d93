"""Chooses the next token from logits. The randomness is a function of (seed, step, token).

Sampling is an argmax: token i has the key logit_i / temperature + g_i, with Gumbel noise g_i that
depends on the seed, the step and i alone. A step can therefore be repeated without the steps before
it, and two models with the same seed see the same noise: they diverge only where their logits
differ enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32

U64 = NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings of sampling, applied in the order of the fields."""

    repeat_penalty: float = 1.0  # divides positive logits of recent tokens, multiplies negative
    repeat_window: int = 64  # number of recent tokens
    top_k: int = 40  # keep the k most likely tokens; 0: all
    top_p: float = 0.95  # keep the fewest tokens with this total probability
    min_p: float = 0.05  # drop tokens below this fraction of the most likely one's probability
    temperature: float = 0.8  # 0: always the most likely token
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that mean nothing."""
        if not (self.temperature >= 0 and self.repeat_penalty > 0 and self.top_k >= 0):
            raise ValueError(
                "temperature and top-k must be at least 0, and the repeat penalty greater than 0"
            )
        if not (0 < self.top_p <= 1 and 0 <= self.min_p <= 1):
            raise ValueError("top-p must be greater than 0 and at most 1, and min-p from 0 to 1")


GREEDY = Sampling(temperature=0.0)
MAX_LOGIT_DISTANCE = (
    8.0  # distance below the best logit, divided by the temperature: at most e⁻⁸ as likely
)


def choose(logits: F32, sampling: Sampling, step: int, recent: Sequence[int] = ()) -> int:
    """Return a token id for logits (vocab,); `recent` are the tokens before it, in order."""
    if sampling.repeat_penalty != 1.0 and len(recent):
        logits = penalize(logits, recent[-sampling.repeat_window :], sampling.repeat_penalty)
    if sampling.temperature == 0:
        return int(logits.argmax())
    if sampling.top_k == 0 and sampling.top_p == 1 and sampling.min_p == 0:
        return choose_of_all(logits, sampling, step)
    ids = candidates(logits, sampling)
    keys = logits[ids].astype(np.float64) / sampling.temperature + gumbel(sampling.seed, step, ids)
    return int(ids[keys.argmax()])


def choose_of_all(logits: F32, sampling: Sampling, step: int) -> int:
    """Return the token with the largest key of the whole vocabulary; nothing has to be sorted.

    Most tokens are far below the best logit, and of their noise only the uniform number is needed:
    their key is the largest only if it is very near to 1.
    """
    heats = logits.astype(np.float64) / sampling.temperature
    peak = heats.max()
    near = np.flatnonzero(heats > peak - MAX_LOGIT_DISTANCE)
    if near.size == heats.size or not near.size:  # all tokens, or none because a logit is NaN
        return int((heats + gumbel(sampling.seed, step, np.arange(heats.size))).argmax())
    keys = heats[near] + gumbel(sampling.seed, step, near)
    # the noise that a far token needs to win, minus a margin for rounding
    needed = min(float(keys.max()) - peak + MAX_LOGIT_DISTANCE, 30.0) - 0.01
    uniforms = uniform(sampling.seed, step, np.arange(heats.size))
    lucky = np.flatnonzero(
        (uniforms >= np.exp(-np.exp(-needed))) & (heats <= peak - MAX_LOGIT_DISTANCE)
    )
    ids = np.union1d(near, lucky)
    return int(ids[(heats[ids] + gumbel(sampling.seed, step, ids)).argmax()])


def penalize(logits: F32, recent: Sequence[int], penalty: float) -> F32:
    """Make tokens that were used recently less likely."""
    ids = np.unique(np.asarray(recent))
    values = logits[ids]
    changed = logits.copy()
    changed[ids] = np.where(values > 0, values / np.float32(penalty), values * np.float32(penalty))
    return changed


def candidates(logits: F32, sampling: Sampling) -> NDArray[np.int64]:
    """Return the tokens that may be chosen, best first.

    >>> logits = np.log(np.array([0.1, 0.5, 0.3, 0.1], np.float32))
    >>> candidates(logits, Sampling(top_k=3, top_p=0.8, min_p=0)).tolist()
    [1, 2]
    """
    ids = _best(logits, sampling.top_k)
    values = logits[ids].astype(np.float64)
    shares = np.exp(values - values[0])
    if sampling.top_p < 1:
        before = np.cumsum(shares) - shares
        ids = ids[: max(1, int(np.count_nonzero(before < sampling.top_p * shares.sum())))]
    remaining: NDArray[np.int64] = ids[shares[: len(ids)] >= sampling.min_p]
    return remaining


def _best(logits: F32, count: int) -> NDArray[np.int64]:
    """Return the `count` best tokens, best first, the lower id first among equals."""
    if not 0 < count < logits.size:
        ids = np.arange(logits.size)
    else:
        # Most of a vocabulary is far below the best; search the k-th best among the rest only.
        near = np.flatnonzero(logits > logits.max() - np.float32(8.0))
        pool = near if near.size >= count else np.arange(logits.size)
        bound = np.partition(logits[pool], pool.size - count)[pool.size - count]
        ids = pool[logits[pool] >= bound]
    ordered: NDArray[np.int64] = ids[np.argsort(-logits[ids], kind="stable")]
    return ordered if count <= 0 else ordered[:count]


def gumbel(seed: int, step: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return −ln(−ln u) for a uniform u of each (seed, step, id)."""
    return -np.log(-np.log(uniform(seed, step, ids)))


def uniform(seed: int, step: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a number in (0, 1) for each (seed, step, id), by hashing: ids are independent.

    >>> bool(uniform(1, 2, np.array([3, 4]))[1] == uniform(1, 2, np.array([4]))[0])
    True
    """
    key = _mix(_mix(np.array([seed % 2**64], np.uint64)) ^ np.uint64(step % 2**64))
    bits = _mix(key + ids.astype(np.uint64) * _GOLDEN) >> np.uint64(12)
    return (bits.astype(np.float64) + 0.5) * 2.0**-52


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: U64) -> U64:
    """SplitMix64's step and finalizer (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        x = x + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
