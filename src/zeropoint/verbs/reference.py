"""Opens a reference and its text, for the verbs that measure quantized models against it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from zeropoint import kernels
from zeropoint.metrics.divergence.reference_pass import MeasureText, read_text
from zeropoint.metrics.divergence.score_chunks import ChunkScores, score_chunks
from zeropoint.metrics.divergence.summary import METRICS_VERSION
from zeropoint.models import CacheTypes, LanguageModel
from zeropoint.results.chosen_count import ChosenCount
from zeropoint.results.divergence import TextRead
from zeropoint.results.model_identity import InMemoryQuantization, ModelIdentity
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_paths
from zeropoint.verbs.default_count import CountChoice, CountChosen, FirstTimed
from zeropoint.verbs.loaded_model import LoadedModel
from zeropoint.verbs.options.measure import DivergenceOptions
from zeropoint.verbs.records import Notice

EXACT_CACHE = CacheTypes()


@dataclass(frozen=True)
class TextPrepared:
    """The text is read and cut into chunks."""

    text: TextRead
    domains: Sequence[str]
    #: Chunks that are long documents, and the tokens of the longest of them.
    documents: int = 0
    document_tokens: int = 0


@dataclass(frozen=True)
class ReferenceOpened:
    """The reference is loaded."""

    reference: ModelIdentity


def proxy_notices(reference: ModelIdentity) -> Iterator[Notice]:
    """Yield a warning if the reference is itself quantized."""
    if reference.quantized:
        yield Notice(
            f"{reference.name} is itself quantized ({reference.kind}): as a proxy reference, it"
            " hides the loss that it already has"
        )


@dataclass(frozen=True)
class PreparedText:
    """The text of a measurement, and how many of its chunks are measured."""

    text: MeasureText
    record: TextPrepared
    choice: CountChosen | None  # None: an option gave the number of chunks
    first: ChunkScores | None  # the scores of the first chunk, if it was timed
    folder: RunFolder | None  # the run that stores the number of chunks

    @property
    def seconds(self) -> float | None:
        """Seconds that a chunk takes with one quantized model, if the first one was timed."""
        return self.first.seconds if self.first else None

    @property
    def chosen(self) -> ChosenCount | None:
        """The number of chunks that was chosen by time, now or in the run that is resumed."""
        return self.choice.chosen if self.choice else None


TextRecords: TypeAlias = Generator[TextPrepared | FirstTimed | CountChosen, None, PreparedText]


def prepare_text(
    reference: LoadedModel,
    quant: LanguageModel,
    options: DivergenceOptions,
    run: Path | None,
    start: Callable[[Path, MeasureText], RunFolder],
    models: int = 1,
) -> TextRecords:
    """Read and cut the text, choose the number of chunks, and yield and return what was prepared.

    `run` is the folder that stores the number, and `start` begins or resumes the run in it, before
    anything is timed. `models` says how many quantized models are measured on the text; the time of
    the first chunk with `quant` stands for all of them.
    """
    choice = CountChoice("chunks", options.chunks, run)
    text = read_text(
        as_paths(options.text), reference.model, context=options.context, chunks=choice.limit
    )
    folder = start(run, text) if run else None
    available, first, seconds = len(text.chunks), None, None
    if choice.needs_time(available):
        yield FirstTimed(choice.unit, available)
        scored = score_chunks(
            reference.model, quant, text.chunks[:1], threads=reference.model.threads
        )
        first = next(scored)
        seconds = models * first.seconds
    chosen = choice.choose(available, seconds)
    if chosen:
        text = text.head(chosen.chosen.count)
        chosen.chosen.save(folder)
    read = TextRead(text.corpus, text.built_in, text.context, len(text.chunks))
    documents = [chunk.tokens.size for chunk in text.chunks if chunk.scored is not None]
    record = TextPrepared(read, text.domains, len(documents), max(documents, default=0))
    yield record
    if chosen:
        yield chosen
    return PreparedText(text, record, chosen, first, folder)


def start_measure_run(
    path: Path,
    reference: ModelIdentity,
    quant: ModelIdentity,
    text: MeasureText,
    quantization: InMemoryQuantization | None = None,
    cache: CacheTypes = EXACT_CACHE,
) -> RunFolder:
    """Begin the run of one measurement in `path`, or resume it if it is the same measurement.

    The number of chunks is not part of its identity: a run can be extended.
    """
    inputs = {
        "reference": reference.to_json(),
        "quant": quant.to_json(),
        "text": {"corpus": text.corpus, "built_in": text.built_in},
    }
    settings = {
        "context": text.context,
        "metrics_version": METRICS_VERSION,
        "instruction_set": kernels.variant(),
        **(quantization.to_json() if quantization else {}),
        **({} if cache.exact else {"kv_cache": cache.name}),
    }
    return RunFolder.start(path, "measure", inputs, settings)
