"""How often do the 95 % intervals of `drift` contain the true value?

    python benchmarks/steps_coverage.py [--runs 200] [--texts 24] [--tokens 32]

Two fake models have a known error rate: the quant chooses a different token than its reference
with probability `first`, and with probability `later` once it has done so in a text. Texts end
with probability `ends` per token. The true survival, flips, median divergence step and compounding
factor are computed, and the script counts how often their intervals contain them.
"""

import argparse
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.generation.divergence_point import (
    FreeRunSettings,
    PairedGeneration,
    ReferenceTexts,
)
from zeropoint.metrics.generation.summary import free_run_figures

BAND = 8  # tokens that a text walks among before its first error, and as many after it
PROMPT = 3  # tokens
CASES = (  # first, later, ends
    (0.001, 0.001, 0.0), (0.02, 0.02, 0.0), (0.3, 0.3, 0.0), (0.9, 0.9, 0.0),
    (0.02, 0.2, 0.0), (0.05, 0.5, 0.0), (0.05, 0.2, 0.05),
)  # fmt: skip


class Places:
    """A cache that stores only lengths."""

    max_bytes = 1

    def __init__(self, capacity: int, sequences: int) -> None:
        self.capacity, self.lengths = capacity, np.zeros(sequences, np.int64)

    def truncate(self, length: int, sequence: int = 0) -> None:
        self.lengths[sequence] = length

    def copy(self, source: int, target: int) -> None:
        self.lengths[target] = self.lengths[source]


class Slipping:
    """A model that errs at each (position, token) of `slips`; every prompt has its own tokens."""

    threads, context_length = 1, 4096

    def __init__(self, slips: NDArray[np.bool_], ends: NDArray[np.bool_]) -> None:
        self.slips, self.ends, self.clean = slips, ends, slips.shape[1] // 2
        self.vocab_size = slips.shape[1] + 1  # the last one ends a text

    def cache(self, capacity: int, *, sequences: int = 1) -> Places:
        return Places(capacity, sequences)

    def hidden(self, tokens: NDArray[np.integer], cache: Places | None = None) -> NDArray:
        starts = np.zeros(len(tokens), np.int64)
        if cache is not None:
            starts = cache.lengths[: len(tokens)].copy()
            cache.lengths[: len(tokens)] += tokens.shape[1]
        places = starts[:, None] + np.arange(tokens.shape[1])
        return np.stack([tokens, places], axis=-1).astype(np.float32)

    def head(self, rows: NDArray) -> NDArray:
        tokens, places = rows.astype(int).T
        tokens = np.minimum(tokens, self.vocab_size - 2)
        band = tokens % self.clean // BAND * BAND
        step = (tokens * 5 + places * 7 + 3) % BAND
        right = band + step + self.clean * (tokens >= self.clean)
        wrong = band + (step + 1) % BAND + self.clean
        best = np.where(self.slips[places, tokens], wrong, right)
        best = np.where(self.ends[places, tokens], self.vocab_size - 1, best)
        logits = np.zeros((len(tokens), self.vocab_size), np.float32)
        logits[np.arange(len(tokens)), best] = 9
        return logits


def truths(first: float, later: float, ends: float, tokens: int) -> tuple[NDArray, NDArray, float]:
    """Return the true survival and factor after 1, 2, … tokens, and the true flips per token."""
    clean = alive = 1.0
    ended = erred = own = predicted = 0.0
    survival, factor = [], []
    for _ in range(tokens):
        ended += clean * ends
        clean, erred, alive = clean * (1 - ends), erred * (1 - ends), alive * (1 - ends)
        own += clean * first + erred * later
        predicted += alive * first
        erred, clean = erred + clean * first, clean * (1 - first)
        same = clean + ended  # also where both ended
        survival.append(same)
        factor.append(own / predicted)
    return np.array(survival), np.array(factor), predicted / sum((1 - ends) ** np.arange(tokens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("runs", 200), ("texts", 24), ("tokens", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    for first, later, ends in CASES:
        hits = study(options, first, later, ends)
        told = ", ".join(f"{name} {np.mean(found):.1%} of {len(found)}"
                         for name, found in hits.items())  # fmt: skip
        print(f"first {first}, later {later}, ends {ends}: {told}", flush=True)


def study(
    options: argparse.Namespace, first: float, later: float, ends: float
) -> dict[str, list[bool]]:
    """Print for every figure how often its interval contains the true value."""
    count, tokens = options.texts, options.tokens
    survival, factor, flips = truths(first, later, ends, tokens)
    shape = (PROMPT + tokens + 1, 2 * count * BAND)
    rates = np.repeat([first, later], count * BAND)
    median = next((t + 1 for t in range(tokens) if survival[t] <= 0.5), np.inf)
    hits: dict[str, list[bool]] = defaultdict(list)
    for run in range(options.runs):
        random = np.random.default_rng(run)
        slips, over = random.random(shape) < rates, random.random(shape) < ends
        reference, quant = Slipping(np.zeros(shape, bool), over), Slipping(slips, over)
        prompts = [[place * BAND, 1, place * BAND] for place in range(count)]
        stops, settings = frozenset([2 * count * BAND]), FreeRunSettings(tokens, ("greedy",))
        drift = PairedGeneration(ReferenceTexts(reference), quant, prompts, stops, settings)
        list(drift.run())
        found = free_run_figures(drift.pairs, tokens, stops=stops)["greedy"]
        for step in (1, tokens // 2, tokens):
            low, high = (getattr(found.survival, end)[step - 1] for end in ("low", "high"))
            hits[f"survival after {step}"].append(low <= survival[step - 1] + 1e-9 <= high + 2e-9)
        low, high = found.flips_per_token.ends or (np.nan, np.nan)
        hits["flips"].append(low <= flips <= high)
        low, high = (getattr(found.split, end) or np.inf for end in ("low", "high"))
        hits["half parted"].append(low <= median <= high)
        for point in found.compounding:
            if point.steps > 1 and point.factor.ends is not None:
                low, high = point.factor.ends
                hits["factor"].append(low - 1e-6 <= factor[point.steps - 1] <= high + 1e-6)
    return hits


if __name__ == "__main__":
    main()
