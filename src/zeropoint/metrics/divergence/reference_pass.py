"""A reference on one text, prepared once for all the quantized models that are measured with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zeropoint.calibration.chunks import LONG_CONTEXT, Chunk, read_chunks
from zeropoint.calibration.corpus import is_built_in, open_corpus
from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.noise_floor import ARITHMETIC, measure_floor
from zeropoint.metrics.divergence.reference_cache import (
    CACHE_BUDGET_BYTES,
    ReferenceCache,
    cache_bytes,
)
from zeropoint.models.base import LanguageModel
from zeropoint.results.divergence import Floor
from zeropoint.results.run_store import RunFolder


@dataclass(frozen=True)
class MeasureText:
    """The text that both models read, as chunks of tokens."""

    chunks: Sequence[Chunk]
    context: int  # tokens per chunk, except those of long documents
    corpus: str  # SHA-256 of the whole text
    built_in: bool

    @property
    def domains(self) -> list[str]:
        """The names of the texts, in the order in which they are measured."""
        return list(dict.fromkeys(chunk.domain for chunk in self.chunks))

    def head(self, count: int) -> "MeasureText":
        """Return the same text with only its first `count` chunks."""
        return replace(self, chunks=self.chunks[:count])

    @property
    def longest(self) -> int:
        """Tokens of the longest chunk."""
        return max(chunk.tokens.size for chunk in self.chunks)

    @property
    def tokens(self) -> int:
        """Tokens of all chunks."""
        return sum(chunk.tokens.size for chunk in self.chunks)


def read_text(
    files: Sequence[Path], model: LanguageModel, *, context: int, chunks: int | None = None
) -> MeasureText:
    """Read the texts, or the built-in mix if there are none, and cut them into chunks.

    `context` is in tokens per chunk. `chunks` is the maximum number of chunks; None takes all.
    Raises MeasurementError for text that is missing, empty or shorter than one chunk, and for a
    context that is longer than the model's.
    """
    if context > model.context_length:
        raise MeasurementError(
            f"the context (--ctx) is {context} tokens, but that of the model is only"
            f" {model.context_length}"
        )
    if chunks is not None and chunks < 1:
        raise MeasurementError("the number of chunks (--chunks) must be at least 1")
    corpus = open_corpus(files, "evaluate")
    long_context = min(LONG_CONTEXT, model.context_length)
    cut = read_chunks(
        corpus, model.checkpoint, model.tokenizer, context, limit=chunks, long_context=long_context
    )
    return MeasureText(cut, context, corpus.hash, is_built_in(files))


class ReferencePass:
    """The reference's hidden states on a text, computed once, and its noise floor."""

    def __init__(
        self,
        model: LanguageModel,
        text: MeasureText,
        *,
        floor_chunks: int,
        cache: ReferenceCache | None = None,
    ) -> None:
        self.model = model
        self.text = text
        #: Mean KL of the reference against itself, nats per token; None until it is measured.
        self.floor: float | None = None
        self._floor_chunks = text.chunks[:floor_chunks]
        #: Computes hidden states; by default, those of the floor's chunks are kept in memory.
        self.cache = cache or ReferenceCache(model, max_chunks=len(self._floor_chunks))

    @classmethod
    def for_several(
        cls, model: LanguageModel, text: MeasureText, *, floor_chunks: int
    ) -> "ReferencePass":
        """Return a pass whose states are kept in memory, up to CACHE_BUDGET_BYTES."""
        fitting = CACHE_BUDGET_BYTES // cache_bytes(model, text.longest)
        cache = ReferenceCache(model, max_chunks=max(floor_chunks, fitting))
        return cls(model, text, floor_chunks=floor_chunks, cache=cache)

    @property
    def floor_chunks(self) -> int:
        """Number of chunks that the noise floor was measured on; 0 without a floor."""
        return 0 if self.floor is None else len(self._floor_chunks)

    @property
    def floor_arithmetic(self) -> str | None:
        """The other arithmetic of the noise floor, in words; None without a floor."""
        return None if self.floor is None else ARITHMETIC

    @property
    def planned_floor_chunks(self) -> int:
        """Number of chunks that the noise floor is to be measured on."""
        return len(self._floor_chunks)

    def needs_floor(self, folder: RunFolder | None = None) -> bool:
        """Return whether the noise floor is wanted, and neither known nor in the run folder."""
        planned = self.planned_floor_chunks
        return bool(planned) and self.floor is None and _recorded_floor(folder, planned) is None

    def adopt_floor(self, floor: float | None) -> None:
        """Take over the noise floor of an earlier measurement, unless it is known already."""
        if self.floor is None:
            self.floor = floor

    def measure_floor(self, folder: RunFolder | None = None) -> None:
        """Measure the noise floor if it is wanted and not known; `folder` keeps it."""
        chunks = self._floor_chunks
        if not chunks or self.floor is not None:
            return
        self.floor = _recorded_floor(folder, len(chunks))
        if self.floor is None:
            self.floor = measure_floor(self.model, self.cache, chunks)
            if folder:
                floor = Floor(self.floor, len(chunks), ARITHMETIC)
                folder.save_table("floor", floor.to_json())


def _recorded_floor(folder: RunFolder | None, chunks: int) -> float | None:
    """Return the floor that a run folder holds, if it was measured on as many chunks."""
    if folder is None or not (folder.path / "floor.json").exists():
        return None
    floor = folder.load_record("floor", Floor)
    return floor.kl_mean if floor.chunks == chunks else None
