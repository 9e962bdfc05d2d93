"""Predicts the loss of every tensor in every format from one backward pass.

With labels that are drawn from the model itself, the gradients G_s of the loss of a sequence s give
the second derivative of the KL divergence. For an error Δw of a tensor,

    KL per token ≈ ½ · 1/tokens · Σ_s ( Σ_r ⟨G_s,r, Δw_r⟩ )²            G_s,r = ∂L_s / ∂w_r

The errors of different rows are taken as uncorrelated, and only some rows are encoded:

    KL per token ≈ ½ · 1/tokens · Σ_s Σ_r share_r · ⟨G_s,r, Δw_r⟩²

where a sampled row r represents share_r rows. Products of different rows have the expectation 0 if
roundings are unbiased, so leaving them out removes noise. Errors of a row keep their correlations.
Both uses of a tied embedding, as a table and as the output matrix, are in the same G.

The prediction is for small errors, rounded to nearest with importance, of one tensor at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint.allocation.problem import LossTable
from zeropoint.allocation.sampled_errors import RowSample, sample_rows, sampled_errors
from zeropoint.allocation.sampled_gradients import SampledGradients
from zeropoint.calibration import Calibration, find_importance
from zeropoint.calibration.chunks import Chunk, read_chunks, spread_over_domains
from zeropoint.calibration.corpus import Corpus
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.names import OUTPUT, TOKEN_EMBEDDING
from zeropoint.errors import needs_packages
from zeropoint.models.tokenizer import read_tokenizer

if TYPE_CHECKING:
    from zeropoint.models.gradients import GradientPass

F64 = NDArray[np.float64]

# Longer sequences predict better at equal cost (docs/allocation.md), but every domain of the
# built-in text needs two of them: one alone says nothing about the error of its loss.
SEQUENCE_TOKENS = 128
BATCH_TOKENS = 256  # that go through the model together
DEFAULT_TOKENS = 1280


@dataclass(frozen=True)
class PredictionText:
    """The text of a prediction, and how much of it is read."""

    corpus: Corpus
    #: Tokens that are read, an equal share of each domain; rounded to whole sequences.
    tokens: int = DEFAULT_TOKENS
    #: Of the labels.
    seed: int = 0
    #: Weight of each domain in the loss; a domain that is not listed has weight 1.
    weights: Mapping[str, float] = field(default_factory=dict)
    #: Tokens of each sequence that runs through the model.
    sequence_tokens: int = SEQUENCE_TOKENS


@dataclass(frozen=True)
class SequencesRead:
    """The model has read more sequences, forward and backward."""

    done: int
    total: int


@dataclass(frozen=True)
class TensorPredicted:
    """The loss of one more tensor is predicted, in all of its formats."""

    name: str
    done: int  # weights of all tensors so far
    total: int


@dataclass(frozen=True)
class PredictedLosses:
    """The predicted loss of every tensor and format, in nats per token."""

    table: LossTable
    #: Of the numbers in the table: the randomness of text, labels and sampled rows.
    standard_errors: LossTable
    #: The importance that was collected in the forward passes.
    calibration: Calibration
    tokens: int
    #: By domain: the losses on its text alone. `table` is their weighted mean.
    by_domain: Mapping[str, LossTable] = field(default_factory=dict)


PredictionRecord = SequencesRead | TensorPredicted | PredictedLosses


def predict_losses(
    checkpoint: Checkpoint,
    text: PredictionText,
    menu: Mapping[str, Sequence[str]],
    *,
    threads: int,
    calibration: Calibration | None = None,
) -> Iterator[PredictionRecord]:
    """Predict the mean KL divergence of each tensor of `menu` in each of its formats.

    `menu` maps GGUF names to names of formats, or "keep". Tensors are encoded with the importance
    of `calibration`, or else of the same forward passes. Yields progress, and `PredictedLosses`
    last.

    Raises UnsupportedModel without torch and for a model that transformers does not run,
    MeasurementError for a text that is too short, FormatError for weights that a format cannot
    hold.
    """
    model = open_gradient_pass(checkpoint, threads)
    sequences = choose_sequences(checkpoint, text)
    tokens = np.stack([chunk.tokens for chunk in sequences]).astype(np.int64)
    samples = {name: sample_tensor(checkpoint, name, tokens) for name in menu}
    gradients = SampledGradients(checkpoint.tensors, samples, model.architecture.output)
    step = max(1, BATCH_TOKENS // text.sequence_tokens)
    for at in range(0, len(tokens), step):
        model.run(tokens[at : at + step], gradients, seed=text.seed, first=at)
        yield SequencesRead(min(at + step, len(tokens)), len(tokens))
    del model
    collected = gradients.calibration(len(tokens), tokens.shape[1], text.corpus.hash)
    losses = _Losses(sequences, text.weights)
    table: dict[str, dict[str, float]] = {}
    deviations: dict[str, dict[str, float]] = {}
    by_domain: dict[str, dict[str, dict[str, float]]] = {name: {} for name in losses.groups}
    total, done = sum(checkpoint.tensors[name].elements for name in menu), 0
    for name, formats in menu.items():
        info = checkpoint.tensors[name]
        importance = find_importance(calibration or collected, info, tied=checkpoint.tied_output)
        sample = gradients.samples[name]
        table[name], deviations[name] = {}, {}
        for format, errors in sampled_errors(
            checkpoint, name, sample.rows, formats, importance, threads=threads
        ):
            changes = gradients.first_order_changes(name, errors, len(tokens), threads=threads)
            parts = losses.parts(changes, sample)
            table[name][format], deviations[name][format] = losses.estimate(parts, sample)
            for domain, loss in losses.by_domain(parts).items():
                by_domain[domain].setdefault(name, {})[format] = loss
        gradients.forget(name)
        done += info.elements
        yield TensorPredicted(name, done, total)
    yield PredictedLosses(table, deviations, collected, tokens.size, by_domain)


def open_gradient_pass(checkpoint: Checkpoint, threads: int) -> "GradientPass":
    """Load a model for backward passes. Raises MissingPackage without the extra `torch`."""
    with needs_packages("predicting losses"):
        from zeropoint.models.gradients import GradientPass
    return GradientPass(checkpoint, threads=threads)


def choose_sequences(checkpoint: Checkpoint, text: PredictionText) -> list[Chunk]:
    """Return the sequences of a text that are read, spread over each domain."""
    tokenizer = read_tokenizer(checkpoint)
    chunks = read_chunks(text.corpus, checkpoint, tokenizer, text.sequence_tokens)
    return spread_over_domains(chunks, max(1, text.tokens // text.sequence_tokens))


def domain_weights(sequences: Sequence[Chunk], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each domain of the sequences, with a sum of 1; unlisted ones count 1."""
    domains = dict.fromkeys(sequence.domain for sequence in sequences)
    raw = {name: float(weights.get(name, 1.0)) for name in domains}
    return {name: weight / sum(raw.values()) for name, weight in raw.items()}


