"""Is a file of `quantize --to best` closer to its reference than llama-quantize's at that size?

    LLAMA_BIN=build/bin python benchmarks/search_against_llama.py REFERENCE IMATRIX OURS...
        --texts TEXT,TEXT [--chunks 6] [--threads 2] [--work DIR] [--log FILE.jsonl] [--list]

For each of our files, the peer's candidates are the files of llama-quantize whose bytes are within
12 % of ours: its presets, and the preset that is nearest in size with three other types of the
embedding. --list prints them with their sizes and ends, so that the list is there before anything
is measured. All have the same imatrix. The judge is llama-perplexity: mean KL divergence in nats
per token over the second halves of N chunks of 512 tokens of each text, from all logits.

The peer's best at our size is on the lower convex hull of its candidates, in bytes and the
logarithm of mean KL: this logarithm is interpolated between the neighbours on it, chunk by chunk,
and is that of the nearest one outside of them. The ratio is ours divided by that, with a 95 %
interval that is paired by chunk. With --work, llama-quantize's files and the reference's logits
stay in this folder.
"""

import argparse
import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from kl_against_llama import kl_of_chunks, run
from numpy.typing import NDArray

import zeropoint as zp
from zeropoint.errors import ZeropointError
from zeropoint.metrics.statistics import estimate
from zeropoint.verbs.options.quantize import QuantizeOptions

PRESETS = (
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "Q2_K_S", "Q2_K", "IQ3_XXS", "IQ3_XS",
    "IQ3_S", "IQ3_M", "Q3_K_S", "Q3_K_M", "Q3_K_L", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_1", "Q4_K_S",
    "Q4_K_M", "Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0",
)  # fmt: skip
EMBEDDINGS = ("Q8_0", "Q6_K", "Q5_0", "Q4_0", "Q5_K", "Q4_K", "Q3_K")
EMBEDDINGS_TRIED = 3
WITHIN = 0.12

F64 = NDArray[np.float64]
Candidate = tuple[str, str]  # preset, and the type of the embedding or ""


def sizes_of(words: argparse.Namespace, candidates: list[Candidate]) -> dict[Candidate, int]:
    """Return the bytes of llama-quantize's files: it chooses the same formats as we do."""
    found = {}
    for preset, embedding in candidates:
        options = QuantizeOptions(imatrix=words.imatrix, token_embedding_type=embedding or None)
        with contextlib.suppress(ZeropointError):
            preview = zp.preview_quantization(words.reference, to=preset, options=options)
            found[preset, embedding] = preview.output_bytes
    return found


def candidates_for(words: argparse.Namespace, target: int) -> dict[Candidate, int]:
    """Return the peer's candidates for a file of so many bytes, by size."""
    sizes = sizes_of(words, [(preset, "") for preset in PRESETS])
    nearest = min(sizes, key=lambda one: abs(sizes[one] - target))
    others = sizes_of(words, [(nearest[0], embedding) for embedding in EMBEDDINGS])
    others = {one: size for one, size in others.items() if size != sizes[nearest]}
    closest = sorted(others, key=lambda one: abs(others[one] - target))[:EMBEDDINGS_TRIED]
    sizes |= {one: others[one] for one in closest}
    near = {one: size for one, size in sizes.items() if abs(size / target - 1) <= WITHIN}
    return dict(sorted(near.items(), key=lambda item: item[1]))


def make(words: argparse.Namespace, candidate: Candidate, folder: Path) -> Path:
    """Write the peer's file of a candidate, unless it is there."""
    preset, embedding = candidate
    output = folder / f"{'-'.join(filter(None, candidate))}.llama.cpp.gguf"
    if not output.exists():
        tool = str(Path(os.environ["LLAMA_BIN"]) / "llama-quantize")
        more = ["--token-embedding-type", embedding.lower()] if embedding else []
        command = [tool, *more, "--imatrix", str(words.imatrix), str(words.reference)]
        run([*command, str(output), preset, str(words.threads)])
    return output


def envelope(points: list[tuple[int, F64]], size: int) -> F64:
    """Return the KL of each chunk at a size, on the lower convex hull of (bytes, log mean KL)."""
    best: list[tuple[int, F64]] = []
    for point in sorted(points, key=lambda point: (point[0], point[1].mean())):
        if best and point[1].mean() >= best[-1][1].mean():
            continue
        while len(best) > 1 and _slope(best[-2], point) <= _slope(best[-2], best[-1]):
            best.pop()
        best.append(point)
    below = [point for point in best if point[0] <= size]
    above = [point for point in best if point[0] > size]
    if not below or not above:
        return (below[-1] if below else above[0])[1]
    (low, first), (high, second) = below[-1], above[0]
    share = (size - low) / (high - low)
    blend: F64 = np.exp((1 - share) * np.log(first) + share * np.log(second))
    return blend


def _slope(first: tuple[int, F64], last: tuple[int, F64]) -> float:
    """Return the change of the logarithm of the mean KL per byte."""
    return float(np.log(last[1].mean() / first[1].mean())) / (last[0] - first[0])


def main() -> None:
    """Print the candidates, measure all files, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("imatrix", type=Path)
    parser.add_argument("ours", nargs="+", type=Path)
    parser.add_argument("--texts", required=True, help="files, separated by commas")
    parser.add_argument("--chunks", type=int, default=6)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", metavar="DIR", type=Path, help="existing folder for all files")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--list", action="store_true")
    words = parser.parse_args()
    lists = {ours: candidates_for(words, ours.stat().st_size) for ours in words.ours}
    for ours, candidates in lists.items():
        listed = ", ".join(f"{' + '.join(filter(None, c))} {n:,}" for c, n in candidates.items())
        print(f"{ours.name}, {ours.stat().st_size:,} bytes: {listed}", flush=True)
    if words.list:
        return
    print("| File | Text | KL, zeropoint | KL, llama.cpp at this size | Ratio (95 % interval) |")
    print("|---|---|---|---|---|")
    known: dict[tuple[str, str], F64] = {}
    with contextlib.ExitStack() as stack:
        folder = words.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for ours, candidates in lists.items():
            files = {make(words, one, folder): size for one, size in candidates.items()}
            for text in map(Path, words.texts.split(",")):
                for file in [ours, *files]:
                    if (file.name, text.stem) not in known:
                        losses = np.array(kl_of_chunks(words, text, file, folder))
                        known[file.name, text.stem] = losses
                        log(words, {"file": file.name, "bytes": file.stat().st_size,
                                    "text": text.stem, "kl": losses.tolist()})  # fmt: skip
                own = known[ours.name, text.stem]
                points = [(f.stat().st_size, known[f.name, text.stem]) for f in files]
                theirs = envelope(points, ours.stat().st_size)
                ratio = estimate(own, theirs)
                print(
                    f"| {ours.name} | {text.stem} | {own.mean():.4f} | {theirs.mean():.4f} |"
                    f" {ratio.mean:.3f} ({ratio.low:.3f} … {ratio.high:.3f}) |",
                    flush=True,
                )


def log(words: argparse.Namespace, row: dict[str, Any]) -> None:
    """Append a row to the log, if there is one."""
    if words.log:
        with words.log.open("a") as file:
            print(json.dumps(row), file=file)


if __name__ == "__main__":
    main()
