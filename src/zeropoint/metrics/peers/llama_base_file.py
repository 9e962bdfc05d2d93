"""llama-perplexity's KL protocol: its base file, its statistics and its names.

The base file stores 16 bits per logit in a window of 16 nats, the sums are partly float32, and the
standard errors take tokens for independent. All of this is reproduced here, so that both tools
report the same figures of the same logits; zeropoint's own figures are computed in
`metrics.divergence.summary`. Layout and formulas follow llama.cpp, tools/perplexity (2026-10):

    "_logits_" | i32 context, vocabulary, chunks | i32 tokens[chunks · context]
    then per scored position: f32 scale, f32 minimum | u16 codes[vocabulary] (padded to an even
    count)

with log p = scale · code + minimum. The positions
context/2 … context−2 of each chunk are scored.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.formats import F32
from zeropoint.results.llama_perplexity import LlamaFigure

I32 = NDArray[np.int32]
U16 = NDArray[np.uint16]
F64 = NDArray[np.float64]

MAGIC = b"_logits_"
MIN_SCORED_TOKENS = 100  # for the 1 % and 99 % percentiles of the tables
WINDOW_NATS = 16.0  # below the most likely token; codes reach no further


def scored_positions(context: int) -> int:
    """Return the number of scored positions in a chunk: its second half without the last one."""
    return context - 1 - context // 2


@dataclass(frozen=True)
class BaseFile:
    """The header of a base file: its tokens, and the sizes of its rows."""

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

    Raises CheckpointError for a file that is not a base file, or that is cut short or too long.
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
            path, f"{size} bytes, but its header requires {base.nbytes}", offset=20, field="rows"
        )
    return base


def read_base_rows(base: BaseFile) -> Iterator[U16]:
    """Yield, chunk by chunk, the stored rows (scored, row_words) of a base file."""
    with base.path.open("rb") as file:
        file.seek(20 + 4 * base.tokens.size)
        for _ in range(base.tokens.shape[0]):
            rows = np.frombuffer(file.read(2 * base.row_words * base.scored), "<u2")
            yield rows.reshape(base.scored, base.row_words)


class ByteSink(Protocol):
    """A file that bytes can be appended to."""

    def write(self, data: bytes, /) -> object:
        """Append bytes."""


def write_base_header(file: ByteSink, vocabulary: int, tokens: I32) -> None:
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
    low = np.maximum(logits.min(1), largest - np.float32(WINDOW_NATS))
    log_sum = np.log(_sum_exp(logits, largest)).astype(np.float32)
    scale = (largest - low) / np.float32(65535)
    rows = np.zeros((n, 2 * ((vocab + 1) // 2) + 4), np.uint16)
    rows[:, :2] = scale.view(np.uint16).reshape(n, 2)
    rows[:, 2:4] = (low - largest - log_sum).view(np.uint16).reshape(n, 2)
    flat = scale == 0
    inverse = np.float32(1) / np.where(flat, np.float32(1), scale)
    # float32 without fused multiply-add: llama.cpp's tools, unlike its kernels, are compiled for
    # the baseline processor. All 66,847,740 words of a file that it wrote are identical.
    steps = (logits - low[:, None]) * inverse[:, None]
    codes = np.where((logits > low[:, None]) & ~flat[:, None], np.rint(steps), 0)
    rows[:, 4 : 4 + vocab] = codes.astype(np.uint16)
    return rows


@dataclass(frozen=True)
class TokenScores:
    """Terms that llama-perplexity sums for each of n tokens; every array is (n,)."""

    nll: F64
    nll_base: F64
    kld: F64
    p_diff: F64
    same_top: NDArray[np.bool_]


def score_rows(rows: U16, logits: F32, targets: I32) -> TokenScores:
    """Compare stored rows (n, row_words) with logits (n, vocabulary) as llama-perplexity does.

    KLD = Σ p_base (log p_base − log p) over tokens with log p_base > −16; the most likely
    token of the base is that of the rounded values.

    Raises MeasurementError if the vocabularies differ.
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
    kld = np.where(log_base > -WINDOW_NATS, terms, 0).sum(1, dtype=np.float64)
    return TokenScores(
        nll.astype(np.float64),
        nll_base.astype(np.float64),
        kld,
        np.exp(-nll).astype(np.float64) - np.exp(-nll_base),
        logits.argmax(1) == log_base.argmax(1),
    )


