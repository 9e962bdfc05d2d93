"""The verb `measure`: a quant against its reference, as a run that can be stopped and resumed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.calibration.chunks import Chunk, read_chunks
from zeropoint.calibration.corpus import Corpus, builtin_corpus, read_corpus
from zeropoint.errors import MeasurementError
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.metrics.divergence.compatibility import ModelIdentity
from zeropoint.metrics.divergence.noise_floor import ARITHMETIC, measure_floor
from zeropoint.metrics.divergence.recorded_run import measure_recorded
from zeropoint.metrics.divergence.reference_cache import ReferenceCache, kept_bytes
from zeropoint.metrics.divergence.score_chunks import ChunkScores, Scorer
from zeropoint.metrics.divergence.summary import METRICS_VERSION, summarize
from zeropoint.metrics.statistics import quick_half_width
from zeropoint.models.base import LanguageModel
from zeropoint.results.divergence import Floor, MeasureResult
from zeropoint.results.run_store import RunFolder

FLOOR_CHUNKS = 4  # that the noise floor is measured on
TOGETHER = 1024  # positions that go through a model at once
REMEMBERED_BYTES = 1 << 30  # of a pass in memory; the chunks after that are computed again


@dataclass(frozen=True)
class MeasureText:
    """What both models read: chunks, and where they are from."""

    chunks: Sequence[Chunk]
    context: int
    corpus: str  # hash of the whole text
    built_in: bool


@dataclass(frozen=True)
class MeasureProgress:
    """One more chunk is measured."""

    done: int  # chunks
    tokens: int  # scored so far
    kl: float  # mean so far, nats per token
    half_width: float | None  # of its 95 % interval; None while one chunk cannot tell
    tokens_per_second: float


def read_text(
    files: Sequence[Path], model: LanguageModel, *, context: int, chunks: int | None = None
) -> MeasureText:
    """Read and cut the text to measure on: these files, or the built-in mix without files.

    Raises MeasurementError for text that is missing, empty or shorter than one chunk, and for a
    context that the model was not made for.
    """
    if context > model.context_length:
        raise MeasurementError(
            f"the model was made for {model.context_length} positions; --ctx {context} is more"
        )
    if chunks is not None and chunks < 1:
        raise MeasurementError("--chunks must be at least 1")
    corpus: Corpus = read_corpus(files) if files else builtin_corpus("evaluate")
    cut = read_chunks(corpus, model.tokenizer, context, limit=chunks)
    return MeasureText(cut, context, corpus.hash, not files)


class MeasureRun:
    """A reference and a quant on the same chunks: `steps` measures, `results` sums up.

    `reference` computes the floor; its pass may be remembered by `states` (a `ReferenceCache`).
    """

    def __init__(
        self,
        reference: LanguageModel,
        quant: LanguageModel,
        text: MeasureText,
        *,
        states: Scorer | None = None,
        run: RunFolder | None = None,
        floor_chunks: int = FLOOR_CHUNKS,
    ) -> None:
        self.reference = reference
        self.quant = quant
        self.text = text
        self.run = run
        self.states = states or ReferenceCache(reference, most=min(floor_chunks, len(text.chunks)))
        self.floor: float | None = None
        self.seen: list[ChunkScores] = []
        self._floor_chunks = text.chunks[:floor_chunks]

    def steps(self, *, until: float | None = None) -> Iterator[MeasureProgress]:
        """Measure chunk after chunk; each is in the run folder before it is told.

        With `until`, stop when the 95 % interval of the mean KL has this half-width. Stopping
        between two records is safe, and the same run goes on from there. Raises MeasurementError
        for a logit that is not finite, with chunk and position.
        """
        self.seen = []
        batch = max(1, TOGETHER // self.text.context)
        pair = (self.states, self.quant)
        for found in measure_recorded(
            pair, self.text.chunks, self.run, until=until, batch=batch, threads=self.quant.threads
        ):
            self.seen.append(found)
            yield self._progress()

    def measure_floor(self) -> float | None:
        """Measure the reference against itself in another arithmetic, on a few chunks."""
        if self._floor_chunks and self.floor is None:
            self.floor = _recorded_floor(self.run, len(self._floor_chunks))
        if self._floor_chunks and self.floor is None:
            self.floor = measure_floor(self.reference, self.states, self._floor_chunks)
            if self.run:
                found = Floor(self.floor, len(self._floor_chunks), ARITHMETIC)
                self.run.save_table("floor", found.to_json())
        return self.floor

    def results(self) -> MeasureResult:
        """Sum up what was measured so far, and put it into the run folder."""
        if not self.seen:
            raise MeasurementError("nothing was measured yet")
        tokenizer = self.reference.tokenizer

        def text_of(token: int) -> str:
            return tokenizer.piece(token, special=True).decode("utf-8", "replace")

        found = replace(
            summarize(self.seen, floor=self.floor, token_text=text_of),
            floor_arithmetic=ARITHMETIC if self.floor is not None else None,
            floor_chunks=len(self._floor_chunks) if self.floor is not None else 0,
            tokens_per_second=self._speed(),
            peak_memory_bytes=peak_memory_bytes(),
            complete=len(self.seen) == len(self.text.chunks),
        )
        if self.run:
            self.run.save_table("pieces", self._pieces(text_of))
            self.run.finish(found)
        return found

    def _pieces(self, text_of: Callable[[int], str]) -> dict[str, str]:
        """The text of every token that the run holds: a page needs no tokenizer."""
        held = [c.tokens for c in self.seen] + [c.comparison.top_ids.ravel() for c in self.seen]
        ids = np.unique(np.concatenate(held))
        return {str(token): text_of(int(token)) for token in ids if token >= 0}

    def _progress(self) -> MeasureProgress:
        counts = np.array([float(c.comparison.kl.size) for c in self.seen])
        sums = np.array([c.comparison.kl.sum() for c in self.seen])
        width = quick_half_width(sums, counts)
        return MeasureProgress(
            done=len(self.seen),
            tokens=int(counts.sum()),
            kl=float(sums.sum() / counts.sum()),
            half_width=None if np.isnan(width) else width,
            tokens_per_second=self._speed(),
        )

    def _speed(self) -> float:
        """Scored tokens per second of both passes; loading and the floor are not in it."""
        seconds = sum(c.seconds for c in self.seen)
        return sum(c.comparison.kl.size for c in self.seen) / max(seconds, 1e-9)


def start_run(
    path: Path,
    sides: tuple[ModelIdentity, ModelIdentity],
    text: MeasureText,
    settings: Mapping[str, object],
) -> RunFolder:
    """Begin the run in `path`, or go on with it if it is the same measurement.

    How many chunks are wanted is no part of what it is: the same run can be made longer.
    """
    reference, quant = sides
    inputs = {
        "reference": reference.to_json(),
        "quant": quant.to_json(),
        "text": {"corpus": text.corpus, "built_in": text.built_in},
    }
    identity = {
        "context": text.context,
        "metrics_version": METRICS_VERSION,
        "instruction_set": kernels.variant(),
        **settings,
    }
    return RunFolder.start(path, "measure", inputs, identity)


def remembered(
    reference: LanguageModel, text: MeasureText, folder: RunFolder | None = None
) -> ReferenceCache:
    """Return the reference with a memory for its pass: a folder, or REMEMBERED_BYTES at most."""
    chunk = kept_bytes(reference, 1, text.context)
    return ReferenceCache(reference, folder, most=max(FLOOR_CHUNKS, REMEMBERED_BYTES // chunk))


def _recorded_floor(run: RunFolder | None, chunks: int) -> float | None:
    """Return the floor that a run holds already, if it was measured on as many chunks."""
    if run is None or not (run.path / "floor.json").exists():
        return None
    floor = run.load_record("floor", Floor)
    return floor.kl_mean if floor.chunks == chunks else None
