"""How good and how fast are our encoders beside ggml's, tensor by tensor?

    python benchmarks/encode.py MODEL [--formats Q4_0,IQ4_NL] [--imatrix FILE] [--tensors 'blk.0.*']
        [--weights 400000] [--threads 2] [--rounds 3] [--markdown FILE]

For each matrix of MODEL and each format, with the importance of FILE and without, both encoders get
the same rows. What is compared:

- the error Σ importance · (w − ŵ)² in float64, ours / ggml's: 1 or less is what we want;
- the speed in weights per second, ours / ggml's: the median of rounds in turn, `--threads` each.

`--weights` takes evenly spaced rows of large tensors (0: all rows). FILE is an imatrix, or an .npz
of (columns,) arrays by tensor name. ggml is that of an installed llama-cpp-python, or of the
folder ZEROPOINT_PEER.
"""

import argparse
import fnmatch
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "golden"))
import ggml_peer

from zeropoint import kernels
from zeropoint.calibration import read_imatrix
from zeropoint.checkpoints import Checkpoint, TensorInfo, open_checkpoint
from zeropoint.formats import F32, FORMATS, U8, StorageFormat

FORMATS_OF_BOTH = (
    *("Q8_0", "Q6_K", "Q5_1", "Q5_K", "Q5_0", "Q4_1", "Q4_K", "Q4_0", "IQ4_NL", "IQ4_XS"),
    *("NVFP4", "MXFP4", "Q3_K", "Q2_K", "Q2_0", "TQ2_0", "TQ1_0", "Q1_0"),
)


@dataclass(frozen=True)
class Result:
    """One tensor in one format, with importance or without."""

    tensor: str
    format: str
    weighted: bool
    ours: float  # weighted error
    theirs: float
    speed: float  # ours, weights per second
    speed_ratio: float

    @property
    def ratio(self) -> float:
        """Ours / ggml's error."""
        return self.ours / self.theirs if self.theirs else float(self.ours > 0) + 1


def rows_of(checkpoint: Checkpoint, tensor: TensorInfo, most: int) -> F32:
    """Return all rows of a matrix, or evenly spaced ones with about `most` weights."""
    rows = tensor.rows
    count = rows if not most else min(rows, max(1, most // tensor.columns))
    picked = np.unique(np.linspace(0, rows - 1, count).astype(int))
    if len(picked) == rows:
        stored = checkpoint.read(tensor.name)
        return kernels.decode(stored.format, stored.data, threads=2).reshape(-1, tensor.columns)
    slabs = [checkpoint.read_rows(tensor.name, row, row + 1) for row in picked]
    return np.stack([kernels.decode(slab.format, slab.data).ravel() for slab in slabs])


def theirs(
    format: StorageFormat,
    weights: F32,
    importance: F32 | None,
    pool: ThreadPoolExecutor,
    parts: int,
) -> U8:
    """Encode with ggml, the rows shared out among threads."""
    shape = (format.block_size, format.block_bytes)
    encode = [
        pool.submit(ggml_peer.encode, format.ggml_type, part, importance, shape)
        for part in np.array_split(weights, min(parts, len(weights)))
    ]
    return np.concatenate([done.result() for done in encode])


def timed(call: Callable[[], U8]) -> tuple[U8, float]:
    """Return what a call returns and its seconds."""
    start = time.perf_counter()
    blocks = call()
    return blocks, time.perf_counter() - start


def compare(
    tensor: str, format: StorageFormat, weights: F32, importance: F32 | None, words: Any
) -> Result:
    """Encode with both, in turn, and compare."""
    ratios, seconds = [], []
    threads = words.threads
    with ThreadPoolExecutor(threads) as pool:
        theirs(format, weights[:threads], importance, pool, threads)  # starts threads, fills tables
        for _ in range(words.rounds):
            ours, our_seconds = timed(
                lambda: kernels.encode(format, weights, importance, threads=threads)
            )
            peer, peer_seconds = timed(lambda: theirs(format, weights, importance, pool, threads))
            ratios.append(peer_seconds / our_seconds)
            seconds.append(our_seconds)
    errors = [
        kernels.weighted_error(
            weights, kernels.decode(format, blocks, threads=2).reshape(weights.shape), importance
        )
        for blocks in (ours, peer)
    ]
    return Result(
        tensor,
        format.name,
        importance is not None,
        errors[0],
        errors[1],
        weights.size / statistics.median(seconds),
        statistics.median(ratios),
    )


def read_importance(path: str | None) -> Mapping[str, F32]:
    """Return (columns,) importance by tensor name."""
    if path is None:
        return {}
    if path.endswith(".npz"):
        return dict(np.load(path))
    return read_imatrix(path).importance


def results(words: Any) -> Iterator[Result]:
    """Compare all that was asked for."""
    importance = read_importance(words.imatrix)
    formats = [FORMATS[name] for name in words.formats.split(",")]
    with open_checkpoint(words.model) as checkpoint:
        for name, tensor in checkpoint.tensors.items():
            if len(tensor.shape) != 2 or not fnmatch.fnmatch(name, words.tensors):
                continue
            weights = rows_of(checkpoint, tensor, words.weights)
            for format in formats:
                if tensor.columns % format.block_size:
                    continue
                yield compare(name, format, weights, None, words)
                if name in importance:
                    yield compare(name, format, weights, importance[name], words)


def table(found: list[Result]) -> str:
    """Return one line per format: median and worst ratio of errors, median ratio of speeds."""
    lines = [
        "| Format | Importance | Tensors | Error ratio, median | worst | its tensor | Speed ratio |"
        " Mweights/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((result.format, result.weighted) for result in found):
        group = [result for result in found if (result.format, result.weighted) == key]
        worst = max(group, key=lambda result: result.ratio)
        middle = statistics.median(result.ratio for result in group)
        ratio = statistics.median(result.speed_ratio for result in group)
        speed = statistics.median(result.speed for result in group) / 1e6
        lines.append(
            f"| {key[0]} | {'imatrix' if key[1] else 'none'} | {len(group)} | {middle:.4f} | "
            f"{worst.ratio:.4f} | {worst.tensor} | {ratio:.1f} | {speed:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--formats", default=",".join(FORMATS_OF_BOTH))
    parser.add_argument("--imatrix")
    parser.add_argument("--tensors", default="*")
    parser.add_argument("--weights", type=int, default=400_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown")
    words = parser.parse_args()
    found = []
    for result in results(words):
        found.append(result)
        if result.ratio > 1:
            print(f"worse: {result.tensor} {result.format} {result.ratio:.6f}", file=sys.stderr)
    print(f"{platform.processor() or platform.machine()}, {kernels.variant()}, {words.threads}")
    print(table(found))
    if words.markdown:
        Path(words.markdown).write_text(table(found) + "\n")


if __name__ == "__main__":
    main()
