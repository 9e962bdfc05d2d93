"""Is the KL divergence of one quant lower than that of another one on the same text?

    python benchmarks/paired_kl.py RUN RUN [RUN...]

Each RUN is a run folder of `measure`, or a level of `ladder --run`, with the same text and
reference. For each run after the first, the script prints the difference of the mean KL from the
first run in nats per token with its 95 % interval, the ratio of the means with its 95 % interval,
and the p-value of the sign-flip test. All three are paired by chunk. In contrast to `compare`, it
also takes plain formats, which exist in memory only.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from zeropoint.metrics.statistics import estimate, paired_p_value
from zeropoint.results.run_store import RunFolder


def load(path: Path) -> list[dict[str, np.ndarray]]:
    """Return the chunks of a run."""
    run = RunFolder.open(path)
    return [run.load_chunk(index) for index in range(run.chunks_done())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    first, *others = [load(path) for path in options.runs]
    base = np.array([chunk["kl"].sum() for chunk in first])
    tokens = np.array([float(chunk["kl"].size) for chunk in first])
    mean = base.sum() / tokens.sum()
    print(f"{options.runs[0].name}: {mean:.4f} nats per token, {len(first)} chunks")
    for path, chunks in zip(options.runs[1:], others, strict=True):
        if len(chunks) != len(first) or any(
            not np.array_equal(one["tokens"], other["tokens"])
            for one, other in zip(chunks, first, strict=True)
        ):
            sys.exit(f"{path}: measured on another text than {options.runs[0]}")
        sums = np.array([chunk["kl"].sum() for chunk in chunks])
        difference, ratio = estimate(sums - base, tokens), estimate(sums, base)
        print(
            f"{path.name}: {sums.sum() / tokens.sum():.4f} nats per token, difference "
            f"{difference.mean:+.4f} ({difference.low:+.4f} … {difference.high:+.4f}), "
            f"ratio {ratio.mean:.3f} ({ratio.low:.3f} … {ratio.high:.3f}), "
            f"p = {paired_p_value(sums - base):.4f}"
        )


if __name__ == "__main__":
    main()
