"""How often do the 95 % intervals of `measure` contain the true value?

    python benchmarks/coverage.py RUN [--chunks 16] [--draws 10000]

RUN is a run folder of `measure`, whose chunks are treated as the whole population. The script
draws --chunks of them with replacement, computes the intervals of the mean KL and of the log of
the perplexity ratio as `measure` does, and counts how often they contain the population's value.
For comparison, it does the same with intervals of 1.96 standard errors over independent tokens.
"""

import argparse
from pathlib import Path

import numpy as np

from zeropoint.metrics.statistics import estimate
from zeropoint.results.run_store import RunFolder

SEED = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--draws", type=int, default=10_000)
    options = parser.parse_args()
    run = RunFolder.open(options.run)
    chunks = [run.load_chunk(i) for i in range(run.chunks_done())]
    sizes = np.array([chunk["kl"].size for chunk in chunks], np.float64)
    values = {
        "mean KL": [chunk["kl"] for chunk in chunks],
        "log of the perplexity ratio": [chunk["nll"][1] - chunk["nll"][0] for chunk in chunks],
    }
    picks = np.random.default_rng(SEED).integers(0, len(chunks), (options.draws, options.chunks))
    for name, found in values.items():
        tokens = np.concatenate(found)
        sums = np.array([chunk.sum() for chunk in found])
        squares = np.array([np.square(chunk).sum() for chunk in found])
        clusters = independent = 0
        for pick in picks:
            interval = estimate(sums[pick], sizes[pick])
            clusters += interval.low <= tokens.mean() <= interval.high
            count = sizes[pick].sum()
            mean = sums[pick].sum() / count
            half = 1.96 * np.sqrt((squares[pick].sum() / count - mean**2) / count)
            independent += abs(mean - tokens.mean()) <= half
        print(f"{name}: {options.chunks} of {len(chunks)} chunks of {sizes[0]:.0f} tokens: "
              f"{clusters / options.draws:.1%}; tokens taken for independent "
              f"{independent / options.draws:.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