def sample_tensor(checkpoint: Checkpoint, name: str, tokens: NDArray[np.integer]) -> RowSample:
    """Return the rows of a tensor that are encoded; of a table, those of all tokens are."""
    certain = tokens.reshape(-1).astype(np.int64) if name in (TOKEN_EMBEDDING, OUTPUT) else None
    return sample_rows(checkpoint.tensors[name], certain)


class _Losses:
    """Computes means over sequences with a weight for each domain."""

    def __init__(self, sequences: Sequence[Chunk], weights: Mapping[str, float]) -> None:
        domains = [chunk.domain for chunk in sequences]
        self.groups = {
            name: np.array([domain == name for domain in domains])
            for name in dict.fromkeys(domains)
        }
        self.weights = domain_weights(sequences, weights)
        self.lengths = np.array([chunk.tokens.size for chunk in sequences])

    def parts(self, changes: F64, sample: RowSample) -> F64:
        """Return what each row adds to the loss of each sequence, (sequences, rows)."""
        parts: F64 = 0.5 * changes**2 * sample.shares / self.lengths[:, None]
        return parts

    def by_domain(self, parts: F64) -> dict[str, float]:
        """Return the predicted loss on each domain, from `parts`."""
        return {name: float(parts[group].mean(axis=0).sum()) for name, group in self.groups.items()}

    def estimate(self, parts: F64, sample: RowSample) -> tuple[float, float]:
        """Return the predicted loss, and its standard error, from `parts`."""
        by_row, variance = np.zeros(len(sample.rows)), 0.0
        for name, group in self.groups.items():
            here, weight = parts[group], self.weights[name]
            by_row += weight * here.mean(axis=0)
            if len(here) > 1:
                variance += weight**2 * here.sum(axis=1).var(ddof=1) / len(here)
        drawn = by_row[sample.shares > 1]
        if len(drawn) > 1:
            left_out = 1 - 1 / sample.shares.max()
            variance += left_out * len(drawn) * drawn.var(ddof=1)
        return float(by_row.sum()), float(variance**0.5)
