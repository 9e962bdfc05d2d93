"""How well are the losses of single tensors and of whole recipes predicted?

    python benchmarks/predicted_loss.py REFERENCE IMATRIX [--work DIR] [--pairs 40] [--recipes 10]
        [--chunks 8] [--context 256] [--tokens 1024] [--sequence 16,32,64,128] [--threads 2]

REFERENCE is a model of 16 bits per weight, and IMATRIX its importance. Random tensors get random
formats of 2 to 6 bits, one at a time, and so do all tensors at once in random recipes. The true
loss is the mean KL divergence over the second half of chunks of built-in text that nothing else
uses (kinds prose and code, part evaluate), with all logits. It is compared with

    gradient scores            `allocation.predicted_loss`, part calibrate of the same kinds
    importance-weighted error  Σ importance · (w − ŵ)², of all rows
    single swaps               true KL of one format per tensor on little text (part calibrate),
                               times the ratio of the weighted errors

A swap of every tensor on n tokens costs half a forward pass of n tokens per tensor if the states
before the tensor are cached; gradients cost two of their text (the weights have no gradients). The
number of tokens per swap that costs the same is printed.

True losses are stored in the work folder, so that an interrupted script resumes and a later one
tries other settings of the predictions.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.allocation.predicted_loss import (
    PredictedLosses,
    PredictionText,
    predict_losses,
)
from zeropoint.calibration import Calibration, find_importance, read_imatrix
from zeropoint.calibration.chunks import Chunk, read_chunks, spread_over_domains
from zeropoint.calibration.corpus import builtin_corpus
from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.formats import FORMATS, QuantizedTensor
from zeropoint.metrics.divergence.score_chunks import compare_hidden
from zeropoint.models import LanguageModel, load_model, read_tokenizer
from zeropoint.plans.formats.roles import why_never_quantized
from zeropoint.quantizers.nearest import dequantize, quantize

KINDS = ("prose", "code")
MENU = (
    "Q2_K", "Q2_0", "IQ2_S", "IQ3_XXS", "IQ3_S", "Q3_K", "IQ4_XS", "IQ4_NL", "MXFP4", "NVFP4",
    "Q4_0", "Q4_K", "Q5_0", "Q5_K", "Q6_K",
)  # fmt: skip
SWAP_FORMAT = "IQ4_NL"  # it fits all rows of 32
SWAP_TOKENS = (32, 128, 512)

Assignment = Mapping[str, str]


class Truth:
    """Measures the true loss of assignments, and stores every result."""

    def __init__(self, checkpoint: Checkpoint, calibration: Calibration, words: argparse.Namespace):
        self.checkpoint, self.calibration, self.threads = checkpoint, calibration, words.threads
        self.path = words.work / "truth.jsonl"
        self.known: dict[str, dict[str, float]] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                record = json.loads(line)
                self.known[record["key"]] = record["kl"]
        self.model: LanguageModel | None = None
        self.states: dict[bytes, np.ndarray] = {}

    def encoded(self, name: str, format: str) -> QuantizedTensor:
        info = self.checkpoint.tensors[name]
        importance = find_importance(self.calibration, info, tied=self.checkpoint.tied_output)
        weights = dequantize(self.checkpoint.read(name), threads=self.threads)
        return quantize(weights, format, importance, threads=self.threads)

    def loss(self, assignment: Assignment, chunks: list[Chunk], label: str) -> dict[str, float]:
        """Return the mean KL by kind; `label` names the chunks."""
        key = f"{label} {json.dumps(dict(assignment))}"
        if key in self.known:
            return self.known[key]
        if self.model is None:
            self.model = load_model(self.checkpoint, threads=self.threads)
        model, begin = self.model, time.process_time()
        for chunk in chunks:
            self.states.setdefault(chunk.tokens.tobytes(), model.hidden(chunk.tokens))
        # The head of the reference is needed beside the head of the quant.
        head = load_model(self.checkpoint, threads=self.threads)
        for name, format in assignment.items():
            model.replace(name, self.encoded(name, format))
        sums: dict[str, list[float]] = {}
        for chunk in chunks:
            rows = slice(chunk.first, chunk.tokens.size - 1)
            pair = self.states[chunk.tokens.tobytes()][rows], model.hidden(chunk.tokens)[rows]
            found = compare_hidden(
                head, model, pair, chunk.tokens[chunk.first + 1 :], threads=self.threads
            )
            sums.setdefault(chunk.domain, []).extend(found.kl.tolist())
        for name in assignment:
            model.replace(name, self.checkpoint.read(name))
        kl = {kind: float(np.mean(values)) for kind, values in sums.items()}
        self.known[key] = kl
        with self.path.open("a") as file:
            file.write(json.dumps({"key": key, "kl": kl}) + "\n")
        seconds = time.process_time() - begin
        print(f"{label}: {len(assignment)} tensors, {kl}, {seconds:.0f} s", flush=True)
        return kl

    def weighted_error(self, name: str, format: str) -> float:
        """Return Σ importance · (w − ŵ)² of a tensor."""
        info = self.checkpoint.tensors[name]
        importance = find_importance(self.calibration, info, tied=self.checkpoint.tied_output)
        weights = dequantize(self.checkpoint.read(name), threads=self.threads)
        decoded = dequantize(self.encoded(name, format), threads=self.threads)
        return kernels.weighted_error(weights, decoded, importance, threads=self.threads)


def menu_of(checkpoint: Checkpoint) -> dict[str, list[str]]:
    architecture = str(checkpoint.metadata["general.architecture"])
    return {
        name: [f for f in MENU if info.columns % FORMATS[f].block_size == 0]
        for name, info in checkpoint.tensors.items()
        if why_never_quantized(name, info.shape, architecture) is None
    }


def random_pairs(menu: Mapping[str, list[str]], count: int) -> list[tuple[str, str]]:
    random = np.random.default_rng(0)
    names = list(menu)
    pairs = [("token_embd.weight", format) for format in ("Q2_0", "Q4_0")]
    while len(pairs) < count:
        name = names[random.integers(len(names))]
        pair = name, menu[name][random.integers(len(menu[name]))]
        if pair not in pairs:
            pairs.append(pair)
    return pairs


def random_recipes(menu: Mapping[str, list[str]], count: int) -> Iterator[Assignment]:
    """Yield recipes around a random number of bits, each tensor with bits of its own."""
    random = np.random.default_rng(1)
    for number in range(count):
        target = 2.5 + 3.5 * number / max(1, count - 1)
        recipe = {}
        for name, formats in menu.items():
            wanted = target + random.normal() * 0.8
            recipe[name] = min(formats, key=lambda f: abs(FORMATS[f].bits_per_weight - wanted))
        yield recipe


def ranks(values: np.ndarray) -> np.ndarray:
    order = np.empty(len(values))
    order[np.argsort(values)] = np.arange(len(values))
    return order


def agreement(predicted: np.ndarray, true: np.ndarray) -> str:
    """Rank correlation, correlation of logarithms, mean ratio and its spread."""
    spearman = np.corrcoef(ranks(predicted), ranks(true))[0, 1]
    logs = np.log(predicted), np.log(true)
    ratio = logs[0] - logs[1]
    return (
        f"{spearman:.3f} | {np.corrcoef(*logs)[0, 1]:.3f} | {np.exp(ratio.mean()):.2f} |"
        f" {np.exp(ratio.std()):.2f}"
    )


def predict(
    checkpoint: Checkpoint, calibration: Calibration, menu: Mapping[str, list[str]],
    words: argparse.Namespace, sequence: int,
) -> tuple[PredictedLosses, float]:  # fmt: skip
    text = PredictionText(
        builtin_corpus("calibrate", KINDS), words.tokens, words.seed, sequence_tokens=sequence
    )
    begin = time.process_time()
    steps = predict_losses(checkpoint, text, menu, threads=words.threads, calibration=calibration)
    *_, last = steps
    assert isinstance(last, PredictedLosses)
    return last, time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("imatrix", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/predicted-loss"))
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--recipes", type=int, default=10)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sequence", default="16,32,64,128")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--swaps", action="store_true", help="also measure single swaps")
    words = parser.parse_args()
    words.work.mkdir(parents=True, exist_ok=True)
    checkpoint, calibration = open_checkpoint(words.reference), read_imatrix(words.imatrix)
    truth, menu = Truth(checkpoint, calibration, words), menu_of(checkpoint)
    pairs, recipes = random_pairs(menu, words.pairs), list(random_recipes(menu, words.recipes))
    tokenizer = read_tokenizer(checkpoint)
    used: dict[str, list[str]] = {name: [] for name in menu}
    for name, format in [*pairs, *(item for recipe in recipes for item in recipe.items())]:
        used[name] += [] if format in used[name] else [format]
    judged = read_chunks(builtin_corpus("evaluate", KINDS), checkpoint, tokenizer, words.context)
    judged = spread_over_domains(judged, words.chunks)
    label = f"evaluate {words.chunks} × {words.context}"
    single = np.array([np.mean(list(truth.loss({n: f}, judged, label).values())) for n, f in pairs])
    whole = np.array([np.mean(list(truth.loss(r, judged, label).values())) for r in recipes])
    print(
        "\n| Prediction | Spearman | Correlation of logs | Predicted ÷ true | Spread, a factor of |"
    )
    print("|---|---|---|---|---|")
    for sequence in map(int, words.sequence.split(",")):
        found, seconds = predict(checkpoint, calibration, used, words, sequence)
        values = np.array([found.table[n][f] for n, f in pairs])
        errors = np.array([found.standard_errors[n][f] for n, f in pairs])
        sums = np.array([sum(found.table[n][f] for n, f in r.items()) for r in recipes])
        case = f"{words.tokens // sequence} × {sequence} tokens"
        print(f"| gradients, {case}, single tensors | {agreement(values, single)} |")
        print(f"| gradients, {case}, whole recipes | {agreement(sums, whole)} |")
        print(f"({seconds:.0f} s of processor time; median relative standard error"
              f" {np.median(errors / values):.2f})", flush=True)  # fmt: skip
    for (name, format), true, value, error in zip(pairs, single, values, errors, strict=True):
        print(f"{name} {format}: true {true:.3g}, predicted {value:.3g} ± {error:.2g}")
    for true, value in zip(whole, sums, strict=True):
        print(f"recipe: true {true:.3g}, predicted {value:.3g}")
    weighted = np.array([truth.weighted_error(n, f) for n, f in pairs])
    print(f"| importance-weighted error, single tensors | {agreement(weighted, single)} |")
    if words.swaps:
        compare_swaps(truth, words, len(menu), pairs, (single, weighted))


def compare_swaps(
    truth: Truth, words: argparse.Namespace, tensors: int, pairs: list[tuple[str, str]],
    judged: tuple[np.ndarray, np.ndarray],
) -> None:  # fmt: skip
    """Print how well one true swap per tensor on little text predicts."""
    single, weighted = judged
    tokenizer = read_tokenizer(truth.checkpoint)
    equal = 2 * words.tokens / (0.5 * tensors)
    print(f"(swaps cost as much as the gradients with {equal:.0f} tokens per tensor)")
    base = np.array([truth.weighted_error(name, SWAP_FORMAT) for name, _ in pairs])
    for count in SWAP_TOKENS:
        context = min(count, 256)
        chunks = read_chunks(
            builtin_corpus("calibrate", KINDS),
            truth.checkpoint,
            tokenizer,
            context,  # type: ignore[arg-type]
        )
        some = spread_over_domains(chunks, max(1, count // context))
        some = [Chunk(c.domain, c.tokens, context) for c in some]
        label = f"swap {count}"
        swaps = np.array(
            [np.mean(list(truth.loss({n: SWAP_FORMAT}, some, label).values())) for n, _ in pairs]
        )
        values = swaps * weighted / base
        print(f"| single swaps, {count} tokens each | {agreement(values, single)} |", flush=True)


if __name__ == "__main__":
    main()
