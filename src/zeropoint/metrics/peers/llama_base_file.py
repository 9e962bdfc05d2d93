"""llama-perplexity's KL protocol: its base file, its statistics, its names.

Its base file keeps 16 bits per logit in a window of 16 nats, its sums are partly float32 and its
errors take tokens for independent; here that is reproduced, so that both tools say the same of the
same logits. What zeropoint itself reports is in `summary`. Layout and formulas after llama.cpp,
tools/perplexity (2026-10):

    "_logits_" | i32 context, vocabulary, chunks | i32 tokens[chunks · context]
    then per scored position: f32 scale, f32 minimum | u16 codes[vocabulary] (padded to an even
    count)

with log p = scale · code + minimum. Scored are the positions context/2 … context−2 of each chunk.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.formats import F32

I32 = NDArray[np.int32]
U16 = NDArray[np.uint16]
F64 = NDArray[np.float64]

MAGIC = b"_logits_"
MIN_SCORED = 100  # tokens, for the 1 % and 99 % percentiles of the tables
WINDOW = 16.0  # nats below the most likely token that a code can reach


def scored_positions(context: int) -> int:
    """Return how many positions of a chunk are scored: those of its second half but the last."""
    return context - 1 - context // 2


@dataclass(frozen=True)
class BaseFile:
    """A base file's header: what was read, and how many positions are stored."""

    path: Path
    context: int
    vocabulary: int
    tokens: I32  # (chunks, context), before the first of each chunk is replaced by BOS

    @property
    def scored(self) -> int:
        """Scored positions per chunk."""
        return scored_positions(self.context)

    @property
    def row_words(self) -> int:
        """16-bit words per stored position."""
        return 2 * ((self.vocabulary + 1) // 2) + 4

    @property
    def nbytes(self) -> int:
        """Size of the whole file."""
        rows = int(self.tokens.shape[0]) * self.scored
        return 20 + 4 * int(self.tokens.size) + 2 * self.row_words * rows


def open_base(path: Path) -> BaseFile:
    """Read a base file's header and check every length against the file's size.

    Raises CheckpointError where the file is not one, or is cut short or too long.
    """
    file = SourceFile(path)
    size = file.size
    head = file.read(0, min(size, 20)).tobytes()
    if len(head) < 20 or head[:8] != MAGIC:
        raise CheckpointError(path, "not a llama-perplexity base file", offset=0, field="magic")
    context, vocabulary, chunks = (int(v) for v in np.frombuffer(head[8:], "<i4"))
    if context < 4 or vocabulary < 1 or chunks < 0:
        raise CheckpointError(
            path, f"context {context}, vocabulary {vocabulary}, chunks {chunks}", offset=8
        )
    if 20 + 4 * context * chunks > size:
        raise CheckpointError(path, "the tokens run past the end", offset=20, field="tokens")
    tokens = file.read(20, 4 * context * chunks).view("<i4").reshape(chunks, context)
    file.close()
    base = BaseFile(path, context, vocabulary, tokens)
    if base.nbytes != size:
        raise CheckpointError(
            path, f"{size} bytes, but its header asks for {base.nbytes}", offset=20, field="rows"
        )
    return base


def read_base_rows(base: BaseFile) -> Iterator[U16]:
    """Yield, chunk by chunk, the stored rows (scored, row_words) of a base file."""
    with base.path.open("rb") as file:
        file.seek(20 + 4 * base.tokens.size)
        for _ in range(base.tokens.shape[0]):
            rows = np.frombuffer(file.read(2 * base.row_words * base.scored), "<u2")
            yield rows.reshape(base.scored, base.row_words)


class Sink(Protocol):
    """What bytes are appended to."""

    def write(self, data: bytes, /) -> object:
        """Append bytes."""


def write_base_header(file: Sink, vocabulary: int, tokens: I32) -> None:
    """Write magic, sizes and tokens (chunks, context); rows follow by `encode_rows`."""
    sizes = np.array([tokens.shape[1], vocabulary, tokens.shape[0]], "<i4")
    file.write(MAGIC + sizes.tobytes() + np.ascontiguousarray(tokens, "<i4").tobytes())


def encode_rows(logits: F32) -> U16:
    """Store logits (n, vocabulary) as rows (n, row_words) of a base file.

    minimum = max(smallest, largest − 16), scale = (largest − minimum) / 65535,
    code = nearest((logit − minimum) / scale), 0 at and below the minimum.
    """
    n, vocab = logits.shape
    largest = logits.max(1)
    low = np.maximum(logits.min(1), largest - np.float32(WINDOW))
    log_sum = np.log(_sum_exp(logits, largest)).astype(np.float32)
    scale = (largest - low) / np.float32(65535)
    rows = np.zeros((n, 2 * ((vocab + 1) // 2) + 4), np.uint16)
    rows[:, :2] = scale.view(np.uint16).reshape(n, 2)
    rows[:, 2:4] = (low - largest - log_sum).view(np.uint16).reshape(n, 2)
    flat = scale == 0
    inverse = np.float32(1) / np.where(flat, np.float32(1), scale)
    # float32 throughout: llama.cpp's tools are built for the plain processor, without fused
    # multiply-add, whatever its kernels use. 66,847,740 words of a file it wrote are these.
    steps = (logits - low[:, None]) * inverse[:, None]
    codes = np.where((logits > low[:, None]) & ~flat[:, None], np.rint(steps), 0)
    rows[:, 4 : 4 + vocab] = codes.astype(np.uint16)
    return rows


@dataclass(frozen=True)
class Scores:
    """Per token, what llama-perplexity adds up: arrays of (n,)."""

    nll: F64
    nll_base: F64
    kld: F64
    p_diff: F64
    same_top: NDArray[np.bool_]


def score_rows(rows: U16, logits: F32, targets: I32) -> Scores:
    """Compare stored rows (n, row_words) with a quant's logits (n, vocabulary), as it does.

    KLD = Σ p_base (log p_base − log p) over tokens with log p_base > −16; the base's most likely
    token is taken from the rounded values. Raises MeasurementError if the vocabularies differ.
    """
    n, vocab = logits.shape
    if rows.shape != (n, 2 * ((vocab + 1) // 2) + 4):
        raise MeasurementError("the base file's vocabulary or context is not this model's")
    position = np.arange(n)
    largest = logits.max(1)
    log_sum = np.log(_sum_exp(logits, largest)).astype(np.float32)
    header = np.ascontiguousarray(rows[:, :4]).view(np.float32)
    log_base = header[:, :1] * rows[:, 4 : 4 + vocab].astype(np.float32) + header[:, 1:2]
    nll = largest + log_sum - logits[position, targets]
    nll_base = -log_base[position, targets]
    terms = log_base - logits + (largest + log_sum)[:, None]
    terms *= np.exp(log_base.astype(np.float64)).astype(np.float32)
    kld = np.where(log_base > -WINDOW, terms, 0).sum(1, dtype=np.float64)
    return Scores(
        nll.astype(np.float64),
        nll_base.astype(np.float64),
        kld,
        np.exp(-nll).astype(np.float64) - np.exp(-nll_base),
        logits.argmax(1) == log_base.argmax(1),
    )


@dataclass(frozen=True)
class Figure:
    """One printed line: its name, its value, and its error or None. `percent` scales by 100."""

    name: str
    value: float
    error: float | None = None
    percent: bool = False


def check_scored(tokens: int) -> None:
    """Raise MeasurementError for fewer scored tokens than llama-perplexity's tables need."""
    if tokens < MIN_SCORED:
        raise MeasurementError(
            f"{tokens} scored tokens; llama-perplexity needs at least {MIN_SCORED}: give"
            " more text, more --chunks or a larger --ctx"
        )


def statistics(scores: Scores) -> dict[str, list[Figure]]:
    """Return llama-perplexity's three tables, with its names, order and formulas.

    Errors are sqrt(variance / (n − 1)) over tokens taken for independent. Percentiles interpolate
    linearly at fraction · (n − 1). Raises MeasurementError for fewer than 100 tokens, where it is
    silent.
    """
    check_scored(scores.kld.size)
    return {
        "Perplexity statistics": _perplexity_figures(scores),
        "KL divergence statistics": _divergence_figures(scores.kld),
        "Token probability statistics": _probability_figures(scores),
    }


def _perplexity_figures(scores: Scores) -> list[Figure]:
    n = scores.nll.size
    (log_q, error_q), (log_b, error_b) = _mean(scores.nll), _mean(scores.nll_base)
    ppl_q, ppl_b = np.exp(log_q), np.exp(log_b)
    covariance = ((scores.nll * scores.nll_base).mean() - log_q * log_b) / (n - 1)
    ratio_error = np.sqrt(max(error_q**2 + error_b**2 - 2 * covariance, 0))
    ratio = np.exp(log_q - log_b)
    difference = (ppl_q * error_q) ** 2 + (ppl_b * error_b) ** 2 - 2 * ppl_q * ppl_b * covariance
    correlation = covariance / (error_q * error_b) if error_q and error_b else np.nan
    return [
        Figure("Mean PPL(Q)", ppl_q, ppl_q * error_q),
        Figure("Mean PPL(base)", ppl_b, ppl_b * error_b),
        Figure("Cor(ln(PPL(Q)), ln(PPL(base)))", correlation, percent=True),
        Figure("Mean ln(PPL(Q)/PPL(base))", log_q - log_b, ratio_error),
        Figure("Mean PPL(Q)/PPL(base)", ratio, ratio * ratio_error),
        Figure("Mean PPL(Q)-PPL(base)", ppl_q - ppl_b, np.sqrt(max(difference, 0))),
    ]


def _divergence_figures(kld: F64) -> list[Figure]:
    names = {99.9: "99.9%", 99: "99.0%", 95: "95.0%", 90: "90.0%", 50: "Median", 10: "10.0%"}
    names |= {5: " 5.0%", 1: " 1.0%", 0.1: " 0.1%"}
    return [
        Figure("Mean    KLD", *_mean(kld)),
        Figure("Maximum KLD", float(kld.max())),
        *(Figure(f"{name:8}KLD", _percentile(kld, at)) for at, name in names.items()),
        Figure("Minimum KLD", float(kld.min())),
    ]


def _probability_figures(scores: Scores) -> list[Figure]:
    p_diff = scores.p_diff
    names = {99.9: "99.9%", 99: "99.0%", 95: "95.0%", 90: "90.0%", 75: "75.0%", 50: "Median"}
    names |= {25: "25.0%", 10: "10.0%", 5: " 5.0%", 1: " 1.0%", 0.1: " 0.1%"}
    square, square_error = _mean(p_diff**2)
    rms = np.sqrt(square)
    same = float(scores.same_top.mean())
    return [
        Figure("Mean    Δp", *_mean(p_diff), percent=True),
        Figure("Maximum Δp", float(p_diff.max()), percent=True),
        *(
            Figure(f"{name:8}Δp", _percentile(p_diff, at), percent=True)
            for at, name in names.items()
        ),
        Figure("Minimum Δp", float(p_diff.min()), percent=True),
        Figure("RMS Δp", rms, 0.5 / rms * square_error if rms else 0.0, percent=True),
        Figure("Same top p", same, np.sqrt(same * (1 - same) / (p_diff.size - 1)), percent=True),
    ]


def _mean(values: F64) -> tuple[float, float]:
    mean = float(values.mean())
    variance = float((values * values).mean()) - mean * mean
    return mean, float(np.sqrt(max(variance, 0) / (values.size - 1)))


def _percentile(values: F64, percent: float) -> float:
    return float(np.percentile(values.astype(np.float32).astype(np.float64), percent))


def _sum_exp(logits: F32, largest: F32) -> F64:
    """Σ exp(logit − largest), each term rounded to float32, added in order in float64: (n,)."""
    terms = np.exp((logits - largest[:, None]).astype(np.float64)).astype(np.float32)
    return np.cumsum(terms, axis=1, dtype=np.float64)[:, -1]


def print_statistics(tables: dict[str, list[Figure]]) -> str:
    """Return the tables as text in llama-perplexity's manner."""
    out = io.StringIO()
    for title, figures in tables.items():
        out.write(f"====== {title} ======\n")
        for figure in figures:
            scale, unit = (100.0, "%") if figure.percent else (1.0, "")
            digits = 3 if figure.percent else 6
            error = "" if figure.error is None else f" ± {scale * figure.error:.{digits}f}"
            value = f"{scale * figure.value:10.{digits}f}{error} {unit}"
            out.write(f"{figure.name:30}: {value.rstrip()}\n")
        out.write("\n")
    return out.getvalue()
