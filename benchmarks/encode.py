"""Error and speed of our encoders compared with ggml's, tensor by tensor.

    python benchmarks/encode.py MODEL [--imatrix FILE] [--formats Q4_0,IQ4_NL] [--tensors 'blk.0.*']
        [--weights 400000] [--rounds 3] [--threads 2] [--log FILE.jsonl]
    python benchmarks/encode.py --table FILE.jsonl   # the last section of docs/encoders.md

For each matrix of MODEL and each format, with the importance of FILE and without, both encoders
get the same rows. The script compares:

- the error Σ cost · (w − ŵ)² in float64, ours divided by ggml's; below 1 ours is better. The cost
  is the importance, in formats with super-blocks times √(2 · mean square of the block + w²);
- with --rounds, the speed in weights per second, ours divided by ggml's: the median over
  alternating rounds with `--threads` threads each. Run it on an idle machine.

`--weights` takes evenly spaced rows of each tensor (0: all rows). FILE is an imatrix. The log has
one line of JSON per comparison; comparisons that it already has are skipped. ggml is that of an
installed llama-cpp-python, or of the folder ZEROPOINT_PEER. Set PYTHONPATH=tests: the script uses
the package tests/support.
"""

import argparse
import fnmatch
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from support import ggml_peer
from zeropoint import kernels
from zeropoint.calibration import read_imatrix
from zeropoint.checkpoints import Checkpoint, TensorInfo, open_checkpoint
from zeropoint.formats import F32, FORMATS, U8, StorageFormat

FORMATS_OF_BOTH = (
    *("Q8_0", "Q6_K", "Q5_1", "Q5_K", "Q5_0", "Q4_1", "Q4_K", "Q4_0", "IQ4_NL", "IQ4_XS"),
    *("NVFP4", "MXFP4", "Q3_K", "IQ3_S", "IQ3_XXS", "Q2_K", "IQ2_S", "IQ2_XS", "IQ2_XXS"),
    *("Q2_0", "TQ2_0", "TQ1_0", "Q1_0"),
)
HEAD = """## Weighted error and encoding speed compared with ggml

For every matrix of a model and every format that both can encode, the tables give our weighted
squared error divided by ggml's, computed in float64 as Σ cost · (w − ŵ)². Below 1, ours is smaller.
The cost is 1 without importance and the imatrix entry of the column with it; in the formats with
super-blocks of 256 weights (Q2_K to Q6_K, IQ2_XXS to IQ4_XS) it is multiplied by √(σ² + w²), the
factor explained above. The median and the worst matrix are shown, of all matrices whose rows fit
the format's blocks. Speed is our weights per second divided by ggml's, with {threads} threads each
on an otherwise idle machine, the median of at least {matrices} matrices ({machine}).

The weights are BF16 and lie on no format's grid (made from the published quant by exact channel
rescalings). About {weights:,} weights of each matrix are compared, in rows evenly spaced over it,
because ggml's encoders are slow. Where ggml only rounds (Q4_0 to Q8_0 without importance), ggml is
faster, because our encoder searches there too.

    zeropoint calibrate MODEL -o IMATRIX --text wikitext2-calibrate.txt --chunks N
    python benchmarks/encode.py MODEL --imatrix IMATRIX --weights {weights} --log LOG
    python benchmarks/encode.py MODEL --imatrix IMATRIX --tensors GLOB --rounds 3 --log LOG
    python benchmarks/encode.py --table LOG
"""
SUPER_BLOCKS = {
    *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"),
    *("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"),
}
ONLY_WITH_IMPORTANCE = {"IQ2_XXS", "IQ2_XS"}  # ggml's encoders
COLUMNS = "| Format | Importance | Matrices | Error, median | worst | its matrix | Speed |"
Row = dict[str, Any]


def rows_of(checkpoint: Checkpoint, tensor: TensorInfo, most: int) -> F32:
    """Return all rows of a matrix, or evenly spaced rows with about `most` weights."""
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
    """Encode with ggml, with the rows divided among threads."""
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


def compare(format: StorageFormat, weights: F32, importance: F32 | None, words: Any) -> Row:
    """Encode with both alternately, and compare."""
    ratios, seconds = [], []
    threads = words.threads
    with ThreadPoolExecutor(threads) as pool:
        theirs(format, weights[:threads], importance, pool, threads)  # starts threads, fills tables
        for _ in range(max(words.rounds, 1)):
            ours, our_seconds = timed(
                lambda: kernels.encode(format, weights, importance, threads=threads)
            )
            peer, peer_seconds = timed(lambda: theirs(format, weights, importance, pool, threads))
            ratios.append(peer_seconds / our_seconds)
            seconds.append(our_seconds)
    costs = costs_of(format, weights, importance)
    errors = []
    for blocks in (ours, peer):
        decoded = kernels.decode(format, blocks, threads=2).reshape(weights.shape)
        errors.append(float((costs * (weights.astype(np.float64) - decoded) ** 2).sum()))
    row: Row = {"weights": weights.size, "ours": errors[0], "ggml": errors[1]}
    row["ratio"] = errors[0] / errors[1] if errors[1] else float(errors[0] > 0) + 1
    if words.rounds:
        row |= {"threads": threads, "machine": f"{processor()}, {kernels.variant()}"}
        row["speed"] = weights.size / statistics.median(seconds)
        row["speed_ratio"] = statistics.median(ratios)
    return row


