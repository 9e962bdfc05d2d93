"""One measurement: a quantized model against its reference, which can be stopped and resumed."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.metrics.divergence.recorded_chunks import score_recorded_chunks
from zeropoint.metrics.divergence.reference_pass import ReferencePass
from zeropoint.metrics.divergence.score_chunks import ChunkScores
from zeropoint.metrics.divergence.summary import summarize
from zeropoint.metrics.statistics import estimate, quick_half_width
from zeropoint.models.base import LanguageModel
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.run_store import RunFolder

BATCH_POSITIONS = 1024  # positions that go through a model at once
MIN_CHUNKS_TO_STOP = 8  # before an interval is trusted to end a measurement


@dataclass(frozen=True)
class MeasureProgress:
    """One more chunk is scored."""

    done: int  # chunks
    tokens: int  # positions scored so far
    kl: float  # mean so far, nats per token
    half_width: float | None  # of its 95 % interval; None after one chunk
    tokens_per_second: float

    @property
    def summary(self) -> str:
        """The figure so far with its interval, for a measurement that is interrupted."""
        if self.half_width is None:
            return f"KL {self.kl:.5f} nats per token; the interval needs more than one chunk"
        low, high = max(self.kl - self.half_width, 0.0), self.kl + self.half_width
        return f"KL {self.kl:.5f} nats per token ({low:.5f} … {high:.5f}, 95 % interval)"

    @property
    def detail(self) -> str:
        """The running figure, for a progress bar."""
        width = "" if self.half_width is None else f" ± {self.half_width:.5f}"
        return f"KL {self.kl:.5f}{width}, {self.tokens} tokens"


@dataclass(frozen=True)
class FloorStarted:
    """All chunks are scored, and the noise floor is measured."""

    chunks: int


class MeasureRun:
    """A quantized model against its reference on the same chunks.

    With a run folder, the scores and the result are kept there, and chunks that it holds are not
    scored again.
    """

    def __init__(
        self,
        reference: ReferencePass,
        quant: LanguageModel,
        folder: RunFolder | None = None,
        *,
        first: ChunkScores | None = None,
    ) -> None:
        self.reference = reference
        self.quant = quant
        self.folder = folder
        self._first = first  # the scores of the first chunk, if they are known already
        self.scores: list[ChunkScores] = []

    def measure(
        self, *, until: float | None = None
    ) -> Generator[MeasureProgress | FloorStarted, None, MeasureResult]:
        """Score the chunks one by one, measure the noise floor, and return the result.

        `result = yield from run.measure()` yields the progress after each chunk, and a record
        before the noise floor is measured.

        With `until`, stop when the 95 % interval of the mean KL has at most this half-width (nats
        per token), but not before MIN_CHUNKS_TO_STOP chunks. Stopping between two records is safe:
        the run folder then gets the result of the chunks that were scored. Raises MeasurementError
        for a logit that is not finite, with its chunk and position.
        """
        text = self.reference.text
        models = self.reference.cache, self.quant
        batch = max(1, BATCH_POSITIONS // text.context)
        self.scores = []
        chunks = score_recorded_chunks(
            models,
            text.chunks,
            self.folder,
            first=self._first,
            batch=batch,
            threads=self.quant.threads,
        )
        try:
            for scores in chunks:
                self.scores.append(scores)
                yield self._progress()
                if until is not None and self._is_narrow(until):
                    break
            if self.reference.needs_floor(self.folder):
                yield FloorStarted(self.reference.planned_floor_chunks)
            self.reference.measure_floor(self.folder)
        except (KeyboardInterrupt, GeneratorExit):  # stopped by the user, or by the caller
            if self.folder and self.scores:
                self._summarize()
            raise
        return self._summarize()

    def _summarize(self) -> MeasureResult:
        """Summarize the chunks that were scored so far, and put the summary into the run folder."""
        reference = self.reference
        tokenizer = reference.model.tokenizer

        def token_text(token: int) -> str:
            return tokenizer.piece(token, special=True).decode("utf-8", "replace")

        result = replace(
            summarize(self.scores, floor=reference.floor, token_text=token_text),
            floor_arithmetic=reference.floor_arithmetic,
            floor_chunks=reference.floor_chunks,
            tokens_per_second=self._tokens_per_second(),
            peak_memory_bytes=peak_memory_bytes(),
            complete=len(self.scores) == len(reference.text.chunks),
        )
        if self.folder:
            self.folder.save_table("pieces", self._token_texts(token_text))
            self.folder.finish(result)
        return result

    def _token_texts(self, token_text: Callable[[int], str]) -> dict[str, str]:
        """Return the text of every token in the run, so that a page needs no tokenizer."""
        tokens = [chunk.tokens for chunk in self.scores]
        tokens += [chunk.comparison.top_ids.ravel() for chunk in self.scores]
        ids = np.unique(np.concatenate(tokens))
        return {str(token): token_text(int(token)) for token in ids if token >= 0}

    def _progress(self) -> MeasureProgress:
        sums, counts = kl_sums(self.scores)
        width = quick_half_width(sums, counts)
        return MeasureProgress(
            done=len(self.scores),
            tokens=int(counts.sum()),
            kl=float(sums.sum() / counts.sum()),
            half_width=None if np.isnan(width) else width,
            tokens_per_second=self._tokens_per_second(),
        )

    def _is_narrow(self, half_width: float) -> bool:
        """Return whether the 95 % interval of the mean KL has at most this half-width."""
        if len(self.scores) < MIN_CHUNKS_TO_STOP:
            return False
        sums, counts = kl_sums(self.scores)
        if quick_half_width(sums, counts) > 1.5 * half_width:
            return False  # the bootstrap costs more, and would not be so much narrower
        return estimate(sums, counts).half_width <= half_width

    def _tokens_per_second(self) -> float:
        """Return scored positions per second of both passes, without loading and the floor."""
        seconds = sum(chunk.seconds for chunk in self.scores)
        return sum(chunk.comparison.kl.size for chunk in self.scores) / max(seconds, 1e-9)


def kl_sums(scores: list[ChunkScores]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of KL over each chunk, and its number of positions: (chunks,), (chunks,)."""
    sums = np.array([chunk.comparison.kl.sum() for chunk in scores])
    return sums, np.array([float(chunk.comparison.kl.size) for chunk in scores])