def check_scored(tokens: int) -> None:
    """Raise MeasurementError for fewer scored tokens than llama-perplexity's tables need."""
    if tokens < MIN_SCORED_TOKENS:
        raise MeasurementError(
            f"{tokens} scored tokens are too few; llama-perplexity needs at least"
            f" {MIN_SCORED_TOKENS}: use more text, more chunks (--chunks) or a larger context"
            " (--ctx)"
        )


def statistics(scores: TokenScores) -> dict[str, tuple[LlamaFigure, ...]]:
    """Return llama-perplexity's three tables, with its names, order and formulas.

    Standard errors are sqrt(variance / (n − 1)) over tokens that are taken for independent.
    Percentiles interpolate linearly at fraction · (n − 1). Raises MeasurementError for fewer than
    MIN_SCORED_TOKENS tokens, for which llama-perplexity prints nothing.
    """
    check_scored(scores.kld.size)
    return {
        "Perplexity statistics": _perplexity_figures(scores),
        "KL divergence statistics": _divergence_figures(scores.kld),
        "Token probability statistics": _probability_figures(scores),
    }


def _perplexity_figures(scores: TokenScores) -> tuple[LlamaFigure, ...]:
    n = scores.nll.size
    (log_q, error_q), (log_b, error_b) = _mean(scores.nll), _mean(scores.nll_base)
    ppl_q, ppl_b = np.exp(log_q), np.exp(log_b)
    covariance = ((scores.nll * scores.nll_base).mean() - log_q * log_b) / (n - 1)
    ratio_error = np.sqrt(max(error_q**2 + error_b**2 - 2 * covariance, 0))
    ratio = np.exp(log_q - log_b)
    difference = (ppl_q * error_q) ** 2 + (ppl_b * error_b) ** 2 - 2 * ppl_q * ppl_b * covariance
    correlation = covariance / (error_q * error_b) if error_q and error_b else np.nan
    return (
        LlamaFigure("Mean PPL(Q)", ppl_q, ppl_q * error_q),
        LlamaFigure("Mean PPL(base)", ppl_b, ppl_b * error_b),
        LlamaFigure("Cor(ln(PPL(Q)), ln(PPL(base)))", correlation, percent=True),
        LlamaFigure("Mean ln(PPL(Q)/PPL(base))", log_q - log_b, ratio_error),
        LlamaFigure("Mean PPL(Q)/PPL(base)", ratio, ratio * ratio_error),
        LlamaFigure("Mean PPL(Q)-PPL(base)", ppl_q - ppl_b, np.sqrt(max(difference, 0))),
    )


def _divergence_figures(kld: F64) -> tuple[LlamaFigure, ...]:
    names = {99.9: "99.9%", 99: "99.0%", 95: "95.0%", 90: "90.0%", 50: "Median", 10: "10.0%"}
    names |= {5: " 5.0%", 1: " 1.0%", 0.1: " 0.1%"}
    return (
        LlamaFigure("Mean    KLD", *_mean(kld)),
        LlamaFigure("Maximum KLD", float(kld.max())),
        *(LlamaFigure(f"{name:8}KLD", _percentile(kld, at)) for at, name in names.items()),
        LlamaFigure("Minimum KLD", float(kld.min())),
    )


def _probability_figures(scores: TokenScores) -> tuple[LlamaFigure, ...]:
    p_diff = scores.p_diff
    names = {99.9: "99.9%", 99: "99.0%", 95: "95.0%", 90: "90.0%", 75: "75.0%", 50: "Median"}
    names |= {25: "25.0%", 10: "10.0%", 5: " 5.0%", 1: " 1.0%", 0.1: " 0.1%"}
    square, square_error = _mean(p_diff**2)
    rms = np.sqrt(square)
    same = float(scores.same_top.mean())
    same_error = np.sqrt(same * (1 - same) / (p_diff.size - 1))
    return (
        LlamaFigure("Mean    Δp", *_mean(p_diff), percent=True),
        LlamaFigure("Maximum Δp", float(p_diff.max()), percent=True),
        *(
            LlamaFigure(f"{name:8}Δp", _percentile(p_diff, at), percent=True)
            for at, name in names.items()
        ),
        LlamaFigure("Minimum Δp", float(p_diff.min()), percent=True),
        LlamaFigure("RMS Δp", rms, 0.5 / rms * square_error if rms else 0.0, percent=True),
        LlamaFigure("Same top p", same, same_error, percent=True),
    )


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


def format_statistics(tables: Mapping[str, tuple[LlamaFigure, ...]]) -> str:
    """Return the tables as llama-perplexity prints them."""
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
