"""The true loss of a recipe: KL(reference ‖ quant), with the tensors encoded in memory.

The reference reads the text once, and its hidden states are stored. An evaluation replaces only the
tensors whose format differs from the evaluation before it, runs the text through the model, and
compares both heads over the whole vocabulary. All positions of a chunk but the first few are
scored: a forward pass costs the same however many of its positions count, so this gives the most
scored tokens per second. (`measure` scores the second half only, as llama-perplexity does.)
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.allocation.encoded_tensors import EncodedTensors
from zeropoint.allocation.problem import Assignment
from zeropoint.calibration.chunks import Chunk
from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.reference_cache import ReferenceCache
from zeropoint.metrics.divergence.run import BATCH_POSITIONS
from zeropoint.metrics.divergence.score_chunks import compare_hidden
from zeropoint.metrics.statistics import ConfidenceInterval, estimate
from zeropoint.models import LanguageModel, load_model
from zeropoint.models.architecture import read_architecture
from zeropoint.results.run_store import RunFolder

F64 = NDArray[np.float64]

#: Positions at the start of a chunk that are not scored, and the largest part of it (1/8).
UNSCORED_POSITIONS = 64
UNSCORED_PART = 8
TAIL_SHARE = 0.01  # of the positions of a chunk, those with the largest KL


@dataclass(frozen=True)
class ChunkJudged:
    """One more chunk of an evaluation is scored."""

    done: int  # chunks, over all evaluations of a budget so far
    detail: str


@dataclass(frozen=True)
class ChunkLosses:
    """The loss of one recipe on each chunk of the text, in nats per token."""

    #: (chunks,) float64: mean KL over the scored positions.
    mean: F64
    #: (chunks,) float64: mean of the largest TAIL_SHARE of the positions, at least one.
    tail: F64


class Judge:
    """Evaluates assignments of formats on fixed chunks, with one model in memory."""

    def __init__(
        self,
        encoded: EncodedTensors,
        chunks: Sequence[Chunk],
        states: RunFolder,
        *,
        threads: int,
    ) -> None:
        """`states` is the folder for the hidden states of the reference.

        Chunks must be equally long, so that each has the same number of scored positions.
        """
        self.chunks = chunks
        self._encoded = encoded
        self._states = states
        self._threads = threads
        self._reference: ReferenceCache | None = None
        self._quant: LanguageModel | None = None
        self._formats: dict[str, str] = {}
        self._judged = 0

    @property
    def source_name(self) -> str:
        """The name of the model's file."""
        return self._encoded.source.path.name

    def evaluate(self, assignment: Assignment) -> Generator[ChunkJudged, None, ChunkLosses]:
        """Yield a record for each chunk, and return the loss of an assignment.

        Tensors without a format in `assignment` are those of the source. Raises MeasurementError
        for a logit that is not finite.
        """
        reference = self._open_reference()
        quant = self._apply(assignment)
        means, tails = [], []
        batch = max(1, BATCH_POSITIONS // self.chunks[0].tokens.size)
        for at in range(0, len(self.chunks), batch):
            group = self.chunks[at : at + batch]
            tokens = np.stack([chunk.tokens for chunk in group])
            states = reference.hidden(tokens), quant.hidden(tokens)
            for row, chunk in enumerate(group):
                kl = self._compare(reference, quant, (states[0][row], states[1][row]), chunk)
                means.append(float(kl.mean()))
                tails.append(tail_mean(kl))
                self._judged += 1
                yield ChunkJudged(self._judged, f"KL {np.mean(means):.5f}")
        return ChunkLosses(np.array(means), np.array(tails))

    def skip_evaluation(self) -> None:
        """Count an evaluation whose losses were stored, for the progress."""
        self._judged += len(self.chunks)

    def start_count(self) -> None:
        """Count the evaluations of the next budget from 0, for the progress."""
        self._judged = 0

    def model(self, assignment: Assignment) -> LanguageModel:
        """Return the model with the tensors of an assignment."""
        return self._apply(assignment)

    def _compare(
        self,
        reference: ReferenceCache,
        quant: LanguageModel,
        states: tuple[NDArray[np.float32], NDArray[np.float32]],
        chunk: Chunk,
    ) -> F64:
        """Return the KL of the scored positions of a chunk, (positions,)."""
        first = min(UNSCORED_POSITIONS, chunk.tokens.size // UNSCORED_PART)
        rows = slice(first, chunk.tokens.size - 1)
        targets = chunk.tokens[first + 1 :]
        try:
            comparison = compare_hidden(
                reference,
                quant,
                (states[0][rows], states[1][rows]),
                targets,
                first=first,
                threads=self._threads,
            )
        except MeasurementError as error:
            raise MeasurementError(f"{self.source_name}, text {chunk.domain}: {error}") from None
        return comparison.kl

    def _open_reference(self) -> ReferenceCache:
        """Return the reference; only its head stays in memory once its states are known."""
        if self._reference is None:
            source = self._encoded.source
            layers = set(source.tensors) - {read_architecture(source).output}
            head = load_model(source, threads=self._threads, later=layers)
            self._reference = ReferenceCache(head, self._states)
            missing = [c.tokens for c in self.chunks if not self._reference.holds(c.tokens)]
            if missing:
                computing = ReferenceCache(load_model(source, threads=self._threads), self._states)
                for tokens in missing:
                    computing.hidden(tokens[None])
        return self._reference

    def _apply(self, assignment: Assignment) -> LanguageModel:
        """Return the model with these formats; only tensors that change are replaced."""
        source = self._encoded.source
        if self._quant is None:
            self._quant = load_model(source, threads=self._threads, later=set(assignment))
        for name in {**self._formats, **assignment}:
            format = assignment.get(name, source.tensors[name].format.name)
            if self._formats.get(name) != format:
                self._quant.replace(name, self._encoded.get(name, format))
                self._formats[name] = format
        return self._quant


def tail_mean(kl: F64) -> float:
    """Return the mean of the largest TAIL_SHARE of KL divergences (positions,), at least one.

    >>> tail_mean(np.array([0.0, 3.0, 1.0]))
    3.0
    """
    count = max(1, round(TAIL_SHARE * kl.size))
    return float(np.sort(kl)[-count:].mean())


def chunk_weights(chunks: Sequence[Chunk], weights: Mapping[str, float]) -> F64:
    """Return the weight of each chunk, (chunks,) float64, with a sum of 1.

    Each kind of text (domain) has the weight in `weights`, or 1, whatever its number of chunks.
    Raises MeasurementError for a kind that no chunk has, and if all weights are 0.
    """
    kinds = [chunk.domain for chunk in chunks]
    for kind in weights:
        if kind not in kinds:
            known = ", ".join(dict.fromkeys(kinds))
            raise MeasurementError(f"the text has no kind {kind!r} to weight; it has {known}")
    each = np.array([weights.get(kind, 1.0) / kinds.count(kind) for kind in kinds])
    if not each.sum() > 0:
        raise MeasurementError("the weights of the kinds of text (--weight) are all 0")
    return np.asarray(each / each.sum(), np.float64)


def weighted_estimate(values: F64, weights: F64) -> ConfidenceInterval:
    """Return the weighted mean of values of chunks, (chunks,), with its 95 % interval."""
    return estimate(values * weights, weights)
