"""Which cost of an error in a weight gives the lowest KL divergence of a model?

    python benchmarks/error_costs.py MODEL IMATRIX TEXT... --formats Q3_K,Q4_0
        --costs 1,0,2 1,0.5,2 0,0.5,2 [--block 256] [--layers 3,1] [--chunks 4] [--log FILE.jsonl]

A cost "a,b,c" is importance^a · (c · mean square of the block + weight²)^b for each weight, and
"none" encodes without any. For each format and cost, all matrices of the layers are encoded with
it, and the script prints the mean KL divergence of the next-token distributions in nats per token
over N chunks of 512 tokens of each text, and its ratio to the first cost with a 95 % interval that
is paired by chunk. `--layers EVERY,FIRST` quantizes only some layers of a
large model; embeddings and output matrix stay as they are. Rows do not have to be multiples of
the format's block: a matrix is encoded as one long row.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels, load_model
from zeropoint.calibration import read_imatrix
from zeropoint.calibration.chunks import read_chunks
from zeropoint.calibration.corpus import read_corpus
from zeropoint.formats import F32, FORMATS, QuantizedTensor
from zeropoint.kernels.compare import compare_logits
from zeropoint.metrics.statistics import estimate
from zeropoint.models import LanguageModel

TOKENS = 512  # per chunk
SUPER_BLOCK = 256  # weights
#: Formats whose encoder multiplies the importance by √(2 · mean square of the block + weight²).
FACTORED = {name for name in FORMATS if FORMATS[name].block_size == SUPER_BLOCK} - {
    "TQ1_0",
    "TQ2_0",
}


def costs(weights: F32, importance: F32, words: list[float], block: int) -> NDArray[np.float64]:
    """Return the cost of each of (rows, columns) weights, in one axis."""
    a, b, c = words
    squares = np.square(weights.reshape(-1, block).astype(np.float64))
    size = (c * squares.mean(axis=1, keepdims=True) + squares).reshape(-1) + 1e-30
    return np.asarray(np.tile(importance.astype(np.float64) ** a, len(weights)) * size**b)


def encoded(format_name: str, weights: F32, cost: NDArray[np.float64] | None) -> F32:
    """Return what the weights decode to after encoding with these costs."""
    format = FORMATS[format_name]
    if cost is not None and format_name in FACTORED:  # undo the factor of the encoder
        squares = np.square(weights.reshape(-1, SUPER_BLOCK).astype(np.float64))
        factor = np.sqrt(2 * squares.mean(axis=1, keepdims=True) + squares + 1e-30)
        cost = cost / factor.reshape(-1)
    given = None if cost is None else (cost / cost.max()).astype(np.float32)
    blocks = kernels.encode(format, weights.reshape(1, -1), given)
    return kernels.decode(format, blocks).reshape(weights.shape)


def quantize(model: LanguageModel, words: argparse.Namespace, name: str, cost: str) -> None:
    """Replace the matrices of the chosen layers by what they decode to, others by themselves."""
    importance = read_imatrix(words.imatrix).importance
    every, first = words.layers
    for matrix in model.matrices():
        if not matrix.startswith("blk."):
            continue
        stored = model.checkpoint.read(matrix)
        weights = kernels.decode(stored.format, stored.data).reshape(stored.shape)
        if int(matrix.split(".")[1]) % every == first:
            numbers = None if cost == "none" else [float(word) for word in cost.split(",")]
            given = (
                None
                if numbers is None
                else costs(weights, importance[matrix], numbers, words.block)
            )
            weights = encoded(name, weights, given)
        data = weights.reshape(-1, 1).view(np.uint8)
        model.replace(matrix, QuantizedTensor(FORMATS["F32"], stored.shape, data))


def hidden_states(model: LanguageModel, chunks: list[NDArray[np.int32]]) -> list[F32]:
    return [model.hidden(chunk) for chunk in chunks]


def divergence(model: LanguageModel, reference: list[F32], quant: list[F32]) -> list[float]:
    """Return the mean KL of each chunk; both share the output matrix."""
    means = []
    for ours, theirs in zip(reference, quant, strict=True):
        targets = np.zeros(len(ours), np.int32)  # the KL does not depend on them
        found = compare_logits(model.head(ours), model.head(theirs), targets)
        means.append(float(found.kl.mean()))
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("imatrix", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--formats", required=True)
    parser.add_argument("--costs", nargs="+", required=True, metavar="A,B,C")
    parser.add_argument("--block", type=int, default=SUPER_BLOCK, help="weights per mean square")
    parser.add_argument("--layers", default="1,0", metavar="EVERY,FIRST")
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--log", type=Path)
    words = parser.parse_args()
    words.layers = [int(word) for word in words.layers.split(",")]
    model = load_model(words.model)
    corpus = read_corpus(words.texts)
    limit = words.chunks * len(words.texts)
    cut = read_chunks(corpus, model.checkpoint, model.tokenizer, TOKENS, limit=limit)
    chunks = [chunk.tokens for chunk in cut]
    reference = hidden_states(model, chunks)
    for name in words.formats.split(","):
        first = None
        for cost in words.costs:
            quantize(model, words, name, cost)
            found = divergence(model, reference, hidden_states(model, chunks))
            first = found if first is None else first
            ratio = estimate(np.array(found), np.array(first))
            print(
                f"{name} {cost}: {np.mean(found):.4f} nats per token, ratio to the first cost "
                f"{ratio.mean:.3f} ({ratio.low:.3f} … {ratio.high:.3f})",
                flush=True,
            )
            if words.log:
                row = {"model": words.model.stem, "format": name, "cost": cost, "kl": found}
                with words.log.open("a") as log:
                    print(json.dumps(row), file=log)


if __name__ == "__main__":
    main()