def costs_of(format: StorageFormat, weights: F32, importance: F32 | None) -> Any:
    """Return the cost of a squared error of each weight, float64."""
    if importance is None:
        return 1.0
    costs = importance.astype(np.float64)
    if format.name not in SUPER_BLOCKS:
        return costs
    x = weights.astype(np.float64).reshape(len(weights), -1, 256)
    factors = np.sqrt(2 * (x**2).mean(axis=2, keepdims=True) + x**2)
    return costs * factors.reshape(weights.shape)


def processor() -> str:
    """Return the processor's name."""
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return names[0].partition(":")[2].strip() if names else "an unknown processor"


def results(words: Any, done: set[tuple[Any, ...]]) -> Iterator[Row]:
    """Compare every selected matrix and format."""
    importance: Mapping[str, F32] = read_imatrix(words.imatrix).importance if words.imatrix else {}
    formats = [FORMATS[name] for name in words.formats.split(",")]
    with open_checkpoint(words.model) as checkpoint:
        for name, tensor in checkpoint.tensors.items():
            if len(tensor.shape) != 2 or not fnmatch.fnmatch(name, words.tensors):
                continue
            keys = [
                (format, weighted)
                for format in formats
                for weighted in ((False, True) if name in importance else (False,))
                if tensor.columns % format.block_size == 0
                and (weighted or format.name not in ONLY_WITH_IMPORTANCE)
                and (words.model.stem, name, format.name, weighted, words.rounds > 0) not in done
            ]
            weights = rows_of(checkpoint, tensor, words.weights) if keys else None
            for format, weighted in keys:
                given = importance[name] if weighted else None
                named = {"model": words.model.stem, "tensor": name, "format": format.name}
                yield {**named, "weighted": weighted, **compare(format, weights, given, words)}


def table(rows: list[Row]) -> list[str]:
    """Return one line per format: median and worst ratio of errors, median ratio of speeds."""
    lines = [COLUMNS, "|---|---|---|---|---|---|---|"]
    for key in [(name, weighted) for name in FORMATS_OF_BOTH for weighted in (False, True)]:
        group = [row for row in rows if (row["format"], row["weighted"]) == key]
        if not group:
            continue
        worst = max(group, key=lambda row: row["ratio"])
        errors = [row for row in group if "speed" not in row] or group
        middle = statistics.median(row["ratio"] for row in errors)
        speeds = [row["speed_ratio"] for row in group if "speed_ratio" in row]
        speed = f"{statistics.median(speeds):.1f} ×" if speeds else ""
        matrices = len({row["tensor"] for row in group})
        lines.append(
            f"| {key[0]} | {'imatrix' if key[1] else 'none'} | {matrices} | {middle:.3f} | "
            f"{worst['ratio']:.3f} | {worst['tensor'].removesuffix('.weight')} | {speed} |"
        )
    return lines


def page(log: Path) -> str:
    """Return the log as a page."""
    rows = read_log(log)
    timed_rows = [row for row in rows if "speed" in row]
    counts = [
        len(
            {row["tensor"] for row in timed_rows if row["format"] == name and row["model"] == model}
        )
        for model, name in {(row["model"], row["format"]) for row in timed_rows}
    ]
    lines = [
        HEAD.format(
            threads=timed_rows[0]["threads"],
            machine=timed_rows[0]["machine"],
            matrices=min(counts),
            weights=round(max(row["weights"] for row in rows if "speed" not in row), -3),
        )
    ]
    for model in dict.fromkeys(row["model"] for row in rows):
        lines += [f"\n### {model}\n", *table([row for row in rows if row["model"] == model])]
    return "\n".join(lines) + "\n"


def read_log(log: Path) -> list[Row]:
    """Return the rows of a log; none if it does not exist."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def main() -> None:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--formats", default=",".join(FORMATS_OF_BOTH))
    parser.add_argument("--imatrix")
    parser.add_argument("--tensors", default="*")
    parser.add_argument("--weights", type=int, default=400_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=0, help="of speed; 0: errors only")
    parser.add_argument("--log", type=Path, default=Path("encode.jsonl"))
    parser.add_argument("--table", type=Path)
    words = parser.parse_args()
    if words.table:
        print(page(words.table), end="")
        return
    keys = ("model", "tensor", "format", "weighted")
    done = {(*(row[key] for key in keys), "speed" in row) for row in read_log(words.log)}
    found = []
    with words.log.open("a") as log:
        for row in results(words, done):
            found.append(row)
            print(json.dumps(row), file=log, flush=True)
            if row["ratio"] > 1:
                print(f"worse: {row['tensor']} {row['format']} {row['ratio']:.6f}", file=sys.stderr)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
