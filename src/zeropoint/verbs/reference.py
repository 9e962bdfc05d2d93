"""Opens a reference and its text, for the verbs that measure quantized models against it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint import kernels
from zeropoint.metrics.divergence.reference_pass import MeasureText, read_text
from zeropoint.metrics.divergence.summary import METRICS_VERSION
from zeropoint.results.divergence import TextRead
from zeropoint.results.model_identity import InMemoryQuantization, ModelIdentity
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_paths
from zeropoint.verbs.loaded_model import LoadedModel
from zeropoint.verbs.options.measure import DivergenceOptions
from zeropoint.verbs.records import Notice


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


def prepare_text(
    reference: LoadedModel, options: DivergenceOptions
) -> tuple[MeasureText, TextPrepared]:
    """Read and cut the text that the models are measured on, and return it with its record."""
    files = as_paths(options.text)
    text = read_text(files, reference.model, context=options.context, chunks=options.chunks)
    read = TextRead(text.corpus, text.built_in, text.context, len(text.chunks))
    documents = [chunk.tokens.size for chunk in text.chunks if chunk.scored is not None]
    return text, TextPrepared(read, text.domains, len(documents), max(documents, default=0))


def start_measure_run(
    path: Path,
    reference: ModelIdentity,
    quant: ModelIdentity,
    text: MeasureText,
    quantization: InMemoryQuantization | None = None,
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
    }
    return RunFolder.start(path, "measure", inputs, settings)
